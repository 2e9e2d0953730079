"""N simultaneous answers by each contender, alone and beside a program that uses half of the quota."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import anyio

from benchmarks.load import QPS, Load
from benchmarks.outcome import Outcome
from benchmarks.rounds import CARDBOT, TUTORIAL, Contender, play

SIZES = (1, 5, 20, 50, 200)
"""Simultaneous answers. The bound of the quota begins at 16."""

CONTENDERS = (*CARDBOT.values(), TUTORIAL)

SMALL = 20
"""Rounds of up to so many answers go on side by side, all contenders at once: together they need less than half a core
(measured 2026-11), so none is in another's way. Larger rounds are alone."""

SHARED = ((20, CARDBOT["balanced"]), (50, CARDBOT["smooth"]))
"""Rounds beside another program: the default, and the most demanding."""


async def alone(sizes: Sequence[int], load: Load) -> AsyncGenerator[Outcome]:
    """A row for each size and contender, as it is ready."""
    for size in sizes:
        sized = replace(load, answers=size)
        if size <= SMALL:
            for outcome in await _side_by_side(CONTENDERS, sized):
                yield outcome
        else:
            for contender in CONTENDERS:
                yield await play(contender, sized)


async def shared(sizes: Sequence[int], load: Load) -> AsyncGenerator[Outcome]:
    """A row for each round beside a program that makes half of the calls that the quota allows.

    Without sizes, the rounds of `SHARED`; with sizes, the default of cardbot for each.
    """
    for size, contender in [(size, CARDBOT["balanced"]) for size in sizes] or SHARED:
        yield await play(contender, replace(load, answers=size, burn=QPS / 2))


async def _side_by_side(contenders: Sequence[Contender], load: Load) -> list[Outcome]:
    found: dict[str, Outcome] = {}

    async def one(contender: Contender) -> None:
        found[contender.name] = await play(contender, load)

    async with anyio.create_task_group() as tasks:
        for contender in contenders:
            tasks.start_soon(one, contender)
    return [found[contender.name] for contender in contenders]
