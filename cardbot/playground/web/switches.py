"""What can go wrong on demand: each switch of the page's fault panel, applied to the simulated sides."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from typing import Literal

from cardbot.playground.platform import Platform
from cardbot.playground.platform.faults import Fault, Reject, any_body
from cardbot.playground.relay import Breakage
from cardbot.playground.world import World

CREATE, STREAM, UPDATE = (
    "POST /v1.0/card/instances/createAndDeliver",
    "PUT /v1.0/card/streaming",
    "PUT /v1.0/card/instances",
)

THROTTLED = Reject(403, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", "too many calls in this second")
REFUSED = Reject(400, "param.templateUnpublished", "the template is not published")

LET_THROUGH = 3
"""While calls are throttled, every so many-th passes. Our choice: enough to see cards grow, slowly."""

LATENCIES, LIMITS = (0.0, 3.0), (1.0, 40.0)
"""Ends of the sliders: seconds of a call, calls per second and API. Our choice: a call of 3 s is what DingTalk's own
gateway gives up on; 40 is twice the standard edition."""


class UnknownSwitch(LookupError):
    """Raised for a switch or slider that is not there."""


@dataclass(frozen=True, slots=True)
class Switch:
    """`toggle` stays on until it is switched off; `once` happens at once and is over."""

    id: str
    side: Literal["dingtalk", "dify", "stream"]
    form: Literal["toggle", "once"]


SWITCHES = (
    Switch("throttle", "dingtalk", "toggle"),
    Switch("quota", "dingtalk", "toggle"),
    Switch("refused", "dingtalk", "toggle"),
    Switch("token", "dingtalk", "once"),
    Switch("error", "dify", "toggle"),
    Switch("cut", "dify", "toggle"),
    Switch("silence", "dify", "toggle"),
    Switch("redelivery", "stream", "toggle"),
    Switch("dropped", "stream", "once"),
    Switch("zombie", "stream", "once"),
)


class Switchboard:
    """The switches and sliders, and how they stand."""

    def __init__(self, world: World) -> None:
        self.on: set[str] = set()
        self._platform = world.platform
        self._relay = world.relay
        self._calls_left = world.platform.calls_left
        self._throttled = 0

    async def turn(self, id: str, *, on: bool) -> None:
        """Set a switch; one that acts once takes no notice of `on`. Raises UnknownSwitch."""
        if id not in {switch.id for switch in SWITCHES}:
            raise UnknownSwitch(id)
        once: dict[str, Callable[[Platform], Awaitable[None]]] = {
            "token": _revoke,
            "dropped": Platform.drop_connections,
            "zombie": Platform.zombie,
        }
        if id in once:
            await once[id](self._platform)
            return
        if on == (id in self.on):
            return
        self._set(id, on=on)
        (self.on.add if on else self.on.discard)(id)

    def slide(self, id: str, value: float) -> None:
        """Set a slider to a value within its ends. Raises UnknownSwitch."""
        match id:
            case "latency":
                self._platform.latency = min(max(value, LATENCIES[0]), LATENCIES[1])
            case "limit":
                self._platform.qps = min(max(round(value), LIMITS[0]), LIMITS[1])
            case _:
                raise UnknownSwitch(id)

    def _set(self, id: str, *, on: bool) -> None:
        match id:
            case "throttle":
                for endpoint in (CREATE, STREAM, UPDATE):
                    self._order(endpoint, THROTTLED, on=on)
            case "refused":
                self._order(CREATE, REFUSED, on=on)
            case "quota" if on:
                self._calls_left, self._platform.calls_left = self._platform.calls_left, 0
            case "quota":
                self._platform.calls_left = self._calls_left
            case "error" | "cut" | "silence" as breakage:
                self._break(breakage, on=on)

    def _break(self, breakage: Breakage, *, on: bool) -> None:
        """An answer breaks in one way only."""
        self.on -= {"error", "cut", "silence"}
        self._relay.breakage = breakage if on else None

    def _order(self, endpoint: str, fault: Fault, *, on: bool) -> None:
        faults = self._platform.faults
        if on:
            faults.add(endpoint, fault, times=inf, when=self._is_throttled if fault is THROTTLED else any_body)
        else:
            faults.withdraw(endpoint, fault)

    def _is_throttled(self, _: object) -> bool:
        self._throttled += 1
        return self._throttled % LET_THROUGH != 0


async def _revoke(platform: Platform) -> None:
    platform.revoke_tokens()
