"""Ten thousand messages, a third of which meet trouble: each is to end in exactly one visible final state.

    python -m benchmarks.soak --messages 10000 --faults 0.3 --seed 7     # some ten minutes, two cores
    python -m benchmarks.soak --messages 300                             # less than a minute

One process holds the simulated DingTalk, a scripted Dify and the judge; `cardbot run` is another one, with its default
store. The troubles are those of `tests/faults/catalogue.py` but for those that end the month or take more than a
minute of silence. Exits 1 if anybody was left without an answer, or saw two, or one that Dify did not give.
"""

import random
import tempfile
from pathlib import Path
from statistics import mean
from typing import Annotated

import anyio
import typer
from rich.console import Console

from benchmarks.soaking import Soaked, soak
from benchmarks.tables import Table

WARM_UP = 0.1
"""Share of the time that does not count for memory: caches and pools fill up."""

TOLD = 30
"""Objections that are printed."""


def main(
    messages: Annotated[int, typer.Option(min=1, help="How many messages.")] = 10_000,
    faults: Annotated[float, typer.Option(min=0, max=1, help="Share of the messages that meet trouble.")] = 0.3,
    rate: Annotated[float, typer.Option(min=0.1, help="Messages a second.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Of what is drawn at random; 0 draws one.")] = 0,
    markdown: Annotated[bool, typer.Option("--markdown", help="A table for a README instead of a terminal.")] = False,
) -> None:
    """Soak the bot. Its memory is read from /proc, so this runs on Linux."""
    seed = seed or random.randrange(1, 10**6)
    out, notes = Console(), Console(stderr=True)
    notes.print(f"seed {seed}", highlight=False)
    with tempfile.TemporaryDirectory() as folder:

        async def run() -> Soaked:
            return await soak(Path(folder), messages=messages, faults=faults, rate=rate, seed=seed)

        soaked = anyio.run(run)
    table = as_table(soaked, seed)
    out.print(table.markdown() if markdown else table.rich(), markup=False, highlight=False, soft_wrap=markdown)
    for objection in soaked.objections[:TOLD]:
        notes.print(objection, markup=False, highlight=False)
    raise typer.Exit(1 if soaked.objections else 0)


def as_table(soaked: Soaked, seed: int) -> Table:
    """The figures."""
    start, middle, end = memory(soaked.rss)
    rows = [
        ("messages", f"{soaked.messages:,}"),
        ("of which never reached the bot", f"{soaked.unacknowledged:,}"),
        *((f"    {name}", f"{count:,}") for name, count in soaked.deeds.most_common()),
        ("faults", f"{soaked.faults.total():,}"),
        *((f"    {name}", f"{count:,}") for name, count in sorted(soaked.faults.items())),
        ("final states", f"{soaked.finals.total():,}"),
        *((f"    {name}", f"{count:,}") for name, count in soaked.finals.most_common()),
        ("violations", f"{len(soaked.objections):,}"),
        ("memory at the start / in the middle / at the end, MB", f"{start:.0f} / {middle:.0f} / {end:.0f}"),
        ("duration, s", f"{soaked.seconds:.0f}"),
        ("CPU per message, ms", f"{soaked.cpu / soaked.messages * 1e3:.0f}"),
    ]
    return Table(f"Soak, seed {seed}", ("", ""), tuple(rows))


def memory(rss: list[float]) -> tuple[float, float, float]:
    """Means of the resident set over a tenth of the time each: after the warm-up, in the middle, at the end."""
    tenth = max(1, round(len(rss) * WARM_UP))
    middle = len(rss) // 2
    parts = rss[tenth : 2 * tenth], rss[middle : middle + tenth], rss[-tenth:]
    return tuple(mean(part or rss) for part in parts)  # type: ignore[return-value]  # three of them


if __name__ == "__main__":
    typer.run(main)
