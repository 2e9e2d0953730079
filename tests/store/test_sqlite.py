"""What a file promises beyond the contract: restarts, kill -9, other files in its place, cancelled callers."""

import asyncio
import os
import random
import re
import shutil
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
from cardbot.ports import CardKey, ConversationKey
from cardbot.store.memory import ADOPTED_LIFE, CONVERSATION_LIFE, SEEN_LIFE, SHOWN_LIFE, WORD_LIFE
from cardbot.store.sqlite import open_sqlite
from cardbot.store.sqlite_file import SCHEMA
from cardbot.store.sqlite_queries import PRUNED_AT_ONCE

KEY = ConversationKey(app="app-1", robot="robot", chat="chat", person="person")

PROGRAM = f"""
import os, signal, sys
from pathlib import Path
import anyio
from cardbot.ports import ConversationKey
from cardbot.store.sqlite import open_sqlite

KEY = {KEY!r}
PATH = Path(sys.argv[1])

async def main():
    async with open_sqlite(PATH) as store:
        await act(store)
        os.kill(os.getpid(), signal.SIGKILL)

"""

KILLED = """
async def act(store):
    await store.keep_conversation(KEY, "conversation-1")
    await store.first_seen("message")
    await store.spend("2026-11", calls=7, answers=1)
    await store.keep_reply("reply-1", "so far")
"""

KILLED_LATER = """
async def act(store):
    await store.keep_reply("reply-1", "so far")
    print("kept", flush=True)
    await anyio.sleep_forever()
"""

COMMITS = 30

KILLED_AFTER_COMMITS = f"""
async def act(store):
    for number in range({COMMITS}):
        await store.keep_reply(f"reply-{{number:02}}", "x" * 500 * (number % 20))
        print(os.path.getsize(f"{{PATH}}-wal"), flush=True)
"""
"""Says how long the log is after each commit."""

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


