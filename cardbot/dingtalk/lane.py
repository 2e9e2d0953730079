"""One path of the robot API: how often it is called, what is repeated, and what a failure says about the message.

A call that may have been done is never made again: the robot API has no id that would make a repetition harmless.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import anyio
import structlog

from cardbot.ceiling import Ceiling
from cardbot.dingtalk.deliveries import Outcome
from cardbot.dingtalk.openapi import OpenApi
from cardbot.dingtalk.robot import NOT_THERE
from cardbot.dingtalk.sdk import was_never_sent
from cardbot.errors import (
    Busy,
    DingTalkError,
    DingTalkRejected,
    DingTalkUnreachable,
    InvalidCredentials,
    InvalidToken,
    PermissionDenied,
    QuotaExhausted,
    Throttled,
)

CALLS_PER_SECOND = 16
"""Calls of one path. Documented: 20 for an app, open.dingtalk.com billing page, read 2026-11. Our choice: the rest is
for the bot, whose plain replies go the same way when all else fails."""

ROOM_PATIENCE = 330.0
"""Seconds that one call waits for room. The longest wait that DingTalk asks for is 5 minutes, of an address that made
too many calls (documented: how-to-process-api-throttling-on-the-server, read 2026-11). Our choice: a little more."""

CONNECT_PAUSES = (0.5, 1.0, 2.0)
"""Seconds before a connection that could not be made is tried again. Our choice: what is down for longer is down."""

FLOW_PAUSES = (2.0, 5.0, 15.0)
"""Seconds before a message to people who get too many is tried again. Our choice: DingTalk does not say how long."""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what may pass, in seconds."""

    room: float = ROOM_PATIENCE
    connect: Sequence[float] = CONNECT_PAUSES
    flow: Sequence[float] = FLOW_PAUSES


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a message to one recipient."""

    outcome: Outcome
    why: str = ""
    closed: bool = False
    """The next call would end in the same way, whoever it is for."""


class Undelivered(Exception):
    """Raised when a call did not do what it should; `verdict` tells what is known of its message."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        super().__init__(verdict.why)


class Lane:
    """One path, one call at a time; that is enough for a few hundred people in seconds."""

    def __init__(self, api: OpenApi, *, qps: int, patience: Patience) -> None:
        self._api = api
        self._patience = patience
        self._ceiling = Ceiling(qps)
        self._turn = anyio.Lock()

    async def call(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Make a call as soon as there is room; once more if it is certain that nothing was done and that may pass.

        Raises `Undelivered`.
        """
        async with self._turn:
            until = anyio.current_time() + self._patience.room
            connect = list(self._patience.connect)
            while True:
                await anyio.sleep_until(self._ceiling.free_at(anyio.current_time()))
                try:
                    await self._token()
                    return await self._made(call)
                except Throttled as error:
                    if anyio.current_time() + error.retry_after > until:
                        raise Undelivered(verdict_of(error)) from error
                    log.warning("robot_throttled", seconds=error.retry_after, error=str(error))
                    await anyio.sleep(error.retry_after)
                except DingTalkUnreachable as error:
                    if not was_never_sent(error) or not connect:
                        raise Undelivered(verdict_of(error)) from error
                    await anyio.sleep(connect.pop(0))
                except DingTalkError as error:
                    raise Undelivered(verdict_of(error)) from error

    async def _token(self) -> None:
        """See to it that there is one. If that gets no answer, at least the message was not sent."""
        try:
            await self._api.access_token()
        except DingTalkUnreachable as error:
            if was_never_sent(error):
                raise
            raise Undelivered(Verdict(Outcome.NOT_SENT, str(error), closed=True)) from error

    async def _made(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Make the call once; the ceiling learns of it."""
        began = anyio.current_time()
        self._ceiling.begin()
        try:
            return await call()
        except Busy:
            raise
        except Throttled as error:
            self._ceiling.refused(began, anyio.current_time(), error.retry_after)
            raise
        finally:
            self._ceiling.end(anyio.current_time())


def verdict_of(error: DingTalkError) -> Verdict:
    """What an error says about the message of its call."""
    why = str(error)
    match error:
        case DingTalkUnreachable() if was_never_sent(error):
            return Verdict(Outcome.NOT_SENT, why, closed=True)
        case Throttled() | QuotaExhausted() | PermissionDenied() | InvalidCredentials() | InvalidToken():
            return Verdict(Outcome.REFUSED, why, closed=True)
        case DingTalkRejected(code=code) if code in NOT_THERE:
            return Verdict(Outcome.INVALID, why)
        case DingTalkRejected(status=status) if status < 500:
            return Verdict(Outcome.REFUSED, why)
        case _:  # a server that has failed amid the call may have done it
            return Verdict(Outcome.UNKNOWN, why)
