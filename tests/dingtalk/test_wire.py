"""Pushed messages as values. The payloads follow DingTalk's documentation of robot messages."""

import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.dingtalk.wire import incoming
from cardbot.errors import UnreadableMessage
from cardbot.messages import Chat, ChatKind, Incoming, Person, SessionWebhook

DIRECT: dict[str, Any] = {
    "conversationId": "cidEXAMPLEdm0000==",
    "chatbotCorpId": "dingcorp0000000001",
    "chatbotUserId": "$:LWCP_v1:$botEXAMPLE==",
    "msgId": "msgEXAMPLE0000001==",
    "senderNick": "Test User",
    "isAdmin": False,
    "senderStaffId": "user0001",
    "sessionWebhookExpiredTime": 1760005400000,
    "createAt": 1760000000000,
    "senderCorpId": "dingcorp0000000001",
    "conversationType": "1",
    "senderId": "$:LWCP_v1:$userEXAMPLE==",
    "sessionWebhook": "https://oapi.dingtalk.com/robot/sendBySession?session=0123456789abcdef",
    "text": {"content": "hello"},
    "robotCode": "dingabc0000000000001",
    "msgtype": "text",
}
GROUP = {
    **DIRECT,
    "conversationType": "2",
    "conversationTitle": "Demo group",
    "conversationId": "cidEXAMPLEgroup00==",
    "isInAtList": True,
}


def read(data: dict[str, Any]) -> Incoming:
    return incoming(data, robot_code="dingdefault")


def group_text(content: str) -> str:
    return read({**GROUP, "text": {"content": content}}).text


def test_a_documented_direct_message() -> None:
    assert read(DIRECT) == Incoming(
        message_id="msgEXAMPLE0000001==",
        robot_code="dingabc0000000000001",
        chat=Chat("cidEXAMPLEdm0000==", ChatKind.DIRECT),
        sender=Person("$:LWCP_v1:$userEXAMPLE==", "user0001", "Test User", "dingcorp0000000001"),
        kind="text",
        text="hello",
        webhook=SessionWebhook(DIRECT["sessionWebhook"], 1760005400.0),
        created_at=1760000000.0,
    )


def test_a_webhooks_address_is_not_shown_in_representations() -> None:
    assert "0123456789abcdef" not in repr(read(DIRECT))


def test_a_group_keeps_its_case_sensitive_id_and_title() -> None:
    assert read(GROUP).chat == Chat("cidEXAMPLEgroup00==", ChatKind.GROUP, "Demo group")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (" what is the weather", "what is the weather"),
        ("@Robot what is the weather", "what is the weather"),
        ("@机器人\u2005天气如何", "天气如何"),
        ("@Robot", ""),
        (" mail a@b.com about it", "mail a@b.com about it"),
        ("@Robot clone git@host:repo.git", "clone git@host:repo.git"),
        (" @types/node is missing", "@types/node is missing"),
        ("@Robot ask @Li Lei", "ask @Li Lei"),
    ],
)
def test_the_leading_mention_is_trimmed_and_nothing_else(content: str, text: str) -> None:
    assert group_text(content) == text


def test_in_a_direct_message_nothing_is_a_mention() -> None:
    assert read({**DIRECT, "text": {"content": " @types/node "}}).text == "@types/node"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            {
                "richText": [
                    {"text": "please read "},
                    {"type": "picture", "downloadCode": "d", "pictureDownloadCode": "p"},
                    {"text": "this"},
                ]
            },
            "please read this",
        ),
        (
            {"richText": [{"type": "at", "atName": "Li Lei", "atUserId": "2"}, {"type": "text", "text": "hi"}]},
            "@Li Lei hi",
        ),
        ({"richTextList": [{"text": "old"}]}, "old"),
        ('{"richText": [{"text": "as a string"}]}', "as a string"),
        ({"richText": [{"type": "picture", "downloadCode": "d"}]}, ""),
        (None, ""),
    ],
)
def test_the_words_of_a_rich_text(content: object, text: str) -> None:
    data = {key: value for key, value in DIRECT.items() if key != "text"}
    assert read({**data, "msgtype": "richText", "content": content}).text == text


