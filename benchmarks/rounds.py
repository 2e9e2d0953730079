"""One round: a world in one process, a contender in another, and what came of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from benchmarks.children import run_child
from benchmarks.load import Load
from benchmarks.meter import Cost
from benchmarks.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Contender:
    """A program that answers messages."""

    name: str
    module: str
    parameters: Mapping[str, str] = field(default_factory=dict)


CARDBOT = {
    frames: Contender(f"cardbot, {frames}", "benchmarks.contenders.cardbot", {"frames": frames})
    for frames in ("smooth", "balanced", "frugal")
}

TUTORIAL = Contender("SDK's tutorial bot", "benchmarks.contenders.tutorial")


async def play(contender: Contender, load: Load) -> Outcome:
    """Let a contender answer a load."""
    async with run_child("benchmarks.world", asdict(load)) as world:
        where = await world.receive()
        async with run_child(
            contender.module,
            {**where, **contender.parameters},
            DINGTALK_OPENAPI_ENDPOINT=where["dingtalk"],
        ) as bot:
            await world.send("prepare")
            await world.receive()
            await bot.send("begin")
            await world.send("go")
            seen = await world.receive()
            await bot.send("end")
            cost = Cost.read(await bot.receive())
    return Outcome.of(contender.name, load, seen, cost)
