"""Forms that were not taken, or not in time: asked for again, or followed; the story in virtual time."""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest

from cardbot.errors import (
    CardLost,
    DifyBroken,
    DifyBusy,
    DifyError,
    DifyRejected,
    DifyUnauthorized,
    DifyUnreachable,
    FormExpired,
    FormRefused,
    FormTaken,
    FormWaits,
)
from cardbot.events import (
    Event,
    Failed,
    FormRequested,
    Identified,
    RunFinished,
    RunPaused,
    TextDelta,
    TextReplaced,
    Waiting,
)
from cardbot.messages import Incoming
from cardbot.open_reply import OpenReply
from cardbot.orders import fills_in
from cardbot.pausing import LOOK_EVERY
from cardbot.ports import STOP
from cardbot.reply import resume
from cardbot.texts import EN
from tests.story import Screen, Source, World, begun
from tests.test_orders import FORM, PLAIN_FORM, RUN, pausing, press
from tests.values import DIRECT, direct
from tests.virtual import in_virtual_time

TAKEN = FormTaken("412", status=412, code="human_input_form_submitted")
EXPIRED = FormExpired("412", status=412, code="human_input_form_expired")
REFUSED = FormRefused("400", status=400, code="invalid_form_data", detail="note is too long")
AWAY = DifyUnreachable("no route to 10.0.0.7", sent=True)
BROKEN = DifyBroken("500", status=500, code="internal_server_error")
BUSY = DifyBusy("400", status=400, code="too_many_requests")
SENT: list[Event | Exception] = [TextDelta(" Sent."), RunFinished("succeeded")]


@asynccontextmanager
async def shown(world: World, form: FormRequested = FORM) -> AsyncGenerator[World]:
    """A reply whose card shows the form. The reply has ended when the block has."""
    world.source.says = world.source.says or pausing(form)
    async with begun(world.desk, 10):
        yield world


def text(world: World) -> str:
    return world.screen.cards[0].texts[-1]


def final(world: World) -> tuple[str, str] | None:
    return world.screen.cards[0].final


def kept(world: World) -> OpenReply:
    """What whoever takes over now would find."""
    return OpenReply.from_json(world.memory.open[-1].to_json())


class Looking(Source):
    """Looks at what is written down when a form comes to it."""

    world: World
    found: OpenReply

    async def go_on(
        self, form: FormRequested, action: str, inputs: Mapping[str, str], ids: Identified, user: str
    ) -> AsyncGenerator[Event]:
        self.found = kept(self.world)
        async for event in super().go_on(form, action, inputs, ids, user):
            yield event


@in_virtual_time
async def test_it_is_written_down_that_a_form_may_be_with_dify_before_it_is() -> None:
    """Or whoever takes over would show it again, to be answered once more."""
    source = Looking(goes_on=SENT)
    source.world = World(source)
    async with shown(source.world, PLAIN_FORM) as world:
        await press(world, "form:yes")
    assert source.found.form_gone


@in_virtual_time
async def test_a_form_that_is_handed_in_takes_no_later_message() -> None:
    async with shown(World(Source(goes_on=SENT)), PLAIN_FORM) as world:
        assert await world.memory.conversation(world.desk.form_key(DIRECT))
        await press(world, "form:yes")
    assert await world.memory.conversation(world.desk.form_key(DIRECT)) == ""


