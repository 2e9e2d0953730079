"""The events of Dify's streams, from JSON to our values. Pure.

Shapes: https://docs.dify.ai/api-reference (read 2026-11) and answers recorded from Dify 0.15.8, 1.12.1 and 1.14.1.
Whatever is missing, null or of another type than expected is tolerated; what is not known is skipped.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cardbot import events
from cardbot.dify.fields import mapping, mappings, number, parsed, text
from cardbot.dify.outputs import files_in
from cardbot.dify.refusal import reason
from cardbot.links import absolute

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


Outputs = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def all_of(outputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """The outputs as they are."""
    return outputs


class EventReader:
    """Reads the events of one stream; remembers the ids and the unknown names it came across."""

    __slots__ = ("_base", "_named", "_outputs", "ids", "malformed", "unknown")

    def __init__(self, *, outputs: Outputs = all_of, ids: events.Identified | None = None, base: str = "") -> None:
        """`outputs` chooses those of a run that are its answer; `ids` are known already, of a run that goes on; `base`
        is Dify's address, for those of its files."""
        self.ids = ids or events.Identified()
        self._outputs = outputs
        self._base = base
        # the same as `ids`, quicker to compare: every event repeats them
        self._named = (self.ids.conversation_id, self.ids.message_id, self.ids.task_id, self.ids.workflow_run_id)
        self.unknown: set[str] = set()
        self.malformed = 0

    def read(self, payload: str) -> Iterator[events.Event]:
        """The events in one SSE payload: none, one, or an `Identified` before it."""
        body = parsed(payload)
        if not isinstance(body, dict):
            if payload != "ping":  # 0.6 framed its ping as data
                self.malformed += 1
            return
        known = self.ids
        named = (
            text(body, "conversation_id") or known.conversation_id,
            text(body, "message_id") or known.message_id,
            text(body, "task_id") or known.task_id,
            text(body, "workflow_run_id") or known.workflow_run_id,
        )
        if named != self._named:
            self._named, self.ids = named, events.Identified(*named)
            yield self.ids
        event = self._event(text(body, "event"), body)
        if isinstance(event, events.RunFinished):
            outputs = mapping(mapping(body, "data"), "outputs")
            yield from (file for name in event.outputs for file in files_in(outputs.get(name), self._base))
        if event is not None:
            yield event

    def _event(self, name: str, body: Mapping[str, Any]) -> events.Event | None:
        match name:
            case "message":
                return events.TextDelta(text(body, "answer"))
            case "agent_message":
                return events.AgentDelta(text(body, "answer"))
            case "text_chunk":
                return events.TextDelta(text(mapping(body, "data"), "text"))
            case "message_file":
                # 1.11.2 to 1.12, and later when an assistant's file comes first, name text deltas `message_file`.
                if isinstance(body.get("answer"), str):
                    return events.TextDelta(body["answer"])
                url = absolute(text(body, "url"), self._base)
                return events.FileProduced(text(body, "id"), text(body, "type"), url, text(body, "belongs_to"))
            case "message_replace":
                # Only a text replaces: without one, what is shown would be wiped.
                return events.TextReplaced(body["answer"]) if isinstance(body.get("answer"), str) else None
            case "text_replace":
                replacement = mapping(body, "data").get("text")
                return events.TextReplaced(replacement) if isinstance(replacement, str) else None
            case "reasoning_chunk":
                return events.ReasoningDelta(text(mapping(body, "data"), "reasoning"))
            case "agent_thought":
                return events.Thought(
                    text(body, "id"),
                    number(body, "position"),
                    text(body, "thought"),
                    text(body, "tool"),
                    text(body, "tool_input"),
                    text(body, "observation"),
                )
            case "message_end":
                return message_ended(mapping(body, "metadata"))
            case "error":
                return events.Failed(text(body, "code"), reason(text(body, "message")), number(body, "status"))
            case _:
                return self._run_event(name, mapping(body, "data"))

    def _run_event(self, name: str, data: Mapping[str, Any]) -> events.Event | None:
        match name:
            case "node_started":
                return events.StepStarted(text(data, "node_id"), text(data, "node_type"), text(data, "title"))
            case "node_finished":
                return _step_finished(data, text(data, "status"))
            case "node_retry":
                return _step_finished(data, "retry")
            case "workflow_finished":
                outputs = self._outputs(mapping(data, "outputs"))
                return events.RunFinished(text(data, "status"), reason(text(data, "error")), outputs)
            case "workflow_paused":
                return events.RunPaused()
            case "human_input_required":
                return form_of(data)
            case _:
                if name not in SILENT_EVENTS:
                    self.unknown.add(name)
                return None


def message_ended(metadata: Mapping[str, Any]) -> events.MessageEnded:
    """The good end of an answer, from its metadata."""
    usage = mapping(metadata, "usage")
    return events.MessageEnded(
        events.Usage(
            number(usage, "prompt_tokens"),
            number(usage, "completion_tokens"),
            number(usage, "total_tokens"),
            text(usage, "total_price"),
            text(usage, "currency"),
        )
        if usage
        else None,
        tuple(
            events.Source(
                number(source, "position"),
                text(source, "dataset_name"),
                text(source, "document_name"),
                float(score) if isinstance(score := source.get("score"), int | float) else 0.0,
            )
            for source in mappings(metadata, "retriever_resources")
        ),
    )


def form_of(data: Mapping[str, Any]) -> events.FormRequested:
    """The form that a run waits for."""
    expires_at = data.get("expiration_time")
    resolved = mapping(data, "resolved_default_values")
    return events.FormRequested(
        text(data, "node_title"),
        text(data, "form_content"),
        tuple(_field(field, resolved) for field in mappings(data, "inputs")),
        tuple(mappings(data, "actions")),
        text(data, "form_token"),
        float(expires_at) if isinstance(expires_at, int | float) else 0.0,
    )


def _field(field: Mapping[str, Any], resolved: Mapping[str, Any]) -> Mapping[str, Any]:
    """A field whose default is a variable of the run gets what that was."""
    name = text(field, "output_variable_name")
    return {**field, "default": {"type": "constant", "value": resolved[name]}} if name in resolved else field


def _step_finished(data: Mapping[str, Any], status: str) -> events.StepFinished:
    return events.StepFinished(text(data, "node_id"), text(data, "node_type"), status, reason(text(data, "error")))
