"""What DingTalk pushes, as our values. Pure.

Shapes: https://open.dingtalk.com/document/dingstart/receive-message (read 2026-11) and, for what is not written
there, payloads that public programs handle.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from cardbot.dingtalk.contents import Content, as_object, card_quoted_in, content_of, items_of, of_items, quoted_in
from cardbot.dingtalk.contents import as_text as _text
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
    content, quoted = _content(kind, data, in_group=in_group), quoted_in(data)
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
        text=content.text,
        webhook=_webhook(data),
        created_at=_milliseconds(data, "createAt") / 1000,
        attachments=content.attachments + quoted.attachments,
        quoted=quoted.text,
        quoted_card=card_quoted_in(data),
    )


def _content(kind: str, data: Mapping[str, Any], *, in_group: bool) -> Content:
    """What the message holds, without the robot's own mention in a group."""
    value = data.get("text" if kind == "text" else "content")
    if kind == "richText":
        items = items_of(value or data)
        if in_group and items and items[0].get("type") == "at":
            items, in_group = items[1:], False  # the robot's own mention, whatever its name is
        content = of_items(items)
    else:
        content = content_of(kind, value)
    text = _without_mention(content.text) if in_group else content.text.strip()
    return Content(text, content.attachments)


def _without_mention(text: str) -> str:
    """Without the robot's own mention. DingTalk mostly takes it out itself, and leaves the blank behind it.

    Only a text that *begins* with `@` still has it: after a blank, `@types/node` or `@Li Lei` is part of the question.
    """
    return _LEADING_MENTION.sub("", text, count=1).strip() if text.startswith("@") else text.strip()


def _webhook(data: Mapping[str, Any]) -> SessionWebhook | None:
    url = _text(data, "sessionWebhook")
    expires_at = _milliseconds(data, "sessionWebhookExpiredTime") / 1000
    return SessionWebhook(url, expires_at or math.inf) if url else None  # no time given: DingTalk will say so


def _has_content(data: Mapping[str, Any]) -> bool:
    return "content" in data or "content" in as_object(data.get("text"))


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


def _milliseconds(data: Mapping[str, Any], name: str) -> float:
    """A time in ms since 1970: a number as seen, a string as documented. 0 when there is none."""
    try:
        return float(data.get(name) or 0)
    except (TypeError, ValueError, OverflowError):
        return 0.0