class TestNotTaken:
    @pytest.mark.parametrize("error", [AWAY, BROKEN, BUSY], ids=lambda error: type(error).__name__)
    def test_a_form_that_dify_did_not_take_is_shown_again_with_its_buttons_and_values(self, error: DifyError) -> None:
        @in_virtual_time
        async def run() -> None:
            async with shown(World(Source(goes_on=[error]))) as world:
                await fills_in(direct(text="by noon"), world.desk)
                await press(world, "form:yes")
                await anyio.sleep(2)
                assert EN.form_kept in text(world)
                assert EN.filled_in.format(fields="note: by noon") in text(world)
                assert world.screen.cards[0].buttons[-1] == ["form:yes", "form:no", STOP]
                world.source.goes_on = SENT
                await press(world, "form:no")
            assert [one[1:3] for one in world.source.handed_in] == [
                ("yes", {"note": "by noon"}),
                ("no", {"note": "by noon"}),
            ]
            assert final(world) == ("done", "Draft. Sent.")

        run()

    @in_virtual_time
    async def test_nothing_is_handed_in_again_by_itself(self) -> None:
        async with shown(World(Source(goes_on=[AWAY])), PLAIN_FORM) as world:
            await press(world, "form:yes")
            await anyio.sleep(3600)
            assert len(world.source.handed_in) == 1
            await press(world, STOP)
        assert final(world) == ("done", f"Draft.\n\n{EN.stopped}")

    @in_virtual_time
    async def test_what_dify_objects_to_is_said_and_can_be_corrected(self) -> None:
        async with shown(World(Source(goes_on=[REFUSED]))) as world:
            await fills_in(direct(text="by noon or maybe later"), world.desk)
            await press(world, "form:yes")
            await anyio.sleep(2)
            assert EN.form_refused.format(reason="note is too long") in text(world)
            world.source.goes_on = SENT
            await fills_in(direct(text="noon"), world.desk)
            await anyio.sleep(1)
            assert "note is too long" not in text(world)
            await press(world, "form:yes")
        assert [one[2] for one in world.source.handed_in][-1] == {"note": "noon"}
        assert final(world) == ("done", "Draft. Sent.")

    @pytest.mark.parametrize(
        ("error", "sentence"),
        [
            (DifyUnauthorized("401", status=401, code="unauthorized"), EN.misconfigured),
            (DifyRejected("404", status=404, code="not_found", detail="No form"), EN.failed.format(reason="No form")),
        ],
        ids=["401", "404"],
    )
    def test_a_refusal_for_good_ends_the_card(self, error: DifyError, sentence: str) -> None:
        @in_virtual_time
        async def run() -> None:
            async with shown(World(Source(goes_on=[error])), PLAIN_FORM) as world:
                await press(world, "form:yes")
            assert final(world) == ("failed", f"Draft.\n\n{sentence}")

        run()

    @in_virtual_time
    async def test_without_a_card_the_form_is_said_again(self) -> None:
        world = World(Source(goes_on=[AWAY]))
        world.screen.card_error = CardLost("never there", unseen="Draft. Sent.")
        async with shown(world, PLAIN_FORM) as world:
            world.screen.watches[0].hidden()
            await anyio.sleep(1)
            await press(world, "form:yes")
            await anyio.sleep(2)
            assert EN.form_kept not in world.screen.replies[0]
            assert EN.form_kept in world.screen.replies[1]
            world.source.goes_on = SENT
            await press(world, "form:yes")
        assert world.screen.replies[2:] == ["Draft. Sent."]

    @in_virtual_time
    async def test_an_action_that_is_pressed_twice_is_handed_in_once(self) -> None:
        async with shown(World(Source(goes_on=SENT)), PLAIN_FORM) as world:
            await press(world, "form:yes")
            await press(world, "form:no")
        assert [one[1] for one in world.source.handed_in] == ["yes"]


class TestShown:
    @in_virtual_time
    async def test_a_form_below_code_that_nobody_closed_is_no_code(self) -> None:
        says: list[Event | Exception] = [RUN, TextDelta("```python\nprint(1)"), PLAIN_FORM, RunPaused()]
        async with shown(World(Source(says, goes_on=SENT)), PLAIN_FORM) as world:
            assert text(world).startswith("```python\nprint(1)\n```\n\nSend it?")
            await press(world, STOP)

    @in_virtual_time
    async def test_a_stop_that_is_heard_after_the_time_of_the_form_is_a_stop(self) -> None:
        class Slow(Screen):
            async def send(self, incoming: Incoming, markdown: str, *, occasion: str = "") -> None:
                await anyio.sleep(30)
                await super().send(incoming, markdown, occasion=occasion)

        world = World(Source(follows=SENT), screen=Slow())
        async with shown(world, replace(PLAIN_FORM, expires_at=time.time() + 20)) as world:
            world.screen.watches[0].hidden()
            await anyio.sleep(1)
            await press(world, STOP)
        assert final(world) == ("done", f"Draft.\n\n{EN.stopped}")
        assert world.source.caught_up == []


