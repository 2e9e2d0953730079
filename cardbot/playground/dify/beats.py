"""A script as beats: what Dify sends for it, and when. Pure."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cardbot.playground.dify.events import Turn
from cardbot.playground.dify.release import PING
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

    run: Literal["succeeded", "failed", "stopped"]
    answer: str
    error: str | None = None

    @property
    def status(self) -> str:
        """The status of the message in the history."""
        return "error" if self.run == "failed" else "normal"


def outcome(script: Script, turn: Turn) -> Outcome | None:
    """What the run comes to if nobody interrupts it. None: it never ends.

    A broken connection breaks the stream, not the run.
    """
    if script.end in ("hang", "stall"):
        return None
    if script.end == "error":
        return Outcome("failed", "", turn.stored_error(script.error))
    replaced = "" if turn.app == "workflow" else script.replace
    return Outcome("succeeded", replaced or script.whole)


def beats(script: Script, turn: Turn, *, ping_every: float, linger: float) -> Iterator[Beat]:
    """The whole stream up to its end. Only for the end `stall` it never ends."""
    pings = itertools.count(1)
    due = next(pings) * ping_every
    for beat in _speech(script, turn, linger):
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


def _speech(script: Script, turn: Turn, linger: float) -> Iterator[Beat]:
    yield from (Beat(0.0, data) for data in turn.opening())
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
    elif script.end == "normal":
        closing = turn.finished(script.whole, script.replace)
    yield from (Beat(script.over, data, settles=True) for data in closing)
    if script.end == "normal" and turn.is_graph and turn.release.queued:
        yield Beat(script.over + linger, b"")
