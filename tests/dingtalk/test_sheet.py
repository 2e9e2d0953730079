"""Cards against a platform that remembers, in weather of every kind: whatever happens, one end for each message."""

import math
import random
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

import anyio
import pytest
import trio
from anyio.abc import TaskGroup

from cardbot.desk import Desk
from cardbot.dingtalk.cards import CardWriter
from cardbot.dingtalk.openapi import Frame, NewCard
from cardbot.dingtalk.sheet import GONE, Sheet
from cardbot.dingtalk.steps import Step
from cardbot.dingtalk.template import DONE, FAILED, PENDING, SHARED_TEMPLATE, WRITING, Family, Template
from cardbot.errors import (
    DingTalkError,
    DingTalkRejected,
    DingTalkUnreachable,
    InvalidToken,
    NotDelivered,
    PermissionDenied,
    QuotaExhausted,
    Throttled,
)
from cardbot.events import Event, Failed, Identified, MessageEnded, TextDelta, TextReplaced
from cardbot.messages import Incoming, Question
from cardbot.pacing import Frames
from cardbot.ports import Button, Card, Watcher
from cardbot.reply import reply
from cardbot.texts import EN
from tests.values import desk_of, direct
from tests.virtual import in_virtual_time

OWN = Template("own.schema", "content")
FAMILIES = {"own": OWN, "public": SHARED_TEMPLATE}

CLOUDS: dict[str, DingTalkError] = {
    "throttled": Throttled("busy", status=403, code="Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"),
    "throttled long": Throttled("busy", status=403, code="Forbidden.AccessDenied.QpmLimit", retry_after=15.0),
    "token": InvalidToken("token", status=400, code="InvalidAuthentication"),
    "quota": QuotaExhausted("used up", status=403, code="Forbidden.AccessDenied.ApiCountLimitForOrg"),
    "denied": PermissionDenied("no", status=403, code="Forbidden.AccessDenied.AccessTokenPermissionDenied"),
    "unsafe": DingTalkRejected("unsafe", status=400, code="param.invalid"),
    "too large": DingTalkRejected("too large", status=400, code="param.stream.content"),
    "key": DingTalkRejected("key", status=500, code="unknownError"),
}
"""What DingTalk answers without having done anything."""

SEEDS = 60
"""Per family. Our choice: two seconds. Whoever changes the sheet tries some thousands once."""

HIDDEN = ("lost", "lost, done", "lost, done late", "hangs", "hangs, done")
"""Fates of a call whose caller learns nothing."""


@dataclass
class Shown:
    """A card that exists on the platform."""

    family: Family
    visible: bool
    state: str = PENDING
    content: str = ""
    seen: dict[str, tuple[str, bool, bool]] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        return self.visible and self.state not in (DONE, FAILED)


@dataclass
class Tried:
    """A call as the platform saw it."""

    kind: Literal["create", "frame", "final", "update", "offer"]
    fate: str
    frame: Frame | None = None


