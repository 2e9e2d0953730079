"""The command line: which parts, which sizes, which kind of table."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Annotated

import anyio
import typer
from rich.console import Console

from benchmarks import calls, crowd, frames, tables
from benchmarks.load import Load
from benchmarks.outcome import Outcome
from benchmarks.tables import Table

FLAWS = 3
"""Kinds of incomplete answers that are told for a row, the most frequent ones. Our choice."""


class Part(StrEnum):
    """What can be measured."""

    FRAMES = "frames"
    SHARED = "shared"
    CALLS = "calls"
    CROWD = "crowd"


def main(
    only: Annotated[list[Part] | None, typer.Option(help="Parts to run; all if not given.")] = None,
    answers: Annotated[list[int] | None, typer.Option(help="How many at once, for frames, shared and crowd.")] = None,
    seconds: Annotated[float, typer.Option(help="How long Dify speaks, per answer of frames and shared.")] = 30.0,
    markdown: Annotated[bool, typer.Option("--markdown", help="Tables for a README instead of a terminal.")] = False,
) -> None:
    """Measure cardbot beside other ways to fill AI cards. No absolute time is judged: compare rows of one run."""
    out, notes = Console(width=None if markdown else 200), Console(stderr=True)

    def show(table: Table) -> None:
        out.print(table.markdown() if markdown else table.rich(), markup=False, highlight=False, soft_wrap=markdown)

    def progress(outcome: Outcome) -> None:
        notes.print(f"{outcome.contender}, N = {outcome.load.answers}: {outcome.complete} complete", highlight=False)
        for flaw, count in Counter(outcome.flaws).most_common(FLAWS):
            notes.print(f"    {count} × {flaw}", markup=False, highlight=False)

    load = Load(1, characters=round(seconds * Load(1).speed))
    anyio.run(_measure, only or list(Part), answers, load, show, progress)


async def _measure(
    parts: list[Part],
    sizes: list[int] | None,
    load: Load,
    show: Callable[[Table], None],
    progress: Callable[[Outcome], None],
) -> None:
    for part in parts:
        match part:
            case Part.FRAMES:
                rows = []
                async for outcome in frames.alone(sizes or frames.SIZES, load):
                    progress(outcome)
                    rows.append(outcome)
                show(
                    tables.frames(rows, f"N simultaneous answers of {load.seconds:.0f} s, 20 calls/s, 120 ms per call")
                )
                show(tables.costs(rows, "What it took"))
            case Part.SHARED:
                rows = []
                async for outcome in frames.shared(sizes or (), load):
                    progress(outcome)
                    rows.append(outcome)
                show(tables.frames(rows, "The same beside a program that makes 10 calls/s of the 20"))
            case Part.CALLS:
                show(tables.calls(await calls.measure()))
            case Part.CROWD:
                size = sizes[0] if sizes else crowd.CROWD.answers
                crowds = []
                async for one in crowd.measure(replace(crowd.CROWD, answers=size)):
                    progress(one.outcome)
                    crowds.append(one)
                show(tables.crowd(crowds))
                call = await calls.measure_one(calls.WRITER)
                for one in crowds:
                    show(tables.shares(await crowd.shares(one, call), one.loop))


if __name__ == "__main__":
    typer.run(main)
