"""What a process costs: CPU time, memory, and how late its event loop is."""

import asyncio
import itertools
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from benchmarks.children import say, told
from benchmarks.figures import percentile

TICK = 0.010
"""Seconds between two looks at the clock. How late a look comes is the lag. The looks themselves cost some 0.1 % of a
core, which is part of the CPU time."""

STRETCH = 5.0
"""Seconds of the busiest stretch whose share of a core is told. Our choice: long enough for the resolution of CPU time,
short enough not to average a peak away."""


Clock = Sequence[tuple[float, float]]
"""Seconds and seconds of CPU, in order of time."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What it took from `begin` to `end`."""

    clock: tuple[tuple[float, float], ...]
    """Seconds since the beginning and seconds of CPU (user and system) since then, each second and at the end."""
    rss: float
    """Largest resident set of the process so far, in MB (10⁶ bytes)."""
    lag_p50: float
    """Seconds."""
    lag_p99: float
    """Seconds."""

    @classmethod
    def read(cls, value: Any) -> Self:
        """From a child's line."""
        return cls(**{**value, "clock": tuple((at, cpu) for at, cpu in value["clock"])})

    @property
    def cpu(self) -> float:
        """Seconds of CPU."""
        return self.clock[-1][1]

    @property
    def wall(self) -> float:
        """Seconds."""
        return self.clock[-1][0]

    @property
    def busiest(self) -> float:
        """Share of a core in the busiest stretch."""
        return busiest_share(self.clock, STRETCH)

    def between(self, since: float, until: float) -> float:
        """Seconds of CPU from one moment to another, in seconds since the beginning."""
        return interpolated(self.clock, until) - interpolated(self.clock, since)


class Meter:
    """Measures the process it lives in, from `begin` to `end`. A callback, not a task: that is cheaper."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lags: list[float] = []
        self._clock: list[tuple[float, float]] = []
        self._handle: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Start, or start again."""
        self._cancel()
        self._lags.clear()
        self._began, self._spent = self._loop.time(), _cpu()
        self._clock[:] = [(0.0, 0.0)]
        self._due = self._began + TICK
        self._handle = self._loop.call_at(self._due, self._look)

    def end(self) -> Cost:
        """Stop and say what it was."""
        self._cancel()
        self._record(self._loop.time())
        unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss: bytes there, KiB elsewhere
        return Cost(
            clock=tuple(self._clock),
            rss=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6,
            lag_p50=percentile(self._lags, 0.5),
            lag_p99=percentile(self._lags, 0.99),
        )

    def _look(self) -> None:
        now = self._loop.time()
        self._lags.append(max(0.0, now - self._due))
        if now - self._began - self._clock[-1][0] >= 1.0:
            self._record(now)
        self._due = now + TICK
        self._handle = self._loop.call_at(self._due, self._look)

    def _record(self, now: float) -> None:
        self._clock.append((now - self._began, _cpu() - self._spent))

    def _cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


def busiest_share(clock: Clock, stretch: float) -> float:
    """The largest share of a core over at least `stretch` seconds; the share of the whole if that is shorter."""
    (began, first), (ended, last) = clock[0], clock[-1]
    best = (last - first) / (ended - began)
    for index, (since, before) in enumerate(clock):
        for until, after in clock[index + 1 :]:
            if until - since >= stretch:
                best = max(best, (after - before) / (until - since))
                break
    return best


def interpolated(clock: Clock, at: float) -> float:
    """CPU seconds at a moment: on the line between the two looks around it."""
    for (since, before), (until, after) in itertools.pairwise(clock):
        if at <= until:
            return before + (after - before) * (at - since) / (until - since)
    return clock[-1][1]


async def measured() -> None:
    """A contender's side of a round: measure from the parent's "begin" to its "end", then tell it."""
    meter = Meter()
    while (word := await told()) is not None:
        match word:
            case "begin":
                meter.begin()
            case "end":
                say(asdict(meter.end()))


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
