"""Waits for the moments of a stream, unless someone asks to stop."""

import asyncio


class Playing:
    """The clock of one stream. Moments are seconds after its start, so that waiting does not drift."""

    def __init__(self, user: str = "") -> None:
        self.user = user
        self.stopped = False
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._wake: asyncio.Future[None] | None = None

    def moment(self, at: float) -> float:
        """The loop's time at `at`."""
        return self._start + at

    async def until(self, at: float) -> None:
        """Return at the moment `at`, or at once after `stop`."""
        when = self.moment(at)
        if self.stopped or when <= self._loop.time():
            return
        self._wake = self._loop.create_future()
        handle = self._loop.call_at(when, self._ring)
        try:
            await self._wake
        finally:
            handle.cancel()
            self._wake = None

    def stop(self) -> None:
        """End the wait, and every later one."""
        self.stopped = True
        self._ring()

    def _ring(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
