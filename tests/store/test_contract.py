"""The one contract: every backend does what `cardbot.ports.Store` promises. Then: which URL opens which backend."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
import redis
from anyio.abc import SocketAttribute, SocketStream
from hypothesis import given
from hypothesis import strategies as st

from cardbot.errors import SettingsError, StoreError
from cardbot.ports import ConversationKey, Store
from cardbot.store import open_store
from cardbot.store.memory import CONVERSATION_LIFE, SEEN_LIFE, MemoryStore, Turns, text_of
from cardbot.store.sqlite import open_sqlite

KEY = ConversationKey(app="app-1", robot="robot", chat="cid+/==", person="王:小 明")

AWKWARD_KEYS = [
    ConversationKey(app="a", robot="b", chat="c", person="d"),
    ConversationKey(app="a:b", robot="", chat="c", person="d"),
    ConversationKey(app="a", robot=":b", chat="c", person="d"),
    ConversationKey(app="a", robot="b", chat="c/d", person=""),
    ConversationKey(app="a", robot="b", chat="c", person="/d"),
    ConversationKey(app="a", robot="b", chat="c\n", person="d"),
    ConversationKey(app="a", robot="b", chat="c", person="\nd"),
    ConversationKey(app="a", robot="b", chat='c","d', person=""),
    ConversationKey(app="a", robot="b", chat="c\0", person="d"),
    ConversationKey(app="a", robot="b", chat="C", person="d"),
    ConversationKey(app="a", robot="b", chat="\ud83d", person="d"),  # half an emoji, as JSON can carry it
]


@dataclass(frozen=True, slots=True)
class Backend:
    """One place where things are kept, and a way to let time pass there."""

    open: Callable[[], AbstractAsyncContextManager[Store]]
    later: Callable[[float], None]


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def later(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty Redis database."""
    if url := os.environ.get("CARDBOT_TEST_REDIS", ""):
        yield url
        return
    if not (program := shutil.which("redis-server")):
        pytest.skip("no Redis: put redis-server on PATH, or the URL of an empty database into CARDBOT_TEST_REDIS")
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path_factory.mktemp("redis"))]
    with subprocess.Popen([program, *options], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout
            if not any(b"Ready to accept connections" in line for line in server.stdout):
                pytest.fail(f"{program} did not start")
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.communicate(timeout=10)


@pytest.fixture
def redis_url(redis_server: str) -> Iterator[str]:
    """The same, emptied of what a test leaves."""
    with redis.Redis.from_url(redis_server) as client:
        if client.dbsize():
            pytest.fail("the database of CARDBOT_TEST_REDIS is not empty; the tests would delete its keys")
        yield redis_server
        client.flushdb()


@pytest.fixture
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    clock = Clock()
    match request.param:
        case "memory":
            store = MemoryStore(timer=clock)
            return Backend(lambda: nullcontext(store), clock.later)
        case "sqlite":
            return Backend(lambda: open_sqlite(tmp_path / "store.db", now=clock), clock.later)
        case _:
            url: str = request.getfixturevalue("redis_url")
            return Backend(lambda: open_store(url), lambda seconds: age(url, seconds))


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    async with backend.open() as opened:
        yield opened


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def age(url: str, seconds: float) -> None:
    """Let time pass in a Redis server: whatever it would have expired by then goes, the rest has less time left."""
    with redis.Redis.from_url(url) as client:
        for key in list(client.scan_iter()):
            left = client.pttl(key) - seconds * 1000
            if left > 0:
                client.pexpire(key, int(left))
            else:
                client.delete(key)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("backend", "anyio_backend"),
    [("memory", "asyncio"), ("memory", "trio"), ("sqlite", "asyncio"), ("sqlite", "trio"), ("redis", "asyncio")],
    indirect=["backend"],
)
class TestContract:
    async def test_an_unknown_conversation_is_an_empty_string(self, store: Store) -> None:
        assert await store.conversation(KEY) == ""

    async def test_a_kept_conversation_goes_on(self, store: Store) -> None:
        await store.keep_conversation(KEY, "conversation-1")
        assert await store.conversation(KEY) == "conversation-1"

    async def test_the_last_kept_conversation_counts(self, store: Store) -> None:
        await store.keep_conversation(KEY, "conversation-1")
        await store.keep_conversation(KEY, "conversation-2")
        assert await store.conversation(KEY) == "conversation-2"

    async def test_a_forgotten_conversation_begins_anew(self, store: Store) -> None:
        await store.keep_conversation(KEY, "conversation-1")
        await store.forget_conversation(KEY)
        assert await store.conversation(KEY) == ""

    async def test_an_unknown_conversation_can_be_forgotten(self, store: Store) -> None:
        await store.forget_conversation(KEY)
        assert await store.conversation(KEY) == ""

    async def test_forgetting_leaves_the_neighbours_alone(self, store: Store) -> None:
        neighbour = replace(KEY, person="someone else")
        await store.keep_conversation(KEY, "conversation-1")
        await store.keep_conversation(neighbour, "conversation-2")
        await store.forget_conversation(KEY)
        assert await store.conversation(neighbour) == "conversation-2"

    async def test_keys_with_any_character_do_not_meet(self, store: Store) -> None:
        for number, key in enumerate(AWKWARD_KEYS):
            await store.keep_conversation(key, f"conversation-{number}")
        found = [await store.conversation(key) for key in AWKWARD_KEYS]
        assert found == [f"conversation-{number}" for number in range(len(AWKWARD_KEYS))]

    async def test_a_conversation_ends_thirty_days_after_it_was_kept(self, backend: Backend, store: Store) -> None:
        await store.keep_conversation(KEY, "conversation-1")
        backend.later(CONVERSATION_LIFE)
        assert await store.conversation(KEY) == ""

    async def test_reading_a_conversation_renews_it(self, backend: Backend, store: Store) -> None:
        await store.keep_conversation(KEY, "conversation-1")
        backend.later(CONVERSATION_LIFE - 60)
        await store.conversation(KEY)
        backend.later(CONVERSATION_LIFE - 60)
        assert await store.conversation(KEY) == "conversation-1"

    async def test_keeping_a_conversation_again_renews_it(self, backend: Backend, store: Store) -> None:
        await store.keep_conversation(KEY, "conversation-1")
        backend.later(CONVERSATION_LIFE - 60)
        await store.keep_conversation(KEY, "conversation-1")
        backend.later(CONVERSATION_LIFE - 60)
        assert await store.conversation(KEY) == "conversation-1"

    async def test_new_names_are_first_seen_once(self, store: Store) -> None:
        assert [await store.first_seen("frame", "message") for _ in range(3)] == [True, False, False]

    async def test_one_known_name_is_enough_to_know_a_message(self, store: Store) -> None:
        await store.first_seen("frame-1", "message")
        assert not await store.first_seen("frame-2", "message")

    async def test_new_names_of_a_known_message_are_known_from_then_on(self, store: Store) -> None:
        await store.first_seen("frame-1", "message")
        await store.first_seen("frame-2", "message")
        assert not await store.first_seen("frame-2")

    async def test_other_names_are_new(self, store: Store) -> None:
        await store.first_seen("frame-1", "message-1")
        assert await store.first_seen("frame-2", "message-2")

    async def test_a_name_given_twice_is_still_new(self, store: Store) -> None:
        assert await store.first_seen("message", "message")

    async def test_names_may_hold_any_character(self, store: Store) -> None:
        names = ["a:b", "a", "b", "a\nb", "a\0b", "消息", "'; DROP TABLE seen", "A"]
        assert [await store.first_seen(name) for name in names] == [True] * len(names)

    async def test_no_names_are_an_error_of_the_caller(self, store: Store) -> None:
        with pytest.raises(ValueError, match="at least one name"):
            await store.first_seen()

    async def test_a_name_is_known_for_nearly_a_day(self, backend: Backend, store: Store) -> None:
        await store.first_seen("message")
        backend.later(SEEN_LIFE - 60)
        assert not await store.first_seen("message")

    async def test_a_name_is_new_again_after_a_day(self, backend: Backend, store: Store) -> None:
        await store.first_seen("message")
        backend.later(SEEN_LIFE)
        assert await store.first_seen("message")

    async def test_a_day_counts_from_the_first_sight(self, backend: Backend, store: Store) -> None:
        await store.first_seen("message")
        backend.later(SEEN_LIFE - 60)
        await store.first_seen("message")
        backend.later(120)
        assert await store.first_seen("message")

    async def test_of_many_at_once_exactly_one_is_first(self, backend: Backend) -> None:
        results: list[bool] = []

        async def receive(store: Store, frame: str) -> None:
            results.append(await store.first_seen(frame, "message", "message of the robot"))

        async with backend.open() as one, backend.open() as other, anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(receive, one, f"frame-one-{number}")
                tasks.start_soon(receive, other, f"frame-other-{number}")
        assert sorted(results) == [False] * 39 + [True]

    async def test_many_may_read_and_keep_at_once(self, backend: Backend) -> None:
        async def go_on(store: Store) -> None:
            for _ in range(50):
                await store.keep_conversation(KEY, "conversation-1")
                assert await store.conversation(KEY) == "conversation-1"

        async with backend.open() as one, backend.open() as other, anyio.create_task_group() as tasks:
            tasks.start_soon(go_on, one)
            tasks.start_soon(go_on, other)

    async def test_turns_of_one_conversation_follow_each_other_in_order(self, store: Store) -> None:
        told: list[str] = []

        async def take(name: str) -> None:
            async with store.turn(KEY):
                told.append(f"{name} begins")
                await anyio.lowlevel.checkpoint()
                told.append(f"{name} ends")

        async with anyio.create_task_group() as tasks, store.turn(KEY):
            for name in ["first", "second"]:
                tasks.start_soon(take, name)
                await anyio.wait_all_tasks_blocked()
            assert told == []
        assert told == ["first begins", "first ends", "second begins", "second ends"]

    async def test_other_conversations_do_not_wait_for_a_turn(self, store: Store) -> None:
        with anyio.fail_after(5):
            async with store.turn(KEY), store.turn(replace(KEY, person="someone else")):
                pass

    async def test_a_turn_that_fails_lets_the_next_begin(self, store: Store) -> None:
        with pytest.raises(RuntimeError, match="broken"):
            async with store.turn(KEY):
                raise RuntimeError("broken")
        with anyio.fail_after(5):
            async with store.turn(KEY):
                pass

    async def test_who_is_cancelled_while_waiting_holds_up_nobody(self, store: Store) -> None:
        async def wait() -> None:
            async with store.turn(KEY):
                pytest.fail("this turn was cancelled")

        async with anyio.create_task_group() as tasks, store.turn(KEY):
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            async with store.turn(KEY):
                pass

    async def test_two_stores_in_one_place_see_the_same(self, backend: Backend) -> None:
        async with backend.open() as one, backend.open() as other:
            await one.keep_conversation(KEY, "conversation-1")
            assert await other.conversation(KEY) == "conversation-1"
            await other.forget_conversation(KEY)
            assert await one.conversation(KEY) == ""


