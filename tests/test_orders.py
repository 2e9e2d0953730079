"""Stop, forms that wait for a person, and commands: the story of one message when somebody interferes."""

import time
from collections.abc import Collection
from dataclasses import replace

import anyio

from cardbot.commands import Command
from cardbot.errors import DifyRejected, DifyUnreachable, StoreError
from cardbot.events import Event, FormRequested, Identified, MessageEnded, Remark, RunFinished, RunPaused, TextDelta
from cardbot.messages import Attachment, FileKind, Incoming
from cardbot.open_reply import OpenReply
from cardbot.orders import fills_in, obey
from cardbot.ports import STOP, ConversationKey
from cardbot.reply import STOPPING, reply, resume
from cardbot.store.memory import MemoryStore
from cardbot.texts import EN
from cardbot.words import Word
from tests.story import CHAT, HELLO, Screen, Source, World, begun
from tests.values import DIRECT, GROUP, desk_of, direct
from tests.virtual import in_virtual_time

ADA = "user0001"
LONG: list[Event | Exception] = [CHAT, *[TextDelta(f"{number} ") for number in range(60)], MessageEnded()]
FORM = FormRequested(
    "Approve",
    "Send it? Note: {{#$output.note#}}",
    ({"type": "paragraph", "output_variable_name": "note"},),
    ({"id": "yes", "title": "Send", "button_style": "primary"}, {"id": "no", "title": "Drop"}),
    "token-1",
)
PLAIN_FORM = replace(FORM, content="Send it?", inputs=())
RUN = Identified("c-1", "m-1", "t-1", "run-1")


def pausing(form: FormRequested = FORM) -> list[Event | Exception]:
    return [RUN, TextDelta("Draft."), form, RunPaused()]


async def press(world: World, action: str, *, person: str = ADA, incoming: Incoming = DIRECT) -> bool:
    return world.desk.words.say(world.desk.address(incoming), Word(person, action=action))


class TestStop:
    @in_virtual_time
    async def test_a_stopped_answer_keeps_its_text_and_says_so(self) -> None:
        world = World(Source(LONG))
        async with begun(world.desk, 4.5):
            assert await press(world, STOP)
        assert world.screen.cards[0].final == ("done", f"0 1 2\n\n{EN.stopped}")

    @in_virtual_time
    async def test_dify_is_told_to_stop_as_the_user_who_asked(self) -> None:
        world = World(Source(LONG))
        async with begun(world.desk, 4.5):
            await press(world, STOP)
        assert world.source.stopped == [("t-1", world.source.questions[0].user)]

    @in_virtual_time
    async def test_the_rest_of_the_stream_is_read_for_a_while_because_dify_keeps_the_answer_only_then(self) -> None:
        world = World(Source(LONG))
        async with begun(world.desk, 4.5):
            await press(world, STOP)
            assert world.source.closed == 0
            await anyio.sleep(STOPPING - 0.1)
            assert world.source.closed == 0
            await anyio.sleep(0.2)
            assert world.source.closed == 1

    @in_virtual_time
    async def test_a_stream_that_ends_soon_after_the_stop_is_not_waited_for_longer(self) -> None:
        world = World(Source([CHAT, TextDelta("a"), TextDelta("b"), MessageEnded()]))
        began = anyio.current_time()
        async with begun(world.desk, 2.5):
            await press(world, STOP)
        assert anyio.current_time() - began < 5
        assert world.screen.cards[0].final == ("done", f"a\n\n{EN.stopped}")

    @in_virtual_time
    async def test_a_failure_after_the_stop_is_no_failure_of_the_answer(self) -> None:
        world = World(Source([CHAT, TextDelta("a"), TextDelta("b"), DifyUnreachable("gone")]))
        async with begun(world.desk, 2.5):
            await press(world, STOP)
        assert world.screen.cards[0].final == ("done", f"a\n\n{EN.stopped}")

    @in_virtual_time
    async def test_a_dify_that_cannot_be_told_costs_nothing_but_time(self) -> None:
        class Deaf(Source):
            async def stop(self, task_id: str, user: str) -> None:
                raise DifyUnreachable("away")

        world = World(Deaf(LONG))
        async with begun(world.desk, 3.5):
            await press(world, STOP)
        assert world.screen.cards[0].final == ("done", f"0 1\n\n{EN.stopped}")

    @in_virtual_time
    async def test_what_waits_in_line_is_stopped_before_it_is_asked(self) -> None:
        world = World(Source(LONG))
        async with world.memory.turn(world.desk.key(DIRECT)), begun(world.desk, 1):
            await press(world, STOP)
            await anyio.sleep(1)
            assert world.screen.cards[0].final == ("done", EN.stopped)
        assert world.source.questions == []

    @in_virtual_time
    async def test_nobody_but_the_asker_stops_an_answer(self) -> None:
        world = World(Source(HELLO))
        async with begun(world.desk, 2.5):
            await press(world, STOP, person="somebody")
        assert world.screen.cards[0].final == ("done", "Hello")

    @in_virtual_time
    async def test_a_stop_for_another_conversation_is_none_for_this(self) -> None:
        world = World(Source(HELLO))
        async with begun(world.desk, 2.5):
            assert not await press(world, STOP, incoming=GROUP)
        assert world.screen.cards[0].final == ("done", "Hello")

    @in_virtual_time
    async def test_the_next_message_is_answered_as_if_nothing_had_been(self) -> None:
        world = World(Source(LONG))
        async with begun(world.desk, 3.5):
            await press(world, STOP)
        world.source.says = HELLO
        await reply(direct(message_id="msg-2"), world.desk)
        assert world.screen.cards[1].final == ("done", "Hello")
        assert world.source.questions[1].conversation_id == "c-1"


