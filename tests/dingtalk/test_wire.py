"""Pushed messages as values. The payloads follow DingTalk's documentation of robot messages."""

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.dingtalk.wire import incoming
from cardbot.errors import UnreadableMessage
from cardbot.messages import Attachment, Chat, ChatKind, FileKind, Incoming, Person, SessionWebhook

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


def test_half_a_surrogate_pair_is_a_question_mark() -> None:
    """Java and JavaScript cut texts between the halves of an emoji; no UTF-8 has a place for one."""
    message = incoming({**DIRECT, "text": {"content": "hi \ud83d"}, "senderNick": "\ude00"}, robot_code="")
    assert (message.text, message.sender.name) == ("hi ?", "?")


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


@pytest.mark.parametrize("kind", ["picture", "audio", "video", "file", "unknownMsgType", "interactiveCard", "newKind"])
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


# Files, quotes and what else a message may hold.

BARE = {key: value for key, value in DIRECT.items() if key != "text"}
PICTURE = Attachment(FileKind.IMAGE, "dl1")
CIPHER = "vJCRdgNhBZ/leSxHkTuYF+BWa+7kxCUXN4tJUE30cCDYqcnXH8wxZV+CRcfg\nqVjDuO3CaGDQ==\n||3||1||132"


def content(kind: str, value: object, base: dict[str, Any] = BARE) -> Incoming:
    return read({**base, "msgtype": kind, "content": value})


def quoting(replied: object, **text: Any) -> Incoming:
    return read({**DIRECT, "text": {"content": "and this?", "isReplyMsg": True, "repliedMsg": replied, **text}})


@pytest.mark.parametrize("wrap", [dict, json.dumps])
@pytest.mark.parametrize(
    ("kind", "value", "attachment"),
    [
        ("picture", {"downloadCode": "dl1", "pictureDownloadCode": "p1"}, PICTURE),
        ("picture", {"pictureDownloadCode": "dl1"}, PICTURE),
        ("audio", {"duration": 4000, "downloadCode": "dl1"}, Attachment(FileKind.AUDIO, "dl1")),
        ("audio", {"duration": 1, "downloadCode": "dl1", "recognition": " "}, Attachment(FileKind.AUDIO, "dl1")),
        ("video", {"duration": "5", "videoType": "mp4", "downloadCode": "dl1"}, Attachment(FileKind.VIDEO, "dl1")),
        ("file", {"fileName": "a.pdf", "downloadCode": "dl1"}, Attachment(FileKind.DOCUMENT, "dl1", "a.pdf")),
        ("file", {"fileName": "a.png", "downloadCode": "dl1"}, Attachment(FileKind.IMAGE, "dl1", "a.png")),
        ("file", {"fileName": "README", "downloadCode": "dl1"}, Attachment(FileKind.DOCUMENT, "dl1", "README")),
    ],
)
def test_a_message_that_is_a_file(kind: str, value: dict[str, Any], attachment: Attachment, wrap: Any) -> None:
    message = content(kind, wrap(value))
    assert (message.text, message.attachments) == ("", (attachment,))


def test_a_download_code_is_not_shown_in_representations() -> None:
    assert "dl1" not in repr(content("picture", {"downloadCode": "dl1"}))


def test_a_voice_message_with_its_transcript_is_a_text() -> None:
    message = content("audio", {"duration": 4000, "downloadCode": "dl1", "recognition": "你好。"})
    assert (message.text, message.attachments) == ("你好。", ())


def test_a_documented_rich_text_with_a_picture_in_a_group() -> None:
    items = [
        {"text": "please read this"},
        {"type": "picture", "downloadCode": "dl1", "pictureDownloadCode": "pdlEXAMPLE1=="},
        {"text": "\n"},
    ]
    message = content("richText", {"richText": items}, {**GROUP, "text": None})
    assert (message.text, message.attachments) == ("please read this", (PICTURE,))


