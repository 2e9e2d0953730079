"""A script as beats: what Dify sends for it, and when. Pure."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cardbot.playground.dify.events import Turn
from cardbot.playground.dify.release import PING, Json
from cardbot.playground.dify.script import Script, cues

PING_EVERY = 10.0
"""Seconds between pings, from the start of the stream. seen: all releases, also while text flows."""

LINGER = 1.0
"""Seconds a relayed stream stays open after its good end. seen: 1.14.1 chatflow and workflow."""


@dataclass(frozen=True, slots=True)
class Beat:
    """Bytes for one HTTP chunk; empty bytes only keep the stream open until `at`."""

    at: float
    """Seconds after the start of the stream."""
    data: bytes
    text: str = ""
    """What these bytes add to the answer."""
    settles: bool = False
    """Whether Dify has written the outcome down before it sends this."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What Dify keeps of a run that came to an end."""

    run: Literal["succeeded", "failed", "stopped", "paused"]
    answer: str
    error: str | None = None
    outputs: Mapping[str, Any] | None = None
    """Of a workflow; None: its answer."""

    @property
    def status(self) -> str:
        """The status of the message in the history."""
        return {"failed": "error", "paused": "paused"}.get(self.run, "normal")


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a run a script is: all of it, or what lies between two forms."""

    before: str = ""
    """What was said in the parts before."""
    resumption: tuple[str, Json] | None = None
    """The event of the form that it goes on with; None: it is the first part."""
    form: Json | None = None
    """The form at its end; None: it is the last part."""


WHOLE = Part()


def outcome(script: Script, turn: Turn, part: Part = WHOLE) -> Outcome | None:
    """What the run comes to if nobody interrupts it. None: it never ends.

    A broken connection breaks the stream, not the run.
    """
    if script.end in ("hang", "stall"):
        return None
    if script.end == "error":
        return Outcome("failed", "", turn.stored_error(script.error))
    if waits(script, turn):
        return Outcome("paused", part.before + script.whole)
    replaced = "" if turn.app == "workflow" else script.replace
    return Outcome("succeeded", replaced or part.before + script.whole, outputs=script.outputs)


def waits(script: Script, turn: Turn) -> bool:
    """Whether a form is asked for at the end of this script."""
    return script.pause is not None and turn.is_graph and turn.release.queued


def beats(script: Script, turn: Turn, *, ping_every: float, linger: float, part: Part = WHOLE) -> Iterator[Beat]:
    """The whole stream up to its end. Only for the end `stall` it never ends."""
    pings = itertools.count(1)
    due = next(pings) * ping_every
    for beat in _speech(script, turn, linger, part):
        while due < beat.at:
            yield Beat(due, PING)
            due = next(pings) * ping_every
        yield beat
    while script.end == "stall":
        yield Beat(due, PING)
        due = next(pings) * ping_every


def _tools(script: Script, turn: Turn) -> Iterator[Beat]:
    """The seconds before the first token are shared out among the tools."""
    if turn.app != "agent-chat":
        return
    each = script.first / max(1, len(script.tools))
    for number, tool in enumerate(script.tools):
        yield Beat(number * each, turn.tool_used(number + 1, tool, ""))
        yield Beat((number + 1) * each, turn.tool_used(number + 1, tool, f"{tool}: done"))
    for number, url in enumerate(script.files, 1):
        yield Beat(script.first, turn.file_made(number, url))


def _speech(script: Script, turn: Turn, linger: float, part: Part) -> Iterator[Beat]:
    opening = turn.opening() if part.resumption is None else turn.resumed(*part.resumption)
    yield from (Beat(0.0, data) for data in opening)
    yield from _tools(script, turn)
    begun = False
    for at, delta in cues(script):
        if not begun:
            yield from (Beat(at, data) for data in turn.first())
            begun = True
        yield Beat(at, turn.delta(delta), delta)
    yield Beat(script.over, b"")
    closing: list[bytes] = []
    if script.end == "error":
        closing = turn.failed(script.error)
    elif script.end == "normal" and part.form is not None:
        closing = turn.paused(part.form)
    elif script.end == "normal":
        closing = turn.finished(script.whole, script.replace, given=script.outputs, before=part.before)
    yield from (Beat(script.over, data, settles=True) for data in closing)
    if script.end == "normal" and turn.is_graph and turn.release.queued:
        yield Beat(script.over + linger, b"")
