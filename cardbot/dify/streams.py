"""Streams of one app: each is read at full speed by a task of its own, and followed until its answer is over."""

import math
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Self

import anyio
import structlog
from anyio.abc import TaskGroup

from cardbot import events
from cardbot.dify.connection import Call, Connection
from cardbot.dify.ending import Ending
from cardbot.dify.feed import Feed, Feeds
from cardbot.dify.wire import EventReader
from cardbot.errors import DifyUnreachable
from cardbot.sse import Decoder

TOTAL_TIMEOUT = 1260.0
"""Seconds an answer may take in all: a minute over Dify's own limit (`APP_MAX_EXECUTION_TIME`, 1,200 s)."""

SILENCE = 25.0
"""Seconds without a byte that mean trouble: a working run of any app and version pings every 10 s (seen)."""

log = structlog.get_logger(__name__)


class Streams:
    """Use as an async context manager; leaving it ends every stream."""

    def __init__(self, connection: Connection, *, idle_seconds: float, silence: float = SILENCE) -> None:
        self._connection = connection
        self._idle_seconds = idle_seconds
        self._silence = min(silence, idle_seconds)
        self._feeds = Feeds()
        self._stack = AsyncExitStack()
        self._tasks: TaskGroup

    async def __aenter__(self) -> Self:
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self._tasks.start_soon(self._feeds.tick)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        if isinstance(error, Exception):  # as it is: a task group would wrap what a script wants to catch
            await self._stack.aclose()
            return None
        return await self._stack.__aexit__(kind, error, trace)

    @property
    def closing(self) -> bool:
        """Whether nobody waits any more."""
        return self._tasks.cancel_scope.cancel_called

    async def follow(
        self, call: Call, reader: EventReader, ending: Ending, *, quiet: float = math.inf
    ) -> AsyncGenerator[events.Event]:
        """Yield what `reader` makes of the stream, until `ending` says that it is over, or the bytes or patience end.

        `Waiting` comes after `quiet` seconds without an event, pings or not. Raises a `DifyError` before the first one.
        """
        if self.closing:
            raise DifyUnreachable("The client is closed.")
        feed, decoder = Feed(), Decoder()
        self._feeds.add(feed)
        self._tasks.start_soon(self._read, call, feed)
        try:
            async with aclosing(self._events(feed, decoder, reader, ending, quiet)) as stream:
                async for event in stream:
                    yield event
        finally:
            self._feeds.remove(feed)
            feed.reading.cancel()
            if reader.unknown or reader.malformed or decoder.skipped:
                names = sorted(reader.unknown)
                log.info("dify_events_skipped", names=names, malformed=reader.malformed, too_long=decoder.skipped)

    async def _read(self, call: Call, feed: Feed) -> None:
        """Read at full speed into memory: Dify's relay drops text when its reader is slow."""
        error: Exception | None = None
        with feed.reading:
            try:
                await self._connection.stream(call, feed.put)
            except Exception as exc:  # whoever asked is told, whatever it is; this task must not end the client
                error = exc
            finally:  # also when the client closes: nobody may wait for a reader that is gone
                feed.end(error)

    async def _events(
        self, feed: Feed, decoder: Decoder, reader: EventReader, ending: Ending, quiet: float
    ) -> AsyncGenerator[events.Event]:
        now = last_byte = last_event = anyio.current_time()
        deadline = now + TOTAL_TIMEOUT
        patience = self._silence
        while now < deadline:
            chunks = await feed.take(min(deadline, last_byte + patience, last_event + quiet))
            now = anyio.current_time()
            if chunks:
                last_byte, patience = now, self._silence
                for chunk in chunks:
                    for sse in decoder.feed(chunk):
                        for event in reader.read(sse.data):
                            last_event = now
                            ending.saw(event)
                            yield event
                if ending.grace is not None:
                    deadline = min(deadline, now + ending.grace)
            elif feed.is_over or now - last_byte >= self._idle_seconds:
                return  # the bytes ended, or nobody waits for them any longer
            elif now < deadline and now - last_byte >= patience:
                patience += self._silence
                yield events.Waiting(now - last_byte)
            if now - last_event >= quiet:
                yield events.Waiting(now - last_event)
                last_event = now
