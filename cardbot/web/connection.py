"""One connection of a client's: uvicorn's, but cut off when its reader takes nothing.

What a reader does not take waits in memory, and uvicorn waits for it without end, in a stream as well as at the end of
a reply in one piece. An ASGI app cannot see how much waits, nor hang up: only the connection can.
"""

import asyncio

import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

STALL = 60.0
"""Seconds in which a reader takes nothing, and is given up. Our choice."""

log = structlog.get_logger(__name__)


class Connection(H11Protocol):
    """What asyncio calls when bytes come, go, or cannot go."""

    _look: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """More waits than should."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """Most of it has gone."""
        super().resume_writing()
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._rest()
        super().connection_lost(exc)

    def cut_off(self) -> None:
        """Hang up at once. To the app it is a client that has gone."""
        self.transport.abort()

    def _watch(self) -> None:
        self._look = self.loop.call_later(STALL, self._judge, self.transport.get_write_buffer_size())

    def _judge(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:  # nothing is added meanwhile: senders wait
            self._watch()
            return
        log.warning("reader_given_up", seconds=STALL)
        self.cut_off()

    def _rest(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None
