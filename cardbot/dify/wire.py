"""Dify's JSON to our values: stream events, errors and stored messages. Pure.

Shapes: https://docs.dify.ai/api-reference (read 2026-11) and answers recorded from Dify 0.15.8, 1.12.1 and 1.14.1.
Whatever is missing, null or of another type than expected is tolerated; what is not known is skipped.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cardbot import events
from cardbot.errors import (
    ConversationGone,
    DifyBusy,
    DifyError,
    DifyRejected,
    DifyUnauthorized,
    DifyUnreachable,
    DifyWrongApp,
)

REASON_LIMIT = 300
"""Characters of an error's reason. Our choice: a sentence; tracebacks of plugins run to many kilobytes."""

SILENT_EVENTS = frozenset(
    [
        "agent_log",
        "human_input_form_filled",
        "human_input_form_timeout",
        "iteration_completed",
        "iteration_next",
        "iteration_started",
        "loop_completed",
        "loop_next",
        "loop_started",
        "parallel_branch_finished",
        "parallel_branch_started",
        "ping",
        "tts_message",
        "tts_message_end",
        "workflow_started",
    ]
)
"""Events that are known and say nothing about the answer; the ids they carry are still taken."""

_WRONG_APP_CODES = frozenset(["not_chat_app", "not_workflow_app", "not_completion_app", "app_unavailable"])


class EventReader:
    """Reads the events of one stream; remembers the ids and the unknown names it came across."""

    __slots__ = ("ids", "malformed", "unknown")

    def __init__(self) -> None:
        self.ids = events.Identified()
        self.unknown: set[str] = set()
        self.malformed = 0

    def read(self, payload: str) -> Iterator[events.Event]:
        """The events in one SSE payload: none, one, or an `Identified` before it."""
        try:
            body = json.loads(payload)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            if payload != "ping":  # 0.6 framed its ping as data
                self.malformed += 1
            return
        ids = events.Identified(
            _text(body, "conversation_id") or self.ids.conversation_id,
            _text(body, "message_id") or self.ids.message_id,
            _text(body, "task_id") or self.ids.task_id,
            _text(body, "workflow_run_id") or self.ids.workflow_run_id,
        )
        if ids != self.ids:
            self.ids = ids
            yield ids
        event = self._event(_text(body, "event"), body)
        if event is not None:
            yield event

    def _event(self, name: str, body: Mapping[str, Any]) -> events.Event | None:
        match name:
            case "message":
                return events.TextDelta(_text(body, "answer"))
            case "agent_message":
                return events.AgentDelta(_text(body, "answer"))
            case "text_chunk":
                return events.TextDelta(_text(_mapping(body, "data"), "text"))
            case "message_file":
                # 1.11.2 to 1.12, and later when an assistant's file comes first, name text deltas `message_file`.
                if isinstance(body.get("answer"), str):
                    return events.TextDelta(body["answer"])
                return events.FileProduced(
                    _text(body, "id"), _text(body, "type"), _text(body, "url"), _text(body, "belongs_to")
                )
            case "message_replace":
                return events.TextReplaced(_text(body, "answer"))
            case "text_replace":
                return events.TextReplaced(_text(_mapping(body, "data"), "text"))
            case "reasoning_chunk":
                return events.ReasoningDelta(_text(_mapping(body, "data"), "reasoning"))
            case "agent_thought":
                return events.Thought(
                    _text(body, "id"),
                    _number(body, "position"),
                    _text(body, "thought"),
                    _text(body, "tool"),
                    _text(body, "tool_input"),
                    _text(body, "observation"),
                )
            case "message_end":
                return _message_ended(_mapping(body, "metadata"))
            case "error":
                return events.Failed(_text(body, "code"), reason(_text(body, "message")), _number(body, "status"))
            case _:
                return self._run_event(name, _mapping(body, "data"))

    def _run_event(self, name: str, data: Mapping[str, Any]) -> events.Event | None:
        match name:
            case "node_started":
                return events.StepStarted(_text(data, "node_id"), _text(data, "node_type"), _text(data, "title"))
            case "node_finished":
                return _step_finished(data, _text(data, "status"))
            case "node_retry":
                return _step_finished(data, "retry")
            case "workflow_finished":
                return events.RunFinished(
                    _text(data, "status"), reason(_text(data, "error")), _mapping(data, "outputs")
                )
            case "workflow_paused":
                return events.RunPaused()
            case "human_input_required":
                return events.FormRequested(
                    _text(data, "node_title"),
                    _text(data, "form_content"),
                    tuple(_mappings(data, "inputs")),
                    tuple(_mappings(data, "actions")),
                    _text(data, "form_token"),
                )
            case _:
                if name not in SILENT_EVENTS:
                    self.unknown.add(name)
                return None


