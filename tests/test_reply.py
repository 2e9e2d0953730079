"""The story of one message, in virtual time, with small stand-ins for the four who take part."""

import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import anyio
import pytest

from cardbot.errors import (
    CardLost,
    ContentRefused,
    DifyBusy,
    DifyRejected,
    DifyUnauthorized,
    DifyUnreachable,
    DingTalkUnreachable,
    ReplyAdopted,
    StoreError,
)
from cardbot.events import (
    Event,
    Failed,
    FileProduced,
    Interrupted,
    MessageEnded,
    Remark,
    TextDelta,
    TextReplaced,
    Waiting,
)
from cardbot.messages import Incoming, Person, Question
from cardbot.open_reply import Ending, OpenReply
from cardbot.ports import Card
from cardbot.promise import NOTE_EVERY
from cardbot.reply import reply, resume
from cardbot.texts import EN
from tests.story import CHAT, HELLO, Memory, Screen, Source, World, begun
from tests.values import DIRECT, GROUP, direct
from tests.virtual import in_virtual_time


@in_virtual_time
async def test_the_card_is_open_while_dify_is_asked_and_ends_with_the_whole_text() -> None:
    world = World(Source(HELLO))
    await reply(DIRECT, world.desk)
    (card,) = world.screen.cards
    assert card.opened_at == 0
    assert card.texts == ["", "Hel", "Hello", "Hello"]
    assert card.final == ("done", "Hello")
    assert not world.screen.replies
    assert world.source.closed == 1


@in_virtual_time
async def test_the_question_names_the_person_and_the_conversation() -> None:
    world = World(Source(HELLO))
    await reply(DIRECT, world.desk)
    await reply(replace(DIRECT, text="And tomorrow?"), world.desk)
    first, second = world.source.questions
    assert first == Question("What is the weather?", "dingtalk:dingcorp:user0001", "")
    assert second == Question("And tomorrow?", "dingtalk:dingcorp:user0001", "c-1")


@in_virtual_time
async def test_the_conversation_is_kept_from_its_first_event_on() -> None:
    world = World(Source([CHAT, Failed("x", "no credit")]))
    await reply(DIRECT, world.desk)
    assert list(world.memory.ids.values()) == ["c-1"]


@in_virtual_time
async def test_a_conversation_belongs_to_one_person_in_one_chat() -> None:
    world = World(Source(HELLO))
    await reply(DIRECT, world.desk)
    await reply(GROUP, world.desk)
    await reply(replace(GROUP, sender=Person("$:2", "user0002", "Bob", "dingcorp")), world.desk)
    assert [question.conversation_id for question in world.source.questions] == ["", "", ""]


@in_virtual_time
async def test_turns_of_one_conversation_run_one_after_the_other_and_each_card_is_there_at_once() -> None:
    world = World(Source(HELLO))
    async with begun(world.desk, 0.5) as tasks:
        tasks.start_soon(reply, direct(message_id="msg-2"), world.desk)
    assert [card.opened_at for card in world.screen.cards] == [0, 0.5]
    assert [question.conversation_id for question in world.source.questions] == ["", "c-1"]