class TestUnknownFate:
    @in_virtual_time
    async def test_a_form_that_dify_has_after_all_is_followed_without_a_press(self) -> None:
        world = World(Source(goes_on=[AWAY], waits=[AWAY, False], follows=[RUN, *SENT]))
        async with shown(world, PLAIN_FORM) as world:
            await press(world, "form:yes")
        assert world.source.looks == [pytest.approx(11 + LOOK_EVERY), pytest.approx(11 + 2 * LOOK_EVERY)]
        assert len(world.source.handed_in) == 1
        assert final(world) == ("done", "Draft. Sent.")

    @in_virtual_time
    async def test_a_form_that_dify_has_not_got_is_looked_up_no_more(self) -> None:
        async with shown(World(Source(goes_on=[AWAY], waits=[AWAY, True])), PLAIN_FORM) as world:
            await press(world, "form:yes")
            await anyio.sleep(10 * LOOK_EVERY)
            assert len(world.source.looks) == 2
            await press(world, STOP)

    @in_virtual_time
    async def test_a_form_that_was_never_handed_in_is_not_looked_up(self) -> None:
        async with shown(World(Source(goes_on=SENT)), PLAIN_FORM) as world:
            await anyio.sleep(10 * LOOK_EVERY)
            await press(world, "form:yes")
        assert world.source.looks == []

    @in_virtual_time
    async def test_a_press_while_it_is_looked_up_is_heard(self) -> None:
        async with shown(World(Source(goes_on=[AWAY], waits=[AWAY])), PLAIN_FORM) as world:
            await press(world, "form:yes")
            await anyio.sleep(2.5 * LOOK_EVERY)
            world.source.goes_on = SENT
            await press(world, "form:no")
        assert [one[1] for one in world.source.handed_in] == ["yes", "no"]

    @in_virtual_time
    async def test_a_form_that_somebody_else_handed_in_is_followed_and_said_so(self) -> None:
        world = World(
            Source(goes_on=[TAKEN], follows=[Waiting(1.0), RUN, TextDelta(" Dropped."), RunFinished("succeeded")])
        )
        async with shown(world, PLAIN_FORM) as world:
            await press(world, "form:yes")
        assert final(world) == ("done", f"{EN.form_taken}\n\nDraft. Dropped.")

    @in_virtual_time
    async def test_a_form_that_is_closed_and_whose_run_does_not_go_on_ends_the_card(self) -> None:
        async with shown(World(Source(goes_on=[TAKEN], follows=[FormWaits("silence")])), PLAIN_FORM) as world:
            await press(world, "form:yes")
        assert final(world) == ("failed", f"Draft.\n\n{EN.form_closed}")


def expiring(seconds: float) -> FormRequested:
    return replace(PLAIN_FORM, expires_at=time.time() + seconds)


class TestLate:
    @in_virtual_time
    async def test_what_dify_says_when_the_time_is_over_is_typed_into_the_card(self) -> None:
        world = World(Source(follows=[*[Waiting(1.0)] * 40, RUN, TextDelta(" Nobody came."), RunFinished("succeeded")]))
        async with shown(world, expiring(60)) as world:
            await anyio.sleep(70)
            assert text(world) == f"Draft.\n\nSend it?\n\n{EN.expired}"
            assert world.screen.cards[0].buttons[-1] == [STOP]
        assert final(world) == ("done", "Draft. Nobody came.")
        assert world.source.handed_in == []

    @pytest.mark.parametrize(
        "follows",
        [
            [FormWaits("silence")],
            [AWAY],
            [RunFinished("stopped", "Human input global timeout at node hi")],
            [RunFinished("succeeded")],
            [TextReplaced("Draft. "), RunFinished("succeeded")],
            [RunPaused()],
        ],
        ids=["waits", "away", "stopped", "nothing said", "told again", "paused"],
    )
    def test_where_nothing_follows_the_card_says_that_nobody_answered_in_time(self, follows: list[Event]) -> None:
        @in_virtual_time
        async def run() -> None:
            async with shown(World(Source(follows=list(follows))), expiring(60)) as world:
                pass
            state, words = final(world) or ("", "")
            assert state == "done"
            assert words.split() == f"Draft.\n\nSend it?\n\n{EN.expired}".split()

        run()

    @in_virtual_time
    async def test_a_branch_that_fails_says_why(self) -> None:
        async with shown(World(Source(follows=[RUN, Failed("x", "no credit")])), expiring(60)) as world:
            pass
        assert final(world) == ("failed", f"Draft.\n\n{EN.failed.format(reason='no credit')}")

    @in_virtual_time
    async def test_a_press_that_comes_too_late_for_dify_is_told_so_and_the_branch_is_followed(self) -> None:
        world = World(Source(goes_on=[EXPIRED], follows=[RUN, TextDelta(" Nobody came."), RunFinished("succeeded")]))
        async with shown(world, PLAIN_FORM) as world:
            await press(world, "form:yes")
            await anyio.sleep(1.5)
            assert EN.expired in text(world)
        assert final(world) == ("done", "Draft. Nobody came.")

    @in_virtual_time
    async def test_the_branch_may_ask_for_another_form(self) -> None:
        second = replace(PLAIN_FORM, content="Really not?", token="token-2")
        world = World(Source(follows=[RUN, TextDelta(" Hm."), second, RunPaused()], goes_on=SENT))
        async with shown(world, expiring(60)) as world:
            await anyio.sleep(60)
            assert "Really not?" in text(world)
            assert EN.expired not in text(world)
            await press(world, "form:yes")
        assert world.source.handed_in[0][0] == "token-2"
        assert final(world) == ("done", "Draft. Hm. Sent.")

    @in_virtual_time
    async def test_stop_is_heard_while_the_branch_is_waited_for(self) -> None:
        async with shown(World(Source(follows=[Waiting(15.0)] * 60)), expiring(60)) as world:
            await anyio.sleep(60)
            await press(world, STOP)
        assert final(world) == ("done", f"Draft.\n\n{EN.stopped}")


