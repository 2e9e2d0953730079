"""What stands in for cards where none can be shown: every text goes another way."""

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from typing import Self

from cardbot.messages import Incoming
from cardbot.ports import Card, NoCard, Watcher


class NoCards:
    """Every card is lost from the start, such as where no template is configured. Implements `ports.Cards`."""

    def __init__(self, why: str = "No card template is configured.") -> None:
        self._why = why

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    @asynccontextmanager
    async def open(self, incoming: Incoming, reply_id: str, watch: Watcher) -> AsyncGenerator[Card]:
        """A card that shows nothing."""
        watch.lost()
        yield NoCard(self._why)

    @asynccontextmanager
    async def resume(
        self, incoming: Incoming, reply_id: str, shown: str, watch: Watcher, *, known: Collection[str] = ()
    ) -> AsyncGenerator[Card]:
        """A card that shows nothing."""
        yield NoCard(self._why)

    def share(self, processes: int) -> None:
        """Nothing to share."""