@in_virtual_time
async def test_a_failure_of_dify_fails_the_card() -> None:
    world = World(Source([CHAT, TextDelta("Hel"), Failed("x", "no credit")]))
    await reply(DIRECT, world.desk)
    assert world.screen.cards[0].final == ("failed", f"Hel\n\n{EN.failed.format(reason='no credit')}")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DifyUnreachable("no route to 10.0.0.7"), EN.unavailable),
        (DifyBusy("busy", status=400, code="invalid_param"), EN.busy),
        (DifyUnauthorized("401", status=401, code="unauthorized"), EN.misconfigured),
        (
            DifyRejected("400", status=400, code="invalid_param", detail="name is required in input form"),
            EN.failed.format(reason="name is required in input form"),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_refusal_is_one_sentence_in_the_card(error: Exception, sentence: str) -> None:
    @in_virtual_time
    async def run() -> None:
        world = World(Source([error]))
        await reply(DIRECT, world.desk)
        assert world.screen.cards[0].final == ("failed", sentence)
        assert not world.screen.replies

    run()


@in_virtual_time
async def test_a_lost_card_sends_the_unseen_text_as_a_plain_reply() -> None:
    world = World(Source(HELLO))
    world.screen.card_error = CardLost("refused", unseen="Hello")
    await reply(DIRECT, world.desk)
    assert world.screen.replies == ["Hello"]


@in_virtual_time
async def test_a_reply_that_cannot_be_delivered_at_all_does_not_stop_the_bot() -> None:
    world = World(Source(HELLO))
    world.screen.card_error = CardLost("refused", unseen="Hello")
    world.screen.webhook_error = DingTalkUnreachable("nobody there")
    await reply(DIRECT, world.desk)


@in_virtual_time
async def test_a_fault_in_the_card_sends_the_whole_text_as_a_plain_reply() -> None:
    world = World(Source(HELLO))
    world.screen.card_error = ZeroDivisionError()
    await reply(DIRECT, world.desk)
    assert world.screen.replies == ["Hello"]


@in_virtual_time
async def test_a_fault_in_the_plain_reply_does_not_stop_the_bot() -> None:
    world = World(Source(HELLO))
    world.screen.card_error = CardLost("refused", unseen="Hello")
    world.screen.webhook_error = ZeroDivisionError()
    await reply(DIRECT, world.desk)


@in_virtual_time
async def test_a_fault_of_ours_ends_the_card_with_a_reference() -> None:
    world = World(Source([CHAT, TextDelta("Hel"), ZeroDivisionError()]))
    await reply(DIRECT, world.desk)
    final = world.screen.cards[0].final
    assert final is not None
    assert final[0] == "failed"
    assert final[1].startswith("Hel\n\n" + EN.internal.split("{")[0])


@in_virtual_time
async def test_a_store_that_fails_costs_the_memory_and_not_the_answer() -> None:
    world = World(Source(HELLO))
    world.memory.error = StoreError("disk full")
    await reply(DIRECT, world.desk)
    assert world.screen.cards[0].final == ("done", "Hello")


class BusyAtTheEnd(Memory):
    """Removes nothing the first two times."""

    tries = 0

    async def drop_reply(self, reply_id: str) -> None:
        self.tries += 1
        if self.tries < 3:
            raise StoreError("database is locked")
        await super().drop_reply(reply_id)


@in_virtual_time
async def test_a_record_that_could_not_be_removed_is_removed_a_moment_later() -> None:
    world = World(Source(HELLO), memory=BusyAtTheEnd())
    await reply(DIRECT, world.desk)
    assert len(world.memory.dropped) == 1


@in_virtual_time
async def test_a_cancelled_reply_ends_its_card_with_the_text_so_far() -> None:
    world = World(Source(HELLO))
    async with begun(world.desk, 2.5) as tasks:
        tasks.cancel_scope.cancel()
    assert world.screen.cards[0].final == ("done", f"Hel\n\n{EN.interrupted}")
    assert world.source.closed == 1


class SlowToSend(Screen):
    """Takes a second for a plain reply."""

    begun = 0

    async def send(self, incoming: Incoming, markdown: str, *, occasion: str = "") -> None:
        self.begun += 1
        await anyio.sleep(1)
        await super().send(incoming, markdown, occasion=occasion)


@in_virtual_time
async def test_a_plain_reply_is_not_cut_off_and_begun_anew_by_leaving() -> None:
    screen = SlowToSend()
    screen.card_error = CardLost("gone", unseen="Hello")
    world = World(Source(HELLO), screen)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reply, DIRECT, world.desk)
        while not screen.begun:  # noqa: ASYNC110 - in virtual time
            await anyio.sleep(0.1)
        await anyio.sleep(0.5)
        tasks.cancel_scope.cancel()
    assert (screen.begun, screen.replies) == (1, ["Hello"])
    assert len(world.memory.dropped) == 1


