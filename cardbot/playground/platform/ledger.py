"""What the simulated platform has seen, with a way to wait for more."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from cardbot.playground.platform.endpoint import Json
from cardbot.playground.platform.pushes import Message

PATIENCE = 30.0
"""Seconds until a wait is given up. Our choice: a bot reacts in far less, even on a busy machine."""


@dataclass(slots=True, eq=False)
class Call:
    """One HTTP call. `status` is 0 while, or if, there is no answer. `code` is empty when all went well.

    Without an answer `code` tells why: "reset" by us, "abandoned" by the client.
    `time` is its arrival in seconds on the steady clock, `answered` its end, `size` its body's in bytes.
    Secrets and tokens in the bodies are masked.
    """

    time: float
    method: str
    path: str
    body: Json
    status: int = 0
    code: str = ""
    reply: Json = field(default_factory=dict)
    size: int = 0
    answered: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """One message that is not a card. `kind` is the `msgtype` or `contentType` of a webhook call, else the `msgKey`."""

    time: float
    via: Literal["webhook", "oToMessages", "groupMessages", "assistant"]
    conversation: str
    users: tuple[str, ...]
    kind: str
    title: str
    text: str


class Ledger:
    """Calls, pushes, replies and violations, in order of arrival."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.pushes: list[Message] = []
        self.replies: list[Reply] = []
        self.violations: list[str] = []
        self._changed = asyncio.Event()
        self._in_flight: dict[str, int] = {}

    def objection(self, violation: str) -> None:
        """Note something that the operator of a platform would object to."""
        self.violations.append(violation)
        self.changed()

    def changed(self) -> None:
        """Let everybody who waits look again."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def change(self) -> None:
        """Return when something is recorded next."""
        await self._changed.wait()

    async def wait_for(self, condition: Callable[[], object], *, seconds: float = PATIENCE) -> None:
        """Return once `condition` holds; it is tried whenever something was recorded. Raises TimeoutError."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await self._changed.wait()
        except TimeoutError as error:
            calls = [f"{call.method} {call.path} {call.status} {call.code}".rstrip() for call in self.calls[-10:]]
            raise TimeoutError(
                f"not within {seconds} s. Last of {len(self.calls)} calls: {calls}; replies: {self.replies[-3:]}; "
                f"violations: {self.violations[-5:]}"
            ) from error

    @contextmanager
    def one_at_a_time(self, card: str) -> Iterator[None]:
        """For as long as a call about `card` is in flight. A second one is a violation: they may overtake."""
        self._in_flight[card] = self._in_flight.get(card, 0) + 1
        if self._in_flight[card] > 1:
            self.objection(f"card {card}: {self._in_flight[card]} requests in flight")
        try:
            yield
        finally:
            self._in_flight[card] -= 1
            if not self._in_flight[card]:
                del self._in_flight[card]
