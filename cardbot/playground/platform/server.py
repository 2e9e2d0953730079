"""A DingTalk open platform on the loopback interface: it talks to one bot, and judges it.

    async with Platform() as platform:
        ...  # start the bot with DINGTALK_OPENAPI_ENDPOINT = platform.url
        await platform.connected()
        message = await platform.say("hello")
        await platform.wait_for(lambda: [card.state for card in platform.cards.values()] == ["done"])
        assert platform.violations == []

It shares no code with the bot: what both got wrong in the same way would look right.
"""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Literal, Self

from cardbot.playground.http import LoopbackServer
from cardbot.playground.platform.access import TOKEN_LIFETIME, Access
from cardbot.playground.platform.assistant import Assistant, Form
from cardbot.playground.platform.card_api import CardApi
from cardbot.playground.platform.cards import (
    CONTENT_LIMIT,
    FRAME_GAP,
    PUBLIC_TEMPLATE,
    PUBLIC_TEMPLATE_ID,
    Rules,
    TemplateSpec,
)
from cardbot.playground.platform.downloads import Downloads
from cardbot.playground.platform.front import Front, Latency
from cardbot.playground.platform.gateway import Gateway
from cardbot.playground.platform.ledger import PATIENCE, Ledger
from cardbot.playground.platform.people import ClickIds, People
from cardbot.playground.platform.pushes import ACK_DEADLINE, CUT_DELAY, PING_INTERVAL, TICKET_LIFETIME, Timing
from cardbot.playground.platform.quota import QPS, Quota
from cardbot.playground.platform.rival import burn
from cardbot.playground.platform.robot_api import RobotApi
from cardbot.playground.platform.spaces import Directory
from cardbot.playground.platform.webhook import LIFETIME, Webhook

TEMPLATE_ID = "11111111-2222-3333-4444-555555555555.schema"
"""The bot's own template unless told otherwise. Made up."""