def test_the_pictures_of_a_rich_text_keep_their_order() -> None:
    items = [{"type": "picture", "downloadCode": code} for code in ("c", "a", "b")]
    assert [file.download_code for file in content("richText", {"richTextList": items}).attachments] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("markdown", {"text": "# hi"}, "# hi"),
        ("interactiveCard", {"title": "Approval", "biz_custom_action_url": "https://x"}, "Approval"),
        ("unknownMsgType", {"unknownMsgType": "sticker"}, ""),
        ("chatRecord", {"title": "Chat of A and B", "summary": "A: hi"}, "Chat of A and B\nA: hi"),
    ],
)
def test_what_other_kinds_say(kind: str, value: dict[str, Any], text: str) -> None:
    assert content(kind, value).text == text


def test_a_chat_record_says_who_said_what_and_brings_its_files() -> None:
    entries = [
        {"senderNick": "Ada", "msgType": "text", "content": "hi", "createAt": 1},
        {"senderNick": "Bob", "msgType": "picture", "downloadCode": "dl1"},
        {"senderNick": "Bob", "msgType": "unknownMsgType"},
        {"msgType": "text", "content": json.dumps({"text": "bye"})},
        None,
    ]
    message = content("chatRecord", {"title": "Chat", "summary": "…", "chatRecord": json.dumps(entries)})
    assert (message.text, message.attachments) == ("Chat\nAda: hi\n?: bye", (PICTURE,))


@pytest.mark.parametrize("wrap", [dict, json.dumps])
@pytest.mark.parametrize(
    ("kind", "value", "quoted", "attachments"),
    [
        ("text", {"text": "earlier text"}, "earlier text", ()),
        ("text", {"content": "earlier text"}, "earlier text", ()),
        ("picture", {"downloadCode": "dl1"}, "", (PICTURE,)),
        ("file", {"fileName": "a.md", "downloadCode": "d"}, "", (Attachment(FileKind.DOCUMENT, "d", "a.md"),)),
        ("audio", {"downloadCode": "d", "recognition": "spoken"}, "spoken", ()),
        ("interactiveCard", {"cardData": {"cardParamMap": {"content": "an answer"}}}, "an answer", ()),
        ("interactiveCard", {"biz_custom_action_url": "https://x"}, "", ()),
        ("chatRecord", {"title": "Chat", "summary": "A: hi"}, "Chat\nA: hi", ()),
        (
            "richText",
            {"richText": [{"msgType": "text", "content": "look "}, {"msgType": "picture", "downloadCode": "dl1"}]},
            "look",
            (PICTURE,),
        ),
    ],
)
def test_what_is_quoted(
    kind: str, value: dict[str, Any], quoted: str, attachments: tuple[Attachment, ...], wrap: Any
) -> None:
    message = quoting({"msgType": kind, "msgId": "m", "senderNick": "Ada", "content": wrap(value)})
    assert (message.text, message.quoted, message.attachments) == ("and this?", quoted, attachments)


@pytest.mark.parametrize(
    "replied",
    [
        {"msgType": "text", "msgContent": "earlier text", "msgSenderNick": "Ada"},
        {"msgType": "text", "content": "earlier text"},
        {"msgtype": "text", "text": {"content": "earlier text"}},
        {"content": {"text": "earlier text"}},
        json.dumps({"msgType": "text", "content": {"text": "earlier text"}}),
    ],
)
def test_a_quote_in_another_shape(replied: object) -> None:
    assert quoting(replied).quoted == "earlier text"


def test_a_quote_of_some_json_is_a_text() -> None:
    assert quoting({"msgType": "text", "content": '{"a": 1}'}).quoted == '{"a": 1}'


