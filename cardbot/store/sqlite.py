"""One SQLite file: what one bot keeps over restarts and kill -9, without a server.

The file is in WAL mode, so a killed process loses nothing that was committed, and a second process may use the same
file. WAL needs shared memory, hence a local disk, not a network share (documented: sqlite.org/wal.html, read 2026-11).
"""

import sqlite3
import threading
import time
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread

from cardbot.ports import CardKey, ConversationKey, Usage, tell_nobody
from cardbot.store import sqlite_queries as queries
from cardbot.store.alive import LifeSign
from cardbot.store.sqlite_file import connect, translated
from cardbot.store.turns import Turns, text_of

T = TypeVar("T")


class SqliteStore:
    """One connection, used by one worker thread at a time; every method is one transaction. See `open_sqlite`."""

    lasts = True

    def __init__(self, path: Path, app: str, now: Callable[[], float]) -> None:
        """Open the file and show a life sign. Blocks."""
        self._path = path
        self._app = app
        self._now = now
        self._turns = Turns()
        self._limiter = CapacityLimiter(1)  # callers wait here, not in the threads that everyone shares
        # A task that asyncio cancels past anyio's scopes lets go of the limiter while its thread still works
        # (seen: anyio 4.16). The transaction itself is guarded where it runs.
        self._lock = threading.Lock()
        self._db = connect(path)
        try:
            self._sign = self._transact(lambda _: LifeSign(path, app))
        except BaseException:
            self._db.close()
            raise

    @property
    def process(self) -> str:
        """Names this open store among those on the file."""
        return self._sign.process

    async def conversation(self, key: ConversationKey) -> str:
        """The Dify conversation id to go on with, or an empty string. Reading it is using it."""
        return await self._run(partial(queries.conversation, key=text_of(key), now=self._now()))

    async def keep_conversation(self, key: ConversationKey, conversation_id: str) -> None:
        """Go on with this id from now on."""
        text = text_of(key)
        await self._run(partial(queries.keep_conversation, key=text, conversation_id=conversation_id, now=self._now()))

    async def forget_conversation(self, key: ConversationKey) -> None:
        """Begin anew next time."""
        await self._run(partial(queries.forget_conversation, key=text_of(key)))

    async def keep_shown(self, key: CardKey, text: str) -> None:
        """This is what the card shows in the end."""
        await self._run(partial(queries.keep_shown, card=text_of(key), text=text, now=self._now()))

    async def shown(self, key: CardKey) -> str:
        """What the card shows in the end, or an empty string."""
        return await self._run(partial(queries.shown, card=text_of(key), now=self._now()))

    def turn(
        self, key: ConversationKey, on_wait: Callable[[], None] = tell_nobody
    ) -> AbstractAsyncContextManager[None]:
        """Stand in this conversation's line; inside it is this one's turn.

        The line is of this process only: for two bots there is Redis, a file is meant for one.
        """
        return self._turns.turn(key, on_wait)

    async def first_seen(self, *names: str) -> bool:
        """Whether none of these names of one message was seen before; from now on all of them are."""
        if not names:
            raise ValueError("first_seen() needs at least one name of the message")
        return await self._run(partial(queries.first_seen, names=frozenset(names), now=self._now()))

    async def spend(self, month: str, *, calls: int, answers: int) -> Usage:
        """Count these in the month, and return its totals."""
        return await self._run(partial(queries.spend, month=month, calls=calls, answers=answers, now=self._now()))

    async def usage(self, month: str) -> Usage:
        """The month's totals."""
        return await self._run(partial(queries.usage, month=month))

    async def keep_reply(self, reply_id: str, record: str) -> None:
        """Write down an open reply, or what is new about it. Raises `ReplyAdopted` if it is another process's now."""
        of = partial(queries.keep_reply, process=self.process, app=self._app)
        await self._run(partial(of, reply_id=reply_id, record=record, now=self._now()))

    async def drop_reply(self, reply_id: str) -> None:
        """The reply has its final state. Does nothing to a reply that another process has adopted."""
        await self._run(partial(queries.drop_reply, process=self.process, reply_id=reply_id))

    async def adopt_replies(self) -> dict[str, str]:
        """Take over the open replies of the app's stores on this file that were left or killed: records by reply id.

        Replies of no app, which an older cardbot has left, go to whichever app asks first.
        """
        of = partial(queries.adopt_replies, process=self.process, app=self._app)
        return await self._run(partial(of, living=self._sign.living, now=self._now()))

    async def replies_elsewhere(self) -> dict[str, str]:
        """The open replies of the app's other stores on this file, dead ones included: records by reply id."""
        return await self._run(partial(queries.replies_elsewhere, process=self.process, app=self._app))

    async def post(self, address: str, word: str) -> None:
        """Leave a word for whichever store on this file asks for words to this address."""
        await self._run(partial(queries.post, address=address, word=word, now=self._now()))

    async def collect(self, addresses: Collection[str]) -> list[tuple[str, str]]:
        """Take the words that were left for these addresses, oldest first, as (address, word)."""
        take = partial(queries.collect, addresses=frozenset(addresses), now=self._now())
        return await to_thread.run_sync(self._collect, take, limiter=self._limiter)

    async def beat(self) -> int:
        """How many of the app's stores are open on this file.

        A death shows at once, so nothing depends on being called in time.
        """
        return await self._run(lambda _: list(self._sign.living().values()).count(self._app))

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do this in one transaction. It is never abandoned half-way: a cancelled caller waits for its end."""
        return await to_thread.run_sync(self._transact, work, limiter=self._limiter)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock, translated(self._path), self._db:  # commits, or rolls back
            # Taking the write lock first: a read that turns into a write may be refused without waiting.
            self._db.execute("BEGIN IMMEDIATE")
            return work(self._db)

    def _collect(self, take: Callable[[sqlite3.Connection], list[tuple[str, str]]]) -> list[tuple[str, str]]:
        """Look first, without the write lock: this is asked often, and there is hardly ever a word."""
        with self._lock, translated(self._path):
            if not queries.any_words(self._db):
                return []
        return self._transact(take)

    def close(self) -> None:
        """Close the file and withdraw the life sign. Blocks."""
        with self._lock, translated(self._path):
            try:
                self._db.close()
            finally:
                self._sign.withdraw()


@asynccontextmanager
async def open_sqlite(
    path: Path, *, app: str = "", now: Callable[[], float] = time.time
) -> AsyncGenerator[SqliteStore]:
    """Open the store in this file, which is created if need be, with its folder.

    Args:
        path: where the file is. What is created can be read by its owner only: the ids in it open conversations.
        app: the DingTalk app, with whose other stores on this file open replies are shared; empty for who just looks.
        now: Unix time in seconds; wall time, because what is kept outlives the process.

    Raises:
        StoreError: the file cannot be opened, is not a store, or was written by a newer cardbot.
    """
    store = await to_thread.run_sync(SqliteStore, path, app, now)
    try:
        yield store
    finally:
        with CancelScope(shield=True):  # bounded by BUSY_TIMEOUT
            await to_thread.run_sync(store.close)
