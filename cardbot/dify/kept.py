"""What Dify keeps of answers, from JSON to our values: messages, and runs of chatflows and workflows. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cardbot import events
from cardbot.dify.fields import mapping, mappings, parsed, text
from cardbot.dify.refusal import reason
from cardbot.dify.wire import Outputs, all_of, form_of
from cardbot.errors import DifyUnreachable


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One turn as Dify keeps it. `status` is `normal`, `error` or `paused`; 0.15 has the same names."""

    id: str
    query: str
    answer: str
    status: str
    error: str
    forms: tuple[events.FormRequested, ...] = ()
    """What it waits for."""
    resumed: bool = False
    """Whether its form was handed in: it is `paused` until its run has ended. Read in Dify's source (1.15)."""


def stored_messages(body: bytes) -> tuple[StoredMessage, ...]:
    """The messages in an answer to `GET /messages`, oldest first, as Dify orders them."""
    page = parsed(body)
    if not isinstance(page, dict):
        raise DifyUnreachable("Dify's answer to GET /messages is not a JSON object.", sent=True)
    return tuple(_message(item) for item in mappings(page, "data"))


def finished_run(body: bytes, outputs: Outputs = all_of) -> events.RunFinished | events.RunPaused | None:
    """How a run ended or that it waits, from an answer to `GET /workflows/run/{id}`; None as long as it runs.

    `outputs` chooses those that are the answer.
    """
    run = parsed(body)
    if not isinstance(run, dict):
        raise DifyUnreachable("Dify's answer to GET /workflows/run is not a JSON object.", sent=True)
    match text(run, "status"):
        case "" | "running" | "scheduled":
            return None
        case "paused":
            return events.RunPaused()
        case status:
            return events.RunFinished(status, reason(text(run, "error")), outputs(_outputs(run)))


def _outputs(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object; in 0.15.8 it is written down as a text (seen)."""
    written = parsed(text(run, "outputs")) if text(run, "outputs") else None
    return written if isinstance(written, dict) else mapping(run, "outputs")


def _message(item: Mapping[str, Any]) -> StoredMessage:
    forms = list(_forms(item))
    return StoredMessage(
        text(item, "id"),
        text(item, "query"),
        text(item, "answer"),
        text(item, "status"),
        reason(text(item, "error")),
        tuple(form_of(mapping(form, "form_definition")) for form in forms if form.get("submitted") is False),
        bool(forms) and all(form.get("submitted") is True for form in forms),
    )


def _forms(item: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Seen in 1.14.1: `extra_contents` holds each form, with its token as long as it is not handed in."""
    return (form for form in mappings(item, "extra_contents") if form.get("type") == "human_input")