@pytest.mark.anyio
async def test_a_conversation_whose_turn_nobody_takes_is_not_remembered() -> None:
    turns = Turns()
    async with turns.turn(KEY):
        assert len(turns) == 1
    assert len(turns) == 0


parts = st.text(st.characters(), max_size=8)  # half surrogates included


@given(parts, parts, parts, parts)
def test_a_written_key_is_one_line_that_can_be_read_back(app: str, robot: str, chat: str, person: str) -> None:
    text = text_of(ConversationKey(app=app, robot=robot, chat=chat, person=person))
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == [app, robot, chat, person]


def test_a_written_key_stays_the_same_over_releases() -> None:
    assert text_of(KEY) == r'["app-1","robot","cid+/==","\u738b:\u5c0f \u660e"]'


@pytest.mark.anyio
async def test_memory_url_opens_a_store() -> None:
    async with open_store("memory:") as store:
        assert await store.first_seen("message")


@pytest.mark.anyio
async def test_sqlite_url_with_three_slashes_is_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_store("sqlite:///state/cardbot.db"):
        assert (tmp_path / "state" / "cardbot.db").is_file()


@pytest.mark.anyio
async def test_sqlite_url_with_four_slashes_is_absolute(tmp_path: Path) -> None:
    async with open_store(f"sqlite:///{tmp_path}/cardbot.db"):
        assert (tmp_path / "cardbot.db").is_file()


