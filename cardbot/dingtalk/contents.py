"""What a pushed message holds: its words, its files, and the message that it quotes. Pure.

Documented: open.dingtalk.com robot message types, read 2026-11, for text, richText, picture, audio, video and file.
Seen in payloads that public programs handle: all the rest, quotes included. A field of another shape says nothing.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cardbot.file_kinds import extension_of, kind_of
from cardbot.messages import Attachment, FileKind
from cardbot.surrogates import mended

DEPTH = 4
"""How deep messages lie in messages. Our choice: a quoted chat record with rich text in it is three deep."""

CARD_DEPTH = 16
"""How deep the texts of a quoted card lie in its elements. Our choice: seen are three levels."""

RECORD_LIMIT = 100
"""Messages of a forwarded chat record that are read. Our choice: some pages of a question."""

_CIPHER = re.compile(r"\A[A-Za-z0-9+/=\s]{40,}\|\|\d+\|\|\d+\|\|\d+\s*\Z")
"""A quoted text that DingTalk gives encrypted. Seen: base64 that ends `||3||1||132`; nobody outside can read it."""

_FILES = {
    "picture": FileKind.IMAGE,
    "image": FileKind.IMAGE,
    "audio": FileKind.AUDIO,
    "voice": FileKind.AUDIO,
    "video": FileKind.VIDEO,
    "file": FileKind.DOCUMENT,
}
"""The kinds of messages that are a file."""

_FIELDS = frozenset(["text", "content", "richText", "richTextList", "downloadCode", "title", "cardData", "recognition"])
"""Fields by which the object of a message is known from some JSON that somebody wrote."""


@dataclass(frozen=True, slots=True)
class Content:
    """What one message says, and its files."""

    text: str = ""
    attachments: tuple[Attachment, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.text or self.attachments)


NOTHING = Content()


def content_of(kind: str, value: object, *, depth: int = DEPTH) -> Content:
    """The content of a message of this kind: `value` is its `content` (`text` of a text message).

    It may have come as a string that holds JSON, or as a plain string that is the text.
    """
    if depth <= 0:
        return NOTHING
    found = as_object(value)
    match kind:
        case "text":
            return Content(_readable(as_text(found, "content") or as_text(found, "text") or _plain(value, found)))
        case "richText":
            return of_items(items_of(found or value), depth=depth)
        case "audio" | "voice" if spoken := as_text(found, "recognition").strip():
            return Content(spoken)  # its words are all there is to know: no need to fetch it
        case "picture" | "image" | "audio" | "voice" | "video" | "file":
            return Content("", _file(_FILES[kind], found))
        case "chatRecord":
            return _chat_record(found, depth=depth)
        case "markdown":
            texts = (as_text(found, "text"), as_text(found, "content"), _plain(value, found))
            return Content(next(filter(None, texts), "").strip())
        case "interactiveCard":
            return Content(_card(found))
        case _:  # `unknownMsgType` and whatever comes next: there is nothing to read
            return NOTHING


def quoted_in(data: Mapping[str, Any]) -> Content:
    """The message that this one quotes.

    Seen: `repliedMsg` in `text`, in `content` or beside them; `quoteMessage` in old payloads. There may be nothing but
    an id, as of the robot's own cards.
    """
    return _quoted(_quoted_message(data))


def card_quoted_in(data: Mapping[str, Any]) -> str:
    """The key of the card that this message quotes; empty if the card's text came along, or no card is quoted.

    Seen: `originalProcessQueryKey` beside everything else, with or without a `repliedMsg`, whose content may be empty;
    some programs look for a `processQueryKey` in there. A title is no text of a card.
    """
    quoted = _quoted_message(data)
    kind, value = _kind_and_content(quoted)
    content = as_object(value)
    is_card = kind == "interactiveCard"
    if (_text_of_card(content) or _text_of_card(quoted)) if is_card else _quoted(quoted):
        return ""
    keys = (as_text(place, "processQueryKey") for place in (quoted, content))
    return as_text(data, "originalProcessQueryKey") or next(filter(None, keys), "")


def of_items(items: Iterable[Mapping[str, Any]], *, depth: int = DEPTH) -> Content:
    """What the items of a rich text say, and its pictures."""
    found = [_item(item, depth=depth) for item in items]
    return Content(
        "".join(content.text for content in found), tuple(file for content in found for file in content.attachments)
    )


def items_of(value: object) -> list[Mapping[str, Any]]:
    """The items of a rich text. Old payloads say `richTextList`."""
    found = as_object(value)
    items = as_list(found.get("richText")) or as_list(found.get("richTextList")) or as_list(value)
    inner = as_object(found.get("richText"))
    if not items and inner:
        items = as_list(inner.get("richTextList")) or as_list(inner.get("richText"))
    return [item for item in items if isinstance(item, dict)]


def as_object(value: object) -> Mapping[str, Any]:
    """A JSON object, which may have come as a string that holds one."""
    value = _parsed(value)
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """A JSON array, which may have come as a string that holds one."""
    value = _parsed(value)
    return value if isinstance(value, list) else []


def as_text(data: Mapping[str, Any], name: str) -> str:
    """The string of this name, or an empty one. Half a surrogate pair, which Dify refuses, is a question mark."""
    value = data.get(name)
    return mended(value) if isinstance(value, str) else ""


def _parsed(value: object) -> object:
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value


def _item(item: Mapping[str, Any], *, depth: int) -> Content:
    """One item: a text without a type, a picture, a mention, or, in quotes, a small message of its own."""
    kind = as_text(item, "type") or as_text(item, "msgType") or as_text(item, "msgtype")
    if kind == "at":
        return Content(f"@{as_text(item, 'atName')} ")
    if kind in _FILES:
        return Content("", _file(_FILES[kind], item) or _file(_FILES[kind], as_object(item.get("content"))))
    if text := as_text(item, "text"):
        return Content(text)
    return content_of(kind or "text", item.get("content"), depth=depth - 1)


def _file(kind: FileKind, content: Mapping[str, Any]) -> tuple[Attachment, ...]:
    """The file, if there is a code to fetch it with. A picture may have two codes; both name the same picture."""
    code = as_text(content, "downloadCode") or as_text(content, "pictureDownloadCode")
    name = as_text(content, "fileName").strip()
    if not code:
        return ()
    return (Attachment(kind_of(name) if extension_of(name) else kind, code, name),)


def _quoted_message(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The quoted message as it came; nothing where there is none."""
    places = (as_object(data.get("text")), as_object(data.get("content")), data)
    found = (as_object(place.get(name)) for place in places for name in ("repliedMsg", "quoteMessage"))
    return next(filter(None, found), {})


