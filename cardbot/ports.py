"""What one message's story needs of the world. The edges implement these; `reply` knows nothing else of them."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from cardbot.errors import CardLost
from cardbot.events import Event, Identified
from cardbot.messages import Incoming, Question


def tell_nobody() -> None:
    """What to do about news that nobody needs."""


class Source(Protocol):
    """Who answers questions: a Dify app."""

    def ask(self, question: Question) -> AsyncGenerator[Event]:
        """Ask once and yield what happens until the answer has ended; close the generator when done.

        Reading goes on at full speed whatever the consumer does. A failure before the stream raises a
        `DifyError`; one inside it is an event.
        """
        ...

    def recall(self, ids: Identified, user: str) -> AsyncGenerator[Event]:
        """Yield what Dify has kept of an answer that `user` asked for and that broke off, and how it ended.

        A failure is an event; nothing kept is `Interrupted`.
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


class NoCard:
    """The card of a chat that can show none: whoever finishes it is told so. Implements `Card`."""

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


class Watcher(Protocol):
    """Who needs to know what becomes of a card, and knows whose it is."""

    def shown(self) -> None:
        """More of the text is about to be seen. Must not wait."""
        ...

    def lost(self) -> None:
        """Nobody sees the card, nor ever will. Must not wait."""
        ...

    async def is_ours(self) -> bool:
        """Whether this process may still make calls for the card; asked before each."""
        ...


class Unwatched:
    """Nobody needs to know. Implements `Watcher`."""

    def shown(self) -> None:
        """Nothing to do."""

    def lost(self) -> None:
        """Nothing to do."""

    async def is_ours(self) -> bool:
        """Nobody else knows it."""
        return True


class Cards(Protocol):
    """Who puts cards into chats."""

    def open(self, incoming: Incoming, reply_id: str, watch: Watcher) -> AbstractAsyncContextManager[Card]:
        """Begin to put a card into the chat; it appears while the caller goes on. `reply_id` finds it again."""
        ...

    def resume(
        self, incoming: Incoming, reply_id: str, shown: str, watch: Watcher
    ) -> AbstractAsyncContextManager[Card]:
        """Take over the card that was opened with this `reply_id`, by another process or before a restart.

        `shown` is about the text that it shows.
        """
        ...

    def share(self, processes: int) -> None:
        """So many processes show cards for this app: each takes an equal part of what DingTalk lets through."""
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


@dataclass(frozen=True, slots=True)
class Usage:
    """What one calendar month has cost so far, over all processes that share the store."""

    calls: int
    answers: int
    since: float
    """Unix time of the month's first count in seconds; 0.0 if there is none."""


class Store(Protocol):
    """What must outlive a message, or be known to all replicas. One open store stands for one process.

    Every method raises `StoreError` when it cannot keep its promise.
    """

    async def conversation(self, key: ConversationKey) -> str:
        """The Dify conversation id to go on with, or an empty string."""
        ...

    async def keep_conversation(self, key: ConversationKey, conversation_id: str) -> None:
        """Go on with this id from now on."""
        ...

    async def forget_conversation(self, key: ConversationKey) -> None:
        """Begin anew next time."""
        ...

    def turn(
        self, key: ConversationKey, on_wait: Callable[[], None] = tell_nobody
    ) -> AbstractAsyncContextManager[None]:
        """Stand in this conversation's line; inside it is this one's turn, and the next waits until it is left.

        `on_wait` is called once, before the wait, if it is not this one's turn at once. Raises `LineFull` at once
        if the line is as long as it may be.
        """
        ...

    async def first_seen(self, *names: str) -> bool:
        """Whether none of these names of one message was seen before; from now on all of them are."""
        ...

    async def spend(self, month: str, *, calls: int, answers: int) -> Usage:
        """Count these in the month, such as "2026-11", and return its totals."""
        ...

    async def usage(self, month: str) -> Usage:
        """The month's totals."""
        ...

    async def keep_reply(self, reply_id: str, record: str) -> None:
        """Write down an open reply of this process, or what is new about it. The store does not look into `record`.

        Raises `ReplyAdopted` if another process has adopted it, finished by now or not: this one was taken for dead,
        say because its machine was suspended. It must not touch the reply's card any more.
        """
        ...

    async def drop_reply(self, reply_id: str) -> None:
        """The reply has its final state. Does nothing to a reply that another process has adopted."""
        ...

    async def adopt_replies(self) -> dict[str, str]:
        """Take over the open replies of processes that live no more: records by reply id, each handed to one process.

        They are this process's own from then on, to be dropped when finished.
        """
        ...

    async def beat(self) -> int:
        """Show that this process lives, and return how many do. To be called every 5 s.

        A process lives from the opening of its store until it is left or killed; how soon a death shows depends on
        the store.
        """
        ...