class TestForms:
    @in_virtual_time
    async def test_a_run_goes_on_in_the_same_card_when_an_action_is_pressed(self) -> None:
        world = World(Source(pausing(PLAIN_FORM), goes_on=[TextDelta(" Sent."), RunFinished("succeeded")]))
        async with begun(world.desk, 10):
            assert world.screen.cards[0].final is None
            assert "Send it?" in world.screen.cards[0].texts[-1]
            assert world.screen.cards[0].buttons[-1] == ["form:yes", "form:no", STOP]
            await press(world, "form:yes")
        assert len(world.screen.cards) == 1
        assert world.screen.cards[0].final == ("done", "Draft. Sent.")
        user = world.source.questions[0].user
        assert world.source.handed_in == [("token-1", "yes", {}, user)]

    @in_virtual_time
    async def test_the_form_offers_nothing_any_more_once_it_is_handed_in(self) -> None:
        world = World(Source(pausing(PLAIN_FORM), goes_on=[TextDelta(" Sent."), RunFinished("succeeded")]))
        async with begun(world.desk, 10):
            await press(world, "form:no")
            await anyio.sleep(0.1)
            assert world.screen.cards[0].buttons[-1] == [STOP]
            assert world.screen.cards[0].texts[-1] == f"Draft.\n\n{EN.chosen.format(action='Drop')}"

    @in_virtual_time
    async def test_fields_are_filled_in_by_what_is_typed_and_the_action_by_its_name(self) -> None:
        world = World(Source(pausing(), goes_on=[TextDelta(" Sent."), RunFinished("succeeded")]))
        async with begun(world.desk, 10):
            assert await fills_in(direct(text="by noon"), world.desk)
            await anyio.sleep(1)
            assert "by noon" in world.screen.cards[0].texts[-1]
            assert world.screen.cards[0].final is None
            assert await fills_in(direct(text="send"), world.desk)
        assert world.source.handed_in[0][1:3] == ("yes", {"note": "by noon"})

    @in_virtual_time
    async def test_an_action_pressed_too_early_counts_when_the_fields_are_there(self) -> None:
        world = World(Source(pausing(), goes_on=[RunFinished("succeeded")]))
        async with begun(world.desk, 10):
            await press(world, "form:no")
            await anyio.sleep(1)
            assert world.source.handed_in == []
            assert EN.fill_in.format(fields="note") in world.screen.cards[0].texts[-1]
            await fills_in(direct(text="too late"), world.desk)
        assert world.source.handed_in[0][1:3] == ("no", {"note": "too late"})

    @in_virtual_time
    async def test_a_message_that_no_action_has_the_name_of_is_a_question(self) -> None:
        world = World(Source(pausing(PLAIN_FORM), goes_on=[RunFinished("succeeded")]))
        async with begun(world.desk, 10):
            assert not await fills_in(direct(text="What is this about?"), world.desk)
            assert await fills_in(direct(text=" SEND "), world.desk)

    @in_virtual_time
    async def test_a_question_is_answered_while_the_form_waits(self) -> None:
        world = World(Source(pausing(PLAIN_FORM), goes_on=[RunFinished("succeeded")]))
        async with begun(world.desk, 10):
            world.source.says = HELLO
            await reply(direct(message_id="msg-2"), world.desk)
            assert world.screen.cards[1].final == ("done", "Hello")
            await press(world, "form:yes")
        assert world.screen.cards[0].final == ("done", "Draft.")

    @in_virtual_time
    async def test_others_neither_press_nor_type(self) -> None:
        world = World(Source(pausing(), goes_on=[RunFinished("succeeded")]))
        bob = replace(DIRECT, text="send", sender=replace(DIRECT.sender, staff_id="user0002"))
        async with begun(world.desk, 10) as tasks:
            assert not await fills_in(bob, world.desk)
            await press(world, "form:yes", person="user0002")
            await anyio.sleep(5)
            assert world.source.handed_in == []
            tasks.cancel_scope.cancel()

    @in_virtual_time
    async def test_of_two_forms_of_one_person_a_text_is_for_the_newest(self) -> None:
        world = World(Source(pausing(PLAIN_FORM), goes_on=[RunFinished("succeeded")]))
        async with begun(world.desk, 10) as tasks:
            world.source.says = pausing(replace(PLAIN_FORM, token="token-2"))
            tasks.start_soon(reply, direct(message_id="msg-2"), world.desk)
            await anyio.sleep(10)
            assert await fills_in(direct(text="send"), world.desk)
            await anyio.sleep(10)
            assert [token for token, *_ in world.source.handed_in] == ["token-2"]
            assert await fills_in(direct(text="drop"), world.desk)
        assert [token for token, *_ in world.source.handed_in] == ["token-2", "token-1"]
        assert not await fills_in(direct(text="send"), world.desk)

    @in_virtual_time
    async def test_of_two_forms_of_one_person_a_text_is_for_the_one_that_it_quotes(self) -> None:
        world = World(Source(pausing(PLAIN_FORM), goes_on=[RunFinished("succeeded")]))
        async with begun(world.desk, 10) as tasks:
            world.screen.watches[0].carried("card-1", "carrier-1")
            world.source.says = pausing(replace(PLAIN_FORM, token="token-2"))
            tasks.start_soon(reply, direct(message_id="msg-2"), world.desk)
            await anyio.sleep(10)
            world.screen.watches[1].carried("card-2", "carrier-2")
            await anyio.sleep(1)
            assert await fills_in(direct(text="send", quoted_card="carrier-1"), world.desk)
            await anyio.sleep(10)
            assert [token for token, *_ in world.source.handed_in] == ["token-1"]
            tasks.cancel_scope.cancel()

    @in_virtual_time
    async def test_who_quotes_another_card_asks_about_that_and_fills_in_nothing(self) -> None:
        world = World(Source(pausing()))
        async with begun(world.desk, 10) as tasks:
            world.screen.watches[0].carried("card-1", "carrier-1")
            await anyio.sleep(1)
            assert not await fills_in(direct(text="What is that?", quoted_card="carrier-0"), world.desk)
            assert await fills_in(direct(text="by noon", quoted_card="carrier-1"), world.desk)
            tasks.cancel_scope.cancel()

    @in_virtual_time
    async def test_a_quote_fills_in_a_form_of_whose_card_nobody_was_told_what_quotes_call_it(self) -> None:
        world = World(Source(pausing()))
        async with begun(world.desk, 10) as tasks:
            assert await fills_in(direct(text="by noon", quoted_card="carrier-1"), world.desk)
            tasks.cancel_scope.cancel()

    @in_virtual_time
    async def test_after_a_new_conversation_has_begun_a_form_takes_only_what_quotes_it(self) -> None:
        world = World(Source(pausing()))
        async with begun(world.desk, 10) as tasks:
            world.screen.watches[0].carried("card-1", "carrier-1")
            await anyio.sleep(1)
            await obey(Command.NEW, direct(text="/new"), world.desk, new_words=["/new"])
            assert not await fills_in(direct(text="What is the weather?"), world.desk)
            assert await fills_in(direct(text="by noon", quoted_card="carrier-1"), world.desk)
            await anyio.sleep(1)
            assert "note: by noon" in world.screen.cards[0].texts[-1]
            tasks.cancel_scope.cancel()

    @in_virtual_time
    async def test_each_person_of_a_shared_conversation_fills_in_the_own_form(self) -> None:
        world = World(Source(pausing(PLAIN_FORM), goes_on=[RunFinished("succeeded")]))
        shared = replace(world.desk, session="chat")
        bob = replace(GROUP, message_id="msg-2", sender=replace(GROUP.sender, staff_id="user0002"))
        async with begun(shared, 10, to=GROUP) as tasks:
            world.source.says = pausing(replace(PLAIN_FORM, token="token-2"))
            tasks.start_soon(reply, bob, shared)
            await anyio.sleep(10)
            assert await fills_in(replace(GROUP, text="send"), shared)
            await anyio.sleep(10)
            assert [token for token, *_ in world.source.handed_in] == ["token-1"]
            assert await fills_in(replace(bob, text="drop"), shared)
        assert [token for token, *_ in world.source.handed_in] == ["token-1", "token-2"]

    @in_virtual_time
    async def test_a_message_with_a_picture_is_no_value_of_a_form(self) -> None:
        world = World(Source(pausing()))
        picture = Attachment(FileKind.IMAGE, "code-1")
        async with begun(world.desk, 10) as tasks:
            assert not await fills_in(direct(text="What is this?", attachments=(picture,)), world.desk)
            tasks.cancel_scope.cancel()

    @in_virtual_time
    async def test_a_form_that_nobody_fills_in_ends_by_its_time(self) -> None:
        world = World(Source(pausing(replace(PLAIN_FORM, expires_at=time.time() + 60))))
        await reply(DIRECT, world.desk)
        assert world.screen.cards[0].final == ("done", f"Draft.\n\nSend it?\n\n{EN.expired}")
        assert not await fills_in(direct(text="send"), world.desk)

    @in_virtual_time
    async def test_a_form_that_expires_keeps_what_was_filled_in(self) -> None:
        second = {"type": "paragraph", "output_variable_name": "to"}
        form = replace(FORM, inputs=(*FORM.inputs, second), expires_at=time.time() + 60)
        world = World(Source(pausing(form)))
        async with begun(world.desk, 10):
            await fills_in(direct(text="by noon"), world.desk)
        assert world.screen.cards[0].final == ("done", f"Draft.\n\nSend it? Note: by noon\n\n{EN.expired}")

    @in_virtual_time
    async def test_a_form_stands_below_what_is_to_be_known_of_a_file(self) -> None:
        world = World(Source([RUN, Remark("Not read: a.exe."), *pausing(PLAIN_FORM)]))
        async with begun(world.desk, 10) as tasks:
            assert world.screen.cards[0].texts[-1].startswith("Not read: a.exe.\n\nDraft.\n\nSend it?")
            tasks.cancel_scope.cancel()

    @in_virtual_time
    async def test_a_form_without_a_token_is_somebody_elses_business(self) -> None:
        world = World(Source(pausing(replace(PLAIN_FORM, token=""))))
        await reply(DIRECT, world.desk)
        assert world.screen.cards[0].final == ("done", f"Draft.\n\nSend it?\n\n{EN.paused}")

    @in_virtual_time
    async def test_a_second_form_of_the_same_run_is_shown_too(self) -> None:
        second = replace(PLAIN_FORM, content="Really?", token="token-2")
        world = World(Source(pausing(PLAIN_FORM), goes_on=[TextDelta(" Hm."), second, RunPaused()]))
        async with begun(world.desk, 10):
            await press(world, "form:yes")
            await anyio.sleep(10)
            assert "Really?" in world.screen.cards[0].texts[-1]
            world.source.goes_on = [RunFinished("succeeded")]
            await press(world, "form:no")
        assert [token for token, *_ in world.source.handed_in] == ["token-1", "token-2"]
        assert world.screen.cards[0].final == ("done", "Draft. Hm.")

    @in_virtual_time
    async def test_a_form_that_dify_does_not_take_any_more_is_an_answer_that_failed(self) -> None:
        gone = DifyRejected("x", status=412, code="submitted", detail="already submitted")
        world = World(Source(pausing(PLAIN_FORM), goes_on=[gone]))
        async with begun(world.desk, 10):
            await press(world, "form:yes")
        assert world.screen.cards[0].final == ("failed", f"Draft.\n\n{EN.failed.format(reason='already submitted')}")

    @in_virtual_time
    async def test_stop_ends_the_wait(self) -> None:
        world = World(Source(pausing(PLAIN_FORM)))
        async with begun(world.desk, 10):
            await press(world, STOP)
        assert world.screen.cards[0].final == ("done", f"Draft.\n\n{EN.stopped}")
        assert world.source.stopped == [("t-1", world.source.questions[0].user)]
        assert not await fills_in(direct(text="send"), world.desk)

    @in_virtual_time
    async def test_without_a_card_the_form_comes_as_a_plain_reply(self) -> None:
        world = World(Source(pausing(PLAIN_FORM), goes_on=[TextDelta(" Sent."), RunFinished("succeeded")]))
        world.screen.lost_at = 0
        async with begun(world.desk, 10):
            assert "Send it?" in world.screen.replies[0]
            assert await fills_in(direct(text="send"), world.desk)
        assert world.source.handed_in[0][1] == "yes"

    @in_virtual_time
    async def test_without_a_card_what_is_to_be_decided_on_stands_above_the_form(self) -> None:
        world = World(Source(pausing()))
        async with begun(world.desk, 10) as tasks:
            world.screen.watches[0].lost()
            await anyio.sleep(1)
            await fills_in(direct(text="by noon"), world.desk)
            await anyio.sleep(1)
            first, second = world.screen.replies
            assert first.startswith("Draft.\n\nSend it?")
            assert second.startswith("Send it?")
            tasks.cancel_scope.cancel()

    @in_virtual_time
    async def test_a_form_whose_card_is_lost_while_it_waits_comes_as_a_plain_reply(self) -> None:
        world = World(Source(pausing(PLAIN_FORM), goes_on=[RunFinished("succeeded")]))
        async with begun(world.desk, 10):
            assert world.screen.replies == []
            world.screen.watches[0].lost()
            await anyio.sleep(1)
            assert "Send it?" in world.screen.replies[0]
            await press(world, "form:yes")

    @in_virtual_time
    async def test_without_a_card_each_value_that_is_typed_is_shown_in_a_plain_reply(self) -> None:
        world = World(Source(pausing(), goes_on=[RunFinished("succeeded")]))
        world.screen.lost_at = 0
        async with begun(world.desk, 10):
            assert await fills_in(direct(text="by noon"), world.desk)
            await anyio.sleep(1)
            assert "by noon" in world.screen.replies[1]
            await press(world, "form:yes")

    @in_virtual_time
    async def test_a_program_that_ends_leaves_the_form_to_the_next(self) -> None:
        world = World(Source(pausing(PLAIN_FORM)))
        async with begun(world.desk, 10):
            world.desk.words.close()
        assert world.memory.dropped == []
        assert world.screen.cards[0].final is None
        left = world.memory.open[-1]
        assert (left.form, left.text) == (PLAIN_FORM, "Draft.")
        later = World(Source(goes_on=[TextDelta(" Sent."), RunFinished("succeeded")]))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(resume, "r-1", OpenReply.from_json(left.to_json()), later.desk)
            await anyio.sleep(10)
            assert "Send it?" in later.screen.cards[0].texts[-1]
            await press(later, "form:yes")
        assert later.screen.cards[0].final == ("done", "Draft. Sent.")
        assert later.source.questions == []

    @in_virtual_time
    async def test_a_form_that_is_handed_in_is_not_waited_for_again(self) -> None:
        world = World(Source(pausing(PLAIN_FORM), goes_on=[TextDelta(" Sent."), RunFinished("succeeded")]))
        async with begun(world.desk, 10):
            await press(world, "form:yes")
            await anyio.sleep(0.5)
            assert world.memory.open[-1].form_gone
            await anyio.sleep(1.0)
            assert world.memory.open[-1].form is None


