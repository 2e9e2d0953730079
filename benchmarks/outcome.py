"""From what a world has seen of a round to the figures of its row. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from benchmarks.figures import least_staleness, mean, percentile, staleness
from benchmarks.load import FLOOR, LATENCY, QPS, Load
from benchmarks.meter import Cost
from cardbot.playground.dify import Script
from cardbot.playground.dify.script import cues


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row. Seconds and characters unless said otherwise; not a number where nothing was to be measured."""

    contender: str
    load: Load
    flaws: tuple[str, ...]
    """What is wrong with each answer that did not end as exactly one finalised card with the whole text."""
    calls: int
    """To the card paths, rejected ones included."""
    frames: int
    """Streaming calls that were accepted."""
    rejected: int
    """Calls that got a 403."""
    violations: int
    """What the platform accepted and objects to: frames too close together, late acknowledgements and so on."""
    objections: tuple[str, ...]
    """The first of them."""
    first_text: tuple[float, float]
    """From the message to the first frame with text: p50, p95."""
    first_text_after_token: tuple[float, float]
    """From Dify's first token to that frame: p50, p95."""
    stale: float
    """Characters written and not shown, averaged over the time that Dify speaks, mean over the answers."""
    final_delay: tuple[float, float]
    """From Dify's last character to the final frame, of the answers that got one: p50, p95."""
    cost: Cost
    world: Cost

    @classmethod
    def of(cls, contender: str, load: Load, seen: Mapping[str, Any], cost: Cost) -> Self:
        """The figures of what `world` has told."""
        answers = seen["answers"]
        asked = [answer for answer in answers if answer["begun"] is not None]
        texts = [(answer, _first_text(answer)) for answer in asked]
        shown = [(answer, at) for answer, at in texts if at is not None]
        return cls(
            contender=contender,
            load=load,
            flaws=tuple(answer["flaw"] for answer in answers if answer["flaw"]),
            calls=seen["calls"],
            frames=seen["frames"],
            rejected=seen["rejected"],
            violations=seen["violations"],
            objections=tuple(seen["objections"]),
            first_text=_median_and_tail([at - answer["asked"] for answer, at in shown]),
            first_text_after_token=_median_and_tail([at - answer["begun"] - load.first for answer, at in shown]),
            stale=mean([_staleness(load, answer) for answer in asked]),
            final_delay=_median_and_tail(
                [answer["finished"][0] - _over(load, answer) for answer in asked if answer["finished"]]
            ),
            cost=cost,
            world=Cost.read(seen["world"]),
        )

    @property
    def complete(self) -> int:
        """Answers that ended as exactly one finalised card with the whole text."""
        return self.load.answers - len(self.flaws)

    @property
    def bound(self) -> float:
        """The least staleness of a fair schedule that goes on for ever."""
        return self._bound(math.inf)

    @property
    def strict_bound(self) -> float:
        """The least staleness of a fair schedule of answers as long as these."""
        return self._bound(self.load.seconds)

    def _bound(self, seconds: float) -> float:
        """Of the calls that another program leaves."""
        return least_staleness(
            self.load.answers,
            speed=self.load.speed,
            calls_per_second=QPS - self.load.burn,
            floor=FLOOR,
            latency=LATENCY,
            seconds=seconds,
        )


def _first_text(answer: Mapping[str, Any]) -> float | None:
    return next((at for at, characters in answer["frames"] if characters), None)


def _over(load: Load, answer: Mapping[str, Any]) -> float:
    return float(answer["begun"] + load.first + load.seconds)


def _staleness(load: Load, answer: Mapping[str, Any]) -> float:
    begin = answer["begun"] + load.first
    return staleness(_produced(load, answer["begun"]), answer["frames"], begin=begin, end=_over(load, answer))


def _produced(load: Load, begun: float) -> list[tuple[float, int]]:
    """Moments at which Dify has written so many characters of an answer, by its script."""
    steps, total = [], 0
    for at, piece in cues(Script("x" * load.characters, chunk=load.piece, cps=load.speed, first=load.first)):
        total += len(piece)
        steps.append((begun + at, total))
    return steps


def _median_and_tail(values: Sequence[float]) -> tuple[float, float]:
    return percentile(values, 0.5), percentile(values, 0.95)
