"""What stands in for cards where none can be shown: every text goes another way."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Self

from cardbot.errors import CardLost
from cardbot.messages import Incoming
from cardbot.ports import Card


class NoCards:
    """No template is configured: every card is lost from the start. Implements `ports.Cards`."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    @asynccontextmanager
    async def open(self, incoming: Incoming, reply_id: str) -> AsyncGenerator[Card]:
        """A card that shows nothing."""
        yield NoCard("No card template is configured.")

    @asynccontextmanager
    async def resume(self, incoming: Incoming, reply_id: str, shown: str) -> AsyncGenerator[Card]:
        """A card that shows nothing."""
        yield NoCard("No card template is configured.")

    def share(self, processes: int) -> None:
        """Nothing to share."""


class NoCard:
    """The card of a chat that can show none: whoever finishes it is told so. Implements `ports.Card`."""

    def __init__(self, why: str) -> None:
        self._why = why

    def show(self, markdown: str) -> None:
        """Nothing to do."""

    async def finish(self, markdown: str) -> None:
        """Raises `CardLost` with the whole text."""
        raise CardLost(self._why, unseen=markdown)

    async def fail(self, markdown: str) -> None:
        """Raises `CardLost` with the whole text."""
        raise CardLost(self._why, unseen=markdown)
