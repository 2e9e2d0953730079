"""The calls of a month: how many were made, how many may be made yet, and what follows for each answer. No clock.

DingTalk counts the calls of a whole organisation per month. A budget below that number leaves the rest to the
organisation's other apps. All times are Unix time in seconds.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from cardbot.ports import Usage

BILLING_ZONE = timezone(timedelta(hours=8))
"""Whose calendar the months are of. Our choice: China's, where DingTalk bills; its pages do not say."""

MOST_STRETCH = 4.0
"""What intervals may be multiplied by; beyond it an answer has no frames but the last. Our choice: at four times, an
answer of a minute costs half of what it would; whoever has to save more than that has to save all of it."""

SOON = 24 * 60 * 60.0
"""Seconds that a month has been counted at least before its rate is trusted in a projection. Our choice: a day."""


@dataclass(frozen=True, slots=True)
class Month:
    """One calendar month."""

    name: str
    """As in `2026-11`."""
    begins: float
    ends: float


def month_at(now: float) -> Month:
    """The month of this moment."""
    first = datetime.fromtimestamp(now, BILLING_ZONE).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + timedelta(days=31)).replace(day=1)
    return Month(f"{first:%Y-%m}", first.timestamp(), following.timestamp())


def stretch(used: int, budget: int, now: float) -> float:
    """How many times longer intervals are to be, so that the budget lasts; infinity: frames only where they must be.

    1 as long as the share of the budget that is left is not below the share of the month that is left; then as many
    times as it is below.
    """
    month = month_at(now)
    calls_left = (budget - used) / budget
    time_left = (month.ends - now) / (month.ends - month.begins)
    if calls_left <= 0:
        return math.inf
    times = max(1.0, time_left / calls_left)
    return times if times <= MOST_STRETCH else math.inf


def projected(usage: Usage, now: float) -> int:
    """Calls at the end of the month, if it goes on as it went since the month's first call."""
    rate = usage.calls / max(now - usage.since, SOON)
    return round(usage.calls + rate * (month_at(now).ends - now))


@dataclass(frozen=True, slots=True)
class Count:
    """What this process did in a month and no store knows of yet."""

    calls: int = 0
    answers: int = 0


class Budget:
    """Counts this process's calls, is told of those of the others, and says what may still be done."""

    def __init__(self, monthly: int | None = None) -> None:
        """`monthly` is what the organisation grants; None sets no bound."""
        self._monthly = monthly
        self._pending: dict[str, Count] = {}
        self._known: dict[str, int] = {}
        self._closed_until = -math.inf

    def call(self, now: float) -> None:
        """A call was made that DingTalk counts."""
        self._add(month_at(now).name, Count(calls=1))

    def answer(self, now: float) -> None:
        """An answer was given in a card."""
        self._add(month_at(now).name, Count(answers=1))

    def used(self, now: float) -> int:
        """Calls of this month, as far as this process knows."""
        month = month_at(now).name
        return self._known.get(month, 0) + self._pending.get(month, Count()).calls

    def stretch(self, now: float, *, promised: int = 0) -> float:
        """How many times longer than usual the intervals between frames are to be.

        `promised` calls are set aside: those that the open cards need to come to their end.
        """
        if self._monthly is None:
            return 1.0
        return stretch(self.used(now) + promised, self._monthly, now)

    def allows(self, calls: int, now: float) -> bool:
        """Whether that many calls may yet be made this month."""
        return not self.is_closed(now) and (self._monthly is None or self.used(now) + calls <= self._monthly)

    def is_closed(self, now: float) -> bool:
        """Whether DingTalk itself takes no more calls this month."""
        return now < self._closed_until

    def close(self, now: float) -> None:
        """DingTalk takes no more calls before the next month."""
        self._closed_until = month_at(now).ends

    def pending(self) -> dict[str, Count]:
        """What the store is to be told, by month; call `told` when it knows."""
        return dict(self._pending)

    def told(self, month: str, count: Count, total: Usage) -> None:
        """The store took this count in; `total` is what it knows of the month now, of all processes."""
        rest = self._pending.get(month, Count())
        self._pending[month] = Count(rest.calls - count.calls, rest.answers - count.answers)
        if self._pending[month] == Count():
            del self._pending[month]
        self._known = {month: total.calls}

    def _add(self, month: str, count: Count) -> None:
        before = self._pending.get(month, Count())
        self._pending[month] = Count(before.calls + count.calls, before.answers + count.answers)
