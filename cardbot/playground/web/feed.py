"""What the page shows, as things by kind and id: the newest form of each, and what changed since a reader last looked.

Nobody waits for a reader. One that is slow misses forms in between, never the newest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio

KEPT: Mapping[str, int] = {"message": 400, "card": 400, "reply": 400, "call": 2000, "tick": 6000}
"""How many things of a kind are kept, newest first. Our choice: some twenty crowds of twenty askers; a page that is
open for a day must not fill the memory. Kinds that are not listed have a fixed number of things."""

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing on the page. `fields` go to the page as they are."""

    kind: str
    id: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Changes:
    """What to put on the page. `whole`: it is all there is, and what the page has is to go first."""

    version: int
    things: list[Thing]
    whole: bool


class Feed:
    """The things, in the order of their latest change. `now` gives the seconds that their times are in."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self._things: dict[tuple[str, str], tuple[int, Thing]] = {}
        self._numbers: dict[str, int] = {}
        self._version = 0
        self._cleared_at = 0
        self.closed = False
        self._changed = anyio.Event()

    def put(self, kind: str, id: str, /, **fields: Any) -> None:
        """Show a thing, or its newest form; fields that are left out keep their value."""
        old = self._things.pop((kind, id), None)
        if old is None:
            self._numbers[kind] = self._numbers.get(kind, 0) + 1
        thing = Thing(kind, id, {**(old[1].fields if old else {}), **fields})
        self._version += 1
        self._things[kind, id] = (self._version, thing)
        if self._numbers[kind] > KEPT.get(kind, self._numbers[kind]):
            self._drop_oldest(kind)
        self._wake()

    def clear(self) -> None:
        """Show nothing any more."""
        self._things.clear()
        self._numbers.clear()
        self._version += 1
        self._cleared_at = self._version
        self._wake()

    def close(self) -> None:
        """Nothing more will come: whoever waits is let go."""
        self.closed = True
        self._wake()

    def get(self, kind: str, id: str) -> Fields:
        """The newest fields of a thing. Raises KeyError."""
        return self._things[kind, id][1].fields

    def all(self, kind: str) -> list[Fields]:
        """The newest fields of all things of a kind, in the order of their latest change."""
        return [thing.fields for (its, _), (_, thing) in self._things.items() if its == kind]

    def since(self, version: int) -> Changes:
        """What is new after `version`; 0 for a reader that has nothing yet."""
        whole = version < max(1, self._cleared_at)
        found: list[Thing] = []
        for at, thing in reversed(self._things.values()):
            if at <= version and not whole:
                break
            found.append(thing)
        return Changes(self._version, found[::-1], whole)

    async def wait(self, version: int) -> None:
        """Return once something is newer than `version`, or never will be."""
        while self._version <= version and not self.closed:
            await self._changed.wait()

    def _drop_oldest(self, kind: str) -> None:
        oldest = next(key for key in self._things if key[0] == kind)
        del self._things[oldest]
        self._numbers[kind] -= 1

    def _wake(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()