def test_a_rich_text_quotes_in_its_content() -> None:
    replied = {"msgType": "picture", "content": {"downloadCode": "dl1"}}
    items = [{"text": "this"}, {"type": "picture", "downloadCode": "own"}]
    message = content("richText", {"richText": items, "isReplyMsg": True, "repliedMsg": replied})
    assert (message.text, message.attachments) == ("this", (Attachment(FileKind.IMAGE, "own"), PICTURE))


def test_a_quote_of_old_payloads() -> None:
    message = read({**DIRECT, "quoteMessage": {"msgtype": "text", "text": {"content": "earlier text"}}})
    assert (message.text, message.quoted) == ("hello", "earlier text")


def test_a_quote_that_is_encrypted_says_nothing() -> None:
    assert quoting({"msgType": "text", "content": {"text": CIPHER}}).quoted == ""


def test_a_quote_that_only_looks_encrypted_is_read() -> None:
    assert quoting({"msgType": "text", "content": {"text": "1||3||1||132"}}).quoted == "1||3||1||132"


@pytest.mark.parametrize("replied", [None, "", [], 5, {}, {"msgId": "m"}, {"msgType": "text"}])
def test_a_quote_that_is_nothing_but_an_id_says_nothing(replied: object) -> None:
    message = quoting(replied)
    assert (message.text, message.quoted, message.attachments) == ("and this?", "", ())


# Quotes of cards. Seen in public connectors: each of these shapes.

ELEMENTS = [
    {
        "elementType": "LIST",
        "children": [{"elementType": "RICHTEXT", "children": [{"elementType": "TEXT", "value": "a"}]}],
    },
    {"elementType": "TEXT", "value": "b"},
]


def quoting_card(content: object, **data: Any) -> Incoming:
    replied = {"msgType": "interactiveCard", "msgId": "m", "senderId": "$:LWCP_v1:$bot", "content": content}
    return read(
        {
            **DIRECT,
            "text": {"content": "and this?", "isReplyMsg": True, "repliedMsg": replied},
            "originalProcessQueryKey": "pqk-1",
            **data,
        }
    )


@pytest.mark.parametrize("wrap", [dict, json.dumps])
@pytest.mark.parametrize(
    ("content", "quoted"),
    [
        ({"cardData": {"cardParamMap": {"content": "an answer"}}}, "an answer"),
        ({"cardData": {"cardParamMap": {"msgContent": "an answer", "title": "Bot"}}}, "an answer"),
        ({"cardData": json.dumps({"cardParamMap": {"markdown": "an answer"}}), "title": "Bot"}, "an answer"),
        ({"cardContent": ELEMENTS, "title": "Bot"}, "a\nb"),
        ({"cardContent": json.dumps(ELEMENTS)}, "a\nb"),
        ({"cardContent": {"elementType": "paragraph", "children": [{"value": "a"}]}}, "a"),
        ({"text": "an answer"}, "an answer"),
    ],
)
def test_a_quoted_card_with_a_text_need_not_be_looked_up(content: dict[str, Any], quoted: str, wrap: Any) -> None:
    message = quoting_card(wrap(content))
    assert (message.text, message.quoted, message.quoted_card) == ("and this?", quoted, "")


@pytest.mark.parametrize(
    "content", [None, {}, "", "{", {"templateId": "x"}, {"cardContent": [{"elementType": "TEXT"}, 5]}]
)
def test_a_quoted_card_without_a_text_is_known_by_its_key(content: object) -> None:
    message = quoting_card(content)
    assert (message.text, message.quoted, message.quoted_card) == ("and this?", "", "pqk-1")


@pytest.mark.parametrize(
    "content", [{"title": "Bot"}, {"cardData": {"cardParamMap": {"title": "Bot", "content": " "}}}]
)
def test_a_title_is_no_text_of_a_quoted_card(content: dict[str, Any]) -> None:
    message = quoting_card(content)
    assert (message.quoted, message.quoted_card) == ("Bot", "pqk-1")