class Weather:
    """A platform with a memory. Each call meets a fate, drawn from `fates`. Implements `CardApi`."""

    def __init__(self, chance: random.Random, tasks: TaskGroup, fates: Mapping[str, Mapping[str, float]]) -> None:
        self.chance = chance
        self.tasks = tasks
        self.fates = fates
        self.cards: dict[str, Shown] = {}
        self.tried: dict[str, list[Tried]] = {}
        self.busy: set[str] = set()

    async def create_and_deliver(self, card: NewCard) -> str:
        family = next(template.family for template in FAMILIES.values() if template.id == card.template_id)
        fate = self._fate("create")

        def done() -> None:
            if card.out_track_id in self.cards:
                raise DingTalkRejected("again", status=400, code="param.cardAlreadyExist")
            self.cards[card.out_track_id] = Shown(family, visible=fate != "not delivered")
            if fate == "not delivered":
                raise NotDelivered("spaceId is illegal")

        await self._meet(card.out_track_id, Tried("create", fate), done)
        return "carrier"

    async def stream(self, frame: Frame) -> None:
        kind: Literal["frame", "final"] = "final" if frame.finalize or frame.error else "frame"

        def done() -> None:
            card = self.cards.get(frame.out_track_id)
            if card is None:
                raise DingTalkRejected("gone", status=400, code=GONE[0])
            what = (frame.content, frame.finalize, frame.error)
            assert frame.content, "an empty frame"
            assert card.seen.setdefault(frame.guid, what) == what, "a guid was used again for another frame"
            assert kind == "frame" or [*card.seen.values()].count(what) == 1, "the same end with two guids"
            if card.family is Family.OWN:
                assert not (kind == "frame" and card.state in (DONE, FAILED)), "a frame after the end"
                card.state = FAILED if frame.error else DONE if frame.finalize else WRITING
            else:
                assert card.state == WRITING, f"a frame in state {card.state}"
            card.content = frame.content

        await self._meet(frame.out_track_id, Tried(kind, self._fate(kind), frame), done)

    async def update(self, out_track_id: str, params: Mapping[str, str]) -> None:
        def done() -> None:
            card = self.cards.get(out_track_id)
            if card is None:
                raise DingTalkRejected("gone", status=400, code=GONE[1])
            card.state = params.get("flowStatus", card.state)
            card.content = params.get("content", params.get("msgContent", card.content))

        tried = Tried("update" if "flowStatus" in params else "offer", self._fate("update"))
        await self._meet(out_track_id, tried, done)

    def _fate(self, kind: str) -> str:
        fates = self.fates[kind]
        return self.chance.choices(list(fates), list(fates.values()))[0]

    async def _meet(self, card: str, tried: Tried, done: Callable[[], None]) -> None:
        assert card not in self.busy, "two calls of one card at once"
        history = self.tried.setdefault(card, [])
        assert not history or history[-1].kind != "final" or tried.kind != "frame", "a text frame after the final one"
        assert not self._ended(card), "a call after the end"
        history.append(tried)
        self.busy.add(card)
        try:
            await anyio.sleep(self.chance.uniform(0.02, 0.3))
            match tried.fate:
                case "ok" | "not delivered":
                    done()
                case "lost":
                    raise DingTalkUnreachable("no answer")
                case "lost, done":
                    _whatever(done)
                    raise DingTalkUnreachable("no answer")
                case "lost, done late":
                    self.tasks.start_soon(_late, done)
                    raise DingTalkUnreachable("no answer")
                case "hangs":
                    await anyio.sleep_forever()
                case "hangs, done":
                    _whatever(done)
                    await anyio.sleep_forever()
                case fate:
                    raise CLOUDS[fate]
        except DingTalkError as error:
            if tried.fate == "ok":
                tried.fate = getattr(error, "code", "refused")
            raise
        finally:
            self.busy.discard(card)

    def _ended(self, card: str) -> bool:
        """Whether the caller knows that the card has its final state."""
        tried, shown = self.tried[card], self.cards.get(card)
        return bool(tried and tried[-1].fate == "ok" and shown and shown.state in (DONE, FAILED))


def _whatever(done: Callable[[], None]) -> None:
    with suppress(DingTalkError):  # nobody learns of it
        done()


async def _late(done: Callable[[], None]) -> None:
    await anyio.sleep(0.4)  # less than the distance that is kept to the next frame
    _whatever(done)


class Chat:
    """Who asks, whom they ask, and what they read. Implements `Cards`, `Source` and `Webhook`."""

    def __init__(self, writer: CardWriter, says: list[tuple[float, Event]]) -> None:
        self.writer = writer
        self.says = says
        self.replies: list[str] = []
        self.last_word = ""

    @property
    def desk(self) -> Desk:
        return desk_of(source=self, cards=self, webhook=self)

    @asynccontextmanager
    async def open(self, incoming: Incoming, reply_id: str, watch: Watcher) -> AsyncGenerator[Card]:
        chat = self
        async with self.writer.open(incoming, reply_id, watch) as card:

            class Noted:
                def show(self, markdown: str) -> None:
                    if len(markdown) % 7 == 3:  # now and then, for no reason
                        card.offer([Button(f"form:{len(markdown)}", "Send")])
                    card.show(markdown)

                def offer(self, buttons: Sequence[Button]) -> None:
                    card.offer(buttons)

                async def finish(self, markdown: str) -> None:
                    assert chat.last_word in ("", markdown), "two last words"
                    chat.last_word = markdown
                    await card.finish(markdown)

                async def fail(self, markdown: str) -> None:
                    assert chat.last_word in ("", markdown), "two last words"
                    chat.last_word = markdown
                    await card.fail(markdown)

            yield Noted()

    async def ask(self, question: Question) -> AsyncGenerator[Event]:
        for pause, event in self.says:
            await anyio.sleep(pause)
            yield event

    async def send(self, incoming: Incoming, markdown: str, *, occasion: str = "") -> None:
        await anyio.sleep(0.1)
        self.replies.append(markdown)