class TestCommands:
    @in_virtual_time
    async def test_a_new_conversation_forgets_the_old_one(self) -> None:
        world = World(Source(HELLO))
        await reply(DIRECT, world.desk)
        await obey(Command.NEW, direct(text="/new"), world.desk, new_words=["/new"])
        await reply(direct(message_id="msg-2"), world.desk)
        assert [question.conversation_id for question in world.source.questions] == ["", ""]
        assert world.screen.replies == [EN.renewed]

    @in_virtual_time
    async def test_an_answer_under_way_does_not_bring_its_conversation_back(self) -> None:
        world = World(Source(HELLO))
        later = DIRECT.created_at + 1
        async with begun(world.desk, 0.5):  # Dify has not named the conversation yet
            await obey(Command.NEW, direct(text="/new", created_at=later), world.desk, new_words=["/new"])
        for number in (2, 3):
            await reply(direct(message_id=f"msg-{number}", created_at=later + number), world.desk)
        assert [question.conversation_id for question in world.source.questions] == ["", "", "c-1"]

    @in_virtual_time
    async def test_help_names_the_words_that_begin_anew(self) -> None:
        world = World(Source())
        await obey(Command.HELP, direct(text="/help"), world.desk, new_words=["/new", "neu"])
        assert "/new / neu" in world.screen.replies[0]

    @in_virtual_time
    async def test_stop_without_an_answer_says_that_there_is_none(self) -> None:
        world = World(Source())
        await obey(Command.STOP, direct(text="/stop"), world.desk, new_words=[])
        assert world.screen.replies == [EN.nothing_to_stop]

    @in_virtual_time
    async def test_stop_for_somebody_elses_answer_says_that_there_is_none_of_the_own(self) -> None:
        world = World(Source(HELLO))
        shared = replace(world.desk, session="chat")
        bob = replace(GROUP, message_id="msg-2", sender=replace(GROUP.sender, staff_id="user0002"))
        async with begun(shared, 2.5, to=GROUP):
            await obey(Command.STOP, replace(bob, text="/stop"), shared, new_words=[])
        assert world.screen.replies == [EN.nothing_to_stop]
        assert world.screen.cards[0].final == ("done", "Hello")

    @in_virtual_time
    async def test_stop_with_an_answer_says_nothing_more_than_the_card(self) -> None:
        world = World(Source(LONG))
        async with begun(world.desk, 3.5):
            await obey(Command.STOP, direct(text="/stop"), world.desk, new_words=[])
        assert world.screen.replies == []
        assert world.screen.cards[0].final == ("done", f"0 1\n\n{EN.stopped}")


