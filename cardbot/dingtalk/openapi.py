"""The calls to DingTalk's API, each one attempt with typed arguments and typed errors.

Nothing here waits or repeats, but for one thing: a call whose access token was refused is made once more with a new
one. Who may call when, and what to do about a refusal, is the business of those who call.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
from alibabacloud_dingtalk.card_1_0 import models as card_models
from alibabacloud_dingtalk.robot_1_0 import models as robot_models
from alibabacloud_tea_util.models import RuntimeOptions

from cardbot.dingtalk import robot
from cardbot.dingtalk.access_token import AccessToken
from cardbot.dingtalk.hosts import endpoint_at
from cardbot.dingtalk.sdk import TIMEOUT, CardClient, OAuthClient, RobotClient, pooled_client, was_never_sent
from cardbot.errors import (
    DingTalkUnreachable,
    InvalidToken,
    NotDelivered,
    PermissionDenied,
    QuotaExhausted,
    Throttled,
)
from cardbot.harmless import harmless

DEFAULT_ENDPOINT = "https://api.dingtalk.com"

USER_ID: Final = 1
"""`userIdType`: people are named by their staff id, here and in callbacks. Documented: create-and-deliver-cards."""

TURNED_AWAY = (InvalidToken, PermissionDenied, QuotaExhausted, Throttled)
"""Refusals by the gateway. A throttled call is not billed (documented: open.dingtalk.com
how-to-process-api-throttling-on-the-server, read 2026-11); we take the others, which got no further, to be free too."""

_RUNTIME = RuntimeOptions()
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class DirectSpace:
    """The chat of the robot with one person."""

    staff_id: str


@dataclass(frozen=True, slots=True)
class GroupSpace:
    """A group, by its case-sensitive conversation id."""

    conversation_id: str


@dataclass(frozen=True, slots=True)
class NewCard:
    """A card to be created and put into a chat."""

    template_id: str
    out_track_id: str
    """Ours to choose, up to 64 characters; never used twice."""
    space: DirectSpace | GroupSpace
    params: Mapping[str, str] = field(repr=False)
    """The template's variables; structured values as JSON text."""
    preview_zh: str = field(repr=False)
    preview_en: str = field(repr=False)
    """What the list of chats shows instead of the card."""
    at: Mapping[str, str] = field(default_factory=dict)
    """In a group: whom to notify, staff id to shown name."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The whole text of a card's streamed variable at one moment."""

    out_track_id: str
    guid: str
    """Makes a repetition harmless: the same for the same frame, a new one for new content."""
    key: str
    content: str = field(repr=False)
    finalize: bool = False
    """The last frame: the card is done."""
    error: bool = False
    """The card has failed."""