@pytest.mark.parametrize(
    "replied", [None, {}, {"msgId": "m"}, {"msgType": "unknownMsgType"}, {"content": {"text": CIPHER}}]
)
def test_a_key_is_enough_to_know_a_quoted_card(replied: object) -> None:
    text = {"content": "and this?", "isReplyMsg": True, "repliedMsg": replied}
    message = read({**DIRECT, "text": text, "originalProcessQueryKey": "pqk-1"})
    assert (message.quoted, message.quoted_card) == ("", "pqk-1")


def test_a_rich_text_quotes_a_card_in_its_content() -> None:
    replied = {"msgType": "interactiveCard", "content": {}}
    data = {**BARE, "msgtype": "richText", "originalProcessQueryKey": "pqk-1"}
    message = read({**data, "content": {"richText": [{"text": "and this?"}], "repliedMsg": replied}})
    assert (message.text, message.quoted_card) == ("and this?", "pqk-1")


def test_the_key_may_be_in_the_quoted_card() -> None:
    message = quoting_card({"processQueryKey": "pqk-2"}, originalProcessQueryKey=None)
    assert message.quoted_card == "pqk-2"


@pytest.mark.parametrize(
    "replied",
    [{"msgType": "text", "content": {"text": "earlier"}}, {"msgType": "picture", "content": {"downloadCode": "d"}}],
)
def test_a_quote_that_says_something_is_no_card_to_look_up(replied: dict[str, Any]) -> None:
    text = {"content": "and this?", "isReplyMsg": True, "repliedMsg": replied}
    assert read({**DIRECT, "text": text, "originalProcessQueryKey": "pqk-1"}).quoted_card == ""


@pytest.mark.parametrize("key", [5, None, {}, ["pqk"], ""])
def test_a_key_that_is_no_text_is_none(key: object) -> None:
    assert quoting_card({}, originalProcessQueryKey=key).quoted_card == ""


def test_elements_of_a_card_end_somewhere() -> None:
    elements: Any = {"value": "deep"}
    for _ in range(5_000):
        elements = {"value": "", "children": [elements]}
    assert quoting_card({"cardContent": elements}).quoted_card == "pqk-1"


@pytest.mark.parametrize("value", ["{", "[[", "[" * 100_000, "{}", "null"])
@pytest.mark.parametrize("kind", ["text", "richText", "picture", "chatRecord"])
def test_content_that_is_no_json_is_no_failure(kind: str, value: str) -> None:
    message = content(kind, value)
    assert message.attachments == ()
    assert quoting({"msgType": kind, "content": value}).text == "and this?"


def test_messages_in_messages_end_somewhere() -> None:
    value: Any = {"text": "deep"}
    for _ in range(50):
        value = {"title": "t", "chatRecord": [{"msgType": "chatRecord", "content": value}]}
    assert content("chatRecord", value).text.startswith("t")


names = st.sampled_from(
    [
        "content",
        "text",
        "richText",
        "richTextList",
        "chatRecord",
        "title",
        "summary",
        "repliedMsg",
        "quoteMessage",
        "msgType",
        "msgtype",
        "type",
        "downloadCode",
        "fileName",
        "recognition",
        "cardData",
        "cardParamMap",
        "cardContent",
        "children",
        "value",
        "processQueryKey",
        "msgContent",
    ]
)
kinds = st.sampled_from(["text", "richText", "picture", "audio", "file", "chatRecord", "interactiveCard", "at", "?"])
odd_json = st.recursive(
    st.none() | st.integers() | kinds | st.text(max_size=3) | st.sampled_from(["{", "[[", '{"text": 1}', CIPHER]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4) | inner.map(json.dumps),
    max_leaves=12,
)


@given(kinds, odd_json, odd_json)
def test_any_content_is_read_or_is_nothing(kind: str, value: object, text: object) -> None:
    with suppress(UnreadableMessage):
        message = read({**GROUP, "msgtype": kind, "content": value, "text": text})
        assert all(file.download_code for file in message.attachments)