def _message_ended(metadata: Mapping[str, Any]) -> events.MessageEnded:
    usage = _mapping(metadata, "usage")
    return events.MessageEnded(
        events.Usage(
            _number(usage, "prompt_tokens"),
            _number(usage, "completion_tokens"),
            _number(usage, "total_tokens"),
            _text(usage, "total_price"),
            _text(usage, "currency"),
        )
        if usage
        else None,
        tuple(
            events.Source(
                _number(source, "position"),
                _text(source, "dataset_name"),
                _text(source, "document_name"),
                float(score) if isinstance(score := source.get("score"), int | float) else 0.0,
            )
            for source in _mappings(metadata, "retriever_resources")
        ),
    )


def _step_finished(data: Mapping[str, Any], status: str) -> events.StepFinished:
    return events.StepFinished(_text(data, "node_id"), _text(data, "node_type"), status, reason(_text(data, "error")))


def reason(message: str) -> str:
    """The sentence inside an error text, without the traceback that Dify 1.x wraps around it.

    Seen: `req_id: … PluginInvokeError: {"args": {…traceback…}, "error_type": …, "message": "[models] Error: …"}`,
    also after `Run failed: `; the plain sentence in 0.15.8.
    """
    start = message.find("{")
    if start >= 0:
        try:
            inner, _ = json.JSONDecoder().raw_decode(message, start)
        except ValueError:
            inner = None
        if isinstance(inner, dict) and isinstance(inner.get("message"), str) and "error_type" in inner:
            message = inner["message"]
    line = " ".join(message.split())
    return line if len(line) <= REASON_LIMIT else line[: REASON_LIMIT - 1] + "…"


def rejection(status: int, body: bytes) -> DifyError:
    """The error that an HTTP answer other than 2xx stands for."""
    try:
        error = json.loads(body)
    except ValueError:
        error = None
    if not isinstance(error, dict) or "code" not in error:
        return _foreign(status)
    code, message = str(error["code"]), reason(_text(error, "message"))
    sentence = f"Dify answered {status} {code}: {message}"
    kind: type[DifyRejected] = DifyRejected
    if status == 401 or (status == 403 and code == "forbidden"):
        kind = DifyUnauthorized
    elif message.startswith("Conversation Not Exists"):  # 1.x appends "You have requested this URI …"
        kind = ConversationGone
    elif code in _WRONG_APP_CODES or message.startswith("Workflow not published"):
        kind = DifyWrongApp
    elif code == "too_many_requests" or message.startswith("Too many requests"):  # 400 invalid_param in all versions
        kind = DifyBusy
    return kind(sentence, status=status, code=code, detail=message)


def _foreign(status: int) -> DifyUnreachable:
    """An answer without Dify's error form: a gateway's page, or another server altogether."""
    if status == 429:
        return DifyUnreachable("A gateway before Dify answered 429: too many requests from this address.", sent=True)
    if status >= 500:
        return DifyUnreachable(f"The gateway before Dify answered {status}.", sent=True)
    return DifyUnreachable(f"What answers there is not Dify's service API (HTTP {status}).", sent=True)


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One turn as Dify keeps it. `status` is `normal`, `error` or `paused`; 0.15 has the same names."""

    id: str
    query: str
    answer: str
    status: str
    error: str


def stored_messages(body: bytes) -> tuple[StoredMessage, ...]:
    """The messages in an answer to `GET /messages`, oldest first, as Dify orders them."""
    try:
        page = json.loads(body)
    except ValueError as exc:
        raise DifyUnreachable("Dify's answer to GET /messages is not JSON.", sent=True) from exc
    if not isinstance(page, dict):
        raise DifyUnreachable("Dify's answer to GET /messages is not an object.", sent=True)
    return tuple(
        StoredMessage(
            _text(item, "id"),
            _text(item, "query"),
            _text(item, "answer"),
            _text(item, "status"),
            reason(_text(item, "error")),
        )
        for item in _mappings(page, "data")
    )


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


def _number(body: Mapping[str, Any], name: str) -> int:
    value = body.get(name)
    return value if isinstance(value, int) else 0


def _mapping(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def _mappings(body: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    value = body.get(name)
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
