"""Orders of events that differ by version of Dify, folded to the text and the state that a person sees."""

from itertools import permutations

import pytest

from cardbot.answer import Answer, Outcome
from cardbot.events import (
    AgentDelta,
    Event,
    Failed,
    FileProduced,
    FormRequested,
    Identified,
    Interrupted,
    MessageEnded,
    ReasoningDelta,
    RunFinished,
    RunPaused,
    TextDelta,
    TextReplaced,
    Thought,
    Waiting,
)
from cardbot.texts import EN

CHAT = Identified(conversation_id="c-1", message_id="m-1", task_id="t-1")
FLOW = Identified(conversation_id="c-1", message_id="m-1", task_id="t-1", workflow_run_id="r-1")
WORKFLOW = Identified(task_id="t-1", workflow_run_id="r-1")
HELLO = (TextDelta("Hel"), TextDelta("lo"))
GOOD_RUN = RunFinished("succeeded", outputs={"answer": "Hello"})


def answer(*events: Event) -> Answer:
    folded = Answer(EN)
    for event in events:
        folded.apply(event)
    return folded


def ended(*events: Event) -> Answer:
    folded = answer(*events)
    folded.close()
    return folded


@pytest.mark.parametrize("ends", [*permutations([MessageEnded(), GOOD_RUN]), (MessageEnded(),), (GOOD_RUN,)])
def test_either_good_end_is_enough_in_any_order(ends: tuple[Event, ...]) -> None:
    done = ended(FLOW, *HELLO, *ends)
    assert (done.outcome, done.markdown) == (Outcome.SUCCEEDED, "Hello")


def test_a_failure_after_message_end_is_ignored() -> None:
    """From 1.15 a bogus failed run follows a perfectly good annotation reply (langgenius/dify#42722)."""
    done = ended(CHAT, *HELLO, MessageEnded(), RunFinished("failed", "ended without a terminal event"))
    assert (done.outcome, done.markdown) == (Outcome.SUCCEEDED, "Hello")


@pytest.mark.parametrize(
    "ends",
    [
        (RunFinished("failed", "no credit"),),
        (Failed("completion_request_error", "no credit", 400),),
        (RunFinished("failed", "no credit"), Failed("invalid_param", "Run failed: no credit", 400)),
    ],
)
def test_a_failure_shows_what_arrived_and_then_the_reason(ends: tuple[Event, ...]) -> None:
    done = ended(FLOW, *HELLO, *ends)
    assert done.failed
    assert done.markdown == f"Hello\n\n{EN.failed.format(reason='no credit')}"


def test_a_failure_amid_a_code_block_leaves_the_block_first() -> None:
    done = ended(CHAT, TextDelta("```py\nx = 1"), Failed("x", "no credit"))
    assert done.markdown == f"```py\nx = 1\n```\n\n{EN.failed.format(reason='no credit')}"


def test_a_failure_without_a_reason_still_says_something() -> None:
    assert ended(Failed("internal_server_error", "")).markdown == EN.failed.format(reason="internal_server_error")


@pytest.mark.parametrize("end", [Failed("", ""), RunFinished("")])
def test_a_failure_that_says_nothing_does_not_end_in_a_colon(end: Event) -> None:
    assert ended(CHAT, end).markdown == EN.failed.format(reason="?")


def test_a_replacement_replaces_and_later_text_is_appended() -> None:
    done = ended(CHAT, *HELLO, TextReplaced("Censored"), TextDelta("."), MessageEnded())
    assert done.markdown == "Censored."


def test_a_replacement_between_the_two_ends_of_older_chatflows_counts() -> None:
    done = ended(FLOW, *HELLO, GOOD_RUN, TextReplaced("Censored"), MessageEnded())
    assert done.markdown == "Censored"


def test_outputs_do_not_bring_back_what_was_replaced() -> None:
    assert ended(FLOW, *HELLO, TextReplaced("Censored"), GOOD_RUN).markdown == "Censored"


def test_a_run_stopped_by_moderation_is_a_good_end() -> None:
    done = ended(FLOW, *HELLO, TextReplaced("Censored"), RunFinished("stopped", "Stopped by output moderation."))
    assert (done.outcome, done.markdown) == (Outcome.SUCCEEDED, "Censored")


def test_text_that_the_relay_lost_is_taken_from_the_outputs() -> None:
    assert ended(FLOW, TextDelta("Hel"), MessageEnded(), GOOD_RUN).markdown == "Hello"