async def killed(path: Path, act: str) -> list[str]:
    """Let a process use the store and be killed; returns the lines it wrote."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = PROGRAM + act + "\nanyio.run(main)\n"
    done = await anyio.run_process([sys.executable, "-c", program, str(path)], check=False, env=environment)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    return done.stdout.decode().split()


def signs(path: Path) -> int:
    return len(list(path.parent.glob(f"{path.name}-alive-*")))


@posix
async def test_everything_is_there_after_kill_9(path: Path) -> None:
    await killed(path, KILLED)
    async with open_sqlite(path) as store:
        assert await store.conversation(KEY) == "conversation-1"
        assert not await store.first_seen("message")
        usage = await store.usage("2026-11")
        assert (usage.calls, usage.answers) == (7, 1)
        assert await store.adopt_replies() == {"reply-1": "so far"}


@posix
async def test_a_process_is_known_to_be_dead_as_soon_as_it_is(path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = PROGRAM + KILLED_LATER + "\nanyio.run(main)\n"
    async with open_sqlite(path) as store:
        command = [sys.executable, "-c", program, str(path)]
        async with await anyio.open_process(command, env=environment) as process:
            assert process.stdout
            await process.stdout.receive()  # "kept"
            assert await store.beat() == 2
            assert await store.adopt_replies() == {}
            process.kill()
            await process.wait()
            assert await store.adopt_replies() == {"reply-1": "so far"}
            assert await store.beat() == 1


@posix
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
async def test_what_root_puts_beside_the_file_belongs_to_the_files_owner(path: Path) -> None:
    """Such as `cardbot send` of a job, beside a bot that runs as somebody else."""
    async with open_sqlite(path):
        pass
    os.chown(path, 65534, 65534)
    async with open_sqlite(path) as store:
        await store.first_seen("message")
        beside = [one for one in path.parent.iterdir() if one.name.startswith(path.name)]
        assert len(beside) == 4, "the database, its log, the log's index and the life sign"
        assert {(one.stat().st_uid, one.stat().st_gid) for one in beside} == {(65534, 65534)}


@posix
async def test_the_signs_of_the_dead_are_removed(path: Path) -> None:
    await killed(path, KILLED)
    assert signs(path) == 1
    async with open_sqlite(path) as store:
        await store.beat()
        assert signs(path) == 1
    assert signs(path) == 0


async def test_one_file_under_two_names_is_one_store(tmp_path: Path) -> None:
    link = tmp_path / "link" / "other.db"
    async with open_sqlite(tmp_path / "cardbot.db") as one:
        link.parent.mkdir()
        link.symlink_to(tmp_path / "cardbot.db")
        await one.keep_reply("reply-1", "{}")
        async with open_sqlite(link) as other:
            assert [await one.beat(), await other.beat()] == [2, 2]
            assert await other.adopt_replies() == {}


def tear(original: Path, copy: Path, *, at: int, how: str) -> None:
    """Copy a killed store with a log that is damaged from there on."""
    shutil.copy(original, copy)
    log = Path(f"{original}-wal").read_bytes()
    rubbish = random.Random(at).randbytes(len(log) - at)
    damaged = {"cut": b"", "rubbish": rubbish, "a sector": rubbish[:512] + log[at + 512 :]}
    Path(f"{copy}-wal").write_bytes(log[:at] + damaged[how])


@posix
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("how", ["cut", "rubbish", "a sector"])
async def test_a_torn_log_costs_only_what_was_torn(tmp_path: Path, how: str) -> None:
    original = tmp_path / "original.db"
    ends = [int(line) for line in await killed(original, KILLED_AFTER_COMMITS)]
    assert len(ends) == COMMITS
    draw = random.Random(20261121)
    for at in [0, ends[-1] - 1, *(draw.randrange(ends[-1]) for _ in range(20))]:
        path = tmp_path / f"{at}.db"
        tear(original, path, at=at, how=how)
        async with open_sqlite(path) as store:
            whole = sum(end <= at for end in ends)
            assert sorted(await store.adopt_replies()) == [f"reply-{number:02}" for number in range(whole)]
            assert await store.first_seen("message")


async def test_a_file_of_the_first_release_learns_what_is_new(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        for statement in SCHEMA[0]:
            db.execute(statement)
        db.execute("PRAGMA user_version = 1")
        db.execute("INSERT INTO seen VALUES ('message', 1e12)")
        db.commit()
    async with open_sqlite(path) as store:
        assert not await store.first_seen("message")
        assert (await store.spend("2026-11", calls=7, answers=1)).calls == 7
        await store.keep_reply("reply-1", "{}")
    assert rows(path, "PRAGMA user_version") == [(len(SCHEMA),)]


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
        assert {re.sub("[0-9a-f]{32}", "<process>", file.name): mode(file) for file in path.parent.iterdir()} == {
            "cardbot.db": 0o600,
            "cardbot.db-alive-<process>": 0o600,
            "cardbot.db-shm": 0o600,
            "cardbot.db-wal": 0o600,
        }


async def test_the_file_is_in_wal_mode_and_knows_its_schema(path: Path) -> None:
    async with open_sqlite(path):
        assert rows(path, "PRAGMA journal_mode") == [("wal",)]
        assert rows(path, "PRAGMA user_version") == [(len(SCHEMA),)]


async def test_a_file_of_an_older_cardbot_is_brought_to_the_new_schema(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        for statement in [*SCHEMA[0], *SCHEMA[1], "PRAGMA user_version = 2"]:
            db.execute(statement)
        db.execute("INSERT INTO replies VALUES ('reply-1', 'killed', 'so far')")
        db.execute("INSERT INTO usage VALUES ('2026-11', 7, 1, 0.0)")
        db.commit()
    async with open_sqlite(path, app="app-1") as store:
        assert await store.adopt_replies() == {"reply-1": "so far"}
        assert (await store.usage("2026-11")).calls == 7
        await store.post("reply-1", "stop")
        assert await store.collect(["reply-1"]) == [("reply-1", "stop")]
    async with open_sqlite(path, app="app-2") as other:
        assert await other.adopt_replies() == {}


async def test_words_that_nobody_came_for_do_not_pile_up(path: Path) -> None:
    now = 0.0
    async with open_sqlite(path, now=lambda: now) as store:
        await store.post("reply-1", "stop")
        now = WORD_LIFE
        await store.post("reply-2", "like")
        assert rows(path, "SELECT word FROM words") == [("like",)]


async def test_nothing_to_collect_waits_for_nobody(path: Path) -> None:
    async with open_sqlite(path) as store:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with anyio.fail_after(2):
                assert await store.collect(["reply-1"]) == []


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


async def test_texts_of_cards_do_not_pile_up(path: Path) -> None:
    now = 0.0
    async with open_sqlite(path, now=lambda: now) as store:
        for number in range(PRUNED_AT_ONCE + 50):
            await store.keep_shown(CardKey("robot", "chat", f"old-{number}"), "text")
        now = SHOWN_LIFE
        await store.keep_shown(CardKey("robot", "chat", "new-1"), "text")
        assert rows(path, "SELECT count(*) FROM shown") == [(51,)]
        await store.keep_shown(CardKey("robot", "chat", "new-2"), "text")
        assert rows(path, "SELECT card FROM shown ORDER BY card") == [
            ('["robot","chat","new-1"]',),
            ('["robot","chat","new-2"]',),
        ]


async def test_a_file_of_before_texts_were_kept_learns_to_keep_them(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        for statement in [*SCHEMA[0], *SCHEMA[1], *SCHEMA[2], "PRAGMA user_version = 3"]:
            db.execute(statement)
        db.commit()
    async with open_sqlite(path) as store:
        await store.keep_shown(CardKey("robot", "chat", "pqk"), "text")
        assert await store.shown(CardKey("robot", "chat", "pqk")) == "text"


async def test_forgotten_adoptions_are_pruned(path: Path) -> None:
    async def adopt(reply_id: str, now: float) -> None:
        async with open_sqlite(path) as gone:
            await gone.keep_reply(reply_id, "{}")
        async with open_sqlite(path, now=lambda: now) as store:
            await store.adopt_replies()
            await store.drop_reply(reply_id)

    await adopt("reply-1", 0.0)
    await adopt("reply-2", ADOPTED_LIFE)
    assert rows(path, "SELECT reply_id FROM adopted") == [("reply-2",)]


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
            await store.spend("2026-11", calls=1, answers=1)
            await store.usage("2026-11")
            await store.keep_reply("reply-1", "{}")
            await store.drop_reply("reply-1")
            await store.adopt_replies()
            await store.post("reply-1", "stop")
            await store.collect(["reply-1"])
            await store.beat()
