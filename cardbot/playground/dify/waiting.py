"""Forms that paused runs wait for, and the streams of runs that go on with them.

Recorded from 1.14.1 in 2026-11; what was not recorded, read in the source (langgenius/dify:
`human_input_service.py`, `workflow_events.py`, `workflow_event_snapshot_service.py`, read 2026-11).
"""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

from cardbot.playground.dify.checks import Refused, not_found
from cardbot.playground.dify.release import PING, Json, Release
from cardbot.playground.dify.script import Pause


@dataclass(slots=True)
class Form:
    """One form, on its way from `human_input_required` to its submission."""

    pause: Pause
    run_id: str
    before: str
    """The answer until the pause."""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    token: str = field(default_factory=lambda: uuid.uuid4().hex[:22])
    expires_at: float = 0.0
    filled: Json | None = None
    """What was handed in: `inputs` and `action`."""

    def __post_init__(self) -> None:
        self.expires_at = time.time() + self.pause.expires_in

    def definition(self) -> Json:
        """As `human_input_required` and `GET /messages` show it."""
        return {
            "form_id": self.id,
            "node_id": "hi",
            "node_title": self.pause.title,
            "form_content": self.pause.content,
            "inputs": [dict(one) for one in self.pause.inputs],
            "actions": self.actions(),
            "display_in_ui": True,
            "form_token": self.token if self.pause.here else None,
            "resolved_default_values": dict(self.pause.resolved),
            "expiration_time": int(self.expires_at),
        }

    def actions(self) -> list[Json]:
        """The buttons; the first is the main one."""
        return [
            {"id": action, "title": self._title(action), "button_style": "default" if number else "primary"}
            for number, action in enumerate(self.pause.actions)
        ]

    def shown(self) -> Json:
        """As `GET /form/human_input/{token}` shows it."""
        whole = self.definition()
        kept = {name: whole[name] for name in ("form_content", "inputs", "resolved_default_values", "expiration_time")}
        return {**kept, "user_actions": whole["actions"]}

    def extra(self) -> Json:
        """As the message that waits, or waited, shows it."""
        filled = self.submission() if self.filled else None
        return {
            "workflow_run_id": self.run_id,
            "submitted": filled is not None,
            "form_definition": None if filled else self.definition(),
            "form_submission_data": filled,
            "type": "human_input",
        }

    def submission(self) -> Json:
        """What was handed in, as events and messages show it."""
        filled = self.filled or {"inputs": {}, "action": ""}
        content = self.pause.content
        for name, value in filled["inputs"].items():
            content = content.replace("{{#$output." + name + "#}}", str(value))
        ids = {"node_id": "hi", "node_title": self.pause.title, "rendered_content": content}
        return {**ids, "action_id": filled["action"], "action_text": self._title(str(filled["action"]))}

    def resumption(self) -> tuple[str, Json]:
        """The event with which the run goes on: it was handed in, or its time was over."""
        if self.filled:
            return "human_input_form_filled", self.submission()
        ids = {"node_id": "hi", "node_title": self.pause.title}
        return "human_input_form_timeout", {**ids, "expiration_time": int(self.expires_at)}

    def _title(self, action: str) -> str:
        """What people call an action."""
        titles = self.pause.actions
        return titles.get(action, "") if isinstance(titles, Mapping) else action.capitalize()

    def hand_in(self, body: Json) -> None:
        """Take a submission. Raises Refused."""
        self.ensure_open()
        inputs, action = body.get("inputs"), body.get("action")
        if not isinstance(inputs, dict) or not isinstance(action, str):
            text = "1 validation error for HumanInputFormSubmitPayload\ninputs, action\n  Field required [type=missing]"
            raise Refused(400, "invalid_param", text)
        if action not in self.pause.actions:
            raise Refused(400, "invalid_form_data", f"Invalid action: {action}")
        wanted = [str(one["output_variable_name"]) for one in self.pause.inputs]
        if missing := [name for name in wanted if name not in inputs]:  # Defaults do not count.
            raise Refused(400, "invalid_form_data", f"Missing required inputs: {', '.join(missing)}")
        self.filled = {"inputs": inputs, "action": action}

    def ensure_open(self) -> None:
        """Raise Refused for a form that nobody may hand in any more."""
        if self.filled:
            text = f"This form has already been submitted by another user, form_id={self.id}"
            raise Refused(412, "human_input_form_submitted", text)
        if self.expires_at <= time.time():
            raise Refused(412, "human_input_form_expired", f"This form has expired, form_id={self.id}")


class Listeners:
    """Those who follow one run that was paused. What is said before somebody comes, that one misses."""

    def __init__(self) -> None:
        self._queues: list[asyncio.Queue[bytes | Exception | None]] = []

    def tell(self, said: bytes | Exception | None) -> None:
        """Bytes for everybody; None ends all streams well, an exception otherwise."""
        for queue in self._queues:
            queue.put_nowait(said)

    async def listen(self, ping_every: float) -> AsyncGenerator[bytes, None]:
        """What is said from now on. Pings by itself, whatever the run does."""
        queue: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self._queues.append(queue)
        try:
            yield PING
            while True:
                try:
                    said = await asyncio.wait_for(queue.get(), ping_every)
                except TimeoutError:
                    said = PING
                if said is None:
                    return
                if isinstance(said, Exception):
                    raise said
                yield said
        finally:
            self._queues.remove(queue)


class Waiting:
    """All forms and listeners of one app."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._forms: dict[str, Form] = {}
        self._listeners: dict[str, Listeners] = {}

    def begin(self, form: Form) -> None:
        """Wait for this one."""
        self._forms[form.token] = form

    def form(self, token: str, path: str) -> Form:
        """The form of a token. Raises Refused."""
        form = self._forms.get(token)
        if form is None or not form.pause.here:
            raise not_found("Form not found.", path, self._release)
        return form

    def listeners(self, run_id: str) -> Listeners:
        """Who follows this run."""
        return self._listeners.setdefault(run_id, Listeners())
