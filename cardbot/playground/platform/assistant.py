"""An AI assistant whose only skill hands on what people say: its requests, and the webhook that takes the answers.

documented: open.dingtalk.com actions-advanced-settings (requests, in either of two methods) and
ai-assistant-message-sending-webhook-reply-message-mode (answers), read 2026-11. Nobody has published what the webhook
says to an answer, so it does so in either of two forms.
"""

import json
import uuid
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from cardbot.playground.http import Response
from cardbot.playground.platform.endpoint import Endpoint, Incoming, Json, Refused
from cardbot.playground.platform.ledger import Ledger, Reply
from cardbot.playground.platform.webhook import SIZE_LIMIT

TOPIC = "/v1.0/graph/api/invoke"

PATH = "/agent/send"

MARKDOWN_TEMPLATE_ID = "d28e2ac5-fb34-4d93-94bc-cf5c580c2d4f.schema"
"""The one template of which an answer is known. seen: the official SDK."""

Method = Literal["GET", "POST"]
"""Where the variables are: in the query, or in the body. The skill's description decides."""

Form = Literal["status", "errcode"]
"""How an answer says no: with an HTTP status and a code, as new APIs do, or with an `errcode` in a 200."""


def request(variables: Json, *, method: Method = "POST") -> Json:
    """A request of the skill. `None` leaves a variable out."""
    given = {name: value for name, value in variables.items() if value is not None}
    in_query = method == "GET"
    return {
        "requestLine": {"method": method, "uri": f"/v1/skill/ask?{urlencode(given)}" if in_query else "/v1/skill/ask"},
        "headers": {
            "x-plugin-id": "plugin-1",
            "x-plugin-version": "1.0",
            "x-ability-key": "ask",
            "Content-Type": "application/json",
        },
        "body": "{}" if in_query else json.dumps(given, ensure_ascii=False),
    }


def objections(response: object) -> list[str]:
    """What is wrong with `data.response` of an acknowledgement: it is an HTTP answer in JSON."""
    match response:
        case {"statusLine": {"code": code, "reasonPhrase": str()}, "headers": {**headers}, "body": str(body)}:
            pass
        case _:
            return ["ACK whose response is no statusLine, headers and body"]
    found = []
    if not isinstance(code, int) or isinstance(code, bool) or not 100 <= code <= 599:
        found.append(f"ACK with the status {code!r}")
    if not all(isinstance(name, str) and isinstance(value, str) for name, value in headers.items()):
        found.append("ACK whose headers are not text")
    try:
        json.loads(body)
    except ValueError:
        found.append("ACK whose body is not JSON in a string")
    return found


@dataclass(frozen=True, slots=True)
class _Session:
    conversation: str
    user: str
    expires_at: float


class Assistant:
    """Hands out one session per request, and takes answers for it."""

    def __init__(self, ledger: Ledger, *, lifetime: float, form: Form) -> None:
        self._ledger = ledger
        self._lifetime = lifetime
        self._form = form
        self._sessions: dict[str, _Session] = {}

    def endpoints(self) -> dict[str, Endpoint]:
        """What is served here, by method and path."""
        return {f"POST {PATH}": Endpoint(self._send, "legacy")}

    def session(self, conversation: str, user: str, *, now: float) -> str:
        """The session id to put into a request."""
        session = f"aswh_{uuid.uuid4().hex}"
        self._sessions[session] = _Session(conversation, user, now + self._lifetime)
        return session

    def expire(self) -> None:
        """No webhook handed out so far works any more."""
        self._sessions.clear()

    def _send(self, call: Incoming) -> Response:
        session = self._sessions.get(call.query.get("session", ""))
        if session is None or call.now >= session.expires_at:
            return self._refuse("invalidSession", 300001)
        if not call.headers.get("content-type", "").startswith("application/json"):
            return self._refuse("invalidContentType", 43004)
        try:
            text = _read(call.body)
        except _NoAnswer:
            return self._refuse("invalidParameter", 40035)
        content = call.body["content"]
        if len(call.body) > 2 or len(content) > 2 or len(content["cardData"]) > 1:
            self._ledger.objection(f"POST {PATH}: fields that nobody knows")
        if call.size > SIZE_LIMIT:
            self._ledger.objection(f"POST {PATH}: {call.size} bytes, more than any webhook is known to take")
        self._ledger.replies.append(
            Reply(call.now, "assistant", session.conversation, (session.user,), "ai_card", "", text)
        )
        done: Json = {"errcode": 0, "errmsg": "ok"} if self._form == "errcode" else {"result": {"success": True}}
        return Response.json(done)

    def _refuse(self, code: str, errcode: int) -> Response:
        """No, in the form that was chosen. The words are ours: they are not published."""
        if self._form == "errcode":
            return Response.json({"errcode": errcode, "errmsg": code})
        raise Refused(400, code)


class _NoAnswer(Exception):
    """Raised for a body that is not a markdown card."""


def _read(body: dict[str, Any]) -> str:
    """The markdown of a card."""
    match body:
        case {
            "contentType": "ai_card",
            "content": {"templateId": template, "cardData": {"content": str(text)}},
        } if template == MARKDOWN_TEMPLATE_ID and text.strip():
            return text
        case _:
            raise _NoAnswer