class Censored(Screen):
    """Takes no plain reply but the sentence that says so."""

    async def send(self, incoming: Incoming, markdown: str, *, occasion: str = "") -> None:
        if markdown != EN.withheld:
            raise ContentRefused("refused", status=200, code="400102")
        await super().send(incoming, markdown, occasion=occasion)


@in_virtual_time
async def test_a_plain_reply_that_the_content_check_refuses_is_replaced_by_a_sentence() -> None:
    screen = Censored()
    screen.card_error = CardLost("gone", unseen="Hello")
    world = World(Source(HELLO), screen)
    await reply(DIRECT, world.desk)
    assert screen.replies == [EN.withheld]
    assert len(world.memory.dropped) == 1


class Hanging(Memory):
    """Answers nothing any more after the first note."""

    async def keep_reply(self, reply_id: str, record: str) -> None:
        if self.records:
            await anyio.sleep_forever()
        await super().keep_reply(reply_id, record)


@in_virtual_time
async def test_a_store_that_hangs_costs_a_program_that_leaves_no_last_word() -> None:
    world = World(Source(HELLO), memory=Hanging())
    async with begun(world.desk, 4.2) as tasks:
        tasks.cancel_scope.cancel()
    assert world.screen.cards[0].final == ("done", f"Hel\n\n{EN.interrupted}")


@in_virtual_time
async def test_a_cancelled_reply_does_not_hold_up_the_exit() -> None:
    world = World(Source(HELLO))
    world.screen.finish_seconds = 1000
    async with begun(world.desk, 2.5) as tasks:
        tasks.cancel_scope.cancel()
    assert anyio.current_time() < 10


@in_virtual_time
async def test_a_reply_cancelled_while_its_card_is_being_finished_finishes_it() -> None:
    world = World(Source(HELLO))
    world.screen.finish_seconds = 2
    async with begun(world.desk, 5) as tasks:
        tasks.cancel_scope.cancel()
    assert world.screen.cards[0].final == ("done", "Hello")


@pytest.mark.parametrize(
    ("incoming", "sentence"),
    [
        (direct(kind="picture", text=""), EN.unreadable),
        (direct(kind="richText", text=""), EN.unreadable),
        (replace(GROUP, text=""), EN.empty),
    ],
)
def test_a_message_that_asks_nothing_gets_a_polite_sentence_and_no_card(incoming: Incoming, sentence: str) -> None:
    @in_virtual_time
    async def run() -> None:
        world = World(Source(HELLO))
        await reply(incoming, world.desk)
        assert world.screen.replies == [sentence]
        assert not world.screen.cards
        assert not world.source.questions

    run()


# The promise.


@in_virtual_time
async def test_a_reply_is_written_down_before_its_card_and_gone_after_its_end() -> None:
    world = World(Source(HELLO))
    opened: list[int] = []
    show = world.screen.open

    def open_(incoming: Incoming, *rest: Any) -> AbstractAsyncContextManager[Card]:
        opened.append(len(world.memory.records))
        return show(incoming, *rest)

    world.screen.open = open_  # type: ignore[method-assign,assignment]  # to look at the moment
    await reply(DIRECT, world.desk)
    assert opened == [1]
    assert world.memory.open[0] == OpenReply(DIRECT)
    assert len(world.memory.dropped) == 1


@in_virtual_time
async def test_it_is_written_down_that_dify_is_asked_before_it_is() -> None:
    world = World(Source(HELLO))
    asked: list[bool] = []

    class Looks(Source):
        async def ask(self, question: Question) -> AsyncGenerator[Event]:
            asked.append(world.memory.open[-1].asked)
            async for event in super().ask(question):
                yield event

    world.source = Looks(HELLO)
    await reply(DIRECT, world.desk)
    assert asked == [True]