@pytest.mark.parametrize("name", ["Robot", "AI Bot"])
def test_a_rich_text_loses_the_robots_mention_whole_and_keeps_others(name: str) -> None:
    items = [{"type": "at", "atName": name}, {"type": "at", "atName": "Li Lei"}, {"text": "look"}]
    assert read({**GROUP, "msgtype": "richText", "content": {"richText": items}}).text == "@Li Lei look"


def test_a_webhook_without_an_end_is_taken_as_good() -> None:
    webhook = read({key: value for key, value in DIRECT.items() if key != "sessionWebhookExpiredTime"}).webhook
    assert webhook is not None
    assert webhook.expires_at == math.inf


def test_a_rich_texts_leading_mention_in_a_group_is_trimmed() -> None:
    items = [{"type": "at", "atName": "Robot"}, {"type": "text", "text": "hi"}]
    assert read({**GROUP, "msgtype": "richText", "content": {"richText": items}}).text == "hi"


@pytest.mark.parametrize("kind", ["picture", "audio", "video", "file", "unknownMsgType", "interactiveCard"])
def test_other_kinds_have_no_text(kind: str) -> None:
    data = {key: value for key, value in DIRECT.items() if key != "text"}
    assert (message := read({**data, "msgtype": kind, "content": {"downloadCode": "d"}})).text == ""
    assert message.kind == kind


@pytest.mark.parametrize("field", ["errorMessage", "errMsg"])
def test_a_message_without_its_text_names_the_used_up_quota(field: str) -> None:
    data = {key: value for key, value in DIRECT.items() if key != "text"}
    with pytest.raises(UnreadableMessage, match=r"used up .*over the limit"):
        read({**data, "code": 20001, field: "over the limit"})


@pytest.mark.parametrize("name", ["msgId", "conversationId", "msgtype"])
def test_a_message_without_what_an_answer_needs_is_unreadable(name: str) -> None:
    with pytest.raises(UnreadableMessage, match=name):
        read({key: value for key, value in DIRECT.items() if key != name})


def test_what_is_missing_has_a_stand_in() -> None:
    bare = read({"msgId": "m", "conversationId": "c", "msgtype": "text", "text": {"content": "hi"}})
    assert (bare.robot_code, bare.webhook, bare.sender.staff_id) == ("dingdefault", None, "")


def test_times_may_be_strings() -> None:
    assert read({**DIRECT, "createAt": "1760000000000"}).created_at == 1760000000.0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted({*GROUP, "content", "code"})), json_values))
def test_any_object_gives_a_message_or_our_error(changes: dict[str, Any]) -> None:
    with suppress(UnreadableMessage):
        read({**GROUP, **changes})


@pytest.mark.parametrize(
    "data",
    [
        {"code": 20001},
        {"code": "20001", "msgtype": "richText", "conversationId": "c", "msgId": "m"},
        {"code": 20001, "msgtype": "text", "text": {}, "conversationId": "c", "msgId": "m"},
        {"errMsg": "over the limit", "conversationId": "c"},
    ],
)
def test_the_used_up_quota_is_named_whatever_else_is_missing(data: dict[str, Any]) -> None:
    with pytest.raises(UnreadableMessage, match="used up"):
        read(data)


def test_a_code_beside_a_text_is_no_reason_not_to_answer() -> None:
    assert read({**DIRECT, "code": 20001}).text == "hello"


@pytest.mark.parametrize("items", [5, True, "words", {"text": "hi"}, [5, None, "x", {}, {"text": 5}]])
def test_a_rich_text_of_another_shape_has_no_words(items: object) -> None:
    data = {key: value for key, value in DIRECT.items() if key != "text"}
    assert read({**data, "msgtype": "richText", "content": {"richText": items}}).text == ""


@pytest.mark.parametrize("time", [10**400, "never", None, [], True])
def test_a_time_that_is_none_is_none(time: object) -> None:
    assert read({**DIRECT, "createAt": time}).created_at <= 0.001
