"""Faults to order: what goes wrong, where, how often."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cardbot.playground.platform.endpoint import Json

GATEWAY_TIMEOUT = 3.0
"""Seconds until the gateway gives up. documented: open.dingtalk.com error codes, read 2026-11."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Answer with an error, without effect. On the webhook status 200 makes `code` the `errcode`."""

    status: int
    code: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class NotDelivered:
    """Create the card, but put it into no chat: HTTP 200 with `deliverResults[].success` false."""

    error_msg: str = "spaceId is illegal"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTimeout:
    """504 with an empty body after `after` seconds; nobody knows whether the call had its effect."""

    applied: bool
    after: float = GATEWAY_TIMEOUT


@dataclass(frozen=True, slots=True)
class HtmlError:
    """A page of HTML, as an address-level block sends it."""

    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetConnection:
    """RST instead of an answer."""

    applied: bool


@dataclass(frozen=True, slots=True)
class HangUp:
    """No answer until the client leaves."""


@dataclass(frozen=True, slots=True)
class SlowAnswer:
    """Done when it arrives, answered only `after` seconds later: time for the caller to die in between."""

    after: float


@dataclass(frozen=True, slots=True)
class OddJson:
    """200 with JSON that is not an object."""


@dataclass(frozen=True, slots=True)
class SuccessFalse:
    """200 with `success` false, without effect."""


Fault = (
    Reject | NotDelivered | GatewayTimeout | HtmlError | ResetConnection | HangUp | SlowAnswer | OddJson | SuccessFalse
)


def any_body(body: Json) -> bool:
    """The default condition: every call."""
    return True


@dataclass(slots=True)
class _Order:
    endpoint: str
    fault: Fault
    left: float
    when: Callable[[Json], bool]


class Faults:
    """The faults that are still to happen, first in, first out for each endpoint."""

    def __init__(self, endpoints: Iterable[str]) -> None:
        self._endpoints = frozenset(endpoints)
        self._orders: list[_Order] = []

    def add(self, endpoint: str, fault: Fault, *, times: float = 1, when: Callable[[Json], bool] = any_body) -> None:
        """Let the next `times` calls of `endpoint` ("PUT /v1.0/card/streaming") fail. `math.inf` is for ever."""
        if endpoint not in self._endpoints:
            raise ValueError(f"no endpoint {endpoint!r}; there are {sorted(self._endpoints)}")
        self._orders.append(_Order(endpoint, fault, times, when))

    def withdraw(self, endpoint: str, fault: Fault) -> None:
        """`fault` does not happen at `endpoint` any more."""
        self._orders = [order for order in self._orders if (order.endpoint, order.fault) != (endpoint, fault)]

    def take(self, endpoint: str, body: Json) -> Fault | None:
        """The fault for this call, which is used up by it."""
        for order in self._orders:
            if order.endpoint == endpoint and order.left > 0 and order.when(body):
                order.left -= 1
                return order.fault
        return None

    def clear(self) -> None:
        """From now on everything works."""
        self._orders.clear()

    @property
    def unused(self) -> list[tuple[str, Fault]]:
        """Faults with a fixed number that have not all happened: a test that meant them did not meet them."""
        return [(order.endpoint, order.fault) for order in self._orders if 0 < order.left < float("inf")]
