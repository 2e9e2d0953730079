"""An answer as a caller sees it: what is new of it, whatever Dify takes back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot import events
from cardbot.web.account import Account, Growth

ENDED = events.MessageEnded(events.Usage(1, 2, 3, "0", "USD"))


def told(*happened: events.Event) -> tuple[Account, str]:
    """The account after its end, and all text that was told, one event after the other."""
    account, text = Account(), ""
    for event in happened:
        account.take(event)
        text += account.news()[1]
    account.close()
    return account, text + account.news()[1]


def ending(*happened: events.Event) -> Any:
    account = Account()
    for event in happened:
        account.take(event)
    refusal = account.close()
    return refusal and (refusal.status, refusal.code, refusal.again)


@given(st.lists(st.text()))
def test_a_text_that_grows_is_told_once(pieces: list[str]) -> None:
    growth, text, news = Growth(), "", ""
    for piece in pieces:
        text += piece
        news += growth.news(text)
    assert news == text
    assert not growth.differs(text)


@given(st.lists(st.text(alphabet="ab\n")))
def test_what_was_told_ends_with_the_text_that_counts(texts: list[str]) -> None:
    growth, told = Growth(), ""
    for text in texts:
        told += growth.news(text)
        assert told.endswith(text) or growth.differs(text)


def test_a_text_that_goes_another_way_begins_after_a_blank_line() -> None:
    account, text = told(events.TextDelta("Secret"), events.TextReplaced("I cannot"), events.TextDelta(" say."), ENDED)
    assert (text, account.finish_reason) == ("Secret\n\nI cannot say.", "content_filter")


def test_a_replacement_that_goes_on_as_before_is_no_break() -> None:
    """So Dify's kept answer arrives after a stream that broke."""
    account, text = told(events.TextDelta("It is"), events.TextReplaced("It is sunny."), ENDED)
    assert (text, account.finish_reason) == ("It is sunny.", "stop")


def test_a_replacement_that_takes_the_end_back_is_told_by_the_reason() -> None:
    account, text = told(events.TextDelta("It is sunny."), events.TextReplaced("It"), ENDED)
    assert (text, account.finish_reason) == ("It is sunny.", "content_filter")


def test_a_replacement_before_anything_was_told_leaves_no_trace() -> None:
    account = Account()
    for event in (events.TextDelta("Secret"), events.TextReplaced("No."), ENDED):
        account.take(event)
    account.close()
    assert (account.news(), account.finish_reason) == (("", "No."), "stop")


def test_an_agent_that_says_its_answer_again_is_told_once() -> None:
    account, text = told(
        events.AgentDelta("It is sunny."), events.TextDelta("It is"), events.TextDelta(" sunny."), ENDED
    )
    assert (text, account.finish_reason) == ("It is sunny.", "stop")


def test_an_agent_that_says_something_else_at_its_end_is_no_moderation() -> None:
    account, text = told(events.AgentDelta("Let me look."), events.TextDelta("It is sunny."), ENDED)
    assert (text, account.finish_reason) == ("Let me look.\n\nIt is sunny.", "stop")


def test_an_end_that_looked_like_a_tag_is_told_at_last() -> None:
    assert told(events.TextDelta("1 <"), ENDED)[1] == "1 <"


def test_thinking_of_both_kinds_is_told_apart() -> None:
    account = Account()
    account.take(events.ReasoningDelta("hm "))
    assert account.news() == ("hm ", "")
    account.take(events.ReasoningDelta("hm"))
    account.take(events.TextDelta("Sunny"))
    assert account.news() == ("hm", "Sunny")
    assert told(events.TextDelta("<think>hm</think>Sunny"), ENDED)[1] == "Sunny"


def test_usage_is_what_dify_counts() -> None:
    usage = told(events.TextDelta("hi"), ENDED)[0].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (1, 2, 3)
    assert told(events.TextDelta("hi"), events.MessageEnded())[0].usage is None


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        ([ENDED], None),
        ([ENDED, events.Failed("x", "late")], None),
        ([events.RunFinished("succeeded", outputs={"answer": "hi"})], None),
        ([events.Failed("completion_request_error", "no credit")], (502, "completion_request_error", False)),
        ([events.RunFinished("failed", "no credit")], (502, "dify_failed", False)),
        ([events.RunFinished("stopped")], (502, "answer_stopped", False)),
        ([events.RunPaused()], (501, "answer_paused", False)),
        ([events.Interrupted("x")], (502, "answer_interrupted", False)),
        ([], (502, "answer_interrupted", False)),
        ([events.TextDelta("hi"), events.Waiting(25), events.Interrupted("x")], (504, "dify_timeout", False)),
        ([events.Waiting(25), events.TextDelta("hi"), events.Interrupted("x")], (502, "answer_interrupted", False)),
    ],
)
def test_each_end_has_a_status(happened: list[events.Event], expected: Any) -> None:
    assert ending(*happened) == expected
