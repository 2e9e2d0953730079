"""What one message's story needs of the world. The edges implement these; `reply` knows nothing else of them."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from cardbot.events import Event
from cardbot.messages import Incoming, Question


class Source(Protocol):
    """Who answers questions: a Dify app."""

    def ask(self, question: Question) -> AsyncGenerator[Event]:
        """Ask once and yield what happens until the answer has ended; close the generator when done.

        Reading goes on at full speed whatever the consumer does. A failure before the stream raises a
        `DifyError`; one inside it is an event.
        """
        ...


class Card(Protocol):
    """One answer on the screen. It may fill several cards of DingTalk when it is long."""

    def show(self, markdown: str) -> None:
        """Show this text soon. Never waits, never fails; the newest text wins."""
        ...

    async def finish(self, markdown: str) -> None:
        """Bring the card to its final state. May be called again if cancelled.

        Raises `CardLost` if that is not possible, or not before the caller's deadline.
        """
        ...

    async def fail(self, markdown: str) -> None:
        """As `finish`, but the card says that the answer failed."""
        ...


class Cards(Protocol):
    """Who puts cards into chats."""

    def open(self, incoming: Incoming) -> AbstractAsyncContextManager[Card]:
        """Begin to put a card into the chat; it appears while the caller goes on."""
        ...


class Webhook(Protocol):
    """Who delivers plain replies."""

    async def send(self, incoming: Incoming, markdown: str) -> None:
        """Deliver the whole text, in several messages if need be. Raises `DingTalkError`."""
        ...


@dataclass(frozen=True, slots=True)
class ConversationKey:
    """Whose conversation it is: a change of any part begins a new one at Dify."""

    app: str
    """Fingerprint of the Dify app's key; ids of one app mean nothing to another."""
    robot: str
    chat: str
    person: str


class Store(Protocol):
    """What must outlive a message. Every method raises `StoreError` when it cannot keep its promise."""

    async def conversation(self, key: ConversationKey) -> str:
        """The Dify conversation id to go on with, or an empty string."""
        ...

    async def keep_conversation(self, key: ConversationKey, conversation_id: str) -> None:
        """Go on with this id from now on."""
        ...

    async def forget_conversation(self, key: ConversationKey) -> None:
        """Begin anew next time."""
        ...

    def turn(self, key: ConversationKey) -> AbstractAsyncContextManager[None]:
        """Wait for this conversation's turns before this one; the next waits until this one is left."""
        ...

    async def first_seen(self, *names: str) -> bool:
        """Whether none of these names of one message was seen before; from now on all of them are."""
        ...
