"""One SQLite file: what one bot keeps over restarts and kill -9, without a server.

The file is in WAL mode, so a killed process loses nothing that was committed, and a second process may use the same
file. WAL needs shared memory, hence a local disk, not a network share (documented: sqlite.org/wal.html, read 2026-11).
"""

import os
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from anyio import CancelScope, CapacityLimiter, to_thread

from cardbot.errors import StoreError
from cardbot.ports import ConversationKey
from cardbot.store.memory import CONVERSATION_LIFE, SEEN_LIFE, Turns, text_of

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process's write. Our choice: ours take well under a millisecond, so longer is a fault."""

SWITCH_PAUSE = 0.01
"""Seconds before a refused switch to WAL mode is tried again. Our choice: a switch takes about a millisecond."""

PRUNED_AT_ONCE = 100
"""Expired rows deleted along with one write. Our choice: more than a write adds, so the file stops growing, and little
enough (measured: 0.1 ms for all 100) that the first write after a long stop does not stand still."""

SCHEMA = (
    (
        "CREATE TABLE conversations (key TEXT PRIMARY KEY, conversation_id TEXT NOT NULL, expires_at REAL NOT NULL)"
        " WITHOUT ROWID",
        "CREATE INDEX conversations_by_expiry ON conversations (expires_at)",
        "CREATE TABLE seen (name TEXT PRIMARY KEY, expires_at REAL NOT NULL) WITHOUT ROWID",
        "CREATE INDEX seen_by_expiry ON seen (expires_at)",
    ),
)
"""The steps from an empty file to today's tables; `PRAGMA user_version` counts the steps a file has taken. Steps that
were released are never edited: a change is one more step. `expires_at` is Unix time in seconds."""

T = TypeVar("T")


class SqliteStore:
    """One connection, used by one worker thread at a time; every method is one transaction. See `open_sqlite`."""

    def __init__(self, path: Path, db: sqlite3.Connection, now: Callable[[], float]) -> None:
        self._path = path
        self._db = db
        self._now = now
        self._turns = Turns()
        self._limiter = CapacityLimiter(1)  # callers wait here, not in the threads that everyone shares
        # A task that asyncio cancels past anyio's scopes lets go of the limiter while its thread still works
        # (seen: anyio 4.16). The transaction itself is guarded where it runs.
        self._lock = threading.Lock()

    async def conversation(self, key: ConversationKey) -> str:
        """The Dify conversation id to go on with, or an empty string. Reading it is using it."""
        return await self._run(partial(_conversation, key=text_of(key), now=self._now()))

    async def keep_conversation(self, key: ConversationKey, conversation_id: str) -> None:
        """Go on with this id from now on."""
        await self._run(partial(_keep, key=text_of(key), conversation_id=conversation_id, now=self._now()))

    async def forget_conversation(self, key: ConversationKey) -> None:
        """Begin anew next time."""
        await self._run(partial(_forget, key=text_of(key)))

    def turn(self, key: ConversationKey) -> AbstractAsyncContextManager[None]:
        """Wait for this conversation's turns before this one, within this process; the next waits until it is left."""
        return self._turns.turn(key)

    async def first_seen(self, *names: str) -> bool:
        """Whether none of these names of one message was seen before; from now on all of them are."""
        if not names:
            raise ValueError("first_seen() needs at least one name of the message")
        return await self._run(partial(_first_seen, names=frozenset(names), now=self._now()))

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do this in one transaction. It is never abandoned half-way: a cancelled caller waits for its end."""
        return await to_thread.run_sync(self._transact, work, limiter=self._limiter)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock, _translated(self._path), self._db:  # commits, or rolls back
            # Taking the write lock first: a read that turns into a write may be refused without waiting.
            self._db.execute("BEGIN IMMEDIATE")
            return work(self._db)

    def _close(self) -> None:
        with self._lock, _translated(self._path):
            self._db.close()


@asynccontextmanager
async def open_sqlite(path: Path, *, now: Callable[[], float] = time.time) -> AsyncGenerator[SqliteStore]:
    """Open the store in this file, which is created if need be, with its folder.

    Args:
        path: where the file is. What is created can be read by its owner only: the ids in it open conversations.
        now: Unix time in seconds; wall time, because what is kept outlives the process.

    Raises:
        StoreError: the file cannot be opened, is not a store, or was written by a newer cardbot.
    """
    store = SqliteStore(path, await to_thread.run_sync(_connect, path), now)
    try:
        yield store
    finally:
        with CancelScope(shield=True):  # bounded by BUSY_TIMEOUT
            await to_thread.run_sync(store._close)


def _connect(path: Path) -> sqlite3.Connection:
    with _translated(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            # Only a file of our own making is opened here: closing one that another store of this process has open
            # would drop that store's locks (documented: sqlite.org/howtocorrupt.html, section 2.2, read 2026-11).
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            _prepare(db, path)
        except BaseException:
            db.close()
            raise
        return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Bring the file to today's schema. Of several processes at once, one does it and the others find it done."""
    _refuse_what_is_not_ours(db, path)
    _use_wal(db)
    # Without an fsync for each commit: kill -9 loses nothing, a power cut at most the last commits, and never the
    # file (documented: sqlite.org/pragma.html#pragma_synchronous, read 2026-11).
    db.execute("PRAGMA synchronous = NORMAL")
    with db:
        db.execute("BEGIN IMMEDIATE")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        for step in SCHEMA[version:]:
            for statement in step:
                db.execute(statement)
        if version < len(SCHEMA):
            db.execute(f"PRAGMA user_version = {len(SCHEMA)}")