@in_virtual_time
async def test_the_last_text_is_written_down_before_it_is_shown() -> None:
    world = World(Source(HELLO))
    world.screen.finish_seconds = 10
    await reply(DIRECT, world.desk)
    written_at, last = world.memory.records[-1]
    assert last.ending == Ending("Hello", failed=False)
    assert written_at <= anyio.current_time() - 10


@in_virtual_time
async def test_difys_ids_and_what_is_shown_are_noted() -> None:
    says: list[Event | Exception] = [CHAT, *[TextDelta(f"{number} ") for number in range(20)], MessageEnded()]
    world = World(Source(says))
    await reply(DIRECT, world.desk)
    texts = [record.text for record in world.memory.open]
    assert texts == sorted(texts, key=len)
    assert len(set(texts)) == 21
    assert world.memory.open[-1].ids == CHAT


@in_virtual_time
async def test_what_is_not_shown_is_noted_from_time_to_time() -> None:
    says: list[Event | Exception] = [CHAT, *[TextDelta(f"{number} ") for number in range(20)], MessageEnded()]
    world = World(Source(says))
    world.screen.blind = True
    await reply(DIRECT, world.desk)
    texts = [record.text for record in world.memory.open]
    assert 20 / NOTE_EVERY <= len(set(texts)) <= 20 / NOTE_EVERY + 2


@in_virtual_time
async def test_a_reply_that_was_adopted_is_not_touched_any_more() -> None:
    world = World(Source([CHAT, *[TextDelta("x")] * 10, MessageEnded()]))

    async def adopt() -> None:
        await anyio.sleep(4.5)
        world.memory.adopted = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(adopt)
        await reply(DIRECT, world.desk)
    assert anyio.current_time() < 7
    assert world.screen.cards[0].final is None
    assert world.screen.replies == []
    assert world.memory.dropped == []


@in_virtual_time
async def test_a_card_that_could_not_be_closed_in_time_is_left_to_whoever_takes_over() -> None:
    world = World(Source(HELLO))
    world.screen.finish_seconds = 1000
    with anyio.move_on_after(2.5):
        await reply(DIRECT, world.desk)
    assert world.memory.dropped == []
    assert world.memory.open[-1].ending is not None


# Taking over.


@in_virtual_time
async def test_what_was_known_of_an_answer_and_its_files_are_there_for_whoever_takes_over() -> None:
    picture = FileProduced("f-1", "image", "https://dify.example/files/a.png", "assistant", name="a.png")
    world = World(Source([CHAT, Remark("Not read: b.pdf."), picture, TextDelta("Hello")]))
    world.source.says += [Waiting(float(number)) for number in range(30)]
    with anyio.move_on_after(10):
        world.screen.finish_seconds = 1000
        await reply(DIRECT, world.desk)
    left = next(record for record in reversed(world.memory.open) if record.ending is None)
    later = World(Source(keeps=[TextReplaced("Hello, world"), MessageEnded()]))
    await resume("r1", OpenReply.from_json(left.to_json()), later.desk)
    assert later.screen.cards[0].final == (
        "done",
        "Not read: b.pdf.\n\nHello, world\n\n![a.png](https://dify.example/files/a.png)",
    )


@in_virtual_time
async def test_cards_that_are_known_to_be_in_the_chat_are_taken_over_whatever_the_text_is_now() -> None:
    world = World(Source(keeps=[MessageEnded()]))
    carriers = {"cardbot-r1-1": "carrier-1", "cardbot-r1-2": "carrier-2"}
    await resume("r1", OpenReply(DIRECT, asked=True, ids=CHAT, text="Hello", carriers=carriers), world.desk)
    assert world.screen.known == ["cardbot-r1-1", "cardbot-r1-2"]


