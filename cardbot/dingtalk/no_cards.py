"""What stands in for cards where none can be shown: every text goes another way."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Self

from cardbot.messages import Incoming
from cardbot.ports import Card, NoCard, Watcher


class NoCards:
    """No template is configured: every card is lost from the start. Implements `ports.Cards`."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    @asynccontextmanager
    async def open(self, incoming: Incoming, reply_id: str, watch: Watcher) -> AsyncGenerator[Card]:
        """A card that shows nothing."""
        watch.lost()
        yield NoCard("No card template is configured.")

    @asynccontextmanager
    async def resume(self, incoming: Incoming, reply_id: str, shown: str, watch: Watcher) -> AsyncGenerator[Card]:
        """A card that shows nothing."""
        yield NoCard("No card template is configured.")

    def share(self, processes: int) -> None:
        """Nothing to share."""
