"""What an AI assistant hands on to us, as our value, and what DingTalk is told at once. Pure.

An assistant whose only skill is in passthrough mode hands on what a person says as it is. The request is one of HTTP in
JSON; its variables have the names that the skill's description gives them.

Documented: open.dingtalk.com actions-advanced-settings, "Stream", "passthrough mode" and "run-time context", read
2026-11. DingTalk calls its APIs for AI assistants historical by now.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from cardbot.errors import UnreadableMessage
from cardbot.forms import AssistantNames
from cardbot.messages import Chat, ChatKind, Incoming, Person, SessionWebhook

ASSISTANT_TOPIC = "/v1.0/graph/api/invoke"
"""What people ask of an AI assistant's skill."""

ASSISTANT = "assistant"
"""The kind of such a message, in place of a `msgtype`: only its own webhook takes the answer."""


def incoming(data: Mapping[str, Any], *, frame_id: str, names: AssistantNames, robot_code: str, now: float) -> Incoming:
    """The message in the data of a pushed frame. `now`, in Unix seconds, stands in for its time, which is not told.

    Raises `UnreadableMessage` for one that cannot be answered, such as one without a webhook.
    """
    variables = _variables(data)
    if missing := _missing(variables, names):
        raise UnreadableMessage(
            f"An assistant's request came without {', '.join(missing)}; it has"
            f" {', '.join(sorted(variables)) or 'nothing'}."
            " Compare CARDBOT_ASSISTANT with the names in the skill's description."
        )
    staff_id = _text(variables, names.staff)
    return Incoming(
        # A run is one message; pushed again, it would have another frame.
        message_id=_text(variables, names.run) or frame_id or _fingerprint(variables),
        robot_code=robot_code,
        chat=Chat(_text(variables, names.chat), ChatKind.DIRECT),  # empty in a preview
        sender=Person(_text(variables, names.person) or staff_id, staff_id, "", _text(variables, names.corp)),
        kind=ASSISTANT,
        text=_text(variables, names.question).strip(),
        webhook=SessionWebhook(_text(variables, names.webhook), math.inf),  # no time is told: DingTalk will say so
        created_at=now,
    )


def response(data: Mapping[str, Any], *, names: AssistantNames) -> Mapping[str, Any]:
    """What the acknowledgement says: that the answer is on its way, or that nobody can read the request."""
    status = HTTPStatus.BAD_REQUEST if _missing(_variables(data), names) else HTTPStatus.OK
    return {
        "statusLine": {"code": int(status), "reasonPhrase": status.phrase},
        "headers": {"Content-Type": "application/json"},
        "body": "{}",
    }


def _variables(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """The variables of a request: of a GET in its query, of a POST in its body."""
    return {**_query(data.get("requestLine")), **_object(data.get("body"))}


def _query(line: object) -> Mapping[str, str]:
    uri = line.get("uri") if isinstance(line, dict) else None
    return dict(parse_qsl(uri.partition("?")[2], keep_blank_values=True)) if isinstance(uri, str) else {}


def _object(body: object) -> Mapping[str, Any]:
    """A JSON object, mostly in a string; empty where there is none."""
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            body = None
    return body if isinstance(body, dict) else {}


def _missing(variables: Mapping[str, Any], names: AssistantNames) -> list[str]:
    """What has to be there and is not. An empty question is one: of a picture, say."""
    missing = [] if isinstance(variables.get(names.question), str) else [names.question]
    if not _text(variables, names.webhook):
        missing.append(names.webhook)
    if not (_text(variables, names.person) or _text(variables, names.staff)):  # or all people were one person to Dify
        missing.append(f"{names.person} or {names.staff}")
    return missing


def _fingerprint(variables: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(variables, sort_keys=True).encode()).hexdigest()


def _text(variables: Mapping[str, Any], name: str) -> str:
    value = variables.get(name)
    return value if isinstance(value, str) else ""
