"""What each method of the SQLite store does inside its transaction."""

import sqlite3
from collections.abc import Callable, Collection

from cardbot.errors import ReplyAdopted
from cardbot.ports import Usage
from cardbot.store.memory import ADOPTED_LIFE, CONVERSATION_LIFE, SEEN_LIFE, SHOWN_LIFE, WORD_LIFE

PRUNED_AT_ONCE = 100
"""Expired rows deleted along with one write. Our choice: more than a write adds, so the file stops growing, and little
enough (measured: 0.1 ms for all 100) that the first write after a long stop does not stand still."""


def conversation(db: sqlite3.Connection, *, key: str, now: float) -> str:
    """Read the id, which renews it."""
    row = db.execute(
        "SELECT conversation_id FROM conversations WHERE key = ? AND expires_at > ?", (key, now)
    ).fetchone()
    if row is None:
        return ""
    db.execute("UPDATE conversations SET expires_at = ? WHERE key = ?", (now + CONVERSATION_LIFE, key))
    return str(row[0])


def keep_conversation(db: sqlite3.Connection, *, key: str, conversation_id: str, now: float) -> None:
    """Insert or replace the id."""
    db.execute(
        "DELETE FROM conversations WHERE key IN (SELECT key FROM conversations WHERE expires_at <= ? LIMIT ?)",
        (now, PRUNED_AT_ONCE),
    )
    db.execute("REPLACE INTO conversations VALUES (?, ?, ?)", (key, conversation_id, now + CONVERSATION_LIFE))


def forget_conversation(db: sqlite3.Connection, *, key: str) -> None:
    """Delete the id."""
    db.execute("DELETE FROM conversations WHERE key = ?", (key,))


def keep_shown(db: sqlite3.Connection, *, card: str, text: str, now: float) -> None:
    """Insert or replace the text."""
    db.execute(
        "DELETE FROM shown WHERE card IN (SELECT card FROM shown WHERE expires_at <= ? LIMIT ?)", (now, PRUNED_AT_ONCE)
    )
    db.execute("REPLACE INTO shown (card, text, expires_at) VALUES (?, ?, ?)", (card, text, now + SHOWN_LIFE))


def shown(db: sqlite3.Connection, *, card: str, now: float) -> str:
    """Read the text."""
    row = db.execute("SELECT text FROM shown WHERE card = ? AND expires_at > ?", (card, now)).fetchone()
    return str(row[0]) if row else ""


def first_seen(db: sqlite3.Connection, *, names: frozenset[str], now: float) -> bool:
    """Insert all names; whether none was there."""
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


def spend(db: sqlite3.Connection, *, month: str, calls: int, answers: int, now: float) -> Usage:
    """Add to the month, and read its totals."""
    db.execute(
        "INSERT INTO usage VALUES (?, ?, ?, ?) ON CONFLICT (month)"
        " DO UPDATE SET calls = calls + excluded.calls, answers = answers + excluded.answers",
        (month, calls, answers, now),
    )
    return usage(db, month=month)


def usage(db: sqlite3.Connection, *, month: str) -> Usage:
    """Read the month's totals."""
    row = db.execute("SELECT calls, answers, since FROM usage WHERE month = ?", (month,)).fetchone()
    return Usage(*row) if row else Usage(0, 0, 0.0)


def keep_reply(db: sqlite3.Connection, *, process: str, app: str, reply_id: str, record: str, now: float) -> None:
    """Insert or replace the record, unless another process has adopted the reply."""
    adopted = db.execute(
        "SELECT 1 FROM adopted WHERE reply_id = ? AND process <> ? AND expires_at > ?", (reply_id, process, now)
    ).fetchone()
    kept = db.execute(
        "INSERT INTO replies (reply_id, process, record, app) VALUES (?, ?, ?, ?) ON CONFLICT (reply_id)"
        " DO UPDATE SET record = excluded.record WHERE process = excluded.process",
        (reply_id, process, record, app),
    )
    if adopted or not kept.rowcount:
        raise ReplyAdopted(reply_id)  # rolls back


def drop_reply(db: sqlite3.Connection, *, process: str, reply_id: str) -> None:
    """Delete the record, if it is this process's own."""
    db.execute("DELETE FROM replies WHERE reply_id = ? AND process = ?", (reply_id, process))


def adopt_replies(
    db: sqlite3.Connection, *, process: str, app: str, living: Callable[[], Collection[str]], now: float
) -> dict[str, str]:
    """Make the replies of the app's dead, and of the dead of no app, this process's own, and read their records."""
    # A process keeps replies of one app only.
    rows = db.execute("SELECT DISTINCT process FROM replies WHERE app IN (?, '')", (app,))
    keepers = {str(keeper) for (keeper,) in rows} - {process}
    # Only if somebody else keeps one is it worth a look at the disk.
    dead = sorted(keepers.difference(living())) if keepers else []
    found: dict[str, str] = {}
    for keeper in dead:
        found |= dict(db.execute("SELECT reply_id, record FROM replies WHERE process = ?", (keeper,)))
        db.execute("UPDATE replies SET process = ?, app = ? WHERE process = ?", (process, app, keeper))
    if found:
        db.execute("DELETE FROM adopted WHERE expires_at <= ?", (now,))
        db.executemany(
            "REPLACE INTO adopted VALUES (?, ?, ?)", [(reply_id, process, now + ADOPTED_LIFE) for reply_id in found]
        )
    return found


def replies_elsewhere(db: sqlite3.Connection, *, process: str, app: str) -> dict[str, str]:
    """Read the records of the app's other processes."""
    return dict(db.execute("SELECT reply_id, record FROM replies WHERE app = ? AND process <> ?", (app, process)))


def post(db: sqlite3.Connection, *, address: str, word: str, now: float) -> None:
    """Insert the word; those that nobody came for go."""
    db.execute("DELETE FROM words WHERE expires_at <= ?", (now,))
    db.execute("INSERT INTO words (address, word, expires_at) VALUES (?, ?, ?)", (address, word, now + WORD_LIFE))


def any_words(db: sqlite3.Connection) -> bool:
    """Whether there is a word for anybody."""
    return db.execute("SELECT 1 FROM words LIMIT 1").fetchone() is not None


def collect(db: sqlite3.Connection, *, addresses: frozenset[str], now: float) -> list[tuple[str, str]]:
    """Delete and return the words for these addresses. There are few words at a time, and may be many addresses."""
    words = db.execute("SELECT id, address, word FROM words WHERE expires_at > ? ORDER BY id", (now,)).fetchall()
    found = [(number, address, word) for number, address, word in words if address in addresses]
    db.executemany("DELETE FROM words WHERE id = ?", [(number,) for number, _, _ in found])
    return [(address, word) for _, address, word in found]
