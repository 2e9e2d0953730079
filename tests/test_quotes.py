"""What is kept of cards and found again, and what is asked then. Over sockets: `test_quotes_end_to_end`."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

import anyio
import pytest
from structlog.testing import capture_logs

from cardbot.errors import QuestionTooLong, StoreError
from cardbot.events import Event
from cardbot.messages import ChatKind, Incoming, Question
from cardbot.open_reply import OpenReply
from cardbot.ports import CardKey
from cardbot.promise import Promise, promised
from cardbot.quotes import KEEPING, KEPT_CHARACTERS, keep, with_quote
from cardbot.reply import reply
from cardbot.store.memory import MemoryStore
from cardbot.texts import EN
from tests.story import HELLO, Source, World, begun
from tests.values import DIRECT, GROUP, direct
from tests.virtual import in_virtual_time

QUOTING = replace(DIRECT, quoted_card="pqk-1", text="and this?")


class Broken(MemoryStore):
    """Neither keeps texts nor finds them."""

    async def keep_shown(self, key: CardKey, text: str) -> None:
        raise StoreError("no disk")

    async def shown(self, key: CardKey) -> str:
        raise StoreError("no disk")


class Hung(MemoryStore):
    """Never answers."""

    async def keep_shown(self, key: CardKey, text: str) -> None:
        await anyio.sleep_forever()


async def quoted(text: str, *, incoming: Incoming = QUOTING, before: Incoming = DIRECT) -> str:
    """What the second message quotes, when this was shown to the first."""
    store = MemoryStore()
    await keep({"pqk-1": text}, before, store)
    return (await with_quote(incoming, store)).quoted


@in_virtual_time
async def test_what_was_kept_is_found() -> None:
    assert await quoted("an answer") == "an answer"


@in_virtual_time
async def test_what_was_kept_goes_before_a_title() -> None:
    assert await quoted("an answer", incoming=replace(QUOTING, quoted="AI card")) == "an answer"


@in_virtual_time
async def test_a_title_is_better_than_nothing() -> None:
    titled = replace(QUOTING, quoted="AI card", quoted_card="pqk-2")
    assert await quoted("an answer", incoming=titled) == "AI card"


@in_virtual_time
@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(GROUP, quoted_card="pqk-1"),
        replace(QUOTING, chat=replace(DIRECT.chat, id="CID-DIRECT")),
        replace(QUOTING, robot_code="dingother"),
        replace(QUOTING, quoted_card="pqk-2"),
    ],
    ids=["another chat", "a chat that differs in case", "another robot", "another card"],
)
async def test_what_was_kept_is_found_only_where_it_was_shown(elsewhere: Incoming) -> None:
    assert await quoted("an answer", incoming=elsewhere) == ""


@in_virtual_time
@pytest.mark.parametrize(("more", "end"), [(0, "x"), (1, "…")])
async def test_a_text_is_kept_up_to_a_limit(more: int, end: str) -> None:
    text = await quoted("x" * (KEPT_CHARACTERS + more))
    assert (len(text), text[-1]) == (KEPT_CHARACTERS, end)


@in_virtual_time
async def test_half_a_character_is_a_question_mark() -> None:
    assert await quoted("half \ud83d") == "half ?"


@in_virtual_time
async def test_a_store_that_fails_costs_the_quote_and_nothing_else() -> None:
    with capture_logs() as logs:
        await keep({"pqk-1": "an answer"}, DIRECT, Broken())
        assert await with_quote(QUOTING, Broken()) == QUOTING
    assert [entry["event"] for entry in logs] == ["shown_text_not_kept", "shown_text_not_read"]
    assert "an answer" not in str(logs)


@in_virtual_time
async def test_a_store_that_hangs_does_not_hold_up_the_end() -> None:
    began = anyio.current_time()
    with capture_logs() as logs:
        await keep({"pqk-1": "an answer", "pqk-2": "and its rest"}, DIRECT, Hung())
    assert anyio.current_time() - began == pytest.approx(KEEPING)
    assert [(entry["event"], entry["error"]) for entry in logs] == [("shown_text_not_kept", f"not within {KEEPING} s")]


# What a reply keeps.


class Cards(MemoryStore):
    """Tells what was done in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []
        self.records: list[OpenReply] = []

    async def keep_reply(self, reply_id: str, record: str) -> None:
        self.records.append(OpenReply.from_json(record))

    async def keep_shown(self, key: CardKey, text: str) -> None:
        await super().keep_shown(key, text)
        self.done.append(f"keep {text}")

    async def drop_reply(self, reply_id: str) -> None:
        self.done.append("drop")


async def told(store: Cards, opened: OpenReply, *, kept: bool = True, **cards: tuple[str, str]) -> Promise:
    """A reply whose cards have these carriers and last texts."""
    async with promised("r1", opened, store) as promise:
        for card, (carrier, _) in cards.items():
            promise.carried(card, carrier)
        await anyio.sleep(0.1)
        for card, (_, text) in cards.items():
            promise.ended(card, text)
        promise.kept = kept
    return promise


