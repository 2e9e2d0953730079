"""Plain replies: through a message's session webhook, or through the robot API where that is not possible.

A webhook needs no token and is given none. It is good for 90 minutes and 20 messages a minute; after that the robot
API takes over with what is left of the text, so nothing is lost and nothing is said twice.
"""

import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from typing import assert_never

import anyio
import httpx
import structlog

from cardbot import paging, render
from cardbot.dingtalk.hosts import is_trusted_webhook
from cardbot.dingtalk.openapi import OpenApi
from cardbot.dingtalk.refusals import WEBHOOK_BUSY, check_answer_of_webhook
from cardbot.dingtalk.robot import robot_pieces
from cardbot.dingtalk.sdk import encoded, exchange, was_never_sent
from cardbot.errors import (
    ContentRefused,
    DingTalkError,
    DingTalkRejected,
    DingTalkUnreachable,
    NotDelivered,
    Throttled,
    WebhookExpired,
)
from cardbot.harmless import harmless
from cardbot.messages import ChatKind, Incoming
from cardbot.surrogates import mended
from cardbot.texts import Texts

BODY_LIMIT = 19_999
"""Bytes of one webhook message, as JSON. Documented: errcode 460101 says "longer than 20,000 bytes", open.dingtalk.com
custom robot error codes, read 2026-11."""

EXPIRY_MARGIN = 300.0
"""Seconds before its end at which a webhook counts as expired. Our choice: more than the two clocks differ."""

RETRY_PAUSES = (0.5, 1.0)
"""Seconds before the second and third try. Our choice: the person waits, and a webhook that is busy answers soon."""

ROBOT_PATIENCE = 45.0
"""Seconds to wait for room at the robot API. Our choice: when cards and webhooks fail for all, a few hundred answers go
this way at 20 a second; and less than a reply is given."""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class Replies:
    """Delivers plain replies; implements `cardbot.ports.Webhook`."""

    def __init__(
        self,
        api: OpenApi,
        texts: Texts,
        *,
        now: Callable[[], float] = time.time,
        retry_pauses: Sequence[float] = RETRY_PAUSES,
        robot_patience: float = ROBOT_PATIENCE,
    ) -> None:
        """`now` gives Unix time in seconds."""
        self._api = api
        self._texts = texts
        self._now = now
        self._retry_pauses = retry_pauses
        self._robot_patience = robot_patience

    async def send(self, incoming: Incoming, markdown: str, *, occasion: str = "") -> None:
        """Deliver the whole text, in several messages if need be; see `ports.Webhook` for the `occasion`.

        Raises the `DingTalkError` of the first piece that could be delivered in neither way; the pieces before it
        are in the chat. `DingTalkUnreachable` means that nobody knows about that piece: it is not sent another way,
        or it might be read twice.
        """
        markdown = mended(markdown)  # its bytes are counted
        title = render.snippet(markdown) or self._texts.answer_title
        left = deque(
            paging.parcels(markdown, BODY_LIMIT, lambda piece: len(_body(title, piece, name=uuid.UUID(int=0))))
        )
        try:
            url = self._webhook_of(incoming)
            while left:
                await self._post(url, _body(title, left[0], name=_name(incoming, len(left), left[0], occasion)))
                left.popleft()
        except DingTalkError as error:
            if not _did_nothing(error):
                raise
            await self._send_by_robot(incoming, title, left, because=error)

    def _webhook_of(self, incoming: Incoming) -> httpx.URL:
        """Where to post replies to this message. Raises `WebhookExpired` if there is no such place (any more)."""
        webhook = incoming.webhook
        if webhook is None:
            raise WebhookExpired("The message came without a session webhook.")
        if self._now() >= webhook.expires_at - EXPIRY_MARGIN and _robot_can_reach(incoming):
            raise WebhookExpired("The message's session webhook is past its time.")
        return trusted(webhook.url, endpoint=self._api.endpoint, message_id=incoming.message_id)

    async def _post(self, url: httpx.URL, body: bytes) -> None:
        """Post one message, up to three times. The id in the body makes DingTalk take it once."""
        errors: list[DingTalkError] = []
        for pause in (0.0, *self._retry_pauses):
            await anyio.sleep(pause)
            request = self._api.http.build_request("POST", url, content=body, headers=_JSON)
            try:
                check_answer_of_webhook(await exchange(self._api.http, request))
                return
            except DingTalkError as error:
                errors.append(error)
                if not _may_pass(error):
                    break
        if isinstance(errors[-1], WebhookExpired):
            raise errors[-1]  # it was past its time a moment ago too, whatever became of that try's answer
        # One try that may have arrived makes the outcome unknown, whatever the later ones say.
        raise next((error for error in errors if not _did_nothing(error)), errors[-1])

    async def _send_by_robot(
        self, incoming: Incoming, title: str, pieces: Sequence[str], *, because: DingTalkError
    ) -> None:
        """Deliver pieces through the robot API, or raise `because` if nobody can be named there."""
        if not _robot_can_reach(incoming):
            raise because
        log.info("webhook_bypassed", message=incoming.message_id, reason=str(because), pieces=len(pieces))
        until = anyio.current_time() + self._robot_patience
        for piece in pieces:
            for part in robot_pieces(title, piece):
                await self._send_part(incoming, title, part, until=until)

    async def _send_part(self, incoming: Incoming, title: str, part: str, *, until: float) -> None:
        """Send one robot message; again while there is no room for it, for then nothing was sent."""
        while True:
            try:
                match incoming.chat.kind:
                    case ChatKind.DIRECT:
                        await self._send_to_person(incoming.sender.staff_id, title, part)
                    case ChatKind.GROUP:
                        await self._api.send_to_group(incoming.chat.id, title=title, markdown=part)
                    case _:
                        assert_never(incoming.chat.kind)
                return
            except Throttled as error:
                if anyio.current_time() + error.retry_after > until:
                    raise
                await anyio.sleep(error.retry_after)

    async def _send_to_person(self, staff_id: str, title: str, part: str) -> None:
        report = await self._api.send_to_people([staff_id], title=title, markdown=part)
        if report.flow_controlled:
            raise Throttled("DingTalk holds back robot messages to this person.", status=200, code="flowControlled")
        if report.invalid or report.filtered:
            raise NotDelivered("DingTalk took the robot message but does not deliver to this person.")


