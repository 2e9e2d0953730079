"""Keeps a run of the page in a file, and shows it again: one JSON line for each moment at which something changed.

A file may come from anybody, so what is read is only ever shown: texts go through the same sanitiser as live ones.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio

from cardbot.playground.web.feed import Feed, Thing

FORMAT = "cardbot-playground-1"
"""First line of each file, as its `format`."""

KINDS = frozenset({"setup", "message", "card", "reply", "call", "tick", "meter", "switch"})
"""What a file may hold."""

TOGETHER = 0.05
"""Seconds of changes that share a line. Our choice: as often as the page itself looks."""

LONGEST_PAUSE = 3.0
"""Seconds without any change that are shown; longer ones are cut. Our choice: nobody waits for a coffee break again."""


class BadRecording(Exception):
    """Raised for a file that cannot be one, or is none. The text names the file, or the line."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What changed at a moment, in seconds after the start."""

    at: float
    things: tuple[Thing, ...]


async def record(feed: Feed, path: Path) -> None:
    """Write everything that happens. Returns when the feed is closed, with all of it written."""
    version = 0
    async with await anyio.open_file(path, "w", encoding="utf-8") as file:
        await file.write(f"{json.dumps({'format': FORMAT})}\n")
        while True:
            await feed.wait(version)
            changes = feed.since(version)
            version = changes.version
            things = [{"kind": thing.kind, "id": thing.id, **thing.fields} for thing in changes.things]
            await file.write(f"{json.dumps({'at': round(feed.now(), 3), 'put': things}, ensure_ascii=False)}\n")
            await file.flush()
            if feed.closed:
                return
            await anyio.sleep(TOGETHER)


def create(path: Path) -> None:
    """An empty file to record into. Raises BadRecording where none can be written."""
    try:
        path.write_text("", encoding="utf-8")
    except OSError as exc:
        raise BadRecording(f"{path} cannot be written: {exc.strerror}.") from exc


def read(path: Path) -> list[Moment]:
    """The moments of a file, in order. Raises BadRecording."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as exc:
        raise BadRecording(f"{path} cannot be read: {exc.strerror}.") from exc
    if not lines or _object(lines[0], 1).get("format") != FORMAT:
        raise BadRecording(f"{path} was not written by `cardbot playground --record`.")
    moments = [_moment(_object(line, number), number) for number, line in enumerate(lines[1:], start=2)]
    if any(later.at < earlier.at for earlier, later in pairwise(moments)):
        raise BadRecording(f"{path} goes back in time.")
    return moments


class Player:
    """Shows moments again, at their times, as often as wanted."""

    def __init__(self, moments: list[Moment]) -> None:
        self.feed = Feed(lambda: self._position)
        self._moments = moments
        self._position = 0.0
        self._again = anyio.Event()

    def restart(self) -> None:
        """From the beginning."""
        self._again.set()

    async def run(self) -> None:
        """Play, and play again whenever `restart` is called. Never returns."""
        while True:
            self._again = anyio.Event()
            self.feed.clear()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._play)
                await self._again.wait()
                tasks.cancel_scope.cancel()

    async def _play(self) -> None:
        self._position = self._moments[0].at if self._moments else 0.0
        for moment in self._moments:
            await anyio.sleep(min(moment.at - self._position, LONGEST_PAUSE))
            self._position = moment.at
            for thing in moment.things:
                fields = {**thing.fields, "mode": "replay"} if thing.kind == "setup" else thing.fields
                self.feed.put(thing.kind, thing.id, **fields)


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise BadRecording(f"Line {number} is not a JSON object.")
    return value


def _moment(value: dict[str, Any], number: int) -> Moment:
    at, put = value.get("at"), value.get("put")
    if not isinstance(at, int | float) or not isinstance(put, list):
        raise BadRecording(f"Line {number} has no time or no things.")
    return Moment(float(at), tuple(_things(put, number)))


def _things(put: list[Any], number: int) -> Iterator[Thing]:
    for item in put:
        if not isinstance(item, dict) or item.get("kind") not in KINDS or not isinstance(item.get("id"), str):
            raise BadRecording(f"Line {number} holds something that the page does not know.")
        yield Thing(item["kind"], item["id"], {name: item[name] for name in item if name not in ("kind", "id")})