@in_virtual_time
async def test_every_card_of_a_reply_is_kept_before_its_record_goes() -> None:
    store = Cards()
    await told(store, OpenReply(DIRECT), one=("pqk-1", "an answer"), two=("pqk-2", "and its rest"))
    assert store.done == ["keep an answer", "keep and its rest", "drop"]
    assert (await with_quote(replace(QUOTING, quoted_card="pqk-2"), store)).quoted == "and its rest"


@in_virtual_time
async def test_a_reply_that_somebody_has_to_finish_keeps_nothing_yet() -> None:
    store = Cards()
    await told(store, OpenReply(DIRECT), kept=False, one=("pqk-1", "an answer"))
    assert store.done == []


@in_virtual_time
async def test_carriers_are_written_down_at_once_for_whoever_takes_over() -> None:
    store = Cards()
    await told(store, OpenReply(DIRECT), kept=False, one=("pqk-1", "an answer"))
    assert store.records[-1].carriers == {"one": "pqk-1"}
    heir = Cards()
    async with promised("r1", store.records[-1], heir) as promise:
        promise.ended("one", "an answer")
        promise.kept = True
    assert heir.done == ["keep an answer", "drop"]


@in_virtual_time
async def test_a_card_whose_carrier_nobody_was_told_is_not_kept() -> None:
    store = Cards()
    await told(store, OpenReply(DIRECT), one=("", "an answer"))
    assert store.done == ["drop"]


@in_virtual_time
async def test_a_record_of_before_there_were_carriers_is_finished_as_ever() -> None:
    record = OpenReply(DIRECT, text="so far").to_json()
    older = record.replace(',"carriers":{}', "").replace(',"quoted_card":""', "")
    assert "carriers" not in older
    assert "quoted_card" not in older
    store = Cards()
    async with promised("r1", OpenReply.from_json(older), store) as promise:
        promise.ended("one", "an answer")
        promise.kept = True
    assert store.done == ["drop"]


def test_a_record_of_a_newer_version_can_still_be_read() -> None:
    newer = OpenReply(DIRECT).to_json().replace('"asked":false', '"asked":false,"of_tomorrow":1')
    assert OpenReply.from_json(newer) == OpenReply(DIRECT)


# What Dify is asked.


@dataclass
class Narrow(Source):
    """Takes no more than so many characters."""

    limit: int = 20

    async def ask(self, question: Question) -> AsyncGenerator[Event]:
        if len(question.query) > self.limit:
            raise QuestionTooLong(limit=self.limit)
        async for event in super().ask(question):
            yield event


async def asked(source: Source, incoming: Incoming = QUOTING, *, shown: str = "an answer") -> World:
    """The world after a message that quotes a card."""
    world = World(source)
    await keep({"pqk-1": shown}, incoming, world.memory)
    await reply(incoming, world.desk)
    return world


@in_virtual_time
async def test_a_quote_that_makes_a_question_too_long_is_left_out() -> None:
    world = await asked(Narrow(HELLO))
    assert [question.query for question in world.source.questions] == ["and this?"]
    assert world.screen.cards[0].final == ("done", "Hello")


@in_virtual_time
async def test_a_question_that_is_too_long_by_itself_is_refused() -> None:
    world = await asked(Narrow(HELLO), direct(quoted_card="pqk-1", text="word " * 10))
    assert world.screen.cards[0].final == ("failed", EN.too_long.format(limit=20))


@in_virtual_time
async def test_a_quote_alone_that_is_too_long_is_not_left_out_of_a_question_about_it() -> None:
    world = await asked(Narrow(HELLO), direct(quoted_card="pqk-1", text=""))
    assert world.source.questions == []
    assert world.screen.cards[0].final == ("failed", EN.too_long.format(limit=20))


@in_virtual_time
async def test_a_quote_that_dingtalk_sent_is_not_left_out_without_a_word() -> None:
    world = await asked(Narrow(HELLO), direct(quoted="a text " * 10, text="and this?"))
    assert world.screen.cards[0].final == ("failed", EN.too_long.format(limit=20))


@in_virtual_time
async def test_a_quote_with_nothing_said_and_nothing_known_asks_for_a_question() -> None:
    world = await asked(
        Source(HELLO), direct(quoted_card="pqk-2", text="", chat=replace(DIRECT.chat, kind=ChatKind.GROUP))
    )
    assert world.source.questions == []
    assert world.screen.cards[0].final == ("done", EN.empty)


@in_virtual_time
async def test_a_question_in_line_quotes_what_is_known_when_its_turn_comes() -> None:
    world = World(Source(HELLO))
    async with begun(world.desk, 1) as tasks:
        tasks.start_soon(reply, replace(QUOTING, message_id="msg-2"), world.desk)
        await anyio.sleep(1)
        await keep({"pqk-1": "an answer"}, DIRECT, world.memory)
    assert world.source.questions[1].query == f"{EN.quoted.format(quote='> an answer')}\n\nand this?"
