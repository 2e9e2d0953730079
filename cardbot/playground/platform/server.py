"""A DingTalk open platform on the loopback interface: it talks to one bot, and judges it.

    async with Platform() as platform:
        ...  # start the bot with DINGTALK_OPENAPI_ENDPOINT = platform.url
        await platform.connected()
        message = await platform.say("hello")
        await platform.wait_for(lambda: [card.state for card in platform.cards.values()] == ["done"])
        assert platform.violations == []

It shares no code with the bot: what both got wrong in the same way would look right.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Literal, Self

from cardbot.playground.http import LoopbackServer
from cardbot.playground.platform import acks, assistant, cards, contents, incoming, spaces
from cardbot.playground.platform.access import TOKEN_LIFETIME, Access
from cardbot.playground.platform.card_api import CardApi
from cardbot.playground.platform.cards import (
    CONTENT_LIMIT,
    FRAME_GAP,
    PUBLIC_TEMPLATE,
    PUBLIC_TEMPLATE_ID,
    Card,
    Rules,
    TemplateSpec,
)
from cardbot.playground.platform.downloads import Delivery, Downloads
from cardbot.playground.platform.endpoint import Json, Refused
from cardbot.playground.platform.faults import Faults
from cardbot.playground.platform.front import Front, Latency
from cardbot.playground.platform.gateway import Gateway
from cardbot.playground.platform.ledger import Call, Ledger, Reply
from cardbot.playground.platform.pushes import ACK_DEADLINE, CUT_DELAY, PING_INTERVAL, TICKET_LIFETIME, Message, Timing
from cardbot.playground.platform.quota import QPS, Quota
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
        click_ids: Literal["listed", "on top"] = "listed",
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
        assistant_form: assistant.Form = "status",
        errcode: Callable[[int], int | str] = int,
        port: int = 0,
    ) -> None:
        self._stack = AsyncExitStack()
        self._robot_code = robot_code or client_id
        self._click_ids = click_ids
        self._ledger = Ledger()
        self._directory = Directory()
        self._quota = Quota(qps=qps, monthly=monthly)
        own = TemplateSpec(content_key, has_failed_state=failed_state == "enabled", buttons_key=buttons_key)
        self._gateway = Gateway(
            self._ledger,
            timing=Timing(
                ping=ping_interval,
                ack=ack_deadline,
                redelivery=redelivery,
                ticket=ticket_lifetime,
                cut=disconnect_delay,
            ),
        )
        self._access = Access(
            client_id=client_id,
            client_secret=client_secret,
            token_lifetime=token_lifetime,
            issue_ticket=self._gateway.issue_ticket,
            objection=self._ledger.objection,
        )
        self._card_api = CardApi(
            {PUBLIC_TEMPLATE_ID: PUBLIC_TEMPLATE, template_id: own, **(templates or {})},
            rules=Rules(content_limit, frame_gap, empty_content, duplicate_create),
            directory=self._directory,
            robot_code=self._robot_code,
        )
        self._robot_api = RobotApi(self._ledger, directory=self._directory, robot_code=self._robot_code)
        self.downloads = Downloads(robot_code=self._robot_code)
        """The files of messages."""
        self._webhook = Webhook(self._ledger, lifetime=session_lifetime, errcode=errcode)
        self._assistant = assistant.Assistant(self._ledger, lifetime=session_lifetime, form=assistant_form)
        self._endpoints = {
            name: endpoint
            for part in (
                self._access,
                self._card_api,
                self._robot_api,
                self.downloads,
                self._webhook,
                self._assistant,
            )
            for name, endpoint in part.endpoints().items()
        }
        self._front = Front(
            self._endpoints,
            ledger=self._ledger,
            access=self._access,
            quota=self._quota,
            latency=latency,
            errcode=errcode,
        )
        self._server = LoopbackServer(self._front, port)

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._gateway)
        await self._stack.enter_async_context(self._server)
        self.downloads.url = self.url
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
    def cards(self) -> dict[str, Card]:
        """Every card by `outTrackId`, in order of creation."""
        return self._card_api.cards

    @property
    def replies(self) -> list[Reply]:
        """Messages that are not cards."""
        return self._ledger.replies

    @property
    def calls(self) -> list[Call]:
        """Every HTTP call."""
        return self._ledger.calls

    @property
    def pushes(self) -> list[Message]:
        """Every message and click that was, or should have been, sent to the bot."""
        return self._ledger.pushes

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

    async def change(self) -> None:
        """Return when something is recorded next."""
        await self._ledger.change()

    async def wait_for(
        self,
        condition: Callable[[], object],
        timeout: float = 30.0,  # noqa: ASYNC109 - a block around each wait would be noise in every test
    ) -> None:
        """Return once `condition` holds; tried whenever something is recorded. Raises TimeoutError with a summary."""
        await self._ledger.wait_for(condition, seconds=timeout)

    async def connected(self, connections: int = 1) -> None:
        """Return once that many connections are up."""
        await self.wait_for(lambda: self.connections >= connections)

    # What happens to the bot.

    @property
    def faults(self) -> Faults:
        """Order calls to fail here."""
        return self._front.faults

    @property
    def users(self) -> set[str]:
        """Users with a direct chat. Whoever writes is added."""
        return self._directory.users

    @property
    def groups(self) -> set[str]:
        """Groups with the robot in them. Those written in are added."""
        return self._directory.groups

    @property
    def flow_controlled(self) -> dict[str, int]:
        """How many more messages to each of these users are held back as too many."""
        return self._robot_api.flow_controlled

    @property
    def filtered(self) -> set[str]:
        """Users whom robot messages are kept from."""
        return self._robot_api.filtered

    def refuse_unknown_users(self) -> None:
        """From now on, a robot message that names an unknown user reaches nobody; before, it reached the others."""
        self._robot_api.unknown_users = "refuse"

    @property
    def files(self) -> dict[str, bytes]:
        """What each `downloadCode` stands for."""
        return self.downloads.files

    @property
    def deliveries(self) -> dict[str, Delivery]:
        """How the file of a `downloadCode` is given out, where not in the usual way."""
        return self.downloads.deliveries

    async def say(
        self,
        text: str,
        *,
        user: str = "user0001",
        name: str = "Test User",
        group: str | None = None,
        **fields: Any,
    ) -> Message:
        """A text message in the direct chat, or in `group` with a mention of the robot."""
        return await self.push({**incoming.text_message(text, user=user, name=name, group=group), **fields})

    async def quote(
        self,
        card: Card,
        text: str,
        *,
        tells: contents.Tells = "key",
        user: str = "user0001",
        name: str = "Test User",
    ) -> Message:
        """A text message that quotes a card, in the chat that the card is in; `tells`: how much comes along of it.

        Raises ValueError for a card that this person does not see.
        """
        kind, _, place = card.space.removeprefix(spaces.PREFIX).partition(".")
        if kind == "IM_ROBOT" and place != user:
            raise ValueError(f"card {card.out_track_id} is not in the chat of {user}")
        said = incoming.text_message(text, user=user, name=name, group=place if kind == "IM_GROUP" else None)
        return await self.push(contents.quoting_card(said, card, tells=tells))

    async def push(self, data: Json) -> Message:
        """A message of any kind; all but its content is filled in. `None` leaves a field out."""
        now_ms = time.time_ns() // 1_000_000
        msg_id = f"msg{uuid.uuid4().hex}=="
        body = incoming.with_defaults(data, msg_id=msg_id, now_ms=now_ms, robot_code=self._robot_code)
        session, lifetime = self._webhook.session(body["conversationId"], now=time.monotonic())
        if "sessionWebhook" not in data:
            body["sessionWebhook"] = f"{self.url}/robot/sendBySession?session={session}"
        if "sessionWebhookExpiredTime" not in data:
            body["sessionWebhookExpiredTime"] = now_ms + int(lifetime * 1000)
        user = body.get("senderStaffId", "")
        if user:
            self.users.add(user)
        if body["conversationType"] == "2":
            self.groups.add(body["conversationId"])
        message = Message(body["msgId"], body["conversationId"], user, incoming.MESSAGE_TOPIC, body)
        await self._gateway.push(message)
        return message

    async def ask_assistant(
        self, text: str, *, user: str = "user0001", method: assistant.Method = "POST", **variables: Any
    ) -> Message:
        """A request of an AI assistant's skill. `variables` are added to its own; `None` leaves one out."""
        chat = f"cidAssistant{user}=="
        session = self._assistant.session(chat, user, now=time.monotonic())
        given = {
            "rawInput": text,
            "sessionWebhook": f"{self.url}{assistant.PATH}?session={session}",
            "openConversationId": chat,
            "unionId": f"union-{user}",
            "runId": f"run-{uuid.uuid4()}",
        }
        return await self.invoke(assistant.request({**given, **variables}, method=method), user=user)

    async def invoke(self, data: Json, *, user: str = "user0001") -> Message:
        """The same, however odd."""
        message = Message(uuid.uuid4().hex, f"cidAssistant{user}==", user, assistant.TOPIC, data)
        await self._gateway.push(message)
        return message

    async def push_again(self, message: Message) -> None:
        """The same message once more, as it comes when the platform takes it for lost."""
        await self._gateway.deliver(message)

    async def click(self, card: Card, action: str, *, user: str = "user0001", **inputs: Any) -> Message:
        """A click on a button that `card` shows; returns when the answer is applied.

        `inputs` go along with the button's own parameters. Raises ValueError where there is no such button to press,
        TimeoutError without an answer.
        """
        found = [button for button in card.buttons if button.action == action and button.works]
        if not found:
            raise ValueError(f"card {card.out_track_id} shows no button {action!r} that can be pressed")
        return await self._press(card, action, user, {**found[0].params, **inputs})

    async def click_late(self, card: Card, action: str, *, user: str = "user0001", **params: Any) -> Message:
        """The same from a screen that has not caught up: the button may be gone."""
        return await self._press(card, action, user, params)

    async def _press(self, card: Card, action: str, user: str, params: Json) -> Message:
        if card.created.get("callbackType") != "STREAM":
            raise ValueError("the buttons of a card without callbackType STREAM do nothing")
        data = incoming.card_click(
            card.out_track_id, card.space, user=user, action=action, params=params, ids=self._click_ids
        )
        message = Message(uuid.uuid4().hex, "", user, incoming.CARD_TOPIC, data)
        await self._gateway.push(message)
        await self.wait_for(lambda: message.ack is not None)
        answer = acks.response(message.ack or {})
        if answer.get("cardData"):
            try:
                cards.update(card, answer)
            except Refused as refused:
                self._ledger.objection(f"answer to a click: {refused}")
            self._ledger.changed()
        return message

    async def ping(self) -> None:
        """A SYSTEM ping on every connection, now."""
        await self._gateway.ping()

    async def drop_connections(self) -> None:
        """End every connection without a word."""
        self._gateway.drop()

    async def disconnect(self) -> None:
        """A `disconnect` frame, no more pushes on these connections, and the end of TCP some seconds later."""
        await self._gateway.disconnect()

    async def zombie(self) -> None:
        """Every connection stays open and is silent for ever."""
        self._gateway.forget()

    def revoke_tokens(self) -> None:
        """No token handed out so far is good any more."""
        self._access.revoke()

    def expire_webhooks(self) -> None:
        """No session webhook handed out so far works any more."""
        self._webhook.expire()
        self._assistant.expire()

    async def burn(self, calls_per_second: float, path: str) -> None:
        """Another program of the same app uses `path` ("PUT /v1.0/card/streaming", or all of a path). Never returns."""
        names = [name for name in self._endpoints if name == path or name.endswith(f" {path}")]
        if not names:
            raise ValueError(f"no endpoint {path!r}")
        next_at = time.monotonic()
        while True:
            for name in names:
                with suppress(Refused):
                    self._quota.spend(name, now=time.monotonic())
            next_at += 1 / calls_per_second
            await asyncio.sleep(next_at - time.monotonic())