@pytest.mark.parametrize(
    "url", ["", "memory", "sqlite:", "sqlite://", "sqlite:///", "sqlite://cardbot.db", "mysql://:hunter2@host/db"]
)
def test_other_urls_are_refused_by_naming_the_forms(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_store(url)
    message = str(caught.value)
    assert all(form in message for form in ["CARDBOT_STORE", "memory:", "sqlite:///", "redis://"])
    assert "hunter2" not in message


def test_a_missing_extra_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    monkeypatch.delitem(sys.modules, "cardbot.store.redis", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'cardbot\[redis\]'"):
        open_store("redis://127.0.0.1")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2/x@127.0.0.1:6379/0",
        "redis://:hunter2#x@127.0.0.1:6379/0",
        "redis://:hunter2?x@127.0.0.1:6379/0",
        "redis://:1/hunter2@127.0.0.1:6379/0",
        "redis://user:hunter2",
        "redis://[hunter2",
    ],
)
async def test_a_redis_url_with_an_unquoted_password_is_explained_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError, match="percent-encoded") as caught:
        async with open_store(url):
            pass
    assert "hunter2" not in str(caught.value)


@pytest.mark.anyio
async def test_a_redis_that_is_not_there_is_reported_at_opening() -> None:
    with pytest.raises(StoreError, match=r"Redis at 127\.0\.0\.1:\d+ failed") as caught:
        async with open_store(f"redis://:hunter2@127.0.0.1:{free_port()}/0"):
            pass
    assert "hunter2" not in str(caught.value)