def test_outputs_that_differ_in_white_space_only_change_nothing() -> None:
    done = ended(FLOW, TextDelta("a\n\nb"), RunFinished("succeeded", outputs={"answer": "a\n\n\nb"}))
    assert done.markdown == "a\n\nb"


def test_outputs_that_hold_a_part_of_the_answer_take_nothing_away() -> None:
    """Where two Answer nodes speak, nobody promises that the run's output holds both."""
    assert ended(FLOW, *HELLO, TextDelta(" world"), MessageEnded(), GOOD_RUN).markdown == "Hello world"


def test_outputs_bring_back_an_answer_of_which_only_the_thinking_arrived() -> None:
    done = ended(FLOW, TextDelta("<think>I shall say Hello</think>"), MessageEnded(), GOOD_RUN)
    assert done.markdown == "Hello"


def test_agent_text_is_the_answer_when_nothing_else_comes() -> None:
    assert ended(CHAT, AgentDelta("Hel"), AgentDelta("lo"), MessageEnded()).markdown == "Hello"


def test_the_first_message_after_agent_text_begins_the_answer_anew() -> None:
    """Dify 1.16's New Agent streams its rounds as `agent_message` and closes with the answer as `message`."""
    done = ended(
        CHAT, AgentDelta("I will look. "), AgentDelta("Hello"), TextDelta("Hel"), TextDelta("lo"), MessageEnded()
    )
    assert done.markdown == "Hello"


@pytest.mark.parametrize("empty", [(TextDelta(""),), (TextDelta(""), TextDelta(""))])
def test_an_empty_message_after_agent_text_begins_nothing_anew(empty: tuple[Event, ...]) -> None:
    assert ended(CHAT, AgentDelta("Hello"), *empty, MessageEnded()).markdown == "Hello"
    assert ended(CHAT, AgentDelta("I look. "), *empty, TextDelta("Hello"), MessageEnded()).markdown == "Hello"


def test_a_thought_is_kept_by_its_id_and_never_added_to_the_text() -> None:
    done = answer(
        CHAT,
        Thought("th-1", 1, "", "", "", ""),
        AgentDelta("Hello"),
        Thought("th-1", 1, "Hello", "clock", "{}", ""),
        Thought("th-1", 1, "Hello", "clock", "{}", "12:00"),
    )
    assert done.markdown == "Hello"
    assert [thought.observation for thought in done.thoughts.values()] == ["12:00"]


def test_a_tool_at_work_is_named_until_there_is_text() -> None:
    busy = answer(CHAT, Thought("th-1", 1, "", "clock", "{}", ""))
    assert busy.markdown == EN.working.format(step="clock")
    busy.apply(AgentDelta("It is"))
    assert busy.markdown == "It is"


def test_thinking_is_a_state_and_not_text() -> None:
    thinking = answer(CHAT, TextDelta("<thi"), TextDelta("nk>hm"))
    assert thinking.markdown == EN.thinking
    thinking.apply(TextDelta("m</think>\n\nHello"))
    assert (thinking.markdown, thinking.reasoning) == ("Hello", "hmm")


def test_reasoning_told_apart_by_dify_is_a_state_too() -> None:
    thinking = answer(CHAT, ReasoningDelta("hm"))
    assert thinking.markdown == EN.thinking
    thinking.apply(TextDelta("Hello"))
    assert (thinking.markdown, thinking.reasoning) == ("Hello", "hm")


def test_what_may_become_a_tag_is_text_at_the_end() -> None:
    assert ended(CHAT, TextDelta("a <th"), MessageEnded()).markdown == "a <th"


def test_waiting_shows_until_something_comes() -> None:
    waiting = answer(Waiting(25.0))
    assert waiting.markdown == EN.waiting
    waiting.apply(TextDelta("Hello"))
    assert waiting.markdown == "Hello"


def test_an_answer_without_an_end_is_interrupted() -> None:
    done = ended(CHAT, *HELLO)
    assert (done.outcome, done.markdown) == (Outcome.INTERRUPTED, f"Hello\n\n{EN.interrupted}")


def test_an_interruption_before_the_first_word_is_a_failure() -> None:
    assert ended(CHAT, Interrupted("cut")).failed
    assert not ended(CHAT, *HELLO, Interrupted("cut")).failed


def test_an_interruption_before_the_first_word_says_so() -> None:
    assert ended(CHAT, Interrupted("cut")).markdown == EN.lost


