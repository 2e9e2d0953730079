"""Answers in one piece, from the bodies of blocking calls."""

import json
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.dify.outputs import answering, as_text, likeliest
from cardbot.dify.whole import WholeAnswer, whole_answer
from cardbot.errors import AnswerFailed, DifyError, DifyUnreachable
from cardbot.events import Usage

LIKELIEST = partial(answering, wanted="")

# Recorded from Dify 1.14.1, 2026-11; the usage of the second is shortened.
WORKFLOW = b"""\
{"task_id": "3a1d510f-5a78-4122-b0b8-c340ca0181a9", "workflow_run_id": "21532980-0128-46e6-aaf6-ab4c706fe2fb", \
"data": {"id": "21532980-0128-46e6-aaf6-ab4c706fe2fb", "workflow_id": "4575fef3-2596-4ee9-a0b9-3a875178deb9", \
"status": "succeeded", "outputs": {"result": "Fake answer (user turns=1, images=0): you said 'hello'."}, \
"error": null, "elapsed_time": 0.19066, "total_tokens": 21, "total_steps": 3, \
"created_at": 1795235362, "finished_at": 1795235363}}"""
COMPLETION = b"""\
{"event": "message", "task_id": "96f492bf-9cc4-4382-95d2-2165f06f307c", "id": "85e52d4c-4688-4fa6-93e5-17b37a4fa5ea", \
"message_id": "85e52d4c-4688-4fa6-93e5-17b37a4fa5ea", "mode": "completion", "answer": \
"Fake answer (user turns=1, images=0): you said 'hello\\n'.", "metadata": {"annotation_reply": null, \
"retriever_resources": [], "usage": {"prompt_tokens": 1, "completion_tokens": 14, "total_tokens": 15, \
"total_price": "0.0000000", "currency": "USD"}}, "created_at": 1795235389}"""


def test_a_recorded_workflow() -> None:
    answer = whole_answer(WORKFLOW, LIKELIEST)
    assert answer == WholeAnswer(
        "Fake answer (user turns=1, images=0): you said 'hello'.",
        workflow_run_id="21532980-0128-46e6-aaf6-ab4c706fe2fb",
        outputs={"result": "Fake answer (user turns=1, images=0): you said 'hello'."},
    )


def test_a_recorded_completion() -> None:
    answer = whole_answer(COMPLETION, LIKELIEST)
    assert str(answer) == "Fake answer (user turns=1, images=0): you said 'hello\n'."
    assert answer.usage == Usage(1, 14, 15, "0.0000000", "USD")


def test_a_workflow_that_failed_says_why_without_its_traceback() -> None:
    """Recorded from Dify 1.14.1: HTTP 200; shortened."""
    plugin = {"args": {"traceback": "Traceback …"}, "error_type": "InvokeError", "message": "[models] Error: no credit"}
    failed = {"status": "failed", "outputs": {}, "error": f"req_id: 2 PluginInvokeError: {json.dumps(plugin)}"}
    with pytest.raises(AnswerFailed) as error:
        whole_answer(json.dumps({"workflow_run_id": "r", "data": failed}).encode(), LIKELIEST)
    assert error.value.detail == "[models] Error: no credit"
    assert "Traceback" not in str(error.value)


def test_a_run_that_was_partly_successful_is_an_answer() -> None:
    body = {"data": {"status": "partial-succeeded", "outputs": {"answer": "Hello"}}}
    assert whole_answer(json.dumps(body).encode(), LIKELIEST).text == "Hello"


@pytest.mark.parametrize("body", [{"event": "workflow_paused", "answer": "x"}, {"data": {"status": "paused"}}])
def test_a_run_that_waits_is_no_answer(body: dict[str, Any]) -> None:
    with pytest.raises(AnswerFailed, match="waits for a person"):
        whole_answer(json.dumps(body).encode(), LIKELIEST)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null"])
def test_what_is_no_answer_is_not_dify(body: bytes) -> None:
    with pytest.raises(DifyUnreachable):
        whole_answer(body, LIKELIEST)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
)


@given(
    st.binary()
    | st.dictionaries(st.sampled_from(["answer", "data", "event"]), VALUES).map(lambda v: json.dumps(v).encode())
)
def test_any_body_is_an_answer_or_an_error_of_ours(body: bytes) -> None:
    with suppress(DifyError):
        assert isinstance(whole_answer(body, LIKELIEST).text, str)


@given(st.dictionaries(st.text(), VALUES), st.text())
def test_any_outputs_become_text(outputs: dict[str, Any], wanted: str) -> None:
    chosen = answering(outputs, wanted)
    assert all(isinstance(value, str) for value in chosen.values())
    assert isinstance(likeliest(chosen), str)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (None, ""),
        (True, "```json\ntrue\n```"),
        ([], "```json\n[]\n```"),
        ({"a": 1}, '```json\n{\n  "a": 1\n}\n```'),
    ],
)
def test_what_is_no_text_is_a_block_of_json(value: object, text: str) -> None:
    assert as_text(value) == text
