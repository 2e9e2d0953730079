"""From moments to figures: percentiles, staleness, and the least staleness that a fair schedule can have. Pure.

The bound
---------
N answers, r characters a second each, share q frames a second. A fair schedule gives each card a frame every

    T = max(N / q, floor)

seconds: less is not to be had of the quota, and no card may be updated more often than every `floor` seconds. The
text of a frame is fixed when the call begins and is on the screen a seconds later (the call's latency). So what a
reader lacks grows from r·a, the moment a frame appears, to r·(a + T), the moment before the next one does. Its
average over time is

    r · (a + T / 2)

Equal spacing is the best there is: with gaps T₁ … Tₖ that add up to the answer's length L, the average is
r · (a + ΣTᵢ² / 2L), and for a given sum a sum of squares is least when all are equal. By the same argument no
unequal division of q among the N cards has a smaller mean over all of them.

For an answer of finite length L the end counts too: k frames cut it into k + 1 gaps, the last of which the final
frame closes, so with k = L / T the gap is L / (k + 1), less than T. `least_staleness` gives this stricter bound when it
is told L, and the formula above without. The difference is 8 % at T = 2.5 s and L = 30 s, and 25 % at T = 10 s.

What the bound leaves out. In its disfavour: the calls that finish cards come out of the same q, and a card has to be
created and to be 0.5 s old before its first frame. In its favour: text comes in pieces, so a schedule that always
sent right after a piece had come could be better by half a piece (3 characters here).
"""

import itertools
import math
from collections.abc import Sequence

Steps = Sequence[tuple[float, int]]
"""A count that changes at moments: (seconds, count from then on), in order of time. Zero before the first."""


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values do not exceed, interpolated; not a number if there are none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; not a number if there are no values."""
    return math.fsum(values) / len(values) if values else math.nan


def average(steps: Steps, begin: float, end: float) -> float:
    """The time-average of a count from `begin` to `end`."""
    closed = [*steps, (math.inf, 0)]
    area = math.fsum(
        count * max(0.0, min(until, end) - max(since, begin))
        for (since, count), (until, _) in itertools.pairwise(closed)
    )
    return area / (end - begin)


def staleness(produced: Steps, shown: Steps, *, begin: float, end: float) -> float:
    """Characters produced and not yet shown, averaged over the time from `begin` to `end`."""
    return average(produced, begin, end) - average(shown, begin, end)


def least_staleness(
    answers: int,
    *,
    speed: float,
    calls_per_second: float,
    floor: float,
    latency: float,
    seconds: float = math.inf,
) -> float:
    """The bound derived above, in characters, for answers of so many seconds."""
    interval = max(answers / calls_per_second, floor)
    gap = interval / (1 + interval / seconds)  # L / (L / T + 1)
    return speed * (latency + gap / 2)
