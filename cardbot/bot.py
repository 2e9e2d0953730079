"""One robot, running: builds the parts, owns their lifetimes, lets answers finish before it leaves."""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import anyio
import structlog
from anyio.abc import TaskGroup

from cardbot.admission import Admission, Admitted, NotAllowed, TooFast, TooOld
from cardbot.budget import Budget
from cardbot.counting import keep_count, save_count
from cardbot.dify.client import DifyClient
from cardbot.dingtalk import wire
from cardbot.dingtalk.cards import CardWriter
from cardbot.dingtalk.no_cards import NoCards
from cardbot.dingtalk.openapi import OpenApi
from cardbot.dingtalk.stream import Stream
from cardbot.dingtalk.template import SHARED_TEMPLATE, Template
from cardbot.dingtalk.webhook import Replies
from cardbot.errors import CardbotError, DifyError, StoreError, UnreadableMessage
from cardbot.messages import Incoming
from cardbot.open_reply import OpenReply
from cardbot.pacing import Frames
from cardbot.recovery import watch
from cardbot.reply import Desk, reply, resume, say
from cardbot.settings import PUBLIC_TEMPLATE, Settings
from cardbot.store import open_store
from cardbot.texts import texts_in

CHAT_MODES = frozenset(["", "chat", "agent-chat", "agent", "advanced-chat"])
"""Kinds of Dify apps that answer questions in a conversation; Dify before 1.4 does not say its kind."""

log = structlog.get_logger(__name__)


