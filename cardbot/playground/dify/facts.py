"""The facts of one question, and the parts of Dify's JSON that repeat them. Pure.

Fields were compared with recordings of 0.15.8 and 1.14.1. Node events carry less than real ones do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cardbot.playground.dify.figures import metadata, usage
from cardbot.playground.dify.release import App, Json, Release


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one question that its events carry."""

    release: Release
    app: App
    user: str
    query: str
    inputs: Json
    conversation_id: str
    message_id: str
    task_id: str
    run_id: str
    workflow_id: str
    created_at: int
    number: int
    """How many questions this conversation has seen, this one included."""

    @property
    def is_graph(self) -> bool:
        return self.app in ("advanced-chat", "workflow")

    def _envelope(self, event: str) -> Json:
        if self.app == "workflow":
            return {"event": event, "workflow_run_id": self.run_id}
        if self.app == "completion":
            return {"event": event, "message_id": self.message_id, "created_at": self.created_at}
        ids = {"conversation_id": self.conversation_id, "message_id": self.message_id}
        return {"event": event, **ids, "created_at": self.created_at}

    def _workflow(self, event: str, data: Json) -> bytes:
        envelope = {**self._envelope(event), "task_id": self.task_id}
        if self.app != "workflow" and event != "text_chunk":
            envelope["workflow_run_id"] = self.run_id
        return self.release.event({**envelope, "data": data})

    def _message(self, event: str, text: str) -> bytes:
        ids = {"task_id": self.task_id, "id": self.message_id}
        message = {**self._envelope(event), **ids, "answer": text}
        if event == "message":
            message["from_variable_selector"] = ["llm", "text"] if self.is_graph else None
        return self.release.event(message)

    def _message_end(self, tokens: int = 13) -> bytes:
        ids = {"task_id": self.task_id, "id": self.message_id}
        files: list[object] | None = [] if self.is_graph else None
        end = {
            **self._envelope("message_end"),
            **ids,
            "metadata": metadata(tokens, self.release, is_graph=self.is_graph),
            "files": files,
        }
        return self.release.event(end)

    def _replace(self, text: str) -> bytes:
        event = {**self._envelope("message_replace"), "task_id": self.task_id, "answer": text}
        if not self.release.old_json:
            event["reason"] = "output_moderation" if self.is_graph else ""
        return self.release.event(event)

    def _error(self, code: str, message: str) -> bytes:
        # The one event without a task_id. seen: all releases.
        error = {"code": code, "status": 400, "message": message}
        return self.release.event({**self._envelope("error"), **error})

    def _thought(self, thought: str) -> bytes:
        tool = {"observation": "", "tool": "", "tool_labels": {}, "tool_input": "", "message_files": []}
        ids = {"task_id": self.task_id, "id": self.run_id, "position": 1}
        return self.release.event({**self._envelope("agent_thought"), **ids, "thought": thought, **tool})

    def _node(self, kind: str, index: int) -> Json:
        # Releases since 1.x number every node 1 and name no predecessor. seen: 1.14.1.
        before = {2: "start", 3: "llm"}.get(index) if self.release.old_json else None
        return {
            "id": f"{self.run_id[:-1]}{index}",
            "node_id": kind,
            "node_type": kind,
            "title": kind.capitalize() if kind != "llm" else "LLM",
            "index": index if self.release.old_json else 1,
            "predecessor_node_id": before,
            "inputs": None,
            "created_at": self.created_at,
            "extras": {},
            "iteration_id": None,
        }

    def _node_done(
        self, kind: str, index: int, *, outputs: object, inputs: object = None, error: str | None = None
    ) -> Json:
        return {
            **self._node(kind, index),
            "inputs": inputs,
            "process_data": None if self.release.old_json else {},
            "outputs": outputs,
            "status": "failed" if error else "succeeded",
            "error": error,
            "elapsed_time": 0.01,
            "execution_metadata": None,
            "finished_at": self.created_at,
            "files": [],
        }

    def _result(self, status: str, outputs: object, error: str | None, *, steps: int) -> Json:
        return {
            "id": self.run_id,
            "workflow_id": self.workflow_id,
            **self._sequence(),
            "status": status,
            "outputs": outputs,
            "error": error,
            "elapsed_time": 0.18,
            "total_tokens": 21 if status == "succeeded" else 0,
            "total_steps": steps,
            "created_by": {"id": self.workflow_id, "user": self.user},
            "created_at": self.created_at,
            "finished_at": self.created_at,
            "exceptions_count": 0,
            "files": [],
        }

    def _blocking_run(self, status: str, outputs: object, error: str | None) -> Json:
        result = self._result(status, outputs, error, steps=3)
        for key in ("sequence_number", "created_by", "exceptions_count", "files"):
            result.pop(key, None)
        return {"task_id": self.task_id, "workflow_run_id": self.run_id, "data": result}

    def _outputs(self, text: str, given: Mapping[str, Any] | None) -> Json:
        if self.app == "workflow":
            return {"result": text} if given is None else dict(given)
        return {"answer": text, "files": []}

    def _sequence(self) -> Json:
        return {"sequence_number": self.number} if self.release.old_json else {}

    def _nothing(self) -> Json | None:
        return None if self.release.old_json else {}

    def _inputs(self) -> Json:
        system: Json = {"sys.files": [], "sys.user_id": self.user}
        if self.app == "advanced-chat":
            system = {"sys.query": self.query, **system, "sys.dialogue_count": self.number}
        ids = {"sys.workflow_id": self.workflow_id, "sys.workflow_run_id": self.run_id}
        return {**self.inputs, **system, **ids}

    def _model_outputs(self, text: str) -> Json:
        return {"text": text, "usage": usage(13, self.release, is_graph=self.is_graph), "finish_reason": "stop"}
