"""What DingTalk pushes, as our values. Pure.

Shapes: https://open.dingtalk.com/document/dingstart/receive-message (read 2026-11) and, for what is not written
there, payloads that public programs handle.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from cardbot.errors import UnreadableMessage
from cardbot.messages import Chat, ChatKind, Incoming, Person, SessionWebhook

BOT_MESSAGE_TOPIC = "/v1.0/im/bot/messages/get"
"""Messages to the robot: direct ones, and those in groups that mention it."""

QUOTA_CODE = "20001"
"""Comes with a message that holds no text: the month's "Webhook & Stream" pushes are used up. Documented: billing of
API calls, read 2026-11."""

_GROUP = "2"
_LEADING_MENTION = re.compile(r"@\S+\s*")


def incoming(data: Mapping[str, Any], *, robot_code: str) -> Incoming:
    """The message in the data of a pushed frame. `robot_code` stands in where the message names none.

    Raises `UnreadableMessage` for one that cannot be answered, such as one without its text.
    """
    kind = _text(data, "msgtype")
    if not _has_content(data) and (kind == "text" or _is_used_up(data)):
        raise UnreadableMessage(_without_text(data))
    missing = [name for name in ("msgId", "conversationId", "msgtype") if not _text(data, name)]
    if missing:
        raise UnreadableMessage(f"A message came without {', '.join(missing)}; it has {', '.join(sorted(data))}.")
    in_group = str(data.get("conversationType")) == _GROUP
    return Incoming(
        message_id=_text(data, "msgId"),
        robot_code=_text(data, "robotCode") or robot_code,
        chat=Chat(
            _text(data, "conversationId"),
            ChatKind.GROUP if in_group else ChatKind.DIRECT,
            _text(data, "conversationTitle"),
        ),
        sender=Person(
            _text(data, "senderId"),
            _text(data, "senderStaffId"),
            _text(data, "senderNick"),
            _text(data, "senderCorpId"),
        ),
        kind=kind,
        text=_question(kind, data, in_group=in_group),
        webhook=_webhook(data),
        created_at=_milliseconds(data, "createAt") / 1000,
    )


def _question(kind: str, data: Mapping[str, Any], *, in_group: bool) -> str:
    match kind:
        case "text":
            text = _text(_object(data.get("text")), "content")
        case "richText":
            items = _rich_text(data)
            if in_group and items and items[0].get("type") == "at":
                return _words(items[1:]).strip()  # the robot's own mention, whatever its name is
            text = _words(items)
        case _:
            return ""
    return _without_mention(text) if in_group else text.strip()


def _without_mention(text: str) -> str:
    """Without the robot's own mention. DingTalk mostly takes it out itself, and leaves the blank behind it.

    Only a text that *begins* with `@` still has it: after a blank, `@types/node` or `@Li Lei` is part of the question.
    """
    return _LEADING_MENTION.sub("", text, count=1).strip() if text.startswith("@") else text.strip()


def _rich_text(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The items of a message with pictures or mentions in it. Old payloads say `richTextList`."""
    content = _object(data.get("content")) or _object(data.get("richText"))
    items = content.get("richText") or content.get("richTextList")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _words(items: Iterable[Mapping[str, Any]]) -> str:
    """What the items say; pictures say nothing."""
    return "".join(f"@{_text(item, 'atName')} " if item.get("type") == "at" else _text(item, "text") for item in items)


def _object(value: object) -> Mapping[str, Any]:
    """A JSON object, which may have come as a string that holds one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    return value if isinstance(value, dict) else {}


def _webhook(data: Mapping[str, Any]) -> SessionWebhook | None:
    url = _text(data, "sessionWebhook")
    expires_at = _milliseconds(data, "sessionWebhookExpiredTime") / 1000
    return SessionWebhook(url, expires_at or math.inf) if url else None  # no time given: DingTalk will say so


def _has_content(data: Mapping[str, Any]) -> bool:
    return "content" in data or "content" in _object(data.get("text"))


def _is_used_up(data: Mapping[str, Any]) -> bool:
    return str(data.get("code")) == QUOTA_CODE or bool(_said(data))


def _said(data: Mapping[str, Any]) -> str:
    """DingTalk's word on a used-up quota; two pages of the documentation give it two names."""
    return _text(data, "errorMessage") or _text(data, "errMsg")


def _without_text(data: Mapping[str, Any]) -> str:
    if _is_used_up(data):
        return (
            "A message came without its text: the organisation's Webhook & Stream pushes of this month are used up"
            f" (DingTalk says: {_said(data) or 'nothing more'})."
            " An administrator can buy more in DingTalk's admin console."
        )
    return "A text message came without its text."


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _milliseconds(data: Mapping[str, Any], name: str) -> float:
    """A time in ms since 1970: a number as seen, a string as documented. 0 when there is none."""
    try:
        return float(data.get(name) or 0)
    except (TypeError, ValueError, OverflowError):
        return 0.0
