"""Requests to questions, and what is said of wrong ones."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.web.order import PICTURE_ONLY, Order, Picture, order_of
from cardbot.web.refusals import Refused
from cardbot.web.requests import MESSAGES_LIMIT, PARTS_LIMIT, USER_LIMIT
from tests.web.stand import user

PNG = b"\x89PNG\r\n\x1a\n0123"
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}}

TEXT = {"type": "text", "text": "hi"}


def order(*messages: Any, header: str | None = None, **more: Any) -> Order:
    return order_of(json.dumps({"model": "dify", "messages": messages, **more}).encode(), [header] if header else [])


def complaint(body: Any) -> tuple[str | None, str]:
    """The parameter that is named, and what is said of it."""
    with pytest.raises(Refused) as caught:
        order_of(body if isinstance(body, bytes) else json.dumps(body).encode())
    refusal = caught.value.refusal
    assert (refusal.status, refusal.type) == (400, "invalid_request_error")
    return refusal.param, refusal.message


def test_one_message_is_the_question() -> None:
    asked = order(user("hello"))
    assert replace(asked, thread="") == Order(model="dify", user="", query="hello")


def test_instructions_go_apart() -> None:
    messages = [{"role": "system", "content": "Be brief."}, user("hi"), {"role": "developer", "content": "In verse."}]
    assert (order(*messages).system, order(*messages).query) == ("Be brief.\n\nIn verse.", "hi")


def test_with_a_user_only_the_last_message_is_asked() -> None:
    asked = order(user("one"), {"role": "assistant", "content": "1"}, user("two"), user="ada")
    assert (asked.query, asked.heard, asked.thread) == ("two", "", "")


@pytest.mark.parametrize("name", ["", "ada"])
def test_what_was_said_before_is_at_hand_for_an_app_that_does_not_know_it(name: str) -> None:
    messages = [
        user("one"),
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "22 °C", "tool_call_id": "1"},
        {"role": "assistant", "content": [{"type": "text", "text": "1"}]},
        user("two"),
    ]
    asked = order(*messages, user=name)
    assert (asked.query, asked.before) == (
        "two",
        "The conversation so far:\n\nUser: one\n\nTool: 22 °C\n\nAssistant: 1\n\nThe user's new message:",
    )


@pytest.mark.parametrize("name", ["", "ada"])
def test_an_answer_that_was_begun_is_to_be_gone_on_with(name: str) -> None:
    begun = [{"role": "assistant", "content": "Sure, it"}, {"role": "tool", "content": "22 °C"}]
    asked = order(user("one"), {"role": "assistant", "content": "1"}, user("two"), *begun, user=name)
    assert asked.query == (
        "two\n\nWhat was said since, to go on from where it ends:\n\nAssistant: Sure, it\n\nTool: 22 °C"
    )
    assert asked.before.endswith("Assistant: 1\n\nThe user's new message:")
    assert (asked.heard, asked.thread) == ("", "")


def test_parts_of_text_are_lines() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert order(user(parts)).query == "one\ntwo"


def test_a_picture_goes_along_decoded() -> None:
    asked = order(user([{"type": "text", "text": "What is this?"}, PICTURE]))
    assert (asked.query, asked.pictures) == ("What is this?", (Picture("image/png", PNG),))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("data:image/jpg;base64", "image/jpeg"),
        ("data:image/JPG;base64", "image/jpeg"),
        ("data:image/jpeg;base64", "image/jpeg"),
        ("DATA:Image/PNG;Base64", "image/png"),
        ("data:image/gif;base64", "image/gif"),
        ("data:image/WebP;base64", "image/webp"),
    ],
)
def test_the_kind_of_a_picture_is_what_it_means(said: str, meant: str) -> None:
    parts = [{"type": "image_url", "image_url": {"url": f"{said},AAAA"}}]
    assert order(user(parts)).pictures == (Picture(meant, b"\0\0\0"),)


def test_a_picture_without_words_has_a_question_of_ours() -> None:
    assert order(user([{"type": "text", "text": ""}, PICTURE])).query == PICTURE_ONLY


def test_pictures_of_earlier_messages_stay_there() -> None:
    assert order(user([PICTURE]), user("and?"), user="ada").pictures == ()


FOREIGN: list[Any] = [
    "",
    " ",
    None,
    [],
    [{"type": "text", "text": ""}],
    [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}],
    [{"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AAAA"}}],
    [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}],
    [{"type": "file", "file": {"file_id": "file-1"}}],
    [{"type": "of tomorrow"}],
]
"""Contents that cannot be asked."""


@pytest.mark.parametrize("content", FOREIGN)
@pytest.mark.parametrize("name", ["", "ada"])
def test_a_chat_that_began_with_what_cannot_be_asked_goes_on(content: Any, name: str) -> None:
    history = [user(content), {"role": "assistant", "content": content}, {"role": "tool", "content": content}]
    assert order(*history, user("and?"), {"role": "assistant"}, user=name).query.endswith("and?")


def test_an_earlier_message_of_the_user_may_have_no_content_at_all() -> None:
    assert order({"role": "user"}, user("and?")).query == "and?"


@pytest.mark.parametrize("content", FOREIGN)
def test_what_cannot_be_asked_is_refused_as_the_question(content: Any) -> None:
    param, _ = complaint(body(user("hi"), user(content), {"role": "assistant", "content": "hello"}))
    assert str(param).startswith("messages[1].content")


def test_a_transcript_marks_what_is_no_text() -> None:
    parts = [{"type": "text", "text": "What is this?"}, *(content[0] for content in FOREIGN[5:])]
    assert order(user(parts), user("and?")).before == (
        "The conversation so far:\n\nUser: What is this?\n[picture]\n[picture]\n[audio]\n[file]\n\n"
        "The user's new message:"
    )


def test_no_representation_shows_a_picture() -> None:
    assert "PNG" not in repr(order(user([PICTURE])))


def test_the_envelope_of_a_client_is_taken_off() -> None:
    assert order(user("[Wed 2026-03-04 15:56 GMT+8] hello")).query == "hello"


def test_the_header_goes_before_the_body() -> None:
    assert order(user("hi"), header="header", user="body").user == "header"
    assert order(user("hi"), header="", user="body").user == "body"


def test_a_name_in_the_header_is_utf_8() -> None:
    assert order(user("hi"), header="艾达".encode().decode("latin-1")).user == "艾达"
    assert order(user("hi"), header="Ren\xe9").user == "René"


@pytest.mark.parametrize("choice", ["auto", "none", None])
def test_tools_that_need_not_be_called_are_ignored(choice: str | None) -> None:
    tools = [{"type": "function", "function": {"name": "weather"}}]
    assert order(user("hi"), tools=tools, tool_choice=choice, function_call=choice).query == "hi"


@pytest.mark.parametrize("form", [{"type": "text"}, {"type": "json_object"}, None])
def test_a_form_that_the_messages_ask_for_too_is_ignored(form: Any) -> None:
    assert order(user("hi"), response_format=form).query == "hi"


def test_fields_that_dify_decides_are_ignored() -> None:
    assert order(user("hi"), temperature=2, tools=[{"type": "function"}], max_tokens="x", n=None).query == "hi"


def body(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"model": "dify", "messages": list(messages) or [user("hi")], **more}


@pytest.mark.parametrize(
    ("wrong", "param", "said"),
    [
        (b"", None, "not JSON"),
        (b"{", None, "not JSON"),
        (b'{"model": "\\ud800"}', None, "not JSON"),
        (b"\xff", None, "not JSON"),
        (b"[" * 100_000, None, "not JSON"),
        ([], None, "must be a JSON object"),
        ({"messages": [user("hi")]}, "model", "You must give"),
        ({"model": "dify"}, "messages", "You must give"),
        (body(model=""), "model", "at least 1"),
        (body(model=1), "model", "valid string"),
        ({"model": "dify", "messages": []}, "messages", "at least 1 item"),
        (body("hi"), "messages[0]", "object"),
        (body({"content": "hi"}), "messages[0].role", "You must give"),
        (body({"role": "robot", "content": "hi"}), "messages[0].role", "must be one of 'system', 'developer', 'user'"),
        (body({"role": "system", "content": "hi"}), "messages", "no message of the user"),
        (body({"role": "user"}), "messages[0].content", "You must give"),
        (body(user("hi"), user(" \n")), "messages[1].content", "is empty"),
        (body(user([])), "messages[0].content", "at least 1 item"),
        (body(user([{"type": "text", "text": " "}])), "messages[0].content", "is empty"),
        (body(user([{"type": "text"}])), "messages[0].content[0].text", "You must give"),
        (body(user([{"type": "text", "text": 1}])), "messages[0].content[0].text", "valid string"),
        (
            body(user([PICTURE, {"type": "input_audio", "input_audio": {}}])),
            "messages[0].content[1].type",
            "must be one of 'text', 'image_url'",
        ),
        (body(user([{"type": "file", "file": {}}])), "messages[0].content[0].type", "must be one of"),
        (
            body(user([{"type": "image_url", "image_url": {"url": "https://10.0.0.1/a.png"}}])),
            "messages[0].content[0].image_url.url",
            "Addresses are not fetched",
        ),
        (
            body(user([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAA"}}])),
            "messages[0].content[0].image_url.url",
            "data:image/png;base64,…",
        ),
        (
            body(user([{"type": "image_url", "image_url": {"url": "data:image/svg+xml;base64,AAAA"}}])),
            "messages[0].content[0].image_url.url",
            "PNG, JPEG, GIF or WebP",
        ),
        (body(user([{"type": "image_url", "image_url": "x"}])), "messages[0].content[0].image_url", "object"),
        (body(*[user("hi")] * (MESSAGES_LIMIT + 1)), "messages", "10000 entries at most"),
        (body(*["hi"] * (MESSAGES_LIMIT + 1)), "messages[0]", "object"),
        (body(user([TEXT] * (PARTS_LIMIT + 1))), "messages[0].content", "1000 entries at most"),
        (body(user([TEXT] * (PARTS_LIMIT + 1)), user("hi")), "messages[0].content", "1000 entries at most"),
        (body({"role": "system", "content": [TEXT] * (PARTS_LIMIT + 1)}, user("hi")), "messages[0].content", "at most"),
        (body(n=2), "n", "n must be 1"),
        (body(tool_choice="required"), "tool_choice", "the Dify app calls its own tools"),
        (body(tool_choice={"type": "function"}), "tool_choice", "must be auto or none"),
        (body(function_call={"name": "weather"}), "function_call", "must be auto or none"),
        (body(response_format={"type": "json_schema"}), "response_format.type", "not told of a schema"),
        (body(response_format={}), "response_format.type", "You must give"),
        (body(response_format="json"), "response_format", "must be an object"),
        (body(stream="yes"), "stream", "valid boolean"),
        (body(stream_options={"include_usage": 1}), "stream_options.include_usage", "valid boolean"),
        (body(user=1), "user", "valid string"),
        (body(user="a\0b"), "user", "control characters"),
        (body(user="x" * (USER_LIMIT + 1)), "user", f"at most {USER_LIMIT}"),
    ],
)
def test_what_is_wrong_is_named(wrong: Any, param: str | None, said: str) -> None:
    named, message = complaint(wrong)
    assert named == param
    assert said in message


def test_a_picture_that_is_too_large_is_refused() -> None:
    url = "data:image/png;base64," + "AAAA" * (4 * 1024 * 1024)
    param, message = complaint(body(user([{"type": "image_url", "image_url": {"url": url}}])))
    assert (param, "10 MB at most" in message) == ("messages[0].content[0].image_url.url", True)


def test_a_user_of_the_header_is_one_line_too() -> None:
    with pytest.raises(Refused, match="X-User has control characters"):
        order(user("hi"), header="ada\x7f")


def test_a_user_of_the_header_has_a_limit_too() -> None:
    with pytest.raises(Refused) as caught:
        order(user("hi"), header="x" * (USER_LIMIT + 1))
    assert caught.value.refusal.param == "X-User"


def test_a_complaint_does_not_repeat_what_was_said() -> None:
    _, message = complaint(body(user([{"type": "text", "text": {"secret": "hunter2"}}])))
    assert "hunter2" not in message


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "type"]), inner),
    max_leaves=8,
)
ROLES = st.sampled_from(["user", "system", "assistant", "tool", "x"])
MESSAGES = st.lists(st.fixed_dictionaries({"role": ROLES, "content": JSON}) | JSON, max_size=4)


@given(st.fixed_dictionaries({"model": st.text()}, optional={"messages": MESSAGES, "user": JSON, "n": JSON}))
def test_any_json_is_a_question_or_a_complaint(request: dict[str, Any]) -> None:
    content = json.dumps(request).encode()
    try:
        query = order_of(content).query
    except Refused as refused:
        query = str(refused)
    assert query


@given(st.binary())
def test_any_bytes_are_a_question_or_a_complaint(content: bytes) -> None:
    with pytest.raises(Refused):
        order_of(content)
