"""The part of Dify that lets a person decide how a run goes on: its forms, and the streams of what follows."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from functools import partial

from cardbot.playground.dify.answers import Performance, Stage
from cardbot.playground.dify.beats import Part, waits
from cardbot.playground.dify.checks import Refused, require_app, user_of
from cardbot.playground.dify.events import Turn
from cardbot.playground.dify.history import History
from cardbot.playground.dify.release import App, Json, Release
from cardbot.playground.dify.script import Script
from cardbot.playground.dify.store import Message, Run
from cardbot.playground.dify.waiting import Form, Waiting

STOPPED_LATE = "Human input global timeout at node hi"
"""The error of a run that is stopped. Read in the source of Dify."""


class HumanInput:
    """The forms of one app. What is asked for in vain raises Refused."""

    def __init__(self, app: App, release: Release, history: History, stage: Stage, *, ping_every: float) -> None:
        self._app = app
        self._history = history
        self._stage = stage
        self._ping_every = ping_every
        self._waiting = Waiting(release)

    def performance(
        self, script: Script, turn: Turn, message: Message, run: Run | None, *, after: Form | None = None
    ) -> Performance:
        """A script on its way, with the form that it ends with and the one that it goes on with."""
        before = after.before if after else ""
        form = None
        if script.pause is not None and waits(script, turn):
            form = Form(script.pause, turn.run_id, before + script.whole)
            self._waiting.begin(form)
        resumption, asked_for = after.resumption() if after else None, form.definition() if form else None
        performance = Performance(script, turn, message, run, Part(before, resumption, asked_for), form)
        if form is not None:
            performance.on_pause = partial(self._look_for, form)
        return performance

    def form(self, token: str, path: str) -> Json:
        """`GET /form/human_input/{token}`."""
        form = self._waiting.form(token, path)
        form.ensure_open()
        return form.shown()

    def hand_in(self, token: str, body: Json, path: str) -> Json:
        """`POST /form/human_input/{token}`: the run goes on at once, whoever listens."""
        user_of(body)
        form = self._waiting.form(token, path)
        form.hand_in(body)
        filled = form.filled or {}
        then = form.pause.then
        self._go_on(form, then(filled["action"], filled["inputs"]) if callable(then) else then)
        return {}

    def _go_on(self, form: Form, script: Script) -> None:
        run = self._history.runs[form.run_id]
        assert run.message is not None
        performance = self.performance(script, run.turn, run.message, run, after=form)
        self._stage.resume(performance, self._waiting.listeners(form.run_id), after=form.pause.picked_up)

    def _look_for(self, form: Form) -> None:
        """Look whether it was handed in, when its time is over."""
        self._stage.later(form.expires_at - time.time() + form.pause.looked_for, partial(self.end_its_time, form))

    def end_its_time(self, form: Form) -> None:
        """Go on, or end. Read in the source (langgenius/dify: `human_input_timeout_tasks.py`, 2026-11): a run that is
        stopped tells its listeners nothing, and its message stays `paused`.
        """
        if form.filled:
            return
        match form.pause.late:
            case Script() as script:
                self._go_on(form, script)
            case "stopped":
                run = self._history.runs[form.run_id]
                run.status, run.error, run.finished_at = "stopped", STOPPED_LATE, int(time.time())
            case "waits":
                pass

    def follow(self, run_id: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """`GET /workflow/{run}/events`: what the run says from now on, or that it has ended."""
        user = user_of(query)
        require_app(self._app, ("workflow", "advanced-chat"))
        run = self._history.runs.get(run_id)
        if run is None or run.turn.user != user:
            raise Refused(404, "not_found", "Workflow run not found")
        if run.finished_at is not None:
            return _once(run.turn.over(run.status, run.result, run.error))
        return self._waiting.listeners(run_id).listen(self._ping_every)


async def _once(data: bytes) -> AsyncGenerator[bytes, None]:
    await asyncio.sleep(0)
    yield data