class Side(MemoryStore):
    """What one of two processes sees of a store that they share."""

    lasts = True

    def __init__(self, other: "Side | None" = None) -> None:
        super().__init__()
        self.replies: dict[str, tuple[Side, str]] = other.replies if other else {}
        self.away = False
        self.forgets = True
        if other:
            self._conversations = other._conversations
        self._posted: MemoryStore = other._posted if other else MemoryStore()

    async def keep_reply(self, reply_id: str, record: str) -> None:
        self.replies[reply_id] = (self, record)

    async def drop_reply(self, reply_id: str) -> None:
        self.replies.pop(reply_id, None)

    async def forget_conversation(self, key: ConversationKey) -> None:
        if not self.forgets:
            raise StoreError("away")
        await super().forget_conversation(key)

    async def replies_elsewhere(self) -> dict[str, str]:
        if self.away:
            raise StoreError("away")
        return {reply_id: record for reply_id, (side, record) in self.replies.items() if side is not self}

    async def post(self, address: str, word: str) -> None:
        await self._posted.post(address, word)

    async def collect(self, addresses: Collection[str]) -> list[tuple[str, str]]:
        return await self._posted.collect(addresses)


class Process:
    """One of two that answer for the same robot."""

    def __init__(self, says: list[Event | Exception], *, beside: "Process | None" = None) -> None:
        self.screen = Screen()
        self.side: Side = Side(beside.side if beside else None)
        self.desk = desk_of(source=Source(says), cards=self.screen, webhook=self.screen, store=self.side)
        self.desk.words.share(2)

    async def stop(self, incoming: Incoming = DIRECT) -> None:
        """Somebody writes it a moment after everything else; its text is not looked at any more."""
        incoming = replace(incoming, text="/stop", created_at=incoming.created_at + 1)
        await obey(Command.STOP, incoming, self.desk, new_words=[])


