"""Opens the SQLite file, creates it, and brings it to today's schema."""

import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from cardbot.errors import StoreError

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process's write. Our choice: ours take well under a millisecond, so longer is a fault."""

SWITCH_PAUSE = 0.01
"""Seconds before a refused switch to WAL mode is tried again. Our choice: a switch takes about a millisecond."""

SCHEMA = (
    (
        "CREATE TABLE conversations (key TEXT PRIMARY KEY, conversation_id TEXT NOT NULL, expires_at REAL NOT NULL)"
        " WITHOUT ROWID",
        "CREATE INDEX conversations_by_expiry ON conversations (expires_at)",
        "CREATE TABLE seen (name TEXT PRIMARY KEY, expires_at REAL NOT NULL) WITHOUT ROWID",
        "CREATE INDEX seen_by_expiry ON seen (expires_at)",
    ),
    (
        "CREATE TABLE usage (month TEXT PRIMARY KEY, calls INTEGER NOT NULL, answers INTEGER NOT NULL,"
        " since REAL NOT NULL) WITHOUT ROWID",
        # With row ids: records are long texts, which a table without them would carry in its key's tree.
        "CREATE TABLE replies (reply_id TEXT PRIMARY KEY, process TEXT NOT NULL, record TEXT NOT NULL)",
        # Who adopted a reply, told to the one it was adopted from; the row outlives the reply.
        "CREATE TABLE adopted (reply_id TEXT PRIMARY KEY, process TEXT NOT NULL, expires_at REAL NOT NULL)"
        " WITHOUT ROWID",
        "CREATE INDEX adopted_by_expiry ON adopted (expires_at)",
    ),
    (
        # The DingTalk app that opened the reply; replies of before this step have none, and any app may adopt them.
        "ALTER TABLE replies ADD COLUMN app TEXT NOT NULL DEFAULT ''",
        # The row ids are their order.
        "CREATE TABLE words (id INTEGER PRIMARY KEY, address TEXT NOT NULL, word TEXT NOT NULL,"
        " expires_at REAL NOT NULL)",
    ),
    (
        # With row ids, as they are long texts.
        "CREATE TABLE shown (card TEXT PRIMARY KEY, text TEXT NOT NULL, expires_at REAL NOT NULL)",
        "CREATE INDEX shown_by_expiry ON shown (expires_at)",
    ),
)
"""The steps from an empty file to today's tables; `PRAGMA user_version` counts the steps a file has taken. Steps that
were released are never edited: a change is one more step. `expires_at` and `since` are Unix time in seconds."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, which is created if need be, with its folder. Raises `StoreError`."""
    with translated(path):
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


@contextmanager
def translated(path: Path) -> Generator[None]:
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
        raise StoreError(
            f"{exc.filename or path} cannot be created or locked: {exc.strerror}; name another file in CARDBOT_STORE"
        ) from exc
    except UnicodeEncodeError as exc:  # half of a surrogate pair, which JSON can carry and UTF-8 cannot
        raise StoreError(f"the store {path} holds text only, and was given half a character") from exc
