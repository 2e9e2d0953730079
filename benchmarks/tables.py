"""The figures as tables: for a terminal, and as Markdown. Each number's unit is in its column's head."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rich.table import Table as RichTable

from benchmarks.calls import CallCost
from benchmarks.crowd import Crowd
from benchmarks.outcome import Outcome
from benchmarks.pieces import Piece

Row = TypeVar("Row")

NOTHING = "–"
"""Where there was nothing to measure."""


@dataclass(frozen=True, slots=True)
class Table:
    """A title, the columns' heads, rows of text, and what has to be said about them."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def rich(self) -> RichTable:
        """For a terminal."""
        table = RichTable(title=self.title, caption=self.note or None, title_justify="left", caption_justify="left")
        for number, head in enumerate(self.heads):
            table.add_column(head, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """For a README."""
        lines = [
            f"**{self.title}**",
            "",
            _line(self.heads),
            _line(["---", *["---:"] * (len(self.heads) - 1)]),
            *map(_line, self.rows),
        ]
        return "\n".join([*lines, "", self.note] if self.note else lines) + "\n"


def frames(outcomes: Sequence[Outcome], title: str) -> Table:
    """What people see of N simultaneous answers."""
    columns: list[tuple[str, Callable[[Outcome], str]]] = [
        ("", lambda it: it.contender),
        ("N", lambda it: str(it.load.answers)),
        ("complete", lambda it: str(it.complete)),
        ("rejected calls", lambda it: str(it.rejected)),
        ("violations", lambda it: str(it.violations)),
        ("calls per answer", lambda it: _number(it.calls / it.load.answers, 1)),
        ("first text, s: p50 / p95", lambda it: _pair(it.first_text)),
        ("… after Dify's first token", lambda it: _pair(it.first_text_after_token)),
        ("stale, characters", lambda it: _number(it.stale, 0)),
        ("bound, endless / this long", lambda it: f"{_number(it.bound, 0)} / {_number(it.strict_bound, 0)}"),
        ("stale / bound", lambda it: f"{_number(it.stale / it.bound, 2)} / {_number(it.stale / it.strict_bound, 2)}"),
        ("final delay, s: p50 / p95", lambda it: _pair(it.final_delay)),
    ]
    note = (
        "Complete: ended as exactly one finalised card with the whole text. Rejected: calls that got a 403. Stale: "
        "characters that Dify has written and the card does not show, averaged over the time that Dify speaks. Bound: "
        "the least that a fair schedule under the same limits can have, of which one is 0.8 s between two frames of a "
        "card; who ignores that one collects violations instead. Final delay: from Dify's end to the final "
        "frame, of the answers that got one."
    )
    return _table(title, columns, outcomes, note)


def costs(outcomes: Sequence[Outcome], title: str) -> Table:
    """What it took."""
    columns: list[tuple[str, Callable[[Outcome], str]]] = [
        ("", lambda it: it.contender),
        ("N", lambda it: str(it.load.answers)),
        ("CPU per answer, ms", lambda it: _number(it.cost.cpu / it.load.answers * 1e3, 0)),
        ("CPU per frame, ms", lambda it: _number(it.cost.cpu / it.frames * 1e3 if it.frames else math.nan, 1)),
        ("share of a core, %", lambda it: _number(it.cost.cpu / it.cost.wall * 100, 1)),
        ("busiest 5 s, %", lambda it: _number(it.cost.busiest * 100, 0)),
        ("RSS, MB", lambda it: _number(it.cost.rss, 0)),
        ("loop lag, ms: p50 / p99", lambda it: _lag(it)),
        ("of the world, ms: p99", lambda it: _number(it.world.lag_p99 * 1e3, 1)),
        ("busiest 5 s of the world, %", lambda it: _number(it.world.busiest * 100, 0)),
    ]
    note = (
        "CPU: all that the process spent during the round, reading Dify included. The world is the process of the "
        "simulated DingTalk and Dify; were its loop late or its core full, the figures would be its own."
    )
    return _table(title, columns, outcomes, note)


def calls(found: Sequence[CallCost]) -> Table:
    """What one streaming call costs."""
    columns: list[tuple[str, Callable[[CallCost], str]]] = [
        ("client", lambda it: it.way.name),
        ("CPU per call, ms", lambda it: _number(it.cpu * 1e3, 2)),
        ("× bare httpx of its kind", lambda it: _number(it.ratio, 2)),
        ("calls", lambda it: str(it.way.calls)),
        ("connections opened", lambda it: str(it.connections)),
    ]
    note = (
        "A text of 900 characters to a server that answers at once. Connections are those of all calls, the 50 before "
        "the count included. A call costs more in a process that sleeps between two of them, hence two bare loops."
    )
    return _table("One streaming call", columns, found, note)


def crowd(found: Sequence[Crowd]) -> Table:
    """The crowd, by event loop."""
    columns: list[tuple[str, Callable[[Crowd], str]]] = [
        ("", lambda it: it.outcome.contender),
        ("N", lambda it: str(it.outcome.load.answers)),
        ("complete", lambda it: str(it.outcome.complete)),
        ("rejected calls", lambda it: str(it.outcome.rejected)),
        ("loop lag, ms: p50 / p99", lambda it: _lag(it.outcome)),
        ("RSS, MB", lambda it: _number(it.outcome.cost.rss, 0)),
        ("share of a core, %", lambda it: _number(it.outcome.cost.cpu / it.outcome.cost.wall * 100, 0)),
        ("busiest 5 s, %", lambda it: _number(it.outcome.cost.busiest * 100, 0)),
        ("CPU per event, µs", lambda it: _number(it.event * 1e6, 0)),
        ("… bare httpx, µs", lambda it: _number(it.reading * 1e6, 0)),
        ("… cardbot's Dify client, µs", lambda it: _number(it.asking * 1e6, 0)),
        ("final delay, s: p50 / p95", lambda it: _pair(it.outcome.final_delay)),
        ("busiest 5 s of the world, %", lambda it: _number(it.outcome.world.busiest * 100, 0)),
    ]
    return _table("A crowd in one process, 10 events a second each", columns, found, "")


def shares(found: Sequence[Piece], loop: str) -> Table:
    """Where the time of an event goes."""
    whole = sum(piece.seconds for piece in found)
    columns: list[tuple[str, Callable[[Piece], str]]] = [
        ("", lambda it: it.name),
        ("CPU per event, µs", lambda it: _number(it.seconds * 1e6, 1)),
        ("%", lambda it: _number(it.seconds / whole * 100, 0)),
    ]
    note = "By subtraction, see `benchmarks/crowd.py`."
    return _table(f"Where the time of an event goes ({loop})", columns, [*found, Piece("all", whole)], note)


def _table(title: str, columns: Sequence[tuple[str, Callable[[Row], str]]], found: Iterable[Row], note: str) -> Table:
    heads = tuple(head for head, _ in columns)
    return Table(title, heads, tuple(tuple(cell(row) for _, cell in columns) for row in found), note)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float, digits: int) -> str:
    return NOTHING if math.isnan(value) else f"{value:.{digits}f}"


def _pair(values: tuple[float, float]) -> str:
    return f"{_number(values[0], 2)} / {_number(values[1], 2)}"


def _lag(outcome: Outcome) -> str:
    return f"{_number(outcome.cost.lag_p50 * 1e3, 1)} / {_number(outcome.cost.lag_p99 * 1e3, 1)}"