class TestFormsWithSeveralProcesses:
    @in_virtual_time
    async def test_what_is_typed_comes_to_the_process_that_shows_the_form(self) -> None:
        here = Process([])
        there = Process(pausing(), beside=here)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(there.desk.words.keep_collecting)
            tasks.start_soon(reply, DIRECT, there.desk)
            await anyio.sleep(10)
            assert await fills_in(direct(text="by noon"), here.desk)
            await anyio.sleep(2)
            assert "note: by noon" in there.screen.cards[0].texts[-1]
            tasks.cancel_scope.cancel()

    @in_virtual_time
    async def test_a_form_that_is_forgotten_too_late_swallows_no_question(self) -> None:
        here = Process([])
        there = Process(pausing(), beside=here)
        async with begun(there.desk, 10):
            there.side.forgets = False  # the store is away for a moment
            assert there.desk.words.say(there.desk.address(DIRECT), Word(ADA, action=STOP))
            await anyio.sleep(10)
            assert there.screen.cards[0].final
            assert not await fills_in(direct(text="What is the weather?"), here.desk)

    @in_virtual_time
    async def test_a_text_for_a_form_that_cannot_be_brought_there_is_a_question(self) -> None:
        here = Process([])
        there = Process(pausing(), beside=here)
        async with begun(there.desk, 10) as tasks:
            here.side.away = True
            assert not await fills_in(direct(text="by noon"), here.desk)
            tasks.cancel_scope.cancel()


