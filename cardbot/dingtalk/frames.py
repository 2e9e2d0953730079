"""The frames of Stream mode: what a push carries, and the acknowledgement that answers it. Pure.

The official SDK names their parts. It reads a frame all or nothing, though, so that an unreadable header or body would
leave the message without an acknowledgement.
"""

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from dingtalk_stream.frames import AckMessage, CallbackMessage, EventMessage, Headers, SystemMessage


@dataclass(frozen=True, slots=True)
class Frame:
    """What an acknowledgement depends on. Other headers, and whether the data can be read, are no reason not to."""

    kind: str
    topic: str
    message_id: str
    data: str = field(repr=False)
    """A JSON document."""

    @property
    def says_disconnect(self) -> bool:
        """Whether DingTalk is about to close this connection. Documented: this frame alone needs no answer."""
        return (self.kind, self.topic) == (SystemMessage.TYPE, SystemMessage.TOPIC_DISCONNECT)

    def is_for(self, topics: Container[str]) -> bool:
        """Whether it carries data of one of these topics."""
        return self.kind == CallbackMessage.TYPE and self.topic in topics

    def is_known(self, topics: Container[str]) -> bool:
        """Whether there is more to say to it than that nobody takes it."""
        return self.kind in (SystemMessage.TYPE, EventMessage.TYPE) or self.is_for(topics)


def parse(raw: str | bytes) -> Frame:
    """Raises `ValueError`, or `RecursionError` for lists in lists in lists, if this is no frame of Stream mode."""
    match json.loads(raw):
        case {"headers": {**headers}, **rest}:
            return Frame(
                kind=_text(rest.get("type")),
                topic=_text(headers.get("topic")),
                message_id=_text(headers.get("messageId")),
                data=_text(rest.get("data")) or "{}",
            )
        case _:
            raise ValueError("not an object with headers")


def content(frame: Frame) -> Mapping[str, Any]:
    """The object in a frame's data. Raises `ValueError`, or `RecursionError`, if it holds none."""
    data = json.loads(frame.data)
    if not isinstance(data, dict):
        raise ValueError("not an object")
    return data


def acknowledgement(frame: Frame, topics: Container[str], *, response: Mapping[str, Any] | None = None) -> str:
    """What to send back for a frame, by a program that takes the data of these topics.

    `response` is what its topic wants to be told about data that was taken; most want nothing.
    """
    match frame.kind:
        case SystemMessage.TYPE:
            data = frame.data  # documented: `ping` wants its own data back
        case EventMessage.TYPE:
            data = json.dumps({"status": "SUCCESS"})
        case _:
            data = json.dumps({"response": response})
    ack = AckMessage()
    ack.code = AckMessage.STATUS_OK if frame.is_known(topics) else AckMessage.STATUS_NOT_IMPLEMENT
    ack.message = "OK" if frame.is_known(topics) else "not implemented"
    ack.headers.message_id = frame.message_id
    ack.headers.content_type = Headers.CONTENT_TYPE_APPLICATION_JSON
    return json.dumps({**ack.to_dict(), "data": data})


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
