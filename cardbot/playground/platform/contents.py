"""The contents of messages that are more than a text, to be pushed. Pure.

documented: open.dingtalk.com robot message types, read 2026-11, for the kinds. seen: quotes and chat records, which no
page describes.

    await platform.push(contents.picture("code-1"))
    await platform.push(contents.quoting(contents.text("and this?"), contents.file("code-2", "a.pdf")))
    await platform.push(contents.quoting_card(contents.text("and this?"), card, tells="key"))
"""

import json
from collections.abc import Sequence
from typing import Literal

from cardbot.playground.platform.cards import Card
from cardbot.playground.platform.endpoint import Json
from cardbot.playground.platform.incoming import BOT_ID

Tells = Literal["variables", "elements", "key", "only key", "id"]
"""What a quote of a card tells of it. seen in public connectors, all of them: its variables or its elements along with
its key; its kind and its key; nothing but its key; nothing but an id that nobody was ever told."""


def text(content: str) -> Json:
    """Plain text."""
    return {"msgtype": "text", "text": {"content": content}}


def picture(code: str) -> Json:
    """A picture, which has two codes."""
    return {"msgtype": "picture", "content": {"downloadCode": code, "pictureDownloadCode": code}}


def file(code: str, name: str) -> Json:
    """A file. documented: in a direct chat only, as voice and video are."""
    content = {"fileName": name, "downloadCode": code, "spaceId": "25000000000", "fileId": "180000000000"}
    return {"msgtype": "file", "content": content}


def audio(code: str, recognition: str = "") -> Json:
    """A voice message, with what the client has understood of it. seen: that may be missing."""
    content: Json = {"duration": 4000, "downloadCode": code}
    return {"msgtype": "audio", "content": {**content, "recognition": recognition} if recognition else content}


def video(code: str) -> Json:
    """A video. seen: its duration as a string of seconds."""
    return {"msgtype": "video", "content": {"duration": "5", "videoType": "mp4", "downloadCode": code}}


def rich_text(*items: str | Json) -> Json:
    """Texts, and pictures among them: `picture(code)` or any item as it is. seen: a text has no `type`."""
    return {"msgtype": "richText", "content": {"richText": [_item(item) for item in items]}}


def chat_record(title: str, entries: Sequence[Json]) -> Json:
    """Forwarded messages, each with `senderNick`, `msgType` and `content`. seen: the list comes as a string."""
    content = {"title": title, "summary": title, "chatRecord": json.dumps(list(entries), ensure_ascii=False)}
    return {"msgtype": "chatRecord", "content": content}


def quoting(message: Json, quoted: Json, *, sender: str = "Another User") -> Json:
    """The same message as a reply to another. In a text the quote is in `text`, in other kinds in `content`."""
    kind = quoted["msgtype"]
    inner: Json = {"text": quoted["text"]["content"]} if kind == "text" else quoted["content"]
    if kind == "richText":  # seen: the items of a quote are named in another way
        inner = {"richText": [_quoted_item(item) for item in inner["richText"]]}
    replied = {"msgType": kind, "msgId": "msgQUOTED==", "senderNick": sender, "createdAt": 1, "content": inner}
    return _replying(message, replied)


def quoting_card(message: Json, card: Card, *, tells: Tells) -> Json:
    """The same message as a reply to a card of the robot. Raises ValueError for a card that nobody has seen."""
    if not card.delivered:
        raise ValueError(f"card {card.out_track_id} is in no chat: nobody can quote it")
    replied: Json = {"msgType": "interactiveCard", "msgId": f"msg-{card.out_track_id}", "senderId": BOT_ID}
    match tells:
        case "variables":
            replied["content"] = {"cardData": {"cardParamMap": dict(card.params)}}
        case "elements":
            lines = [{"elementType": "TEXT", "value": line} for line in card.content.splitlines() if line.strip()]
            replied["content"] = {"cardContent": [{"elementType": "RICHTEXT", "children": lines}]}
        case "key":
            replied["content"] = {}
        case "only key" | "id":
            replied = {} if tells == "only key" else {"msgId": replied["msgId"]}
    key = {} if tells == "id" else {"originalProcessQueryKey": card.carrier}
    return {**_replying(message, replied), **key}


def _replying(message: Json, replied: Json) -> Json:
    place = "text" if message["msgtype"] == "text" else "content"
    return {**message, place: {**message[place], "isReplyMsg": True, **({"repliedMsg": replied} if replied else {})}}


def _item(item: str | Json) -> Json:
    if isinstance(item, str):
        return {"text": item}
    return {"type": "picture", **item["content"]} if item.get("msgtype") == "picture" else item


def _quoted_item(item: Json) -> Json:
    if "text" in item:
        return {"msgType": "text", "content": item["text"]}
    return {"msgType": item.get("type", "picture"), **{name: item[name] for name in item if name != "type"}}
