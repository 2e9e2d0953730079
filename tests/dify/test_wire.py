"""Dify's JSON to events, one by one, as documented, as seen, and as nobody should send it."""

import json
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot import errors, events
from cardbot.answer import Answer
from cardbot.dify.ending import Ending
from cardbot.dify.kept import stored_messages
from cardbot.dify.outputs import answering
from cardbot.dify.refusal import REASON_LIMIT, reason, rejection
from cardbot.dify.wire import SILENT_EVENTS, EventReader
from cardbot.sse import Decoder
from cardbot.texts import EN

TRACEBACK = 'Traceback (most recent call last):\n  File "/app/llm.py", line 607, in generate\n    yield from x\n'
PLUGIN_ERROR = json.dumps(
    {
        "args": {"description": "[models] Error: no credit", "traceback": TRACEBACK},
        "error_type": "InvokeError",
        "message": "[models] Error: no credit",
    }
)

NAMES = [
    *("message", "agent_message", "message_file", "message_replace", "message_end", "agent_thought", "error"),
    *("text_chunk", "text_replace", "reasoning_chunk", "workflow_started", "workflow_finished", "workflow_paused"),
    *("node_started", "node_finished", "node_retry", "human_input_required", "ping", "no_such_event"),
]
FIELDS = [
    *("answer", "data", "metadata", "usage", "retriever_resources", "status", "error", "outputs", "inputs", "actions"),
    *("conversation_id", "message_id", "task_id", "workflow_run_id", "id", "position", "thought", "tool", "message"),
    *("score", "text", "code", "form_content", "url", "type", "reasoning", "observation", "total_price"),
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=10,
)
EVENTS = st.builds(
    lambda name, fields: {**fields, "event": name},
    st.sampled_from(NAMES) | VALUES,
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8),
)


def read(event: str, **fields: Any) -> list[events.Event]:
    return list(EventReader().read(json.dumps({"event": event, **fields})))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"event": "message", "answer": "Hi"}, events.TextDelta("Hi")),
        ({"event": "agent_message", "answer": "Hi"}, events.AgentDelta("Hi")),
        ({"event": "text_chunk", "data": {"text": "Hi"}}, events.TextDelta("Hi")),
        ({"event": "message_replace", "answer": "No.", "reason": ""}, events.TextReplaced("No.")),
        ({"event": "text_replace", "data": {"text": "No."}}, events.TextReplaced("No.")),
        ({"event": "reasoning_chunk", "data": {"reasoning": "hm", "is_final": False}}, events.ReasoningDelta("hm")),
        (
            {"event": "agent_thought", "id": "th", "position": 2, "thought": None, "tool": "clock", "observation": ""},
            events.Thought("th", 2, "", "clock", "", ""),
        ),
        (
            {"event": "message_file", "id": "f-1", "type": "image", "belongs_to": "assistant", "url": "/files/f-1"},
            events.FileProduced("f-1", "image", "/files/f-1", "assistant"),
        ),
        ({"event": "error", "code": "x", "message": "no", "status": 400}, events.Failed("x", "no", 400)),
        (
            {"event": "node_started", "data": {"node_id": "n", "node_type": "llm", "title": "Ask"}},
            events.StepStarted("n", "llm", "Ask"),
        ),
        (
            {"event": "node_finished", "data": {"node_id": "n", "node_type": "llm", "status": "failed", "error": "e"}},
            events.StepFinished("n", "llm", "failed", "e"),
        ),
        (
            {"event": "node_retry", "data": {"node_id": "n", "node_type": "llm", "status": "failed", "error": "e"}},
            events.StepFinished("n", "llm", "retry", "e"),
        ),
        (
            {"event": "workflow_finished", "data": {"status": "succeeded", "error": None, "outputs": {"answer": "Hi"}}},
            events.RunFinished("succeeded", "", {"answer": "Hi"}),
        ),
        ({"event": "workflow_paused", "data": {"paused_nodes": ["n"]}}, events.RunPaused()),
        (
            {
                "event": "human_input_required",
                "data": {"node_title": "Approve", "form_content": "?", "inputs": None, "form_token": None},
            },
            events.FormRequested("Approve", "?", (), (), ""),
        ),
    ],
    ids=lambda value: value["event"] if isinstance(value, dict) else None,
)
def test_each_event_becomes_one_of_ours(event: dict[str, Any], expected: events.Event) -> None:
    assert list(EventReader().read(json.dumps(event))) == [expected]


