"""Keeps one app connected to DingTalk (Stream mode). asyncio only, as `websockets` is.

The official SDK gives the frames; the loop is ours, because the SDK's blocks while it opens, swallows cancellation,
logs the ticket, waits 10 s after each drop and does not notice a socket that is open but dead.
"""

import random
import time
from collections.abc import Callable, Mapping

import anyio
import httpx
import structlog

from cardbot.dingtalk.connection import FAREWELL, SILENCE, Connection, Receiver
from cardbot.dingtalk.opening import Opening, blamed, is_final
from cardbot.dingtalk.suspend import Watch
from cardbot.errors import DingTalkError

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between which the pauses lie before trying to connect again: doubled each time, with jitter. Our choice, as
the official connector's."""

HEALTHY = 60.0
"""Seconds a connection must have lasted for the pauses to begin anew."""

TICK = 5.0
"""Seconds between two looks at the clocks. Our choice: a machine that wakes up is connected anew within so many."""

SLEPT = 10.0
"""Seconds that must be missing for the machine to have slept. Our choice: more than a busy program loses, and less than
any connection survives a box between that forgets it."""

log = structlog.get_logger(__name__)


class Stream:
    """Keeps one app connected. `receivers` names, by topic, who takes the pushed data."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        endpoint: httpx.URL,
        client_id: str,
        client_secret: str,
        receivers: Mapping[str, Receiver],
        silence: float = SILENCE,
        farewell: float = FAREWELL,
        first_pause: float = FIRST_PAUSE,
        longest_pause: float = LONGEST_PAUSE,
        healthy: float = HEALTHY,
        tick: float = TICK,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`wall` gives Unix time in seconds."""
        self._opening = Opening(
            http, endpoint=endpoint, client_id=client_id, client_secret=client_secret, topics=receivers
        )
        self._receivers = receivers
        self._silence = silence
        self._farewell = farewell
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._healthy = healthy
        self._tick = tick
        self._wall = wall
        self._current: Connection
        self._was_connected = False
        self._failures = 0
        self._attempt = anyio.CancelScope()

    async def run(self) -> None:
        """Stay connected until cancelled.

        Raises `InvalidCredentials`, or another `DingTalkRejected`, if DingTalk refuses the very first connection: then
        the configuration is wrong. Whatever happens later is retried.
        """
        self._current = await self._connection()  # before the task group, which would wrap a refusal
        hasty = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._notice_suspension)
            while True:
                began = anyio.current_time()
                tasks.start_soon(self._current.serve)
                await self._current.over.wait()
                # The old connection may still be read: its successor is to be up before it goes.
                lasted = anyio.current_time() - began
                hasty, was_hasty = self._current.leaving and lasted < self._first_pause, hasty
                if self._current.leaving and not (hasty and was_hasty):
                    self._failures = 0  # nothing is pushed in between, so the successor is wanted at once
                else:
                    self._failures = 0 if lasted >= self._healthy else self._failures + 1
                self._current = await self._connection()

    async def _connection(self) -> Connection:
        """A new connection, after as many tries as it takes."""
        while True:
            try:
                with anyio.CancelScope() as self._attempt:
                    if self._failures:
                        await anyio.sleep(_pause(self._failures, first=self._first_pause, longest=self._longest_pause))
                    socket = await self._opening.connection()
                if self._attempt.cancelled_caught:
                    continue
            except DingTalkError as exc:
                if not self._was_connected and is_final(exc):
                    raise blamed(exc) from None
                log.warning("stream_not_connected", error=str(exc), endpoint=str(self._opening.endpoint))
                self._failures += 1
            else:
                self._was_connected = True
                log.info("stream_connected")
                return Connection(socket, self._receivers, silence=self._silence, farewell=self._farewell)

    async def _notice_suspension(self) -> None:
        """Connect anew, at once, when the machine has slept.

        What was connected before is read a while longer: if only the clock was set forward, nothing is lost.
        """
        watch = Watch(wall=self._wall(), monotonic=anyio.current_time())
        while True:
            await anyio.sleep(self._tick)
            missed = watch.missed(wall=self._wall(), monotonic=anyio.current_time(), expected=self._tick)
            if missed >= SLEPT:
                log.warning("stream_suspended", seconds=round(missed))
                self._failures = 0
                self._attempt.cancel()  # a pause, or a try on a connection from before
                self._current.leave()


def _pause(failures: int, *, first: float, longest: float) -> float:
    """Seconds to wait: doubled with each failure, between half and all of it, so that replicas spread out."""
    whole: float = min(longest, first * 2 ** min(failures, 10))
    return whole * random.uniform(0.5, 1.0)
