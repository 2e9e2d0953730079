"""What a file promises beyond the contract: restarts, kill -9, other files in its place, cancelled callers."""

import asyncio
import os
import signal
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from blockbuster import blockbuster_ctx

from cardbot.errors import StoreError
from cardbot.ports import ConversationKey
from cardbot.store.memory import CONVERSATION_LIFE, SEEN_LIFE
from cardbot.store.sqlite import PRUNED_AT_ONCE, SCHEMA, open_sqlite

KEY = ConversationKey(app="app-1", robot="robot", chat="chat", person="person")

KILLED = f"""
import os, signal, sys
from pathlib import Path
import anyio
from cardbot.ports import ConversationKey
from cardbot.store.sqlite import open_sqlite

async def main():
    async with open_sqlite(Path(sys.argv[1])) as store:
        await store.keep_conversation({KEY!r}, "conversation-1")
        await store.first_seen("message")
        os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main)
"""

pytestmark = pytest.mark.anyio
posix = pytest.mark.skipif(sys.platform == "win32", reason="file modes and SIGKILL are of POSIX")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "cardbot.db"


@pytest.fixture
def open_umask() -> Iterator[None]:
    """The most careless umask, so that a mode is what was asked for."""
    before = os.umask(0)
    yield
    os.umask(before)


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_everything_is_there_after_reopening(path: Path) -> None:
    async with open_sqlite(path) as store:
        await store.keep_conversation(KEY, "conversation-1")
        await store.first_seen("message")
    async with open_sqlite(path) as store:
        assert await store.conversation(KEY) == "conversation-1"
        assert not await store.first_seen("message")


@posix
async def test_everything_is_there_after_kill_9(path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = await anyio.run_process([sys.executable, "-c", KILLED, str(path)], check=False, env=environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    async with open_sqlite(path) as store:
        assert await store.conversation(KEY) == "conversation-1"
        assert not await store.first_seen("message")


async def test_many_may_create_the_file_at_once(tmp_path: Path) -> None:
    async def start(path: Path, results: list[bool]) -> None:
        async with open_sqlite(path) as store:
            results.append(await store.first_seen("message"))

    for attempt in range(50):  # two that switch to WAL mode in the same moment: once in about thirty attempts
        results: list[bool] = []
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(start, tmp_path / str(attempt) / "cardbot.db", results)
        assert sorted(results) == [False] * 7 + [True]


@posix
@pytest.mark.usefixtures("open_umask")
async def test_folder_and_files_are_for_the_owner_only(path: Path) -> None:
    async with open_sqlite(path) as store:
        await store.first_seen("message")
        assert mode(path.parent) == 0o700
        assert {file.name: mode(file) for file in path.parent.iterdir()} == {
            "cardbot.db": 0o600,
            "cardbot.db-shm": 0o600,
            "cardbot.db-wal": 0o600,
        }


async def test_the_file_is_in_wal_mode_and_knows_its_schema(path: Path) -> None:
    async with open_sqlite(path):
        assert rows(path, "PRAGMA journal_mode") == [("wal",)]
        assert rows(path, "PRAGMA user_version") == [(len(SCHEMA),)]


async def test_a_closed_store_leaves_one_file(path: Path) -> None:
    async with open_sqlite(path) as store:
        await store.first_seen("message")
    assert [file.name for file in path.parent.iterdir()] == ["cardbot.db"]


async def test_a_file_that_is_no_database_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, whatever its length " * 50)
    with pytest.raises(StoreError, match=r"notes\.txt is not a SQLite database: move it away") as caught:
        async with open_sqlite(path):
            pass
    assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)
    assert path.read_text().startswith("not a database")


async def test_a_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE songs (title TEXT)")
    with pytest.raises(StoreError, match=r"other\.db is a database of another program"):
        async with open_sqlite(path):
            pass
    assert rows(path, "SELECT name FROM sqlite_master") == [("songs",)]
    assert rows(path, "PRAGMA journal_mode") == [("delete",)]


async def test_a_file_of_a_newer_cardbot_is_refused(path: Path) -> None:
    async with open_sqlite(path):
        pass
    rows(path, f"PRAGMA user_version = {len(SCHEMA) + 1}")
    with pytest.raises(StoreError, match="written by a newer cardbot"):
        async with open_sqlite(path):
            pass


async def test_a_path_below_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StoreError, match="cannot be created"):
        async with open_sqlite(tmp_path / "state" / "cardbot.db"):
            pass


