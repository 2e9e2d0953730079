"""Dify's side of one answer as bytes: which events, in which order, by release and kind of app. Pure.

Orders and fields were compared with recordings of 0.15.8 and 1.14.1. Node events carry less than real ones do.
"""

from dataclasses import dataclass

from cardbot.playground.dify.release import PING, App, Json, Release


@dataclass(frozen=True, slots=True)
class Turn:
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

    # The events, in the order of a stream.

    def opening(self) -> list[bytes]:
        """What is sent before the model says anything. Empty for the simple apps."""
        if not self.is_graph:
            return []
        ids = {"id": self.run_id, "workflow_id": self.workflow_id, **self._sequence()}
        started = {**ids, "inputs": self._inputs(), "created_at": self.created_at}
        if not self.release.old_json:
            started["reason"] = "initial"
        shown = self._inputs() if self.release.old_json else self.inputs
        early = [PING] if self.release.queued else []
        return [
            *early,
            self._workflow("workflow_started", started),
            self._workflow("node_started", self._node("start", 1)),
            self._workflow("node_finished", self._node_done("start", 1, outputs=shown, inputs=shown)),
            self._workflow("node_started", self._node("llm", 2)),
        ]

    def first(self) -> list[bytes]:
        """What comes with the first token."""
        return [self._thought("")] if self.app == "agent-chat" else []

    def tool_used(self, position: int, tool: str, observation: str) -> bytes:
        """An assistant's tool: without an observation it is at work. seen: one `agent_thought` before, one after."""
        used = {"observation": observation, "tool": tool, "tool_labels": {}, "tool_input": "{}", "message_files": []}
        ids = {"task_id": self.task_id, "id": f"{self.run_id[:-2]}{position:02}", "position": position}
        return self.release.event({**self._envelope("agent_thought"), **ids, "thought": "", **used})

    def delta(self, text: str) -> bytes:
        """A piece of the answer."""
        if self.app == "workflow":
            return self._workflow("text_chunk", {"text": text, "from_variable_selector": ["llm", "text"]})
        agent = self.app == "agent-chat" or (self.app == "agent" and self.release.closes_agent)
        return self._message("agent_message" if agent else "message", text)

    def finished(self, text: str, replaced: str) -> list[bytes]:
        """The end of a good answer. `replaced` is what moderation put in its place, or nothing."""
        swap = [self._replace(replaced)] if replaced and self.app != "workflow" else []
        if self.app == "agent-chat":
            return [self.delta(""), self._thought(text), *swap, self._message_end()]
        if self.app == "agent" and self.release.closes_agent:
            return [self._message("message", text), *swap, self._message_end()]
        if not self.is_graph:
            return [self.delta(""), *swap, self._message_end()]
        last = "end" if self.app == "workflow" else "answer"
        outputs: Json = {"result": text} if self.app == "workflow" else {"answer": text, "files": []}
        nodes = [
            *[self.delta("")] * (2 if self.release.queued else 1),
            self._workflow("node_finished", self._node_done("llm", 2, outputs=self._model_outputs(text))),
            self._workflow("node_started", self._node(last, 3)),
            self._workflow("node_finished", self._node_done(last, 3, outputs=outputs)),
        ]
        result = {"answer": text} if self.release.old_json and self.app != "workflow" else outputs
        done = self._workflow("workflow_finished", self._result("succeeded", result, None, steps=3))
        if self.app == "workflow":
            return [*nodes, done]
        if self.release.queued:
            return [*nodes, *swap, self._message_end(), done]
        return [*nodes, done, *swap, self._message_end()]

    def failed(self, words: str) -> list[bytes]:
        """The end when the model failed with `words`."""
        if not self.is_graph:
            return [self._error(self.error_code, self.error_text(words))]
        text = self.error_text(words)
        nodes = [
            self._workflow("node_finished", self._node_done("llm", 2, outputs=self._nothing(), error=text)),
            self._workflow("workflow_finished", self._result("failed", self._nothing(), text, steps=2)),
        ]
        if self.app == "workflow" or self.release.queued:
            return nodes
        return [*nodes, self._error("invalid_param", f"Run failed: {text}")]

    def stopped(self) -> list[bytes]:
        """The end when the user asked to stop."""
        if not self.is_graph:
            return [self._message_end(tokens=0)]
        result = self._result("stopped", self._nothing(), "Stopped by user.", steps=2)
        done = self._workflow("workflow_finished", result)
        if self.app == "workflow" or self.release.queued:
            return [done]
        return [done, self._message_end(tokens=0)]

    def failed_early(self) -> list[bytes]:
        """What a relayed stream shows when a check fails in the worker: a ping, since 1.15 made-up events."""
        if not self.release.reports_early_failures:
            return [PING]
        # No conversation, no message and, for a lost conversation, no words: seen in the source of 1.15.0.
        common = {"workflow_run_id": self.run_id, "task_id": self.run_id}
        started: Json = {"id": self.run_id, "workflow_id": self.workflow_id, "inputs": {}}
        started = {**started, "created_at": self.created_at, "reason": "initial"}
        result = {**self._result("failed", {}, "", steps=0), "elapsed_time": 0.0}
        return [
            PING,
            self.release.event({"event": "workflow_started", **common, "data": started}),
            self.release.event({"event": "workflow_finished", **common, "data": result}),
        ]

    # The same, without a stream.

    def blocking(self, text: str) -> Json:
        """The body of a good blocking answer."""
        if self.app == "workflow":
            return self._blocking_run("succeeded", {"result": text}, None)
        conversation = {} if self.app == "completion" else {"conversation_id": self.conversation_id}
        return {
            "event": "message",
            "task_id": self.task_id,
            "id": self.message_id,
            "message_id": self.message_id,
            **conversation,
            "mode": self.app,
            "answer": text,
            "metadata": self._metadata(tokens=len(text)),
            "created_at": self.created_at,
        }

    def blocking_failed(self, words: str) -> Json:
        """The body of a failed blocking workflow, which is a 200."""
        return self._blocking_run("failed", self._nothing(), self.error_text(words))

    def error_text(self, words: str) -> str:
        """A model error as the events carry it."""
        text = self.release.plugin_error(words)
        wrapped = self.is_graph and not self.release.old_json
        return f"req_id: 0123456789 PluginInvokeError: {text}" if wrapped else text

    @property
    def error_code(self) -> str:
        return "completion_request_error" if self.release.old_json else "invalid_param"

    def stored_error(self, words: str) -> str:
        """What the history keeps of a model error."""
        text = self.error_text(words)
        return f"Run failed: {text}" if self.is_graph else text

    # Envelopes and parts.

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
        end = {**self._envelope("message_end"), **ids, "metadata": self._metadata(tokens), "files": files}
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
        return {"text": text, "usage": self._usage(13), "finish_reason": "stop"}

    def _metadata(self, tokens: int) -> Json:
        usage = {"usage": self._usage(tokens)}
        if self.release.old_json:
            return usage
        return {"annotation_reply": None, "retriever_resources": [], **usage}

    def _usage(self, tokens: int) -> Json:
        price = "0E-7" if tokens else "0.0"
        usage: Json = {
            "prompt_tokens": tokens and 8,
            "prompt_unit_price": "0",
            "prompt_price_unit": "0",
            "prompt_price": price,
            "completion_tokens": tokens,
            "completion_unit_price": "0",
            "completion_price_unit": "0",
            "completion_price": price,
            "total_tokens": tokens and tokens + 8,
            "total_price": price,
            "currency": "USD",
            "latency": 0.15 if tokens else 0.0,
        }
        if self.release.old_json:
            return usage
        measured = 0.05 if tokens and self.is_graph else None
        return {**usage, "time_to_first_token": measured, "time_to_generate": measured}
