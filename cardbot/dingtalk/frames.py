"""The frames of Stream mode: what a push carries, and the acknowledgement that answers it. Pure.

The official SDK names their parts. It reads a frame all or nothing, though, so that an unreadable header or body would
leave the message without an acknowledgement.
"""

import json
from dataclasses import dataclass, field

from dingtalk_stream.frames import AckMessage, CallbackMessage, EventMessage, Headers, SystemMessage

KINDS = frozenset({SystemMessage.TYPE, EventMessage.TYPE, CallbackMessage.TYPE})


@dataclass(frozen=True, slots=True)
class Frame:
    """What an acknowledgement depends on. Other headers, and whether the data can be read, are no reason not to."""

    kind: str
    topic: str
    message_id: str
    data: str = field(repr=False)
    """A JSON document."""


def parse(raw: str | bytes) -> Frame:
    """Raises `ValueError`, or `RecursionError` for lists in lists in lists, if this is no frame of Stream mode."""
    match json.loads(raw):
        case {"type": str(kind), "headers": {"topic": str(topic), **headers}, **rest} if kind in KINDS:
            message_id, data = headers.get("messageId"), rest.get("data")
            return Frame(
                kind,
                topic,
                message_id if isinstance(message_id, str) else "",
                data if isinstance(data, str) and data else "{}",
            )
        case _:
            raise ValueError("no known type, or no topic")


def acknowledgement(message_id: str, code: int, data: str) -> str:
    """What to send back for a frame; `data` is a JSON document."""
    ack = AckMessage()
    ack.code = code
    ack.message = "OK" if code == AckMessage.STATUS_OK else "not implemented"
    ack.headers.message_id = message_id
    ack.headers.content_type = Headers.CONTENT_TYPE_APPLICATION_JSON
    return json.dumps({**ack.to_dict(), "data": data})