class OpenApi:
    """DingTalk's API for one app. Use as `async with`; the connections are closed at the end."""

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        robot_code: str,
        endpoint: str = DEFAULT_ENDPOINT,
        timeout: httpx.Timeout = TIMEOUT,
        billed: Callable[[], object] = lambda: None,
    ) -> None:
        """`billed` is called for each call that counts against the organisation's month.

        Raises `SettingsError` if `endpoint` is neither https nor on this machine.
        """
        self.endpoint = endpoint_at(endpoint)
        self.http = pooled_client(self.endpoint, timeout=timeout)
        """The pooled client, for addresses that take no token: it carries none."""
        self._client_id = client_id
        self._robot_code = robot_code
        self._cards = CardClient(self.http, self.endpoint)
        self._robot = RobotClient(self.http, self.endpoint)
        self._token = AccessToken(
            OAuthClient(self.http, self.endpoint), client_id=client_id, client_secret=client_secret
        )
        self._billed = billed

    def __repr__(self) -> str:
        return f"OpenApi(client_id={self._client_id!r}, client_secret='[secure]', endpoint={str(self.endpoint)!r})"

    async def __aenter__(self) -> Self:
        await self.http.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.http.__aexit__(exc_type, exc, traceback)

    async def access_token(self) -> str:
        """The current access token. However many ask at once, it is fetched once."""
        return await self._token.current()

    async def create_and_deliver(self, card: NewCard) -> str:
        """Put a card into its chat; return the `carrierId` that quotes of it refer to, or an empty string.

        Raises `NotDelivered` if the card was made but is not to be seen. An id used before is refused with
        `param.cardAlreadyExist`: after an unknown outcome that means that the card is there.
        """
        request = _card_request(card, robot_code=self._robot_code)
        response = await self._authorised(
            lambda token: self._cards.create_and_deliver_with_options_async(
                request, card_models.CreateAndDeliverHeaders(x_acs_dingtalk_access_token=token), _RUNTIME
            )
        )
        # `errorMsg` may be set on success too (documented: create-and-deliver-cards), and without a list nothing is
        # known; `success: false` alone is a failure.
        delivered = (response.body and response.body.result and response.body.result.deliver_results) or []
        for place in delivered:
            if place.success is False:
                reason = str(place.error_msg or "no reason given")[:100]
                raise NotDelivered(f"DingTalk made the card {card.out_track_id} but did not deliver it: {reason}.")
        return next((str(place.carrier_id) for place in delivered if place.carrier_id), "")

    async def stream(self, frame: Frame) -> None:
        """Show the text of a frame in its card."""
        request = card_models.StreamingUpdateRequest(
            out_track_id=frame.out_track_id,
            guid=frame.guid,
            key=frame.key,
            content=harmless(frame.content),
            is_full=True,  # a markdown variable takes nothing else (documented: api-streamingupdate)
            is_finalize=frame.finalize,
            is_error=frame.error,
        )
        await self._authorised(
            lambda token: self._cards.streaming_update_with_options_async(
                request, card_models.StreamingUpdateHeaders(x_acs_dingtalk_access_token=token), _RUNTIME
            )
        )

    async def update(self, out_track_id: str, params: Mapping[str, str]) -> None:
        """Set some variables of a card; the others keep their values."""
        request = card_models.UpdateCardRequest(
            out_track_id=out_track_id,
            card_data=card_models.UpdateCardRequestCardData(
                card_param_map={name: harmless(value) for name, value in params.items()}
            ),
            card_update_options=card_models.UpdateCardRequestCardUpdateOptions(update_card_data_by_key=True),
            user_id_type=USER_ID,
        )
        await self._authorised(
            lambda token: self._cards.update_card_with_options_async(
                request, card_models.UpdateCardHeaders(x_acs_dingtalk_access_token=token), _RUNTIME
            )
        )

    async def send_to_people(self, user_ids: Sequence[str], *, title: str, markdown: str) -> robot.SendReport:
        """Send a markdown message to the robot's chats with at most 20 people; the report says who got none."""
        request = robot.people_request(self._robot_code, user_ids, title=title, markdown=markdown)
        response = await self._authorised(
            lambda token: self._robot.batch_send_otowith_options_async(
                request, robot_models.BatchSendOTOHeaders(x_acs_dingtalk_access_token=token), _RUNTIME
            )
        )
        return robot.send_report(response.body)

    async def send_to_group(self, open_conversation_id: str, *, title: str, markdown: str) -> None:
        """Send a markdown message to a group that the robot is in."""
        request = robot.group_request(self._robot_code, open_conversation_id, title=title, markdown=markdown)
        await self._authorised(
            lambda token: self._robot.org_group_send_with_options_async(
                request, robot_models.OrgGroupSendHeaders(x_acs_dingtalk_access_token=token), _RUNTIME
            )
        )

    async def download_url(self, download_code: str, *, robot_code: str) -> str:
        """Where a file that somebody sent to the robot can be fetched, for a while and without a token."""
        request = robot_models.RobotMessageFileDownloadRequest(download_code=download_code, robot_code=robot_code)
        response = await self._authorised(
            lambda token: self._robot.robot_message_file_download_with_options_async(
                request, robot_models.RobotMessageFileDownloadHeaders(x_acs_dingtalk_access_token=token), _RUNTIME
            )
        )
        return str(response.body.download_url or "")

    async def _authorised(self, call: Callable[[str], Awaitable[_T]]) -> _T:
        """Make a call with the access token; if that is refused, once more with a new one."""
        token = await self._token.current()
        try:
            return await self._counted(call(token))
        except InvalidToken:
            self._token.drop(token)
        return await self._counted(call(await self._token.current()))

    async def _counted(self, call: Awaitable[_T]) -> _T:
        """Make one call. DingTalk counts it unless its gateway turned it away or it never got there."""
        counts = True
        try:
            return await call
        except TURNED_AWAY:
            counts = False
            raise
        except DingTalkUnreachable as exc:
            counts = not was_never_sent(exc)
            raise
        finally:
            if counts:
                self._billed()


def _card_request(card: NewCard, *, robot_code: str) -> Any:
    """The typed request for a card in its kind of chat."""
    preview = {"ZH_CN": harmless(card.preview_zh), "EN_US": harmless(card.preview_en)}
    # The list of chats follows the card's text instead of keeping the first preview. Seen: public connectors, 2026-11.
    extension = {"dynamicSummary": "true"}
    request = card_models.CreateAndDeliverRequest(
        card_template_id=card.template_id,
        out_track_id=card.out_track_id,
        card_data=card_models.CreateAndDeliverRequestCardData(card_param_map=dict(card.params)),
        callback_type="STREAM",
        user_id_type=USER_ID,
    )
    match card.space:
        case DirectSpace(staff_id):
            request.open_space_id = f"dtv1.card//IM_ROBOT.{staff_id}"
            request.im_robot_open_space_model = card_models.CreateAndDeliverRequestImRobotOpenSpaceModel(
                support_forward=True, last_message_i18n=preview
            )
            request.im_robot_open_deliver_model = card_models.CreateAndDeliverRequestImRobotOpenDeliverModel(
                space_type="IM_ROBOT", robot_code=robot_code, extension=extension
            )
        case GroupSpace(conversation_id):
            request.open_space_id = f"dtv1.card//IM_GROUP.{conversation_id}"
            request.im_group_open_space_model = card_models.CreateAndDeliverRequestImGroupOpenSpaceModel(
                support_forward=True, last_message_i18n=preview
            )
            request.im_group_open_deliver_model = card_models.CreateAndDeliverRequestImGroupOpenDeliverModel(
                robot_code=robot_code, at_user_ids=dict(card.at) or None, extension=extension
            )
    return request