def _kind_and_content(message: Mapping[str, Any]) -> tuple[str, object]:
    """Of a quoted message. Both have had several names."""
    kind = as_text(message, "msgType") or as_text(message, "msgtype") or as_text(message, "messageType") or "text"
    values = (message[name] for name in ("content", "msgContent", "text") if message.get(name) not in (None, ""))
    return kind, next(values, None)


def _quoted(message: Mapping[str, Any]) -> Content:
    """What a quoted message says."""
    kind, value = _kind_and_content(message)
    content = content_of(kind, value) or content_of(kind, message)
    return Content(content.text.strip(), content.attachments)


def _chat_record(content: Mapping[str, Any], *, depth: int) -> Content:
    """Forwarded messages: a title, and who said what. Their files come along where they can be fetched."""
    title, summary = as_text(content, "title").strip(), as_text(content, "summary").strip()
    lines: list[str] = []
    files: list[Attachment] = []
    for entry in as_list(content.get("chatRecord"))[:RECORD_LIMIT]:
        if not isinstance(entry, dict):
            continue
        kind = as_text(entry, "msgType") or as_text(entry, "msgtype") or "text"
        said = content_of(kind, entry.get("content"), depth=depth - 1) or content_of(kind, entry, depth=depth - 1)
        files.extend(said.attachments)
        if text := said.text.strip():
            lines.append(f"{as_text(entry, 'senderNick') or '?'}: {text}")
    return Content("\n".join(filter(None, [title, *(lines or [summary])])), tuple(files))


def _card(content: Mapping[str, Any]) -> str:
    """What a quoted card says: its text if that came along, or its title."""
    titles = (as_text(place, "title").strip() for place in (content, _variables(content)))
    return _text_of_card(content) or next(filter(None, titles), "")


def _text_of_card(content: Mapping[str, Any]) -> str:
    """Seen: in its variables, of which the shared template calls it `msgContent`; in its elements; by itself."""
    variables = _variables(content)
    texts = [as_text(variables, name) for name in ("content", "markdown", "text", "msgContent")]
    elements = "\n".join(_values(content.get("cardContent"), depth=CARD_DEPTH))
    return next(filter(None, (text.strip() for text in (*texts, elements, as_text(content, "text")))), "")


def _variables(content: Mapping[str, Any]) -> Mapping[str, Any]:
    return as_object(as_object(content.get("cardData")).get("cardParamMap"))


def _values(elements: object, *, depth: int) -> Iterator[str]:
    """The texts among a card's elements, in their order: `value`s in `children` of `children`."""
    if depth <= 0:
        return
    for element in [as_object(elements)] if as_object(elements) else as_list(elements):
        if isinstance(element, dict):
            if value := as_text(element, "value").strip():
                yield value
            yield from _values(element.get("children"), depth=depth - 1)


def _plain(value: object, found: Mapping[str, Any]) -> str:
    """The text that came without an object around it. A person may well quote some JSON."""
    return value if isinstance(value, str) and not found.keys() & _FIELDS else ""


def _readable(text: str) -> str:
    return "" if _CIPHER.match(text) else text