def some_says(chance: random.Random) -> list[tuple[float, Event]]:
    says: list[tuple[float, Event]] = [(chance.uniform(0, 2), Identified("c", "m", "t"))]
    words = chance.choice([3, 30, 120])
    pause = chance.choice([0.0, 0.02, 0.3])
    for number in range(words):
        gap = "\n\n" if number % 7 == 6 else " "
        says.append((chance.uniform(0, pause), TextDelta(f"w{number}w{gap}")))
    if chance.random() < 0.15:
        says.append((chance.uniform(0, 2), TextReplaced("w500w w501w")))
    end = chance.choice([MessageEnded(), MessageEnded(), Failed("x", "no credit"), None])
    return [*says, (chance.uniform(0, 1), end)] if end else says


def some_fates(chance: random.Random) -> dict[str, dict[str, float]]:
    """Fair weather with clouds; what is refused for good stays refused, for that is what refusals are."""

    def passing() -> dict[str, float]:
        names = ("throttled", "throttled long", "token", *HIDDEN)
        return {name: chance.choice([0, 0, 0.05, 0.3, 2.0]) for name in names}

    fates = {kind: {"ok": 1.0, **(passing() if chance.random() < 0.5 else {})} for kind in KINDS}
    match chance.randrange(12):
        case 0:
            fates["create"] = {chance.choice(["quota", "denied", "unsafe", "not delivered"]): 1.0}
        case 1:
            fates["frame"] = fates["final"] = {"key": 1.0}
        case 2:
            fates["final"] = {"too large": 1.0, "unsafe": 1.0, "ok": 1.0}
        case 3:
            fates["frame"] = fates["final"] = {"denied": 1.0}
        case 4:
            for kind in KINDS:
                fates[kind]["quota"] = 0.1
        case 5:
            fates["final"] = {chance.choice(["throttled", "lost", "lost, done", "hangs", "hangs, done"]): 1.0}
        case 6:
            fates["create"] = {chance.choice(["throttled", "lost", "lost, done", "hangs", "hangs, done"]): 1.0}
        case 7:
            fates["update"] |= {"unsafe": 0.7}
    return fates


KINDS = ("create", "frame", "final", "update")


async def _leave(program: anyio.CancelScope, seconds: float) -> None:
    await anyio.sleep(seconds)
    program.cancel()


def judge(weather: Weather, chat: Chat, *, hurried: bool) -> None:
    """One end for the message: all of its last word, once.

    `hurried` is a program that leaves: a call that hangs, or a throttle, whose path is every card's, then keeps a card
    from being closed in time. Calls that hang and throttles of 15 s together do so in any case.
    """
    there = [card for card in weather.cards.values() if card.visible]
    used_up = any(one.fate == "quota" for tried in weather.tried.values() for one in tried)
    fates = Counter(one.fate for tried in weather.tried.values() for one in tried)
    pressed = hurried or fates["throttled long"] >= 4  # a minute in which nothing goes through
    for name, card in weather.cards.items():
        if card.open:
            last = weather.tried[name][-1]
            hidden = last.fate in HIDDEN and (pressed or fates["throttled long"])
            throttled = pressed and fates["throttled"] + fates["throttled long"]
            excused = hidden or throttled or used_up or (last.kind == "update" and last.fate != "ok")
            assert excused, f"a card spins for ever: {[(t.kind, t.fate) for t in weather.tried[name]]}"
    assert chat.last_word, "no last word"
    shown = [card.content for card in there if not card.open]
    read = Counter(re.findall(r"w\d+w|⚠️|⏹", "\n".join([*shown, *chat.replies])))
    said = Counter(re.findall(r"w\d+w|⚠️|⏹", chat.last_word))
    assert not said - read, f"lost: {said - read}"
    blind = any(
        any(one.kind in ("final", "update") and one.fate in HIDDEN for one in tried)
        and (hurried or used_up or (tried[-1].kind, tried[-1].fate != "ok") == ("update", True))
        for tried in weather.tried.values()
    )
    assert blind or not read - said, f"twice, or after it was withdrawn: {read - said}"
    assert len(chat.replies) <= 1
    assert not any(EN.withdrawn in text for text in chat.replies), "a plain reply that only says: see above"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_message_ends_in_one_visible_final_state(seed: int, family: str) -> None:
    chance = random.Random(f"{family} {seed}")

    @in_virtual_time
    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            weather = Weather(chance, tasks, some_fates(chance))
            leaves_at = chance.uniform(0.0, 12.0) if chance.random() < 0.3 else 1e6
            frames = chance.choice(list(Frames))
            async with CardWriter(
                weather, FAMILIES[family], texts=EN, frames=frames, card_characters=chance.choice([200, 18_000])
            ) as writer:
                chat = Chat(writer, some_says(chance))
                with anyio.CancelScope() as program:
                    tasks.start_soon(_leave, program, leaves_at)
                    await reply(direct(), chat.desk)
                await anyio.sleep(30)  # long enough for calls under way
            tasks.cancel_scope.cancel()
            judge(weather, chat, hurried=program.cancelled_caught)
            ceilings = writer._pacing._ceilings.values()
            assert not any(ceiling._under_way for ceiling in ceilings), "a place is taken for ever"

    run()


