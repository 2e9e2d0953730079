"""A question that was handed to a client and not asked yet: to be read as a stream, or awaited as a whole."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from types import TracebackType
from typing import Any

from cardbot.dify.whole import WholeAnswer
from cardbot.events import Event


class Asking(AsyncGenerator[Event, None]):
    """`async for event in …` streams the answer, `await …` waits for all of it; one of the two, once.

    A generator, so that `aclosing` ends a stream that is left early.
    """

    def __init__(
        self, events: Callable[[], AsyncGenerator[Event]], whole: Callable[[], Awaitable[WholeAnswer]]
    ) -> None:
        self._events = events()
        self._whole = whole

    def __await__(self) -> Generator[Any, Any, WholeAnswer]:
        return self._whole().__await__()

    def __aiter__(self) -> AsyncGenerator[Event]:
        return self._events  # the stream itself: nothing stands between an event and its reader

    async def asend(self, value: None) -> Event:
        """Part of being a generator; see `__aiter__`."""
        return await self._events.asend(value)

    async def athrow(  # type: ignore[override]  # of its three forms, the one that is not deprecated
        self, typ: BaseException, val: object = None, tb: TracebackType | None = None, /
    ) -> Event:
        """Part of being a generator; see `__aiter__`."""
        return await self._events.athrow(typ)

    async def aclose(self) -> None:
        """End the stream, if it was begun."""
        await self._events.aclose()