class TestStopWithSeveralProcesses:
    @in_virtual_time
    async def test_an_answer_of_another_process_is_stopped_and_nothing_more_is_said(self) -> None:
        here = Process([])
        there = Process(LONG, beside=here)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(there.desk.words.keep_collecting)
            async with begun(there.desk, 3.5):
                await here.stop()
            tasks.cancel_scope.cancel()
        [card] = there.screen.cards
        assert card.texts[-1].endswith(EN.stopped)
        assert here.screen.replies == there.screen.replies == []

    @in_virtual_time
    async def test_one_answer_here_and_one_there_are_both_stopped(self) -> None:
        here = Process(LONG)
        there = Process(LONG, beside=here)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(there.desk.words.keep_collecting)
            async with anyio.create_task_group() as answers:
                answers.start_soon(reply, DIRECT, here.desk)
                answers.start_soon(reply, direct(message_id="msg-2"), there.desk)
                await anyio.sleep(3.5)
                await here.stop()
            tasks.cancel_scope.cancel()
        shown = [card.texts[-1] for process in (here, there) for card in process.screen.cards]
        assert [text.endswith(EN.stopped) for text in shown] == [True, True]

    @in_virtual_time
    async def test_nothing_under_way_anywhere_is_told(self) -> None:
        here = Process([])
        there = Process(HELLO, beside=here)
        await here.stop()
        await reply(DIRECT, there.desk)
        await here.stop()
        assert here.screen.replies == [EN.nothing_to_stop] * 2

    @in_virtual_time
    async def test_an_answer_of_another_person_or_chat_there_is_none_to_stop(self) -> None:
        here = Process([])
        there = Process(HELLO, beside=here)
        bob = replace(GROUP, sender=replace(GROUP.sender, staff_id="user0002"))
        for process in (here, there):
            process.desk = replace(process.desk, session="chat")
        async with begun(there.desk, 2.5, to=GROUP):
            await here.stop(bob)
            await here.stop(DIRECT)
        assert here.screen.replies == [EN.nothing_to_stop] * 2
        assert there.screen.cards[0].final == ("done", "Hello")

    @in_virtual_time
    async def test_a_question_that_was_written_after_the_stop_is_not_stopped_there(self) -> None:
        here = Process([])
        there = Process(HELLO, beside=here)
        async with begun(there.desk, 2.5, to=direct(created_at=DIRECT.created_at + 2)):
            await here.stop()
        assert here.screen.replies == [EN.nothing_to_stop]

    @in_virtual_time
    async def test_an_answer_whose_last_text_is_on_its_way_there_is_none_to_stop(self) -> None:
        here = Process([])
        there = Process(HELLO, beside=here)
        there.screen.finish_seconds = 3
        async with begun(there.desk, 6):
            assert there.side.replies, "it is still open"
            await here.stop()
        assert here.screen.replies == [EN.nothing_to_stop]

    @in_virtual_time
    async def test_a_record_of_another_version_costs_no_other_answer_its_stop(self) -> None:
        here = Process([])
        there = Process(LONG, beside=here)
        await there.side.keep_reply("r-0", '{"of": "another version"}')
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(there.desk.words.keep_collecting)
            async with begun(there.desk, 3.5):
                await here.stop()
            tasks.cancel_scope.cancel()
        assert here.screen.replies == []
        assert there.screen.cards[0].texts[-1].endswith(EN.stopped)

    @in_virtual_time
    async def test_a_store_that_is_away_keeps_nobody_from_stopping_what_is_here(self) -> None:
        here = Process(LONG)
        async with begun(here.desk, 3.5):
            here.side.away = True
            await here.stop()
        assert here.screen.cards[0].final == ("done", f"0 1\n\n{EN.stopped}")
        assert here.screen.replies == []
