"""What a Dify keeps: conversations, their messages, and workflow runs."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Protocol, TypeVar

from cardbot.playground.dify.beats import Outcome
from cardbot.playground.dify.events import Turn
from cardbot.playground.dify.release import Json
from cardbot.playground.dify.waiting import Form

NOBODY = "00000000-0000-0000-0000-000000000000"
"""The parent of every message that came through the service API. seen: all releases."""


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


Item = TypeVar("Item", bound=_Identified)


class UnknownId(LookupError):
    """Raised when a page is to begin at something that is not there."""


@dataclass(slots=True)
class Message:
    """A question with what is kept of its answer: nothing until the run has come to an end."""

    id: str
    conversation_id: str
    query: str
    created_at: int
    answer: str = ""
    status: str = "normal"
    error: str | None = None
    forms: list[Form] = field(default_factory=list)

    def row(self) -> Json:
        """As `GET /messages` shows it."""
        return {
            "id": self.id,
            "conversation_id": self.conversation_id,
            "parent_message_id": NOBODY,
            "inputs": {},
            "query": self.query,
            "answer": self.answer,
            "feedback": None,
            "retriever_resources": [],
            "created_at": self.created_at,
            "agent_thoughts": [],
            "message_files": [],
            "status": self.status,
            "error": self.error,
            "extra_contents": [form.extra() for form in self.forms],
        }


@dataclass(slots=True)
class Conversation:
    """One user's thread of messages, oldest first."""

    id: str
    user: str
    created_at: int
    messages: list[Message] = field(default_factory=list)

    def row(self) -> Json:
        """As `GET /conversations` shows it."""
        return {
            "id": self.id,
            "name": self.messages[0].query[:20] if self.messages else "New conversation",
            "inputs": {},
            "status": "normal",
            "introduction": "",
            "created_at": self.created_at,
            "updated_at": self.messages[-1].created_at if self.messages else self.created_at,
        }


@dataclass(slots=True)
class Run:
    """A run of a chatflow or workflow."""

    turn: Turn
    status: str = "running"
    answer: str = ""
    error: str | None = None
    finished_at: int | None = None
    outputs: Mapping[str, Any] | None = None
    message: Message | None = None

    @property
    def result(self) -> Json:
        """Its outputs, which are there when it has ended well."""
        if self.status != "succeeded":
            return {}
        if self.turn.app == "workflow":
            return {"result": self.answer} if self.outputs is None else dict(self.outputs)
        return {"answer": self.answer}

    def row(self) -> Json:
        """As `GET /workflows/run/{id}` shows it: in 0.15.8 objects are strings and times are dates."""
        old = self.turn.release.old_json
        outputs = self.result
        return {
            "id": self.turn.run_id,
            "workflow_id": self.turn.workflow_id,
            "status": self.status,
            "inputs": _text(self.turn.inputs),
            "outputs": _text(outputs) if old else outputs,
            "error": self.error,
            "total_steps": 3 if self.finished_at else 0,
            "total_tokens": 21 if self.status == "succeeded" else 0,
            "created_at": formatdate(self.turn.created_at) if old else self.turn.created_at,
            "finished_at": formatdate(self.finished_at) if old and self.finished_at else self.finished_at,
            "elapsed_time": 0.18,
        }


def keep(outcome: Outcome, *, message: Message | None, run: Run | None) -> None:
    """Write down how a run ended."""
    if message is not None:
        message.answer, message.status, message.error = outcome.answer, outcome.status, outcome.error
    if run is None:
        return
    run.answer, run.outputs = outcome.answer, outcome.outputs
    if outcome.run == "paused":
        run.status = "paused"
        return
    if outcome.run == "stopped" and not run.turn.release.old_json:
        return  # The run stays `running` for ever. seen: 1.12.1 and 1.14.1, still so 20 minutes after the stop
    run.status, run.finished_at = outcome.run, int(time.time())
    run.error = "Stopped by user." if outcome.run == "stopped" else outcome.error


def latest_page(items: Sequence[Item], limit: int, before: str | None) -> tuple[list[Item], bool]:
    """The newest items of an oldest-first list, or those before an id, and whether older ones are left."""
    end = len(items) if before is None else _position(items, before)
    start = max(0, end - limit)
    return list(items[start:end]), start > 0


def next_page(items: Sequence[Item], limit: int, after: str | None) -> tuple[list[Item], bool]:
    """The first items of a list, or those after an id, and whether more are left."""
    start = 0 if after is None else _position(items, after) + 1
    return list(items[start : start + limit]), start + limit < len(items)


def _position(items: Sequence[Item], item_id: str) -> int:
    for position, item in enumerate(items):
        if item.id == item_id:
            return position
    raise UnknownId(item_id)


def _text(value: object) -> str:
    return json.dumps(value)
