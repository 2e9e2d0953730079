"""What one message's story needs of the world. The edges implement these; `reply` knows nothing else of them."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from cardbot.errors import CardLost
from cardbot.events import Event, FormRequested, Identified
from cardbot.messages import Attachment, FileKind, Incoming, Question, Upload
from cardbot.texts import Texts


def tell_nobody() -> None:
    """What to do about news that nobody needs."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file on its way from DingTalk to Dify. It is in nobody's memory as a whole."""

    name: str
    """With an extension that fits its content."""
    kind: FileKind
    content_type: str
    size: int
    """Bytes."""
    chunks: AsyncIterator[bytes] = field(repr=False)
    """To be read once. Raises `FileRefused` where it ends early, or is longer than `size`."""


class Files(Protocol):
    """Who keeps the files that people send: DingTalk."""

    def fetch(self, attachment: Attachment, *, robot_code: str) -> AbstractAsyncContextManager[Download]:
        """Begin to fetch a file; it can be read inside the block.

        Raises `FileRefused` if it cannot be fetched or is too large, `DingTalkError` if DingTalk cannot be asked.
        """
        ...


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

    async def stop(self, task_id: str, user: str) -> None:
        """End a running answer of this user; its stream ends soon after, if Dify heeds it. Raises `DifyError`."""
        ...

    def go_on(
        self, form: FormRequested, action: str, inputs: Mapping[str, str], ids: Identified, user: str
    ) -> AsyncGenerator[Event]:
        """Hand in a form that a paused run waits for, and yield what happens from then on.

        Raises a `DifyError` before the first event if the form is not taken, as one that is handed in already.
        """
        ...

    async def waits_for(self, form: FormRequested) -> bool:
        """Whether this form may still be handed in. Raises `DifyError`."""
        ...

    def catch_up(self, form: FormRequested, ids: Identified, user: str) -> AsyncGenerator[Event]:
        """Yield how a run goes on whose form nobody here saw the end of: it may be handed in, or its time may be over.

        Raises `FormWaits` if the run still waits for it, another `DifyError` if nobody can say.
        """
        ...

    async def file_limit(self) -> int:
        """How many files one question may carry; 0 where the app takes none. Raises `DifyError`."""
        ...

    async def upload(self, file: Download, user: str) -> Upload:
        """Give Dify a file, for a question of the same user. Raises `FileRefused` or another `CardbotError`."""
        ...

    async def transcribe(self, file: Download, user: str) -> str:
        """What is said in a recording. Raises `FileRefused` (`not_heard`) where the app does not listen."""
        ...


@dataclass(frozen=True, slots=True)
class Button:
    """What a person may press on a card. `action` comes back with the press."""

    action: str
    text: str
    color: str = "gray"
    """DingTalk's word: blue, gray or red."""
    mark: str = ""
    """Comes back behind the action, where the template's buttons carry more than that: it tells a press from one of an
    earlier button with the same action."""


STOP = "stop"
"""The action of the button that an answer offers while it grows."""


def stop_button(texts: Texts) -> Button:
    """What every card offers that is not at its end."""
    return Button(STOP, texts.stop)


class Card(Protocol):
    """One answer on the screen. It may fill several cards of DingTalk when it is long."""

    def offer(self, buttons: Sequence[Button]) -> None:
        """Show these buttons soon, in place of those before. Never waits, never fails; not every card has any."""
        ...

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

    def offer(self, buttons: Sequence[Button]) -> None:
        """Nothing to do."""

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

    def hidden(self) -> None:
        """No card shows more of the text before its end. Must not wait."""
        ...

    def carried(self, card_id: str, carrier: str) -> None:
        """One card of DingTalk is in the chat; `carrier` is what a quote of it refers to. Must not wait."""
        ...

    def ended(self, card_id: str, markdown: str) -> None:
        """One card of DingTalk shows this in the end. Must not wait."""
        ...

    async def is_ours(self) -> bool:
        """Whether this process may still make calls for the card; asked before each."""
        ...


class Cards(Protocol):
    """Who puts cards into chats."""

    def open(self, incoming: Incoming, reply_id: str, watch: Watcher) -> AbstractAsyncContextManager[Card]:
        """Begin to put a card into the chat; it appears while the caller goes on. `reply_id` finds it again."""
        ...

    def resume(
        self, incoming: Incoming, reply_id: str, shown: str, watch: Watcher, *, known: Collection[str] = ()
    ) -> AbstractAsyncContextManager[Card]:
        """Take over the card that was opened with this `reply_id`, by another process or before a restart.

        `shown` is about the text that it shows; `known` are ids of cards that are in the chat for certain: there may
        have been more to show than is known now.
        """
        ...

    def share(self, processes: int) -> None:
        """So many processes show cards for this app: each takes an equal part of what DingTalk lets through."""
        ...


class Webhook(Protocol):
    """Who delivers plain replies."""

    async def send(self, incoming: Incoming, markdown: str, *, occasion: str = "") -> None:
        """Deliver the whole text, in several messages if need be. Raises `DingTalkError`.

        The same text in reply to the same message may be taken for a repetition, unless the `occasion` is another.
        """
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
class CardKey:
    """Which card of DingTalk it is, in which chat and of which robot: elsewhere its carrier opens nothing."""

    robot: str
    chat: str
    carrier: str
    """What DingTalk calls it: its creation says so, and a message that quotes it."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one calendar month has cost so far, over all processes that share the store."""

    calls: int
    answers: int
    since: float
    """Unix time of the month's first count in seconds; 0.0 if there is none."""


class Store(Protocol):
    """What must outlive a message, or be known to all replicas. One open store stands for one process of one DingTalk
    app; what is said of processes below is said of those of the same app.

    Every method raises `StoreError` when it cannot keep its promise.
    """

    @property
    def lasts(self) -> bool:
        """Whether what is kept outlives this process."""
        ...

    async def conversation(self, key: ConversationKey) -> str:
        """The Dify conversation id to go on with, or an empty string."""
        ...

    async def keep_conversation(self, key: ConversationKey, conversation_id: str) -> None:
        """Go on with this id from now on."""
        ...

    async def forget_conversation(self, key: ConversationKey) -> None:
        """Begin anew next time."""
        ...

    async def keep_shown(self, key: CardKey, text: str) -> None:
        """This is what the card shows in the end. Thrown away after seven days."""
        ...

    async def shown(self, key: CardKey) -> str:
        """What the card shows in the end, or an empty string where that is not known, or not any more."""
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

    async def replies_elsewhere(self) -> dict[str, str]:
        """The open replies that are not this process's own: records by reply id. They stay whose they are."""
        ...

    async def post(self, address: str, word: str) -> None:
        """Leave a word for whichever process asks for words to this address. It is thrown away after 60 s."""
        ...

    async def collect(self, addresses: Collection[str]) -> list[tuple[str, str]]:
        """Take the words that were left for these addresses, oldest first, as (address, word). Each is taken once."""
        ...

    async def beat(self) -> int:
        """Show that this process lives, and return how many do. To be called every 5 s.

        A process lives from the opening of its store until it is left or killed; how soon a death shows depends on
        the store.
        """
        ...