def test_an_empty_answer_says_so() -> None:
    assert ended(CHAT, MessageEnded()).markdown == EN.no_answer


def test_a_stopped_answer_keeps_its_text() -> None:
    assert ended(FLOW, *HELLO, RunFinished("stopped", "Stopped by user.")).markdown == f"Hello\n\n{EN.stopped}"


def test_a_stop_that_dify_reports_as_a_failure_is_a_stop() -> None:
    """From 1.13: the engine's abort may overtake the stop."""
    done = ended(FLOW, *HELLO, RunFinished("failed", "User requested stop"))
    assert (done.outcome, done.markdown) == (Outcome.STOPPED, f"Hello\n\n{EN.stopped}")


def test_a_paused_run_shows_the_form() -> None:
    done = ended(FLOW, FormRequested("Approve", "Buy a boat?", (), (), "token"), RunPaused())
    assert (done.outcome, done.markdown) == (Outcome.PAUSED, f"Buy a boat?\n\n{EN.paused}")


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ({"anything": "Hello"}, "Hello"),
        ({"score": 3, "text": "Hello", "title": "T"}, "Hello"),
        ({"one": "Hello", "two": "world"}, "Hello\n\nworld"),
        ({"score": 3}, EN.no_answer),
    ],
)
def test_a_workflow_that_streams_nothing_answers_with_its_outputs(outputs: dict[str, object], text: str) -> None:
    assert ended(WORKFLOW, RunFinished("succeeded", outputs=outputs)).markdown == text


def test_a_refusal_of_ours_is_said_in_its_own_words() -> None:
    refused = Answer(EN)
    refused.refuse(EN.busy)
    refused.close()
    assert (refused.failed, refused.markdown) == (True, EN.busy)


# Files that an answer produces.

PICTURE = FileProduced("f-1", "image", "https://dify.example/files/tools/boat.png?sign=1", "assistant")
SIGNED_ANEW = FileProduced("f-2", "image", "https://dify.example/files/tools/boat.png?sign=2", "assistant")
SHOWN = "![boat.png](https://dify.example/files/tools/boat.png?sign=1)"


def test_files_come_after_the_text_when_it_is_over() -> None:
    assert answer(CHAT, PICTURE, *HELLO).markdown == "Hello"
    assert ended(CHAT, PICTURE, *HELLO, MessageEnded()).markdown == f"Hello\n\n{SHOWN}"


def test_files_that_there_are_stay_when_the_answer_fails_or_is_stopped() -> None:
    assert ended(CHAT, *HELLO, PICTURE, Interrupted("cut")).markdown == f"Hello\n\n{SHOWN}\n\n{EN.interrupted}"
    stopped = answer(CHAT, *HELLO, PICTURE)
    stopped.stop()
    assert stopped.markdown == f"Hello\n\n{SHOWN}\n\n{EN.stopped}"


def test_a_file_alone_is_an_answer() -> None:
    assert ended(CHAT, PICTURE, MessageEnded()).markdown == SHOWN


def test_a_file_that_is_told_twice_or_that_the_text_links_is_there_once() -> None:
    assert ended(CHAT, PICTURE, SIGNED_ANEW, MessageEnded()).markdown.count("![") == 1
    assert ended(CHAT, TextDelta(f"Look: {SHOWN}"), SIGNED_ANEW, MessageEnded()).markdown == f"Look: {SHOWN}"


def test_what_the_person_sent_is_no_file_of_the_answer() -> None:
    sent = FileProduced("f-1", "image", "https://dify.example/files/1/mine.png", "user")
    assert ended(CHAT, sent, *HELLO, MessageEnded()).markdown == "Hello"


def test_a_text_that_ends_in_an_open_block_of_code_does_not_swallow_the_files() -> None:
    assert ended(CHAT, TextDelta("```py\nx"), PICTURE, MessageEnded()).markdown == f"```py\nx\n```\n\n{SHOWN}"


def test_links_to_difys_own_files_get_its_host_and_what_was_streamed_is_still_known_as_such() -> None:
    folded = Answer(EN, base="https://dify.example/v1")
    text = "See [a](/files/a.png)."
    for event in (FLOW, TextDelta(text), RunFinished("succeeded", outputs={"answer": text}), MessageEnded()):
        folded.apply(event)
    assert folded.markdown == "See [a](https://dify.example/files/a.png)."