def test_message_end_carries_usage_and_sources() -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17, "total_price": "0E-7", "currency": "USD"}
    source = {"position": 1, "dataset_name": "Handbook", "document_name": "leave.md", "score": 0.5}
    assert read("message_end", metadata={"usage": usage, "retriever_resources": [source, None]}, files=None) == [
        events.MessageEnded(events.Usage(12, 5, 17, "0E-7", "USD"), (events.Source(1, "Handbook", "leave.md", 0.5),))
    ]


@pytest.mark.parametrize("metadata", [None, {}, [], {"usage": None, "retriever_resources": "x"}])
def test_message_end_without_details_is_an_end_all_the_same(metadata: object) -> None:
    assert read("message_end", metadata=metadata) == [events.MessageEnded()]


FILE = {"dify_model_identity": "__dify__file__", "type": "image", "filename": "a.png", "url": "/files/1/file-preview"}


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://dify.example.com/v1", "https://dify.example.com/files/f-1?sign=a"),
        ("http://10.0.0.1:5001/v1", "http://10.0.0.1:5001/files/f-1?sign=a"),
        ("", "/files/f-1?sign=a"),
    ],
)
def test_a_file_without_a_host_is_at_difys(base: str, url: str) -> None:
    """Seen: github.com/langgenius/dify/issues/22552."""
    told = {"event": "message_file", "id": "f-1", "type": "image", "url": "/files/f-1?sign=a"}
    assert list(EventReader(base=base).read(json.dumps(told))) == [events.FileProduced("f-1", "image", url, "")]


@pytest.mark.parametrize(("wanted", "files"), [("", ["a.png", "a.png"]), ("picture", ["a.png"]), ("text", [])])
def test_the_files_of_a_run_are_those_of_the_outputs_that_are_its_answer(wanted: str, files: list[str]) -> None:
    outputs = {"text": "Hi", "picture": FILE, "more": [FILE], "score": {"no": "file"}}
    reader = EventReader(outputs=partial(answering, wanted=wanted), base="https://dify.example.com/v1")
    happened = list(reader.read(json.dumps({"event": "workflow_finished", "data": {"outputs": outputs}})))
    assert [event.name for event in happened if isinstance(event, events.FileProduced)] == files
    assert isinstance(happened[-1], events.RunFinished)


def test_a_message_file_that_carries_text_is_text() -> None:
    """Seen: 1.12.1 streams the whole answer so when the question has an image."""
    assert read("message_file", id="m-1", answer="Hi") == [events.TextDelta("Hi")]


@pytest.mark.parametrize("name", sorted(SILENT_EVENTS))
def test_known_events_without_news_are_silent(name: str) -> None:
    reader = EventReader()
    assert list(reader.read(json.dumps({"event": name, "data": {}}))) == []
    assert not reader.unknown


def test_unknown_events_are_skipped_and_remembered() -> None:
    reader = EventReader()
    assert list(reader.read('{"event":"brand_new","answer":"x"}')) == []
    assert reader.unknown == {"brand_new"}


def test_ids_are_told_once_and_again_when_more_is_known() -> None:
    reader = EventReader()
    told = [
        *reader.read('{"event":"message","conversation_id":"c","message_id":"m","answer":""}'),
        *reader.read('{"event":"message","conversation_id":"c","message_id":"m","answer":""}'),
        *reader.read('{"event":"workflow_started","workflow_run_id":"r","task_id":"t"}'),
        *reader.read('{"event":"workflow_finished","workflow_run_id":"r","task_id":"t","data":{}}'),
    ]
    assert [event for event in told if isinstance(event, events.Identified)] == [
        events.Identified("c", "m"),
        events.Identified("c", "m", "t", "r"),
    ]


