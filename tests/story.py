"""Small stand-ins for the four who take part in a reply, for stories in virtual time."""

import math
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property

import anyio
from anyio.abc import TaskGroup

from cardbot.desk import Desk
from cardbot.errors import FormWaits, ReplyAdopted, StoreError
from cardbot.events import Event, FormRequested, Identified, MessageEnded, TextDelta
from cardbot.messages import Incoming, Question
from cardbot.open_reply import OpenReply
from cardbot.ports import Button, Card, ConversationKey, Watcher, tell_nobody
from cardbot.reply import reply
from cardbot.store.memory import MemoryStore
from tests.values import DIRECT, desk_of


@dataclass
class Source:
    """Says the given things, a second apart; an exception among them is raised."""

    says: list[Event | Exception] = field(default_factory=list)
    keeps: list[Event] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    recalls: list[tuple[Identified, str]] = field(default_factory=list)
    closed: int = 0
    stopped: list[tuple[str, str]] = field(default_factory=list)
    goes_on: list[Event | Exception] = field(default_factory=list)
    handed_in: list[tuple[str, str, Mapping[str, str], str]] = field(default_factory=list)
    follows: list[Event | Exception] = field(default_factory=lambda: [FormWaits("Nothing was said.")])
    caught_up: list[FormRequested] = field(default_factory=list)
    waits: list[bool | Exception] = field(default_factory=lambda: [True])
    looks: list[float] = field(default_factory=list)

    async def stop(self, task_id: str, user: str) -> None:
        self.stopped.append((task_id, user))

    async def go_on(
        self, form: FormRequested, action: str, inputs: Mapping[str, str], ids: Identified, user: str
    ) -> AsyncGenerator[Event]:
        self.handed_in.append((form.token, action, dict(inputs), user))
        for event in self.goes_on:
            await anyio.sleep(1)
            if isinstance(event, Exception):
                raise event
            yield event

    async def waits_for(self, form: FormRequested) -> bool:
        self.looks.append(anyio.current_time())
        state = self.waits.pop(0) if len(self.waits) > 1 else self.waits[0]
        if isinstance(state, Exception):
            raise state
        return state

    async def catch_up(self, form: FormRequested, ids: Identified, user: str) -> AsyncGenerator[Event]:
        self.caught_up.append(form)
        for event in self.follows:
            await anyio.sleep(1)
            if isinstance(event, Exception):
                raise event
            yield event

    async def recall(self, ids: Identified, user: str) -> AsyncGenerator[Event]:
        self.recalls.append((ids, user))
        for event in self.keeps:
            await anyio.sleep(1)
            yield event

    async def ask(self, question: Question) -> AsyncGenerator[Event]:
        self.questions.append(question)
        try:
            for event in self.says:
                await anyio.sleep(1)
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.closed += 1


@dataclass
class Shown:
    opened_at: float
    texts: list[str] = field(default_factory=list)
    buttons: list[list[str]] = field(default_factory=list)
    final: tuple[str, str] | None = None


class Screen:
    """Keeps what is shown. Implements `Cards` and `Webhook`."""

    def __init__(self) -> None:
        self.cards: list[Shown] = []
        self.replies: list[str] = []
        self.watches: list[Watcher] = []
        self.resumed: list[tuple[str, str]] = []
        self.known: list[str] = []
        self.blind = False
        self.lost_at = math.inf
        self.card_error: Exception | None = None
        self.webhook_error: Exception | None = None
        self.finish_seconds = 0.1

    @asynccontextmanager
    async def open(self, incoming: Incoming, reply_id: str, watch: Watcher) -> AsyncGenerator[Card]:
        shown = Shown(anyio.current_time())
        self.cards.append(shown)
        self.watches.append(watch)
        screen = self

        class OneCard:
            def offer(self, buttons: Sequence[Button]) -> None:
                shown.buttons.append([button.action for button in buttons])

            def show(self, markdown: str) -> None:
                assert shown.final is None, "text after the end"
                shown.texts.append(markdown)
                if anyio.current_time() >= screen.lost_at:
                    watch.lost()
                if not screen.blind:
                    watch.shown()

            async def finish(self, markdown: str) -> None:
                await self._end("done", markdown)

            async def fail(self, markdown: str) -> None:
                await self._end("failed", markdown)

            async def _end(self, state: str, markdown: str) -> None:
                await anyio.sleep(screen.finish_seconds)
                if screen.card_error:
                    raise screen.card_error
                assert shown.final in (None, (state, markdown)), "a second end"
                shown.final = (state, markdown)

        yield OneCard()

    @asynccontextmanager
    async def resume(
        self, incoming: Incoming, reply_id: str, shown: str, watch: Watcher, *, known: Collection[str] = ()
    ) -> AsyncGenerator[Card]:
        self.known = sorted(known)
        self.resumed.append((reply_id, shown))
        async with self.open(incoming, reply_id, watch) as card:
            yield card

    async def send(self, incoming: Incoming, markdown: str, *, occasion: str = "") -> None:
        if self.webhook_error:
            raise self.webhook_error
        self.replies.append(markdown)


class Memory(MemoryStore):
    """Keeps conversations where a test can see them, and fails as told."""

    lasts = True

    def __init__(self) -> None:
        super().__init__()
        self.ids: dict[ConversationKey, str] = {}
        self.error: StoreError | None = None
        self.records: list[tuple[float, OpenReply]] = []
        self.dropped: list[str] = []
        self.adopted = False

    @property
    def open(self) -> list[OpenReply]:
        """Each state that a reply had in the store."""
        return [record for _, record in self.records]

    async def keep_reply(self, reply_id: str, record: str) -> None:
        if self.error:
            raise self.error
        if self.adopted:
            raise ReplyAdopted(reply_id)
        self.records.append((anyio.current_time(), OpenReply.from_json(record)))

    async def drop_reply(self, reply_id: str) -> None:
        if self.error:
            raise self.error
        self.dropped.append(reply_id)

    @asynccontextmanager
    async def turn(self, key: ConversationKey, on_wait: Callable[[], None] = tell_nobody) -> AsyncGenerator[None]:
        if self.error:
            raise self.error
        async with super().turn(key, on_wait):
            yield

    async def conversation(self, key: ConversationKey) -> str:
        if self.error:
            raise self.error
        return self.ids.get(key, "")

    async def keep_conversation(self, key: ConversationKey, conversation_id: str) -> None:
        if self.error:
            raise self.error
        self.ids[key] = conversation_id

    async def forget_conversation(self, key: ConversationKey) -> None:
        self.ids.pop(key, None)


@dataclass
class World:
    source: Source
    screen: Screen = field(default_factory=Screen)
    memory: Memory = field(default_factory=Memory)

    @cached_property
    def desk(self) -> Desk:
        return desk_of(source=self.source, cards=self.screen, webhook=self.screen, store=self.memory)


@asynccontextmanager
async def begun(desk: Desk, seconds: float, *, to: Incoming = DIRECT) -> AsyncGenerator[TaskGroup]:
    """A reply that began so many seconds ago; on leaving, it is waited for."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reply, to, desk)
        await anyio.sleep(seconds)
        yield tasks


CHAT = Identified(conversation_id="c-1", message_id="m-1", task_id="t-1")
HELLO: list[Event | Exception] = [CHAT, TextDelta("Hel"), TextDelta("lo"), MessageEnded()]