class CancelAt(trio.abc.Instrument):
    """Cancels a scope after so many steps of its task."""

    def __init__(self, scope: anyio.CancelScope, steps: int) -> None:
        self.scope = scope
        self.task = trio.lowlevel.current_task()
        self.left = steps

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.left -= 1
            if self.left == 0:
                self.scope.cancel()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("clouds", [{}, {"final": {"unsafe": 1.0}}, {"create": {"quota": 1.0}}], ids=str)
def test_a_reply_cancelled_at_any_step_ends_once(family: str, clouds: dict[str, dict[str, float]]) -> None:
    says: list[tuple[float, Event]] = [
        (0.5, Identified("c", "m", "t")),
        *[(0.3, TextDelta(f"w{number}w ")) for number in range(8)],
        (0.3, MessageEnded()),
    ]

    async def ends_by_itself(steps: int) -> bool:
        async with anyio.create_task_group() as tasks:
            weather = Weather(random.Random(steps), tasks, {kind: {"ok": 1.0} for kind in KINDS} | clouds)
            async with CardWriter(weather, FAMILIES[family], texts=EN) as writer:
                chat = Chat(writer, says)
                with anyio.CancelScope() as program:
                    instrument = CancelAt(program, steps)
                    trio.lowlevel.add_instrument(instrument)
                    await reply(direct(), chat.desk)
                trio.lowlevel.remove_instrument(instrument)
                await anyio.sleep(30)
            judge(weather, chat, hurried=False)
        return instrument.left > 0

    @in_virtual_time
    async def run() -> None:
        steps = 1
        while not await ends_by_itself(steps):
            steps += 1
        assert steps > len(says)

    run()


def test_the_last_update_does_not_wait_for_another_paths_limit() -> None:
    sheet = Sheet(OWN, "cardbot-1", now=0.0, texts=EN)
    sheet.lane.began = 0.0
    sheet.finish("Hello", 1.0, failed=False)
    sheet.hand_over(CLOUDS["throttled"], 2.0)  # while the card is being created
    sheet.failed(Step.CREATE, CLOUDS["throttled long"], 3.0)
    assert (sheet.step(), sheet.lane.not_before) == (Step.CLOSE, -math.inf)


def test_a_throttled_frame_keeps_its_place_in_the_line() -> None:
    sheet = Sheet(OWN, "cardbot-1", now=0.0, texts=EN)
    sheet.succeeded(Step.CREATE, 1.0)
    sheet.show("one", 2.0)
    sheet.frame(3.0)
    sheet.failed(Step.FRAME, CLOUDS["throttled"], 4.0)
    sheet.show("one two", 5.0)
    assert sheet.lane.since == 2.0
    sheet.frame(6.0)
    sheet.succeeded(Step.FRAME, 7.0)
    sheet.show("one two three", 8.0)
    assert sheet.lane.since == 8.0, "it went before those who had waited longer"
