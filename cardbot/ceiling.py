"""How many calls one API path takes, learnt from what DingTalk refuses: a function of state and `now`.

DingTalk counts the calls of an app on a path over a sliding second, by its own clock, at some moment between a call's
beginning and its end here. So a call takes its place from the beginning until a second after the end: however the
delays vary, no second of DingTalk's sees more than the ceiling.

Somebody else may use the same app's quota. Nobody says how much of it, so the ceiling is sought as TCP seeks a
bandwidth: a refusal cuts it by a share, and as time passes without one it rises steadily (AIMD).
"""

import math
from collections import deque
from dataclasses import dataclass, field

WINDOW = 1.0
"""Seconds over which DingTalk counts. Documented: "Server-side API throttling", read 2026-11."""

CUT = 0.7
"""What a refusal leaves of the calls that were made. Our choice, from `python -m benchmarks`: with half of the quota
used by another program, less leaves places empty and more is refused too often."""

RISE = 0.05
"""Share of what the app may make by which the ceiling rises, each second. Our choice: back from the half within ten
seconds; of 20 calls a second one, so that with somebody else taking a share there is a refusal every few seconds."""


@dataclass(slots=True)
class Ceiling:
    """One path: the calls that count at the moment, and how many may."""

    qps: int
    """Calls per second that the app may make at most."""
    _low: float = math.inf
    """Where the ceiling was after the latest cut."""
    _cut_at: float = -math.inf
    _rises_from: float = -math.inf
    """The end of the rest that the cut began: a rest proves nothing."""
    _closed_until: float = -math.inf
    _under_way: int = 0
    _ends: deque[float] = field(default_factory=deque)

    def limit(self, now: float) -> int:
        """Calls in a second that are believed to pass."""
        if self._low == math.inf:
            return self.qps
        return int(min(self.qps, self._low + max(0.0, now - self._rises_from) * self.qps * RISE))

    def free_at(self, now: float, *, share: float = 1.0) -> float:
        """When a call may begin that leaves `1 - share` of the ceiling free: now, or not before so late.

        Infinity: not before a call ends.
        """
        while self._ends and self._ends[0] + WINDOW <= now:
            self._ends.popleft()
        if now < self._closed_until:
            return self._closed_until
        limit = max(1, math.floor(self.limit(now) * share))
        surplus = self._under_way + len(self._ends) - limit
        if surplus < 0:
            return now
        expires = self._ends[surplus] + WINDOW if surplus < len(self._ends) else math.inf
        # By a rounding error, the moment at which it rises may be a moment at which it has not yet.
        return min(expires, max(self._rises(now), math.nextafter(now, math.inf)))

    def begin(self) -> None:
        """A call is being made."""
        self._under_way += 1

    def end(self, now: float) -> None:
        """A call was answered, or given up."""
        self._under_way -= 1
        self._ends.append(now)

    def refused(self, began: float, now: float, pause: float) -> None:
        """A call that began at `began` was one too many; DingTalk wants none for `pause` seconds.

        Calls of the same burst are refused together and cut once: a call that began before the latest cut says
        nothing about what was allowed since.
        """
        self._closed_until = max(self._closed_until, now + pause)
        if began >= self._cut_at:
            made = min(self.limit(now), self._under_way + len(self._ends))
            self._low, self._cut_at = max(1.0, made * CUT), now
        self._rises_from = max(self._cut_at, self._closed_until)

    def _rises(self, now: float) -> float:
        """When the ceiling is higher by one."""
        limit = self.limit(now)
        if limit >= self.qps:
            return math.inf
        return self._rises_from + (limit + 1 - self._low) / (self.qps * RISE)
