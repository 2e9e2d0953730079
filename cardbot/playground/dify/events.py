"""Dify's side of one answer as bytes: which events, in which order, by release and kind of app. Pure.

Orders were compared with recordings of 0.15.8 and 1.14.1.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cardbot.playground.dify.facts import Facts
from cardbot.playground.dify.figures import metadata
from cardbot.playground.dify.release import PING, Json


@dataclass(frozen=True, slots=True)
class Turn(Facts):
    """One question, and what is sent for it."""

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

    def file_made(self, number: int, url: str) -> bytes:
        """A picture that a tool made. documented: docs.dify.ai, event `message_file`."""
        ids = {"task_id": self.task_id, "id": f"{self.message_id[:-2]}{number:02}"}
        return self.release.event(
            {**self._envelope("message_file"), **ids, "type": "image", "belongs_to": "assistant", "url": url}
        )

    def delta(self, text: str) -> bytes:
        """A piece of the answer."""
        if self.app == "workflow":
            return self._workflow("text_chunk", {"text": text, "from_variable_selector": ["llm", "text"]})
        agent = self.app == "agent-chat" or (self.app == "agent" and self.release.closes_agent)
        return self._message("agent_message" if agent else "message", text)

    def resumed(self, why: str, data: Json) -> list[bytes]:
        """How a run goes on with a form that was handed in (seen: 1.14.1), or whose time is over (documented: the
        same with `human_input_form_timeout`; docs.dify.ai, human input flow, read 2026-11).
        """
        ids = {"id": self.run_id, "workflow_id": self.workflow_id}
        started = {**ids, "inputs": self._inputs(), "created_at": self.created_at, "reason": "resumption"}
        return [
            self._workflow("workflow_started", started),
            self._workflow("node_started", self._node("human-input", 2)),
            self._workflow(why, data),
            self._workflow("node_finished", self._node_done("human-input", 2, outputs={})),
            self._workflow("node_started", self._node("llm", 2)),
        ]

    def paused(self, form: Json) -> list[bytes]:
        """The end of a stream whose run waits for a form. seen: 1.14.1."""
        reason = {"TYPE": "human_input_required", **{key: form[key] for key in form if key != "display_in_ui"}}
        paused = {"workflow_run_id": self.run_id, "paused_nodes": [form["node_id"]], "outputs": {}, "reasons": [reason]}
        status = {"status": "paused", "created_at": self.created_at, "elapsed_time": 0.05, "total_tokens": 0}
        return [
            self._workflow("node_started", self._node("human-input", 2)),
            self._workflow("human_input_required", form),
            self._workflow("workflow_paused", {**paused, **status, "total_steps": 2}),
        ]

    def over(self, status: str, outputs: Json, error: str | None) -> bytes:
        """All that a stream of a run says that has ended: no ids of a conversation. seen: 1.14.1."""
        done = {"event": "workflow_finished", "task_id": self.run_id, "workflow_run_id": self.run_id}
        return f"data: {json.dumps({**done, 'data': self._result(status, outputs, error, steps=3)})}\n\n".encode()

    def finished(
        self, text: str, replaced: str, *, given: Mapping[str, Any] | None = None, before: str = ""
    ) -> list[bytes]:
        """The end of a good answer.

        Args:
            text: What was said since the last pause.
            replaced: What moderation put in its place, or nothing.
            given: The outputs of a workflow; None: its text.
            before: What was said before the run was paused, which the outputs have too.
        """
        swap = [self._replace(replaced)] if replaced and self.app != "workflow" else []
        if self.app == "agent-chat":
            return [self.delta(""), self._thought(text), *swap, self._message_end()]
        if self.app == "agent" and self.release.closes_agent:
            return [self._message("message", text), *swap, self._message_end()]
        if not self.is_graph:
            return [self.delta(""), *swap, self._message_end()]
        last = "end" if self.app == "workflow" else "answer"
        outputs = self._outputs(before + text, given)
        # Without a model in it, a workflow streams no text at all. seen: all releases.
        closing = 0 if self.app == "workflow" and not text else 2 if self.release.queued else 1
        nodes = [
            *[self.delta("")] * closing,
            self._workflow("node_finished", self._node_done("llm", 2, outputs=self._model_outputs(text))),
            self._workflow("node_started", self._node(last, 3)),
            self._workflow("node_finished", self._node_done(last, 3, outputs=outputs)),
        ]
        result = {"answer": before + text} if self.release.old_json and self.app != "workflow" else outputs
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

    def failed_early(self, words: str = "") -> list[bytes]:
        """What a relayed stream shows when a check fails in the worker: a ping, since 1.15 made-up events."""
        if not self.release.reports_early_failures:
            return [PING]
        # No conversation, no message and, for a lost conversation, no words: seen in the source of 1.15.0.
        common = {"workflow_run_id": self.run_id, "task_id": self.run_id}
        started: Json = {"id": self.run_id, "workflow_id": self.workflow_id, "inputs": {}}
        started = {**started, "created_at": self.created_at, "reason": "initial"}
        result = {**self._result("failed", {}, words, steps=0), "elapsed_time": 0.0}
        return [
            PING,
            self.release.event({"event": "workflow_started", **common, "data": started}),
            self.release.event({"event": "workflow_finished", **common, "data": result}),
        ]

    # The same, without a stream.

    def blocking(self, text: str, given: Mapping[str, Any] | None = None) -> Json:
        """The body of a good blocking answer."""
        if self.app == "workflow":
            return self._blocking_run("succeeded", self._outputs(text, given), None)
        conversation = {} if self.app == "completion" else {"conversation_id": self.conversation_id}
        return {
            "event": "message",
            "task_id": self.task_id,
            "id": self.message_id,
            "message_id": self.message_id,
            **conversation,
            "mode": self.app,
            "answer": text,
            "metadata": metadata(len(text), self.release, is_graph=self.is_graph),
            "created_at": self.created_at,
        }

    def blocking_paused(self, form: Json) -> Json:
        """The body when the run waits for a form. documented: docs.dify.ai, read 2026-11."""
        paused = {"paused_nodes": [form["node_id"]], "reasons": [{"TYPE": "human_input_required", **form}]}
        if self.app == "workflow":
            told = self._blocking_run("paused", {}, None)
            return {**told, "data": {**told["data"], **paused}}
        ids = {"conversation_id": self.conversation_id, "message_id": self.message_id, "task_id": self.task_id}
        return {
            "event": "workflow_paused",
            **ids,
            "workflow_run_id": self.run_id,
            "data": {**paused, "status": "paused"},
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
