"""What people say to answers that are under way: stop, this button, this for the form.

A process hears what is said in it at once. What nobody here listens for is left in the store, for the process that
shows the answer: a press on a card comes to any of the connections.
"""

import json
import math
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import anyio
import structlog

from cardbot.errors import StoreError
from cardbot.ports import Store

LOOK_EVERY = 1.0
"""Seconds between two looks for words from other processes. Our choice: who presses Stop waits no longer, and it is one
small question to the store, asked only while there are several processes and an answer is under way."""

POSTED_LIFE = 60.0
"""Seconds that a word waits in the store. Set by the store's contract."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Word:
    """One thing said: the action of a button (or of a command), or a text that was typed."""

    person: str
    """Who says it: the staff id, or what stands in for it."""
    action: str = ""
    text: str = ""
    at: float = 0.0
    """When it was written, Unix time in seconds by DingTalk's clock; 0.0 for a press, which names its answer."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, word: str) -> "Word":
        """Raises `StoreError` for what another version of cardbot may have left."""
        try:
            return cls(**json.loads(word))
        except (ValueError, TypeError):
            raise StoreError("The store holds a word that this version cannot read.") from None


NOTHING = Word("")
"""Wakes whoever waits for a word."""


class Leaving(Exception):
    """Raised to whoever waits for a word when the program is about to end."""


class Ear:
    """What is said to one answer: by whoever asked, and nothing that was written before the question."""

    def __init__(self, since: float, person: str) -> None:
        self._since = since
        self._person = person
        self._heard: deque[Word] = deque()
        self._news = anyio.Event()
        self._over = False

    def hear(self, word: Word) -> bool:
        """One more. Never waits. Returns whether it is meant for this answer."""
        if 0 < word.at < self._since or (self._person and word.person != self._person):
            return False
        self._heard.append(word)
        self._news.set()
        return True

    def wake(self) -> None:
        """Let whoever waits for a word look again at what else there is."""
        self._heard.append(NOTHING)
        self._news.set()

    def close(self) -> None:
        """No more will come."""
        self._over = True
        self._news.set()

    async def next(self) -> Word:
        """The next word. Raises `Leaving` when none will come any more."""
        while not self._heard:
            if self._over:
                raise Leaving
            self._news = anyio.Event()
            await self._news.wait()
        return self._heard.popleft()


class Words:
    """Brings words to the answers that they are meant for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ears: defaultdict[str, list[Ear]] = defaultdict(list)
        self._alone = True
        self._posted_until = -math.inf  # when the last word that may be in the store is gone
        self._over = False

    def share(self, processes: int) -> None:
        """So many processes show answers for this app."""
        if not self._alone:
            self._posted_until = anyio.current_time() + POSTED_LIFE  # those who are gone may have left some
        self._alone = processes <= 1

    @contextmanager
    def heard_at(self, *addresses: str, since: float = 0.0, person: str = "") -> Iterator[Ear]:
        """Listen at these addresses, to this person if one is named. `since` is when the question was written."""
        ear = Ear(since, person)
        if self._over:
            ear.close()
        for address in addresses:
            self._ears[address].append(ear)
        try:
            yield ear
        finally:
            for address in addresses:
                self._ears[address].remove(ear)
                if not self._ears[address]:
                    del self._ears[address]

    def say(self, address: str, word: Word) -> bool:
        """Say something to the answers of this process alone. Never waits. Returns whether one of them hears it."""
        heard = [ear.hear(word) for ear in self._ears.get(address, [])]
        return any(heard)

    async def send(self, reply_id: str, word: Word) -> None:
        """Say something to one answer, wherever it is: a process that began a moment ago is not known yet."""
        if not self.say(reply_id, word):
            await self._post(reply_id, word)

    async def _post(self, address: str, word: Word) -> None:
        try:
            await self._store.post(address, word.to_json())
            self._posted_until = anyio.current_time() + POSTED_LIFE
        except StoreError as exc:
            log.error("word_not_posted", error=str(exc))

    def close(self) -> None:
        """Nobody need wait for a word any more: the program is about to end."""
        self._over = True
        for ears in self._ears.values():
            for ear in ears:
                ear.close()

    async def keep_collecting(self) -> None:
        """Bring what other processes left for the answers of this one, until cancelled.

        So are words of this process, for an answer that it takes over from one that died.
        """
        while True:
            await anyio.sleep(LOOK_EVERY)
            if not self._ears or (self._alone and anyio.current_time() > self._posted_until):
                continue
            try:
                found = await self._store.collect(list(self._ears))
            except StoreError as exc:
                log.error("words_not_collected", error=str(exc))
                continue
            for address, word in found:
                try:
                    self.say(address, Word.from_json(word))
                except StoreError as exc:  # the others are taken out of the store by now
                    log.error("word_unreadable", error=str(exc))