class Platform:
    """The platform. Everything it saw is an attribute; what it does next is a method.

    Args:
        client_id: Also the robot code, unless `robot_code` differs.
        client_secret: Of the app.
        template_id: The app's own template, with the variable `content_key`.
        failed_state: What that template has for `isError`; without it such a frame is an error 500.
        buttons_key: The variable of that template's row of buttons; empty for a template without one.
        click_ids: Where the action of a click is: in `actionIds`, or as `actionId` on top. Both were seen.
        templates: More templates by id. The shared public one is always known.
        robot_code: For an app whose robot has another code.
        latency: Seconds each call takes, or a function that tells.
        qps: Calls per second and API; `math.inf` for no limit.
        monthly: Calls the organisation has left; `None` for no limit.
        redelivery: Seconds after which an unacknowledged message comes again; `None` for never.
        content_limit: Characters of a streamed text.
        frame_gap: Seconds between delivery and frames of one card that are not objected to.
        empty_content: What a frame without text gets.
        duplicate_create: What creating a card again gets.
        ping_interval: Seconds between SYSTEM pings.
        ack_deadline: Seconds a bot has to acknowledge.
        ticket_lifetime: Seconds.
        token_lifetime: Seconds.
        session_lifetime: Seconds a session webhook works.
        disconnect_delay: Seconds between a `disconnect` frame and the end of TCP.
        assistant_form: How an AI assistant's webhook answers; nobody has published it.
        errcode: Type of the `errcode` of webhook answers; `str` has been seen.
        port: Of the HTTP server; 0 takes a free one.
    """

    def __init__(
        self,
        *,
        client_id: str = "dingtest",
        client_secret: str = "secret",
        template_id: str = TEMPLATE_ID,
        content_key: str = "content",
        failed_state: Literal["enabled", "missing"] = "enabled",
        buttons_key: str = "buttons",
        click_ids: ClickIds = "listed",
        templates: Mapping[str, TemplateSpec] | None = None,
        robot_code: str | None = None,
        latency: Latency = 0.0,
        qps: float = QPS,
        monthly: int | None = None,
        redelivery: float | None = None,
        content_limit: int = CONTENT_LIMIT,
        frame_gap: float = FRAME_GAP,
        empty_content: Literal["reject", "accept"] = "reject",
        duplicate_create: Literal["reject", "accept"] = "reject",
        ping_interval: float = PING_INTERVAL,
        ack_deadline: float = ACK_DEADLINE,
        ticket_lifetime: float = TICKET_LIFETIME,
        token_lifetime: float = TOKEN_LIFETIME,
        session_lifetime: float = LIFETIME,
        disconnect_delay: float = CUT_DELAY,
        assistant_form: Form = "status",
        errcode: Callable[[int], int | str] = int,
        port: int = 0,
    ) -> None:
        robot = robot_code or client_id
        own = TemplateSpec(content_key, has_failed_state=failed_state == "enabled", buttons_key=buttons_key)
        timing = Timing(
            ping=ping_interval, ack=ack_deadline, redelivery=redelivery, ticket=ticket_lifetime, cut=disconnect_delay
        )
        self._stack = AsyncExitStack()
        self._ledger = ledger = Ledger()
        self._quota = Quota(qps=qps, monthly=monthly)
        self._gateway = Gateway(ledger, timing=timing)
        self._access = Access(
            client_id=client_id,
            client_secret=client_secret,
            token_lifetime=token_lifetime,
            issue_ticket=self._gateway.issue_ticket,
            objection=ledger.objection,
        )
        directory = Directory()
        card_api = CardApi(
            {PUBLIC_TEMPLATE_ID: PUBLIC_TEMPLATE, template_id: own, **(templates or {})},
            rules=Rules(content_limit, frame_gap, empty_content, duplicate_create),
            directory=directory,
            robot_code=robot,
        )
        self._robot_api = RobotApi(ledger, directory=directory, robot_code=robot)
        self.downloads = Downloads(robot_code=robot)
        """The files of messages."""
        self._webhook = Webhook(ledger, lifetime=session_lifetime, errcode=errcode)
        self._assistant = Assistant(ledger, lifetime=session_lifetime, form=assistant_form)
        parts = (self._access, card_api, self._robot_api, self.downloads, self._webhook, self._assistant)
        self._endpoints = {name: endpoint for part in parts for name, endpoint in part.endpoints().items()}
        self._front = Front(
            self._endpoints, ledger=ledger, access=self._access, quota=self._quota, latency=latency, errcode=errcode
        )
        self._server = LoopbackServer(self._front, port)
        self._people = people = People(
            ledger,
            gateway=self._gateway,
            directory=directory,
            webhook=self._webhook,
            assistant=self._assistant,
            robot_code=robot,
            click_ids=click_ids,
        )

        # What it saw.
        self.cards: Final = card_api.cards
        """Every card by `outTrackId`, in order of creation."""
        self.replies: Final = ledger.replies
        """Messages that are not cards."""
        self.calls: Final = ledger.calls
        """Every HTTP call."""
        self.pushes: Final = ledger.pushes
        """Every message and click that was, or should have been, sent to the bot."""
        self.change: Final = ledger.change
        """Returns when something is recorded next."""

        # What is there.
        self.users: Final = directory.users
        """Users with a direct chat. Whoever writes is added."""
        self.groups: Final = directory.groups
        """Groups with the robot in them. Those written in are added."""
        self.flow_controlled: Final = self._robot_api.flow_controlled
        """How many more messages to each of these users are held back as too many."""
        self.filtered: Final = self._robot_api.filtered
        """Users whom robot messages are kept from."""
        self.files: Final = self.downloads.files
        """What each `downloadCode` stands for."""
        self.deliveries: Final = self.downloads.deliveries
        """How the file of a `downloadCode` is given out, where not in the usual way."""
        self.faults: Final = self._front.faults
        """Order calls to fail here."""

        # What people do: see `People`.
        self.say: Final = people.say
        self.quote: Final = people.quote
        self.push: Final = people.push
        self.ask_assistant: Final = people.ask_assistant
        self.invoke: Final = people.invoke
        self.click: Final = people.click
        self.click_late: Final = people.click_late

        # What happens without them: see `Gateway` and `Access`.
        self.push_again: Final = self._gateway.deliver
        """The same message once more, as it comes when the platform takes it for lost."""
        self.ping: Final = self._gateway.ping
        self.disconnect: Final = self._gateway.disconnect
        self.revoke_tokens: Final = self._access.revoke

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._gateway)
        await self._stack.enter_async_context(self._server)
        self.downloads.url = self._people.url = self.url
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    # What it saw.

    @property
    def url(self) -> str:
        """Where every API and webhook is."""
        return self._server.url

    @property
    def violations(self) -> list[str]:
        """Everything that was accepted and should not have been sent, cards last. A well-behaved bot leaves none."""
        of_cards = [f"card {card.out_track_id}: {found}" for card in self.cards.values() for found in card.violations]
        return self._ledger.violations + of_cards

    @property
    def connections(self) -> int:
        """Connections that pushes are sent to."""
        return self._gateway.connections

    @property
    def sockets(self) -> int:
        """Open websockets, also those that get no pushes any more."""
        return self._gateway.sockets

    @property
    def calls_left(self) -> int | None:
        """What remains of `monthly`."""
        return self._quota.left

    @calls_left.setter
    def calls_left(self, calls: int | None) -> None:
        self._quota.left = calls

    @property
    def qps(self) -> float:
        """Calls per second and API. A new limit holds at once."""
        return self._quota.qps

    @qps.setter
    def qps(self, qps: float) -> None:
        self._quota.qps = qps

    @property
    def latency(self) -> Latency:
        """Seconds each call takes, or a function that tells. A new one holds at once."""
        return self._front.latency

    @latency.setter
    def latency(self, latency: Latency) -> None:
        self._front.latency = latency

    async def wait_for(
        self,
        condition: Callable[[], object],
        timeout: float = PATIENCE,  # noqa: ASYNC109 - a block around each wait would be noise in every test
    ) -> None:
        """Return once `condition` holds; tried whenever something is recorded. Raises TimeoutError with a summary."""
        await self._ledger.wait_for(condition, seconds=timeout)

    async def connected(self, connections: int = 1) -> None:
        """Return once that many connections are up."""
        await self.wait_for(lambda: self.connections >= connections)

    # What happens to the bot besides.

    def refuse_unknown_users(self) -> None:
        """From now on, a robot message that names an unknown user reaches nobody; before, it reached the others."""
        self._robot_api.unknown_users = "refuse"

    async def drop_connections(self) -> None:
        """End every connection without a word."""
        self._gateway.drop()

    async def zombie(self) -> None:
        """Every connection stays open and is silent for ever."""
        self._gateway.forget()

    def expire_webhooks(self) -> None:
        """No session webhook handed out so far works any more."""
        self._webhook.expire()
        self._assistant.expire()

    async def burn(self, calls_per_second: float, path: str) -> None:
        """Another program of the same app uses `path` ("PUT /v1.0/card/streaming", or all of a path). Never returns."""
        await burn(self._quota, self._endpoints, path, calls_per_second=calls_per_second)