class Bot:
    """One robot and its Dify app."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._budget = Budget(settings.monthly_calls)
        self._admission = Admission(
            allow_users=settings.allow_users, allow_chats=settings.allow_chats, rate=settings.user_rate
        )
        self._under_way = 0
        self._idle = anyio.Event()
        self._desk: Desk
        self._answers: TaskGroup

    async def run(self, leave: anyio.Event) -> None:
        """Answer messages until `leave` is set; then let answers finish, close what is left, and return.

        Raises:
            CardbotError: when the robot cannot start, such as with a wrong client secret.
        """
        settings = self._settings
        async with AsyncExitStack() as stack:
            # First in, last out: answers are kept to the end, and what is wrong with it is not wrapped by a task group.
            store = await stack.enter_async_context(open_store(settings.store))
            stack.push_async_callback(save_count, self._budget, store)
            api = await stack.enter_async_context(
                OpenApi(
                    client_id=settings.client_id,
                    client_secret=settings.client_secret.get_secret_value(),
                    robot_code=settings.robot,
                    endpoint=settings.openapi_endpoint,
                    billed=lambda: self._budget.call(time.time()),
                )
            )
            dify = await stack.enter_async_context(
                DifyClient(
                    base_url=settings.dify_base_url,
                    api_key=settings.dify_api_key.get_secret_value(),
                    idle_seconds=settings.dify_idle_seconds,
                )
            )
            self._desk = Desk(
                source=dify,
                cards=await stack.enter_async_context(self._cards(api)),
                webhook=Replies(api, texts=texts_in(settings.language)),
                store=store,
                texts=texts_in(settings.language),
                app=dify.fingerprint,
                places=anyio.CapacityLimiter(settings.max_answers),
                session=settings.session,
            )
            stream = Stream(
                api.http,
                endpoint=api.endpoint,
                client_id=settings.client_id,
                client_secret=settings.client_secret.get_secret_value(),
                receivers={wire.BOT_MESSAGE_TOPIC: self._receive},
            )
            await save_count(self._budget, store)  # what this month has cost before the first card is opened
            self._answers = await stack.enter_async_context(anyio.create_task_group())
            self._answers.start_soon(_introduce, dify)
            self._answers.start_soon(keep_count, self._budget, store)
            self._answers.start_soon(partial(watch, store, self._desk.cards, self._resume, leaving=leave.is_set))
            refusal = await self._listen(stream, leave)
            await self._drain()
            self._answers.cancel_scope.cancel()
        if refusal:
            raise refusal

    def _cards(self, api: OpenApi) -> "CardWriter | NoCards":
        settings = self._settings
        match settings.card_template_id:
            case "":
                log.warning(
                    "no_card_template",
                    effect="answers go out as plain replies, each in one piece at its end",
                    remedy="set DINGTALK_CARD_TEMPLATE_ID, see templates/README.md",
                )
                return NoCards()
            case name if name in (PUBLIC_TEMPLATE, SHARED_TEMPLATE.id):
                template = SHARED_TEMPLATE
            case name:
                template = Template(name, settings.card_content_key)
        return CardWriter(
            api,
            template,
            texts=texts_in(settings.language),
            budget=self._budget,
            qps=settings.card_qps,
            frames=Frames(settings.frames),
        )

    async def _listen(self, stream: Stream, leave: anyio.Event) -> CardbotError | None:
        """Take messages until told to leave, or until DingTalk refuses the app: that refusal is returned."""
        refusal: CardbotError | None = None

        async def run() -> None:
            nonlocal refusal
            try:
                await stream.run()
            except CardbotError as exc:
                refusal = exc
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await leave.wait()
            tasks.cancel_scope.cancel()
        return refusal

    def _receive(self, frame_id: str, data: Mapping[str, Any]) -> None:
        """Take one pushed message. Its acknowledgement is out; the work happens elsewhere."""
        try:
            incoming = wire.incoming(data, robot_code=self._settings.robot)
        except UnreadableMessage as exc:
            log.error("message_unreadable", error=str(exc))
            return
        self._start(partial(self._answer, frame_id, incoming), incoming)

    def _resume(self, reply_id: str, found: OpenReply) -> None:
        """Finish what another process has left open."""
        self._start(partial(resume, reply_id, found, self._desk), found.incoming)

    def _start(self, work: Callable[[], Awaitable[None]], incoming: Incoming) -> None:
        self._under_way += 1
        self._answers.start_soon(self._do, work, incoming)

    async def _do(self, work: Callable[[], Awaitable[None]], incoming: Incoming) -> None:
        try:
            await work()
        except Exception:  # one message's failure must not stop the bot
            log.exception("answer_failed", message=incoming.message_id)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _answer(self, frame_id: str, incoming: Incoming) -> None:
        with anyio.CancelScope(shield=True):  # it is acknowledged: once it is seen, it must be written down
            if not await self._is_new(frame_id, incoming):
                return
        log.info("message", message=incoming.message_id, kind=incoming.kind, chat=incoming.chat.kind.value)
        match self._admission.decide(incoming, time.time()):
            case Admitted():
                await reply(incoming, self._desk)
            case NotAllowed():
                log.warning("not_allowed", person=incoming.sender.staff_id or incoming.sender.id, chat=incoming.chat.id)
                await say(incoming, self._desk.texts.not_allowed, self._desk)
            case TooFast(seconds):
                log.warning("too_fast", person=incoming.sender.staff_id or incoming.sender.id)
                await say(incoming, self._desk.texts.too_fast.format(seconds=seconds), self._desk)
            case TooOld(seconds):
                log.warning("too_old", message=incoming.message_id, seconds=round(seconds))

    async def _is_new(self, frame_id: str, incoming: Incoming) -> bool:
        """DingTalk pushes again what it takes for lost: with a new frame id, and the same message id.

        One group message that mentions two robots has the same message id for both, hence the robot's code.
        """
        names = [f"message:{incoming.robot_code}:{incoming.message_id}"]
        if frame_id:
            names.append(f"frame:{frame_id}")
        try:
            new = await self._desk.store.first_seen(*names)
        except StoreError as exc:  # rather an answer twice than none
            log.error("seen_messages_not_kept", error=str(exc))
            return True
        if not new:
            log.info("message_again", message=incoming.message_id)
        return new

    async def _drain(self) -> None:
        """Let the answers under way finish, for a while."""
        log.info("leaving", answers=self._under_way)
        with anyio.move_on_after(self._settings.drain_seconds):
            while self._under_way:
                self._idle = anyio.Event()
                await self._idle.wait()


async def _introduce(dify: DifyClient) -> None:
    """Say which app answers, or what is wrong with it, before the first person asks."""
    try:
        app = await dify.info()
    except DifyError as exc:
        log.error("dify_not_ready", error=str(exc), remedy="run `cardbot ask hello` to see what to change")
        return
    if app.mode in CHAT_MODES:
        log.info("dify_ready", app=app.name, mode=app.mode, version=app.version)
    else:
        log.error("dify_wrong_app", app=app.name, mode=app.mode, remedy="use the key of a chat app, agent or chatflow")
