"""Plays answers: at their moments, until their end, a stop, or the client's leaving."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import NoReturn

from cardbot.playground.dify.beats import WHOLE, Outcome, Part, beats, outcome
from cardbot.playground.dify.checks import Refused
from cardbot.playground.dify.events import Turn
from cardbot.playground.dify.playing import Playing
from cardbot.playground.dify.release import Json
from cardbot.playground.dify.replay import Recording
from cardbot.playground.dify.script import Script
from cardbot.playground.dify.store import Message, Run, keep
from cardbot.playground.dify.waiting import Form, Listeners
from cardbot.playground.http import Cut, Reset, Response, Stream

RELAY_IDLE = 300.0
"""Seconds until a relayed stream without events is ended cleanly. seen: 1.14.1."""


@dataclass(slots=True)
class Performance:
    """One answer on its way: the script, the question, and where its outcome is kept."""

    script: Script
    turn: Turn
    message: Message
    run: Run | None
    part: Part = WHOLE
    form: Form | None = None
    """What it waits for in the end."""
    on_pause: Callable[[], None] = lambda: None
    """Called when it waits."""
    closed: bool = False

    def close(self, final: Outcome | None) -> None:
        """Keep the outcome. The first one counts."""
        if self.closed or final is None:
            return
        self.closed = True
        if self.script.stored is not None:
            final = replace(final, answer=self.script.stored)
        if final.run == "paused" and self.form is not None:
            self.message.forms.append(self.form)
            self.on_pause()
        keep(final, message=self.message, run=self.run)


class Stage:
    """The answers that are being given."""

    def __init__(self, *, ping_every: float, linger: float) -> None:
        self._ping_every = ping_every
        self._linger = linger
        self._playing: dict[str, Playing] = {}
        self._late: list[asyncio.TimerHandle] = []
        self._resumed: set[asyncio.Task[None]] = set()

    @property
    def active(self) -> int:
        """Answers that have begun and not ended."""
        return len(self._playing)

    def stop(self, task_id: str, user: str | None) -> None:
        """Stop an answer, if there is one and it is this user's. None: whoever's it is."""
        playing = self._playing.get(task_id)
        if playing is not None and user in (None, playing.user):
            playing.stop()

    async def close(self) -> None:
        """Forget the runs that would still have ended later."""
        for handle in self._late:
            handle.cancel()
        for task in self._resumed:
            task.cancel()
        await asyncio.gather(*self._resumed, return_exceptions=True)

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Do this then, if the server still runs."""
        self._late.append(asyncio.get_running_loop().call_later(seconds, do))

    def resume(self, performance: Performance, listeners: Listeners, *, after: float) -> None:
        """Go on with a run whose form was handed in, whether or not anybody listens."""
        task = asyncio.get_running_loop().create_task(self._go_on(performance, listeners, after))
        self._resumed.add(task)
        task.add_done_callback(self._resumed.discard)

    async def _go_on(self, performance: Performance, listeners: Listeners, after: float) -> None:
        await asyncio.sleep(after)
        turn = performance.turn
        if performance.run is not None:
            performance.run.status = "running"
        playing = self._playing[turn.task_id] = Playing(turn.user)
        try:
            async for data in self._perform(performance, playing):
                listeners.tell(data)
            listeners.tell(None)
        except (Cut, Reset) as broken:  # the stream's end, not the run's
            listeners.tell(broken)

    async def stream(self, performance: Performance) -> AsyncGenerator[bytes, None]:
        """Begin a streamed answer. Returns when the response headers are due."""
        turn = performance.turn
        playing = self._playing[turn.task_id] = Playing(turn.user)
        chunks = self._perform(performance, playing)
        # The simple apps send no headers before their first event. seen: all releases.
        return chunks if turn.is_graph else await _begun(chunks)

    async def block(self, performance: Performance) -> Json:
        """Give a blocking answer. Raises Refused for a failed model, except in a workflow."""
        script, turn = performance.script, performance.turn
        playing = self._playing[turn.task_id] = Playing(turn.user)
        try:
            await playing.until(script.over)
            await _end(script)
            performance.close(outcome(script, turn, performance.part))
        finally:
            # Without a stream the server does not notice that its client has left. seen: all releases.
            self._leave(performance, playing, goes_on=True)
        if script.end != "error" and performance.part.form is not None:
            return turn.blocking_paused(performance.part.form)
        if script.end != "error":
            return turn.blocking(script.replace or script.whole, script.outputs)
        if turn.app == "workflow":
            return turn.blocking_failed(script.error)
        raise Refused(400, turn.error_code, turn.stored_error(script.error))

    async def _perform(self, performance: Performance, playing: Playing) -> AsyncGenerator[bytes, None]:
        script, turn = performance.script, performance.turn
        told: list[str] = []
        try:
            part, linger = performance.part, self._linger
            for beat in beats(script, turn, ping_every=self._ping_every, linger=linger, part=part):
                await playing.until(beat.at)
                if playing.stopped and not performance.closed:
                    performance.close(Outcome("stopped", part.before + "".join(told)))
                    for data in turn.stopped():
                        yield data
                    return
                if beat.settles:
                    performance.close(outcome(script, turn, part))
                told.append(beat.text)
                if beat.data:
                    yield beat.data
            await _end(script)
        finally:
            self._leave(performance, playing, goes_on=turn.is_graph and turn.release.queued)

    def _leave(self, performance: Performance, playing: Playing, *, goes_on: bool) -> None:
        """The response is over, perhaps before the run is."""
        script, turn = performance.script, performance.turn
        del self._playing[turn.task_id]
        if script.stored is not None:
            performance.close(Outcome("succeeded", script.stored))
        elif goes_on:
            loop = asyncio.get_running_loop()
            when = playing.moment(script.duration)
            final = outcome(script, turn, performance.part)
            if when <= loop.time():
                performance.close(final)
            else:
                self._late.append(loop.call_at(when, performance.close, final))


async def failed_early(turn: Turn, words: str = "") -> AsyncGenerator[bytes, None]:
    """The stream of a question that a worker refuses: silence, since 1.15 events that say so."""
    playing = Playing(turn.user)
    for data in turn.failed_early(words):
        yield data
    if not turn.release.reports_early_failures:
        await playing.until(RELAY_IDLE)


async def play_again(recording: Recording) -> Response | Stream:
    """Answer with a recording, at its times."""
    playing = Playing("")
    if recording.status is None:
        await silence()
    if recording.chunked:
        return Stream(recording.status, recording.headers, await _begun(_chunks(recording, playing)))
    await playing.until(recording.ended)
    if recording.end == "cut":
        raise Cut
    return Response(recording.status, b"".join(data for _, data in recording.chunks), recording.headers)


async def silence() -> NoReturn:
    """Wait for ever: the client leaves first."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("silence does not end")


async def _chunks(recording: Recording, playing: Playing) -> AsyncGenerator[bytes, None]:
    for at, data in recording.chunks:
        await playing.until(at)
        yield data
    await playing.until(recording.ended)
    if recording.end == "cut":
        raise Cut
    if recording.end == "silence":
        await silence()


async def _begun(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same stream, once it has something to send."""
    first = await anext(chunks, b"")

    async def rest() -> AsyncGenerator[bytes, None]:
        try:
            yield first
            async for chunk in chunks:
                yield chunk
        finally:
            await chunks.aclose()

    return rest()


async def _end(script: Script) -> None:
    match script.end:
        case "cut":
            raise Cut
        case "reset":
            raise Reset
        case "hang" | "stall":
            await silence()
        case "normal" | "error" | "eof":
            return