@pytest.mark.parametrize("payload", ["", "{", "[]", "null", "1", "NaN", "[" * 100_000, '{"a":' * 100_000])
def test_what_is_no_object_is_counted_and_skipped(payload: str) -> None:
    reader = EventReader()
    assert list(reader.read(payload)) == []
    assert reader.malformed == 1


def test_the_ping_of_old_versions_is_not_malformed() -> None:
    reader = EventReader()
    assert list(reader.read("ping")) == []
    assert reader.malformed == 0


@pytest.mark.parametrize("half", [r"\ud83d", r"\uD83D", r"\ude00"])
def test_half_a_surrogate_pair_becomes_a_character_that_can_be_sent_on(half: str) -> None:
    assert list(EventReader().read(rf'{{"event":"message","answer":"a{half}b"}}')) == [events.TextDelta("a\ufffdb")]


def test_whole_surrogate_pairs_and_their_spelling_stay() -> None:
    """Seen: 0.15.8 writes every emoji so."""
    (event,) = EventReader().read(r'{"event":"message","answer":"\ud83d\ude00 \\ud83d"}')
    assert event == events.TextDelta(r"😀 \ud83d")


@pytest.mark.parametrize("name", ["message_replace", "text_replace"])
def test_a_replacement_without_a_text_wipes_nothing(name: str) -> None:
    assert read(name, answer=None, data={"text": 5}) == []


def test_an_empty_replacement_wipes_the_text() -> None:
    assert read("message_replace", answer="") == [events.TextReplaced("")]


@given(st.lists(EVENTS, max_size=8))
def test_fields_of_any_type_give_events(bodies: list[dict[str, Any]]) -> None:
    reader, ending, answer = EventReader(), Ending(), Answer(EN)
    for body in bodies:
        for event in reader.read(json.dumps(body)):
            ending.saw(event)
            answer.apply(event)
            answer.markdown.encode()
    answer.close()
    answer.markdown.encode()
    assert answer.outcome is not None


@given(st.lists(st.binary() | st.text().map(lambda text: f"data: {text}\n\n".encode())))
def test_any_bytes_give_events(chunks: list[bytes]) -> None:
    decoder, reader = Decoder(), EventReader()
    for chunk in chunks:
        for sse in decoder.feed(chunk):
            list(reader.read(sse.data))


# Reasons and refusals.


@pytest.mark.parametrize("prefix", ["", "Run failed: ", "req_id: 0d0f PluginInvokeError: ", 'Node {"a": 1} {x}: '])
def test_a_plugin_error_is_reduced_to_its_sentence(prefix: str) -> None:
    assert reason(prefix + PLUGIN_ERROR) == "[models] Error: no credit"


def test_json_that_a_provider_wrote_stays() -> None:
    sentence = 'API request failed with status code 500: {"error": {"message": "no credit", "type": "server_error"}}'
    assert reason(sentence) == sentence


@pytest.mark.parametrize("message", [f"It broke. {TRACEBACK}", f"It broke. {PLUGIN_ERROR[:-2]}", "It broke.\n\n"])
def test_no_traceback_is_in_a_reason(message: str) -> None:
    assert reason(message).startswith("It broke.")
    assert "Traceback" not in reason(message)
    assert "line 607" not in reason(message)


def test_a_report_of_pydantic_does_not_repeat_the_input() -> None:
    """Seen: 1.14.1."""
    report = (
        "1 validation error for ChatRequestPayload\nquery\n  Field required [type=missing, input_value={'user': "
        "'u-1'}, input_type=dict]\n    For further information visit https://errors.pydantic.dev/2.12/v/missing"
    )
    assert reason(report) == "1 validation error for ChatRequestPayload query Field required"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Incorrect API key provided: sk-proj-Abc123def456ghi789.", "Incorrect API key provided: ***."),
        ("url: /v1/models?key=AIzaSyA1234567890abcdefghijklm (refused)", "url: /v1/models?key=*** (refused)"),
        ("{'Authorization': 'Bearer abc123def456'}", "{'Authorization': 'Bearer ***'}"),
        ('{"api_key": "0123456789abcdef"}', '{"api_key": "***"}'),
        ("http://root:hunter22@db:5432/x", "http://***@db:5432/x"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln is old", "token *** is old"),
    ],
)
def test_no_key_is_in_a_reason(message: str, shown: str) -> None:
    assert reason(message) == shown


