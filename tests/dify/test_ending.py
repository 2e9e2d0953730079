"""When a stream is over, in the orders of events of the versions in the field."""

from itertools import permutations

import pytest

from cardbot.dify.ending import GRACE_FOR_MESSAGE_END, GRACE_FOR_RUN_END, Ending
from cardbot.events import (
    Event,
    Failed,
    Identified,
    MessageEnded,
    RunFinished,
    RunPaused,
    StepFinished,
    TextDelta,
    TextReplaced,
    Thought,
)

CHAT = Identified(conversation_id="c-1", message_id="m-1", task_id="t-1")
FLOW = Identified(conversation_id="c-1", message_id="m-1", task_id="t-1", workflow_run_id="r-1")
WORKFLOW = Identified(task_id="t-1", workflow_run_id="r-1")
GOOD_RUN = RunFinished("succeeded")


def grace(*events: Event) -> float | None:
    ending = Ending()
    for event in events:
        ending.saw(event)
    return ending.grace


def test_an_answer_under_way_is_read_on() -> None:
    thought = Thought("th-1", 1, "", "", "", "")
    assert grace(FLOW, TextDelta("a"), thought, TextReplaced("b"), StepFinished("n", "llm", "failed", "")) is None


def test_a_chat_apps_message_end_ends_at_once() -> None:
    assert grace(CHAT, TextDelta("a"), MessageEnded()) == 0


def test_a_moderated_chatflow_ends_with_its_message_end() -> None:
    """No run ever starts, and 1.14.1 keeps the connection open for five minutes (seen)."""
    assert grace(CHAT, TextDelta("I cannot answer that."), MessageEnded()) == 0


def test_a_chatflows_message_end_leaves_time_for_the_run_end() -> None:
    assert grace(FLOW, MessageEnded()) == GRACE_FOR_RUN_END


@pytest.mark.parametrize("status", ["succeeded", "partial-succeeded"])
def test_a_chatflows_good_run_leaves_time_for_message_end(status: str) -> None:
    assert grace(FLOW, RunFinished(status)) == GRACE_FOR_MESSAGE_END


@pytest.mark.parametrize("ends", [*permutations([MessageEnded(), GOOD_RUN])])
def test_both_ends_in_any_order_are_the_end(ends: tuple[Event, ...]) -> None:
    assert grace(FLOW, *ends) == 0


def test_a_replacement_between_the_ends_prolongs_nothing() -> None:
    assert grace(FLOW, GOOD_RUN, TextReplaced("Censored")) == GRACE_FOR_MESSAGE_END


def test_a_workflow_app_has_no_message_to_wait_for() -> None:
    assert grace(WORKFLOW, GOOD_RUN) == 0


@pytest.mark.parametrize("status", ["failed", "stopped", "no-such-status", ""])
def test_no_message_end_is_waited_for_after_any_other_run_end(status: str) -> None:
    """From 1.13 on the relay stops there; up to 1.12 what follows says nothing new."""
    assert grace(FLOW, RunFinished(status)) == 0


@pytest.mark.parametrize("end", [RunPaused(), Failed("invalid_param", "no credit", 400)])
def test_a_pause_or_an_error_ends_at_once(end: Event) -> None:
    assert grace(FLOW, end) == 0


def test_a_failure_after_message_end_ends_at_once() -> None:
    assert grace(FLOW, MessageEnded(), RunFinished("failed")) == 0


def test_an_end_without_any_id_is_an_end() -> None:
    assert grace(RunFinished("failed")) == 0
    assert grace(MessageEnded()) == 0