@in_virtual_time
async def test_an_answer_that_dify_kept_is_shown_whole() -> None:
    world = World(Source(keeps=[TextReplaced("Hello, world"), MessageEnded()]))
    await resume("r1", OpenReply(DIRECT, asked=True, ids=CHAT, text="Hello"), world.desk)
    assert world.screen.resumed == [("r1", "Hello")]
    assert world.screen.cards[0].final == ("done", "Hello, world")
    assert world.source.recalls == [(CHAT, "dingtalk:dingcorp:user0001")]
    assert world.source.questions == []
    assert world.memory.dropped == ["r1"]


@in_virtual_time
async def test_an_answer_that_dify_forgot_ends_with_the_text_so_far_and_says_so() -> None:
    world = World(Source(keeps=[Interrupted("gone")]))
    await resume("r1", OpenReply(DIRECT, asked=True, ids=CHAT, text="Hello, wo"), world.desk)
    assert world.screen.cards[0].final == ("done", f"Hello, wo\n\n{EN.interrupted}")


@in_virtual_time
async def test_a_question_that_was_not_asked_yet_is_asked_now() -> None:
    world = World(Source(HELLO))
    await resume("r1", OpenReply(direct(created_at=time.time())), world.desk)
    assert world.screen.cards[0].final == ("done", "Hello")
    assert len(world.source.questions) == 1


@in_virtual_time
async def test_the_last_text_that_was_written_down_is_shown_and_dify_left_alone() -> None:
    world = World(Source(HELLO))
    found = OpenReply(DIRECT, asked=True, ids=CHAT, text="Hel", ending=Ending("Hello\n\nno credit", failed=True))
    await resume("r1", found, world.desk)
    assert world.screen.cards[0].final == ("failed", "Hello\n\nno credit")
    assert (world.source.questions, world.source.recalls) == ([], [])


@in_virtual_time
async def test_a_found_card_that_is_lost_becomes_a_plain_reply() -> None:
    world = World(Source(keeps=[TextReplaced("Hello, world"), MessageEnded()]))
    world.screen.card_error = CardLost("gone", unseen="Hello, world")
    await resume("r1", OpenReply(DIRECT, asked=True, ids=CHAT), world.desk)
    assert world.screen.replies == ["Hello, world"]
    assert world.memory.dropped == ["r1"]


@in_virtual_time
async def test_who_takes_over_a_card_that_nobody_sees_sends_a_plain_reply() -> None:
    world = World(Source(keeps=[TextReplaced("Hello, world"), MessageEnded()]))
    await resume("r1", OpenReply(DIRECT, asked=True, ids=CHAT, unseen=True), world.desk)
    assert world.screen.cards == []
    assert world.screen.replies == ["Hello, world"]


@in_virtual_time
async def test_who_takes_over_a_plain_reply_repeats_it_and_leaves_the_card_alone() -> None:
    world = World(Source(HELLO))
    found = OpenReply(DIRECT, asked=True, ids=CHAT, ending=Ending("one two", failed=False), plain="two")
    await resume("r1", found, world.desk)
    assert world.screen.cards == []
    assert world.screen.replies == ["two"]
    assert world.memory.dropped == ["r1"]


@in_virtual_time
async def test_a_plain_reply_is_written_down_before_it_is_sent() -> None:
    world = World(Source(HELLO))
    world.screen.card_error = CardLost("gone", unseen="lo")
    await reply(DIRECT, world.desk)
    assert world.memory.open[-1].plain == "lo"


@in_virtual_time
async def test_a_card_that_nobody_will_see_is_noted_at_once() -> None:
    world = World(Source([CHAT, *[TextDelta("x")] * 30, MessageEnded()]))
    world.screen.lost_at = 3.0
    world.screen.blind = True
    await reply(DIRECT, world.desk)
    assert min(at for at, record in world.memory.records if record.unseen) == pytest.approx(3.0)