def _use_wal(db: sqlite3.Connection) -> None:
    """Switch the file to WAL mode, which it then keeps.

    Two that switch a new file at once each hold a read lock that the other waits for. SQLite answers one of them
    "busy" at once, without waiting (seen: SQLite 3.40, 17 of 4,000 openings by eight threads), so we wait here.
    """
    give_up_at = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up_at:
                raise
            time.sleep(SWITCH_PAUSE)
        else:
            return


def _refuse_what_is_not_ours(db: sqlite3.Connection, path: Path) -> None:
    """Only looks: a file that we refuse stays as it was."""
    with db:
        db.execute("BEGIN")  # both answers of one moment: another process may be creating the tables
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and not version:
        raise StoreError(f"{path} is a database of another program: name another file in CARDBOT_STORE")
    if version > len(SCHEMA):
        raise StoreError(
            f"{path} was written by a newer cardbot (schema {version}, this one knows {len(SCHEMA)}):"
            " upgrade cardbot, or name another file in CARDBOT_STORE"
        )


def _conversation(db: sqlite3.Connection, key: str, now: float) -> str:
    row = db.execute(
        "SELECT conversation_id FROM conversations WHERE key = ? AND expires_at > ?", (key, now)
    ).fetchone()
    if row is None:
        return ""
    db.execute("UPDATE conversations SET expires_at = ? WHERE key = ?", (now + CONVERSATION_LIFE, key))
    return str(row[0])


def _keep(db: sqlite3.Connection, key: str, conversation_id: str, now: float) -> None:
    db.execute(
        "DELETE FROM conversations WHERE key IN (SELECT key FROM conversations WHERE expires_at <= ? LIMIT ?)",
        (now, PRUNED_AT_ONCE),
    )
    db.execute("REPLACE INTO conversations VALUES (?, ?, ?)", (key, conversation_id, now + CONVERSATION_LIFE))


def _forget(db: sqlite3.Connection, key: str) -> None:
    db.execute("DELETE FROM conversations WHERE key = ?", (key,))


def _first_seen(db: sqlite3.Connection, names: frozenset[str], now: float) -> bool:
    db.execute(
        "DELETE FROM seen WHERE name IN (SELECT name FROM seen WHERE expires_at <= ? LIMIT ?)", (now, PRUNED_AT_ONCE)
    )
    # A row counts as new when it was not there, or was there but had expired and was not pruned yet.
    new = db.executemany(
        "INSERT INTO seen VALUES (?, ?) ON CONFLICT (name)"
        " DO UPDATE SET expires_at = excluded.expires_at WHERE expires_at <= ?",
        [(name, now + SEEN_LIFE, now) for name in names],
    )
    return new.rowcount == len(names)


@contextmanager
def _translated(path: Path) -> Generator[None]:
    """Say what SQLite and the operating system report in our words, with the file and what to do."""
    try:
        yield
    except sqlite3.Error as exc:
        if getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            problem = f"{path} is not a SQLite database: move it away, or name another file in CARDBOT_STORE"
        else:
            problem = f"the store {path} failed: {exc}; check the disk, the file's owner and who else has it open"
        raise StoreError(problem) from exc
    except OSError as exc:
        raise StoreError(f"{path} cannot be created: {exc.strerror}; name another file in CARDBOT_STORE") from exc
    except UnicodeEncodeError as exc:  # half of a surrogate pair, which JSON can carry and UTF-8 cannot
        raise StoreError(f"the store {path} holds text only, and was given half a character") from exc