class TestTakingOver:
    @in_virtual_time
    async def test_a_form_of_unknown_fate_is_left_open_when_the_program_leaves(self) -> None:
        world = World(Source(pausing(PLAIN_FORM), goes_on=[Waiting(1.0)] * 1000))
        with anyio.move_on_after(15):
            async with shown(world, PLAIN_FORM) as world:
                await press(world, "form:yes")
        assert final(world) is None
        assert kept(world).form_gone

    @in_virtual_time
    async def test_whoever_takes_over_shows_a_form_again_that_dify_has_not_got(self) -> None:
        found = OpenReply(DIRECT, asked=True, ids=RUN, text="Draft.", form=PLAIN_FORM, form_gone=True)
        world = World(Source(follows=[FormWaits("The form is open.")], goes_on=SENT))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(resume, "r-1", found, world.desk)
            await anyio.sleep(5)
            assert "Send it?" in text(world)
            assert EN.form_kept in text(world)
            assert not kept(world).form_gone
            await press(world, "form:yes")
        assert final(world) == ("done", "Draft. Sent.")

    @in_virtual_time
    async def test_whoever_takes_over_follows_a_form_that_dify_has(self) -> None:
        found = OpenReply(DIRECT, asked=True, ids=RUN, text="Draft.", form=PLAIN_FORM, form_gone=True)
        world = World(Source(follows=[RUN, *SENT]))
        await resume("r-1", found, world.desk)
        assert final(world) == ("done", "Draft. Sent.")
        assert world.source.handed_in == []

    @in_virtual_time
    async def test_the_next_form_of_a_run_that_is_caught_up_with_is_the_one_shown(self) -> None:
        second = replace(PLAIN_FORM, content="Really?", token="token-2")
        found = OpenReply(DIRECT, asked=True, ids=RUN, text="Draft.", form=PLAIN_FORM, form_gone=True)
        world = World(Source(follows=[RUN, second, RunPaused()], goes_on=SENT))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(resume, "r-1", found, world.desk)
            await anyio.sleep(5)
            assert "Really?" in text(world)
            await press(world, "form:yes")
        assert world.source.handed_in[0][0] == "token-2"

    @in_virtual_time
    async def test_what_was_typed_is_there_after_a_restart(self) -> None:
        world = World(Source(pausing()))
        with anyio.move_on_after(12):
            async with shown(world) as world:
                await fills_in(direct(text="by noon"), world.desk)
        later = World(Source(goes_on=SENT))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(resume, "r-1", kept(world), later.desk)
            await anyio.sleep(5)
            assert EN.filled_in.format(fields="note: by noon") in text(later)
            await press(later, "form:yes")
        assert later.source.handed_in[0][2] == {"note": "by noon"}

    @in_virtual_time
    async def test_a_run_that_went_on_is_recalled_and_not_asked_for_its_form(self) -> None:
        world = World(Source(pausing(PLAIN_FORM), goes_on=[RUN, TextDelta(" Se"), *[TextDelta(".")] * 1000]))
        with anyio.move_on_after(15):
            async with shown(world, PLAIN_FORM) as world:
                await press(world, "form:yes")
        before = [record for _, record in world.memory.records if record.ending is None][-1]
        assert (before.form, before.form_gone) == (None, False)


def test_a_note_of_an_earlier_version_is_read_as_a_form_that_waits() -> None:
    note = OpenReply(DIRECT, asked=True, ids=Identified(), form=PLAIN_FORM).to_json()
    assert '"form_gone":false' in note
    older = note.replace('"form_gone":false,', "").replace(',"remark":"","uncertain":false', "")
    assert older != note
    assert OpenReply.from_json(older).form == PLAIN_FORM