async def test_a_folder_in_place_of_the_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unable to open database file"):
        async with open_sqlite(tmp_path):
            pass


async def test_a_lost_table_is_reported_with_its_cause(path: Path) -> None:
    async with open_sqlite(path) as store:
        rows(path, "DROP TABLE seen")
        with pytest.raises(StoreError, match="no such table: seen") as caught:
            await store.first_seen("message")
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        await store.keep_conversation(KEY, "conversation-1")  # the failed transaction is not in the way


async def test_half_a_character_is_reported_and_nothing_is_kept(path: Path) -> None:
    names = [f"message-{number}" for number in range(30)]
    async with open_sqlite(path) as store:
        with pytest.raises(StoreError, match="half a character"):
            await store.first_seen(*names, "\ud83d")
        assert await store.first_seen(*names)


async def test_a_closed_store_says_so(path: Path) -> None:
    async with open_sqlite(path) as store:
        pass
    with pytest.raises(StoreError, match="closed database"):
        await store.first_seen("message")


async def test_expired_names_are_pruned_a_few_at_a_time(path: Path) -> None:
    now = 0.0
    async with open_sqlite(path, now=lambda: now) as store:
        await store.first_seen(*[f"old-{number}" for number in range(PRUNED_AT_ONCE + 50)])
        now = SEEN_LIFE
        await store.first_seen("new-1")
        assert rows(path, "SELECT count(*) FROM seen") == [(51,)]
        await store.first_seen("new-2")
        assert rows(path, "SELECT name FROM seen") == [("new-1",), ("new-2",)]


async def test_an_expired_name_is_new_even_before_it_is_pruned(path: Path) -> None:
    now = 0.0
    names = [f"old-{number:03}" for number in range(PRUNED_AT_ONCE + 50)]
    async with open_sqlite(path, now=lambda: now) as store:
        await store.first_seen(*names)
        now = SEEN_LIFE
        assert await store.first_seen(names[-1])
        assert not await store.first_seen(names[-1])


async def test_expired_conversations_are_pruned(path: Path) -> None:
    now = 0.0
    async with open_sqlite(path, now=lambda: now) as store:
        await store.keep_conversation(ConversationKey(app="a", robot="b", chat="c", person="gone"), "conversation-1")
        now = CONVERSATION_LIFE
        await store.keep_conversation(KEY, "conversation-2")
    assert rows(path, "SELECT conversation_id FROM conversations") == [("conversation-2",)]


async def test_a_cancelled_caller_leaves_no_lock_and_no_transaction(path: Path) -> None:
    async with open_sqlite(path) as store:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(store.first_seen, "one")  # one of them has the thread, and waits for the other store
                tasks.start_soon(store.first_seen, "two")  # the other one waits for the thread
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
                other.execute("ROLLBACK")
            assert len(rows(path, "SELECT name FROM seen")) == 1  # what had begun is done, and the rest never begins
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
        assert await store.first_seen("three")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_cancelled_by_asyncio_does_not_mix_up_transactions(path: Path) -> None:
    names = [f"message-{number}" for number in range(10_000)]  # many, so that the transaction takes a while
    async with open_sqlite(path) as store:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            first = asyncio.create_task(store.first_seen(*names))
            await anyio.wait_all_tasks_blocked()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            second = asyncio.create_task(store.first_seen("another message"))
            await anyio.wait_all_tasks_blocked()
            other.execute("ROLLBACK")
            assert await second


async def test_callers_that_wait_leave_the_shared_threads_to_others(path: Path) -> None:
    async with open_sqlite(path) as store:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with anyio.create_task_group() as tasks:
                for number in range(100):  # anyio shares 40 threads
                    tasks.start_soon(store.first_seen, f"message-{number}")
                await anyio.wait_all_tasks_blocked()
                with anyio.fail_after(2):
                    await anyio.to_thread.run_sync(os.getpid)
                other.execute("ROLLBACK")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_nothing_blocks_the_loop(path: Path) -> None:
    with blockbuster_ctx():
        async with open_sqlite(path) as store:
            await store.keep_conversation(KEY, "conversation-1")
            await store.conversation(KEY)
            await store.forget_conversation(KEY)
            await store.first_seen("message")