@in_virtual_time
async def test_a_question_of_an_hour_ago_is_not_asked_any_more() -> None:
    world = World(Source(HELLO, keeps=[Interrupted("never asked")]))
    await resume("r1", OpenReply(direct(created_at=time.time() - 3600)), world.desk)
    assert world.source.questions == []
    assert world.screen.cards[0].final == ("failed", EN.lost)


class AdoptedAt(Memory):
    """Another process takes over before the reply is written down for the n-th time."""

    def __init__(self, nth: int) -> None:
        super().__init__()
        self.left = nth

    async def keep_reply(self, reply_id: str, record: str) -> None:
        self.left -= 1
        self.adopted = self.left < 0
        await super().keep_reply(reply_id, record)


@pytest.mark.parametrize("lost", [False, True], ids=["card", "plain reply"])
@pytest.mark.parametrize("nth", range(1, 8))
def test_nothing_is_said_after_another_process_took_over(nth: int, lost: bool) -> None:
    @in_virtual_time
    async def run() -> None:
        world = World(Source(HELLO), memory=AdoptedAt(nth))
        if lost:
            world.screen.card_error = CardLost("gone", unseen="Hello")
        await reply(DIRECT, world.desk)
        if world.memory.adopted:
            assert world.screen.replies == []
            assert all(card.final is None for card in world.screen.cards) or lost
            assert world.memory.dropped == []

    run()


class AdoptedAndGone(Memory):
    """Says once that another process has taken over, and nothing any more after that."""

    async def keep_reply(self, reply_id: str, record: str) -> None:
        try:
            await super().keep_reply(reply_id, record)
        except ReplyAdopted:
            self.error = StoreError("no network")
            raise


@in_virtual_time
async def test_who_has_heard_of_a_takeover_says_nothing_though_the_store_is_gone_since() -> None:
    world = World(Source([CHAT, *[TextDelta("x")] * 10, MessageEnded()]), memory=AdoptedAndGone())

    async def adopt() -> None:
        await anyio.sleep(4.5)
        world.memory.adopted = True

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(adopt)
        await reply(DIRECT, world.desk)
    assert world.screen.cards[0].final is None
    assert world.screen.replies == []


@pytest.mark.parametrize("plain", [None, "Hello"])
def test_what_somebody_else_has_adopted_is_left_to_them(plain: str | None) -> None:
    @in_virtual_time
    async def run() -> None:
        world = World(Source(HELLO), memory=AdoptedAt(0))
        await resume("r1", OpenReply(DIRECT, asked=True, plain=plain), world.desk)
        assert (world.screen.cards, world.screen.replies, world.memory.dropped) == ([], [], [])

    run()


@in_virtual_time
async def test_a_sentence_without_an_answer_is_written_down_too() -> None:
    world = World(Source())
    await reply(direct(text="", kind="picture"), world.desk)
    assert [record.plain for record in world.memory.open] == [EN.unreadable]
    assert len(world.memory.dropped) == 1


@in_virtual_time
async def test_a_plain_reply_that_could_not_be_sent_is_left_for_the_next_start() -> None:
    world = World(Source(HELLO))
    world.screen.card_error = CardLost("gone", unseen="Hello")
    world.screen.webhook_error = DingTalkUnreachable("no network")
    await reply(DIRECT, world.desk)
    assert world.memory.dropped == []
    assert world.memory.open[-1].plain == "Hello"


@in_virtual_time
async def test_ids_that_come_while_a_note_is_written_are_noted_at_once() -> None:
    world = World(Source([CHAT, *[TextDelta("x")] * 3, MessageEnded()]))
    world.screen.blind = True
    writing: list[float] = []
    keep = world.memory.keep_reply

    async def slowly(reply_id: str, record: str) -> None:
        await anyio.sleep(1.2)
        await keep(reply_id, record)
        writing.append(anyio.current_time())

    world.memory.keep_reply = slowly  # type: ignore[method-assign]  # a disk that is slow
    await reply(DIRECT, world.desk)
    noted = next(at for at, record in world.memory.records if record.ids == CHAT)
    assert noted < 5
