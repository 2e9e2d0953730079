"""What a client must send back for a frame. Pure: text in, objections out.

documented: developerpedia, Stream mode protocol, read 2026-11. seen: a text frame with `code`, `headers.messageId`,
`message`, and `data` as a JSON document in a string.
"""

import json

from cardbot.playground.platform import assistant
from cardbot.playground.platform.endpoint import Json


class BadAck(Exception):
    """Raised for something that cannot be matched with a frame. The text says what it is."""


def parse(text: str | bytes) -> Json:
    """The acknowledgement in a websocket message."""
    if isinstance(text, bytes):
        raise BadAck("a binary frame")
    try:
        ack: Json = json.loads(text)
    except ValueError as error:
        raise BadAck("not JSON") from error
    headers = ack.get("headers") if isinstance(ack, dict) else None
    if not isinstance(headers, dict) or not isinstance(headers.get("messageId"), str):
        raise BadAck("no headers.messageId")
    if not isinstance(ack.get("code"), int):
        raise BadAck("no code")
    return ack


def objections(ack: Json, *, topic: str, data: Json) -> list[str]:
    """What is wrong with the answer to a frame of `topic` that carried `data`."""
    if topic == "disconnect":
        return []
    found = []
    if ack["code"] != 200:
        found.append(f"ACK with code {ack['code']}")
    if ack["headers"].get("contentType") != "application/json":
        found.append("ACK without contentType application/json")
    if not isinstance(ack.get("message"), str):
        found.append("ACK without a message")
    try:
        answer = json.loads(ack.get("data", ""))
    except (TypeError, ValueError):
        return [*found, "ACK whose data is not JSON in a string"]
    if topic == "ping":
        if answer != data:
            found.append("ping echo differs")
    elif not isinstance(answer, dict) or "response" not in answer:
        found.append("ACK whose data has no response")
    elif topic == assistant.TOPIC:
        found += assistant.objections(answer["response"])
    return found


def response(ack: Json) -> Json:
    """The answer to a card callback or an assistant's request: `data.response`, empty if there is none."""
    try:
        answer = json.loads(ack.get("data", ""))
    except (TypeError, ValueError):
        return {}
    value = answer.get("response") if isinstance(answer, dict) else None
    return value if isinstance(value, dict) else {}
