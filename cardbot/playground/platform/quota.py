"""How many calls an app may still make. Pure: time comes in as seconds on any steady clock."""

from collections import defaultdict, deque
from dataclasses import dataclass

from cardbot.playground.platform.endpoint import Refused

QPS = 20
"""Calls per second, app and API. documented: open.dingtalk.com billing page, read 2026-11, standard edition."""

WINDOW = 1.0
"""Seconds that `QPS` counts over. documented: how-to-process-api-throttling-on-the-server, read 2026-11."""


class SlidingWindow:
    """The calls of the last `window` seconds. A refused call does not count."""

    def __init__(self, limit: float, window: float = WINDOW) -> None:
        self.limit = limit
        self._window = window
        self._taken: deque[float] = deque()

    def take(self, now: float) -> bool:
        """Whether there is room for a call; if so it is taken."""
        while self._taken and now - self._taken[0] >= self._window:
            self._taken.popleft()
        if len(self._taken) >= self.limit:
            return False
        self._taken.append(now)
        return True


@dataclass(slots=True)
class _PerApi:
    everybody: SlidingWindow
    bot: SlidingWindow


class Quota:
    """Calls per second of each API, and calls per month of the organisation (`None`: unlimited)."""

    def __init__(self, *, qps: float = QPS, monthly: int | None = None) -> None:
        self.left = monthly
        self._qps = qps
        self._apis: defaultdict[str, _PerApi] = defaultdict(
            lambda: _PerApi(SlidingWindow(self._qps), SlidingWindow(qps))
        )

    @property
    def qps(self) -> float:
        """Calls per second of each API. A new limit holds at once; the bot is judged by the first, which it knew."""
        return self._qps

    @qps.setter
    def qps(self, qps: float) -> None:
        self._qps = qps
        for api in self._apis.values():
            api.everybody.limit = qps

    def spend(self, api: str, *, now: float, cost: int = 1) -> None:
        """Take one call, or raise what the platform answers. documented: the throttling page, read 2026-11.

        A throttled call is not billed. `cost` is 0 for the calls on the free list.
        """
        if self.left is not None and self.left < cost:
            raise Refused(403, "Forbidden.AccessDenied.ApiCountLimitForOrg", "the monthly calls are used up")
        if not self._apis[api].everybody.take(now):
            raise Refused(403, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", "too many calls in this second")
        if self.left is not None:
            self.left -= cost

    def is_within_own_share(self, api: str, *, now: float) -> bool:
        """Whether the bot by itself keeps to the limit. Programs beside it do not count here."""
        return self._apis[api].bot.take(now)
