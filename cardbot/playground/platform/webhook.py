"""The session webhook: the answer to a message as an ordinary message.

documented: open.dingtalk.com custom robot and global error codes, read 2026-11: always HTTP 200, the outcome is the
`errcode` in the body. seen: nothing stops a caller from using it in a direct chat.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from cardbot.playground.http import Response
from cardbot.playground.platform.endpoint import Endpoint, Incoming, Json
from cardbot.playground.platform.ledger import Ledger, Reply
from cardbot.playground.platform.quota import SlidingWindow

LIFETIME = 5400.0
"""Seconds a session lives. documented: published examples, read 2026-11; other reports say less."""

PER_MINUTE = 20
"""Messages in one minute and session. documented for custom robots; for sessions it is not published."""

SIZE_LIMIT = 20_000
"""Bytes of a body. documented: errcode 460101, read 2026-11."""

_FIELDS = {
    "text": ("content",),
    "markdown": ("title", "text"),
    "link": ("title", "text", "messageUrl"),
    "actionCard": ("title", "text"),
    "feedCard": (),
}
"""Required fields of each `msgtype`; they sit in an object of the same name."""


@dataclass(slots=True)
class _Session:
    id: str
    conversation: str
    expires_at: float
    window: SlidingWindow
    taken: set[str] = field(default_factory=set)
    """The `msgUuid` of each message. documented: custom robots, read 2026-11: it makes a repetition harmless."""


class Webhook:
    """Hands out one session per conversation, and takes messages for it."""

    def __init__(self, ledger: Ledger, *, lifetime: float, errcode: Callable[[int], int | str]) -> None:
        self._ledger = ledger
        self._lifetime = lifetime
        self._errcode = errcode
        self._sessions: dict[str, _Session] = {}
        self._current: dict[str, _Session] = {}

    def endpoints(self) -> dict[str, Endpoint]:
        """What is served here, by method and path."""
        return {"POST /robot/sendBySession": Endpoint(self._send, "legacy")}

    def session(self, conversation: str, *, now: float) -> tuple[str, float]:
        """The session id to put into a message of `conversation`, and how many seconds it lives from now on."""
        session = self._current.get(conversation)
        if session is None:
            session = _Session(uuid.uuid4().hex, conversation, 0.0, SlidingWindow(PER_MINUTE, 60.0))
            self._current[conversation] = self._sessions[session.id] = session
        session.expires_at = now + self._lifetime
        return session.id, self._lifetime

    def expire(self) -> None:
        """No webhook handed out so far works any more."""
        self._sessions.clear()
        self._current.clear()

    def answer(self, errcode: int, errmsg: str) -> Response:
        """The legacy form of success and failure. seen: `errcode` is a string now and then."""
        return Response.json({"errcode": self._errcode(errcode), "errmsg": errmsg})

    def _send(self, call: Incoming) -> Response:
        session = self._sessions.get(call.query.get("session", ""))
        if session is None or call.now >= session.expires_at:
            return self.answer(300001, "session 不存在")
        if not call.headers.get("content-type", "").startswith("application/json"):
            return self.answer(43004, "Content-Type 无效")
        if call.size > SIZE_LIMIT:
            return self.answer(460101, "message too long, exceed 20000 bytes")
        try:
            content = _read(call.body)
        except _NotAMessage:
            return self.answer(40035, "不合法的参数")
        repeated = str(call.body.get("msgUuid", ""))
        if repeated and repeated in session.taken:
            return self.answer(0, "ok")
        if not session.window.take(call.now):
            return self.answer(130101, "send too fast, exceed 20 times per minute")
        session.taken.add(repeated)
        text = str(content.get("text") or content.get("content") or "")
        kind, title = call.body["msgtype"], str(content.get("title", ""))
        self._ledger.replies.append(Reply(call.now, "webhook", session.conversation, (), kind, title, text))
        return self.answer(0, "ok")


class _NotAMessage(Exception):
    """Raised for a body without a known `msgtype` or without what that needs."""


def _read(body: Json) -> Json:
    """The object with the content."""
    kind = body.get("msgtype")
    content = body.get(kind) if isinstance(kind, str) and kind in _FIELDS else None
    if not isinstance(content, dict) or not isinstance(kind, str):
        raise _NotAMessage
    if not all(isinstance(content.get(name), str) and content[name] for name in _FIELDS[kind]):
        raise _NotAMessage
    at = body.get("at", {})
    if not isinstance(at, dict) or not all(isinstance(user, str) for user in at.get("atUserIds", [])):
        raise _NotAMessage
    return content