def trusted(address: str, *, endpoint: httpx.URL, message_id: str) -> httpx.URL:
    """The webhook at this address. Raises `WebhookExpired` if it is none of DingTalk's."""
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, UnicodeError):  # the latter for half a surrogate pair
        url = httpx.URL()
    if not is_trusted_webhook(url, endpoint=endpoint):
        log.warning("webhook_refused", message=message_id, scheme=url.scheme, host=url.host)
        raise WebhookExpired("The message's session webhook does not belong to DingTalk.")
    return url


def _robot_can_reach(incoming: Incoming) -> bool:
    """Whether the robot API has a name for this chat: people outside the organisation have none."""
    return incoming.chat.kind is ChatKind.GROUP or bool(incoming.sender.staff_id)


REPLIES = uuid.UUID("b7d1f0a2-3c5e-4f0b-8a43-9d2b6e1c7f58")
"""The namespace of the ids of plain replies. Made up."""

_JSON = {"content-type": "application/json; charset=utf-8"}


def _body(title: str, piece: str, *, name: uuid.UUID) -> bytes:
    """One webhook message. Its name is what DingTalk knows a repetition by."""
    markdown = {"title": harmless(title), "text": harmless(piece)}
    return encoded({"msgtype": "markdown", "markdown": markdown, "msgUuid": str(name)})


def _name(incoming: Incoming, left: int, piece: str, occasion: str) -> uuid.UUID:
    """The name of a piece of a reply, with so many left to send. Whoever takes over after a crash finds the same."""
    return uuid.uuid5(REPLIES, " ".join(filter(None, [incoming.message_id, occasion, str(left), piece])))


def _may_pass(error: DingTalkError) -> bool:
    """Whether the webhook may well take the message a moment later."""
    return isinstance(error, DingTalkUnreachable) or (isinstance(error, Throttled) and error.code == WEBHOOK_BUSY)


def _did_nothing(error: DingTalkError) -> bool:
    """Whether the webhook did not deliver, for a reason that need not concern the robot API."""
    match error:
        case ContentRefused():
            return False
        case DingTalkRejected() | WebhookExpired():
            return True
        case DingTalkUnreachable():
            return was_never_sent(error)
        case _:
            return False
