"""Finding an answer again, in virtual time."""

from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import pytest

from cardbot.dify.kept import StoredMessage, finished_run
from cardbot.dify.recall import recalled
from cardbot.errors import DifyError, DifyUnreachable
from cardbot.events import (
    Event,
    Failed,
    FormRequested,
    Identified,
    Interrupted,
    MessageEnded,
    RunFinished,
    RunPaused,
    TextReplaced,
    Waiting,
)
from tests.virtual import in_virtual_time

CHAT = Identified("c-1", "m-1", "t-1")
FLOW = Identified("c-1", "m-1", "t-1", "w-1")
EMPTY = StoredMessage("m-1", "hi", "", "normal", "")
WHOLE = StoredMessage("m-1", "hi", "Hello", "normal", "")
DONE = RunFinished("succeeded", "", {"answer": "Hello"})


@dataclass
class Dify:
    """Answers each look with the next state of the message, and of the run; the last one stays."""

    message: list[StoredMessage | DifyError] = field(default_factory=lambda: [EMPTY])
    ending: list[RunFinished | RunPaused | None] = field(default_factory=lambda: [None])
    looks: list[float] = field(default_factory=list)

    async def messages(self) -> tuple[StoredMessage, ...]:
        self.looks.append(anyio.current_time())
        state = self.message.pop(0) if len(self.message) > 1 else self.message[0]
        if isinstance(state, DifyError):
            raise state
        return (StoredMessage("m-0", "before", "other", "normal", ""), state)

    async def run(self) -> RunFinished | RunPaused | None:
        return self.ending.pop(0) if len(self.ending) > 1 else self.ending[0]


async def found(ids: Identified, dify: Dify, *, is_over: Callable[[], bool] = lambda: False) -> list[Event]:
    return [event async for event in recalled(ids, dify, patience=60.0, is_over=is_over)]


@in_virtual_time
async def test_a_message_that_dify_kept_is_the_answer() -> None:
    assert await found(CHAT, Dify([WHOLE])) == [TextReplaced("Hello"), MessageEnded()]


@in_virtual_time
async def test_a_message_that_failed_says_why() -> None:
    failed = StoredMessage("m-1", "hi", "Hel", "error", "no credit")
    assert await found(CHAT, Dify([failed])) == [TextReplaced("Hel"), Failed("", "no credit")]


@in_virtual_time
async def test_a_chat_app_that_forgot_is_not_asked_for_long() -> None:
    dify = Dify()
    assert await found(CHAT, dify) == [Interrupted("the stream ended without an end")]
    assert len(dify.looks) == 2
    assert anyio.current_time() < 5


@in_virtual_time
async def test_a_run_that_goes_on_is_waited_for() -> None:
    events = await found(FLOW, Dify([EMPTY, EMPTY, EMPTY, WHOLE]))
    assert events[-2:] == [TextReplaced("Hello"), MessageEnded()]
    assert [type(event) for event in events[:-2]] == [Waiting] * 3


@in_virtual_time
async def test_a_run_keeps_what_its_message_lost() -> None:
    assert (await found(FLOW, Dify(ending=[None, DONE])))[-1] == DONE


@in_virtual_time
async def test_a_run_that_never_ends_is_given_up() -> None:
    events = await found(FLOW, Dify())
    assert events[-1] == Interrupted("the stream ended without an end")
    assert 40 < anyio.current_time() <= 60


@in_virtual_time
async def test_a_look_that_fails_is_repeated() -> None:
    dify = Dify([DifyUnreachable("down"), WHOLE])
    assert await found(CHAT, dify) == [TextReplaced("Hello"), MessageEnded()]


@in_virtual_time
async def test_without_a_message_there_is_nothing_to_look_for() -> None:
    dify = Dify([WHOLE])
    assert await found(Identified(task_id="t-1"), dify) == [Interrupted("the stream ended without an end")]
    assert dify.looks == []


@in_virtual_time
async def test_when_nobody_waits_any_more_the_search_ends() -> None:
    dify = Dify()
    assert await found(FLOW, dify, is_over=lambda: True) == [Interrupted("the stream ended without an end")]
    assert dify.looks == []


@pytest.mark.parametrize(
    ("body", "ending"),
    [
        (b'{"status": "running", "outputs": {}}', None),
        (b'{"status": "paused", "outputs": {}}', RunPaused()),
        (b'{"status": "succeeded", "outputs": "{\\"answer\\": \\"Hello\\"}"}', DONE),  # 0.15.8
        (b'{"status": "succeeded", "outputs": {"answer": "Hello"}}', DONE),
        (b'{"status": "failed", "error": "no credit", "outputs": null}', RunFinished("failed", "no credit", {})),
    ],
)
def test_what_a_run_says_of_its_end(body: bytes, ending: RunFinished | RunPaused | None) -> None:
    assert finished_run(body) == ending


def test_a_page_that_is_no_run_is_an_error() -> None:
    with pytest.raises(DifyUnreachable):
        finished_run(b"<html>")


# Runs that wait for a person.

FORM = FormRequested("Approve", "Buy a boat?", (), ({"id": "yes"},), "tok-1")
WAITS = StoredMessage("m-1", "hi", "So far", "paused", "", forms=(FORM,))
GOES_ON = StoredMessage("m-1", "hi", "So far", "paused", "", resumed=True)


@in_virtual_time
async def test_a_message_that_waits_shows_its_form_again() -> None:
    assert await found(FLOW, Dify([WAITS], [RunPaused()])) == [TextReplaced("So far"), FORM, RunPaused()]


@in_virtual_time
async def test_a_form_that_was_handed_in_is_not_waited_for() -> None:
    """Dify calls the message paused until its run has ended."""
    whole = StoredMessage("m-1", "hi", "So far, so good", "normal", "", resumed=True)
    events = await found(FLOW, Dify([GOES_ON, GOES_ON, whole], [RunPaused(), None]))
    told = [event for event in events if not isinstance(event, Waiting)]
    assert told == [TextReplaced("So far, so good"), MessageEnded()]


@in_virtual_time
async def test_a_run_that_goes_on_without_its_form_is_not_taken_for_one_that_waits() -> None:
    """Its time was over: the form was never handed in, and the message is `paused` until the run has ended."""
    whole = StoredMessage("m-1", "hi", "So far, so late", "normal", "", forms=(FORM,))
    events = await found(FLOW, Dify([WAITS, WAITS, whole], [None]))
    told = [event for event in events if not isinstance(event, Waiting)]
    assert told == [TextReplaced("So far, so late"), MessageEnded()]


@in_virtual_time
async def test_a_run_that_was_stopped_while_it_waited_does_not_wait_any_more() -> None:
    """Its message stays `paused` for ever."""
    stopped = RunFinished("stopped", "Human input global timeout at node hi")
    assert await found(FLOW, Dify([WAITS], [stopped])) == [stopped]


@in_virtual_time
async def test_a_workflow_is_found_by_its_run_alone() -> None:
    ids = Identified(workflow_run_id="w-1")
    assert (await found(ids, Dify(ending=[None, DONE])))[-2:] == [TextReplaced("Hello"), DONE]


@in_virtual_time
async def test_a_workflow_that_waits_is_paused() -> None:
    assert await found(Identified(workflow_run_id="w-1"), Dify(ending=[RunPaused()])) == [RunPaused()]


@in_virtual_time
async def test_a_completion_app_keeps_nothing_that_could_be_asked_for() -> None:
    dify = Dify([WHOLE])
    assert await found(Identified(message_id="m-1"), dify) == [Interrupted("the stream ended without an end")]
    assert not dify.looks
