"""500 answers at once in one process: how late its event loop gets, what it needs, and where the time goes.

Where the time of an event goes is found by subtraction, all of it while every answer speaks at once: what the process
spends then, over the events of that time. A process that reads as many streams, as fast, with bare httpx and nothing
else gives the part of httpx; one that reads them with cardbot's client for Dify, less that, the client's. The pure
steps are measured in tight loops (`pieces`); those of the client, decode and parse, have rows of their own. The card
calls are those of the whole round, as a share of all events, times the CPU of a call by the writer (`calls`). What
remains is the reply's task, pacing, caches that are cold when the process wakes up, and the error of the other parts.
"""

from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec

from benchmarks import pieces
from benchmarks.children import run_child
from benchmarks.load import Load
from benchmarks.meter import Cost
from benchmarks.outcome import Outcome
from benchmarks.pieces import Piece
from benchmarks.rounds import CARDBOT, play

CROWD = Load(500, characters=2400, spread=30.0)
"""500 answers of 40 s whose starts are spread over 30 s: for 10 s all of them speak, 10 events a second each."""

READING = Load(500, characters=900, spread=5.0)
"""What bare httpx reads: as many streams, as fast, for 10 s all at once."""

LOOPS = ("asyncio", "uvloop")


@dataclass(frozen=True, slots=True)
class Crowd:
    """The whole crowd on one kind of event loop."""

    loop: str
    outcome: Outcome
    reading: float
    """Seconds of CPU for an event that is read with bare httpx on the same loop."""
    asking: float
    """Seconds of CPU for an event that is read with cardbot's client for Dify."""

    @property
    def event(self) -> float:
        """Seconds of CPU for an event while all answers speak, all in all."""
        return per_event(self.outcome.cost, self.outcome.load)


async def measure(load: Load) -> AsyncGenerator[Crowd]:
    """A row for each event loop that is installed."""
    for loop in LOOPS:
        if find_spec(loop) is None:
            continue
        contender = replace(CARDBOT["balanced"], name=f"cardbot, balanced, {loop}")
        contender = replace(contender, parameters={**contender.parameters, "loop": loop})
        outcome = await play(contender, load)
        read = replace(READING, answers=load.answers)
        yield Crowd(
            loop, outcome, reading=await _reading(read, "httpx", loop), asking=await _reading(read, "ask", loop)
        )


async def shares(crowd: Crowd, call: float) -> list[Piece]:
    """Where the time of an event goes, the remainder last. `call`: seconds of CPU for a card call."""
    outcome = crowd.outcome
    steps = {piece.name: piece for piece in await pieces.measure(outcome.load)}
    inside = [steps[name] for name in (pieces.DECODE, pieces.PARSE)]
    found = [
        Piece("httpx: read a chunk", crowd.reading),
        *inside,
        Piece("client: from the reading task to the reply's", crowd.asking - crowd.reading - _sum(inside)),
        steps[pieces.APPLY],
        steps[pieces.SHOW],
        Piece("card calls", call * outcome.calls / (outcome.load.answers * outcome.load.events)),
    ]
    return [*found, Piece("the rest: reply, pacing, cold caches", crowd.event - _sum(found))]


def _sum(found: list[Piece]) -> float:
    return sum(piece.seconds for piece in found)


async def _reading(load: Load, way: str, loop: str) -> float:
    """Seconds of CPU for an event that is read and thrown away."""
    async with run_child("benchmarks.world", asdict(load)) as world:
        where = await world.receive()
        given = {**where, "load": asdict(load), "way": way, "loop": loop}
        async with run_child("benchmarks.contenders.reader", given) as reader:
            cost = Cost.read(await reader.receive())
    return per_event(cost, load)


def per_event(cost: Cost, load: Load) -> float:
    """Seconds of CPU for an event, from the moment the last answer begins to the moment the first one ends."""
    since, until = load.spread + load.first, load.first + load.seconds
    return cost.between(since, until) / ((until - since) * load.answers * load.speed / load.piece)