@pytest.mark.parametrize(
    "message",
    [
        "App unavailable, please check your app configurations.",
        "max_tokens: 4096 exceeds the limit, api_key: missing",
        "KeyError: 'documents'",
        "[openai_api_compatible] Error: API request failed with status code 429",
    ],
)
def test_plain_words_stay_as_they_are(message: str) -> None:
    assert reason(message) == message


def test_a_key_that_the_limit_would_cut_is_not_shown_in_part() -> None:
    shown = reason("x" * (REASON_LIMIT - 12) + " sk-Abc123def456ghi789jkl")
    assert len(shown) <= REASON_LIMIT
    assert "sk-" not in shown


def test_a_long_reason_is_cut() -> None:
    assert len(reason("word " * 10_000)) == REASON_LIMIT


def test_deep_nesting_in_a_reason_is_not_followed() -> None:
    assert reason('It broke {"a":' + "[" * 100_000).startswith("It broke")


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (401, "unauthorized", "Access token is invalid", errors.DifyUnauthorized),
        (403, "forbidden", "The app's API service has been disabled.", errors.DifyUnauthorized),
        (403, "other", "No.", errors.DifyRejected),
        (404, "not_found", "Conversation Not Exists. You have requested this URI […]", errors.ConversationGone),
        (404, "not_found", "Message Not Exists.", errors.DifyRejected),
        (400, "not_chat_app", "Please check …", errors.DifyWrongApp),
        (400, "invalid_param", "Workflow not published", errors.DifyWrongApp),
        (400, "invalid_param", "Too many requests. Please try again later.", errors.DifyBusy),
        (429, "too_many_requests", "Slow down.", errors.DifyBusy),
        (429, "rate_limit_error", "Workflow execution quota limit reached", errors.DifyRejected),
        (400, "invalid_param", None, errors.DifyRejected),
        (500, 7, ["x"], errors.DifyBroken),
    ],
)
def test_a_refusal_is_typed(status: int, code: object, message: object, kind: type[errors.DifyRejected]) -> None:
    error = rejection(status, json.dumps({"code": code, "message": message, "status": status}).encode())
    assert type(error) is kind
    assert error.status == status


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"message":"no Route"}'])
@pytest.mark.parametrize("status", [302, 404, 413, 429, 502])
def test_a_refusal_in_another_form_is_not_dify(status: int, body: bytes) -> None:
    error = rejection(status, body)
    assert isinstance(error, errors.DifyUnreachable)
    assert error.sent


@given(st.integers(100, 599), st.binary() | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_refusal_is_an_error_of_ours(status: int, body: bytes) -> None:
    assert isinstance(rejection(status, body), errors.DifyError)


# Stored messages.


def test_stored_messages_keep_their_order_and_lose_what_is_no_message() -> None:
    items = [{"id": "m-1", "query": "q", "answer": "a", "status": "normal", "error": None}, None, {"answer": 5}]
    first, second = stored_messages(json.dumps({"limit": 5, "data": items}).encode())
    assert (first.id, first.query, first.answer, first.status, first.error) == ("m-1", "q", "a", "normal", "")
    assert (second.id, second.answer) == ("", "")


@given(st.binary() | VALUES.map(lambda value: json.dumps({"data": value}).encode()))
def test_any_history_gives_messages_or_our_error(body: bytes) -> None:
    with suppress(errors.DifyUnreachable):
        stored_messages(body)


def test_a_history_nested_without_end_is_our_error() -> None:
    with pytest.raises(errors.DifyUnreachable):
        stored_messages(b"[" * 100_000)