@pytest.mark.anyio
async def test_a_redis_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cardbot.store.redis.TIMEOUT", 0.1)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(StoreError, match=r"did not answer within 0\.1 s"),
    ):
        async with open_store(f"redis://127.0.0.1:{silent.getsockname()[1]}/0"):
            pass


@pytest.mark.anyio
async def test_a_redis_that_quotes_the_password_is_not_quoted() -> None:
    """What Redis 7.0 says to AUTH when the command was renamed, as hosted ones do with commands."""
    reply = b"-ERR unknown command 'AUTH', with args beginning with: 'hunter2' \r\n"

    async def refuse(client: SocketStream) -> None:
        async with client:
            await client.receive()
            await client.send(reply)

    async with relaying(refuse) as port:
        with pytest.raises(StoreError, match="unknown command 'AUTH'") as caught:
            async with open_store(f"redis://:hunter2@127.0.0.1:{port}/0"):
                pass
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None


@pytest.mark.anyio
async def test_the_password_is_sent_in_the_way_that_every_redis_knows() -> None:
    """With HELLO it would be quoted by servers before 6.0, which do not know that command."""
    received: list[bytes] = []

    async def record(client: SocketStream) -> None:
        async with client:
            received.append(await client.receive())
            await client.send(b"-ERR enough\r\n")

    async with relaying(record) as port:
        with pytest.raises(StoreError, match="enough"):
            async with open_store(f"redis://:hunter2@127.0.0.1:{port}/0"):
                pass
    assert received[0].startswith(b"*2\r\n$4\r\nAUTH\r\n")


@pytest.mark.anyio
async def test_a_claim_whose_reply_was_lost_is_still_the_first(redis_url: str) -> None:
    address = redis.Redis.from_url(redis_url).connection_pool.connection_kwargs
    losses: list[str] = []
    armed = anyio.Event()

    async def relay(client: SocketStream) -> None:
        upstream = await anyio.connect_tcp(address["host"], address["port"])
        async with client, upstream, anyio.create_task_group() as tasks:
            tasks.start_soon(forward, client, upstream)
            async for reply in upstream:
                if armed.is_set() and not losses:
                    losses.append("reply")
                    break
                await client.send(reply)
            tasks.cancel_scope.cancel()

    async with relaying(relay) as port, open_store(f"redis://127.0.0.1:{port}/{address.get('db', 0)}") as store:
        await store.first_seen("warm")  # the server knows the script from here on
        armed.set()
        assert await store.first_seen("frame", "message")
        assert losses == ["reply"]
        assert not await store.first_seen("message")


async def forward(source: SocketStream, target: SocketStream) -> None:
    async for data in source:
        await target.send(data)


@asynccontextmanager
async def relaying(handle: Callable[[SocketStream], Awaitable[None]]) -> AsyncIterator[int]:
    """Serve connections on a free port, which is yielded."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()
