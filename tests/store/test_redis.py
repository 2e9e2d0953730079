"""What a Redis server promises beyond the contract: lost replies, lapsed leases, one line over all replicas."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
import redis
from anyio.abc import SocketStream, TaskStatus

from cardbot.errors import LineFull, ReplyAdopted, SettingsError, StoreError
from cardbot.ports import CardKey, ConversationKey, Store
from cardbot.store import open_store
from cardbot.store.memory import SHOWN_LIFE, WORD_LIFE
from cardbot.store.redis import LEASE, TOKEN_LIFE, RedisStore, open_redis
from cardbot.store.redis_line import LINE_LIFE
from cardbot.store.turns import LINE
from tests.patience import SOON
from tests.store.servers import age, forward, free_port, relaying

KEY = ConversationKey(app="app-1", robot="robot", chat="cid+/==", person="王:小 明")


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
    monkeypatch.setattr("cardbot.store.redis_calls.TIMEOUT", 0.1)
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


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits in line asks more often than in earnest."""
    monkeypatch.setattr("cardbot.store.redis_line.PAUSE", 0.01)


class Between:
    """Stands between a store and its server, and fails as told."""

    def __init__(self, redis_url: str) -> None:
        self._address = redis.Redis.from_url(redis_url).connection_pool.connection_kwargs
        self.replies_to_skip = 0
        self.replies_to_lose = 0
        self.cut = False
        self.reply_to_hold_back: anyio.Event | None = None
        self._connected: set[anyio.CancelScope] = set()

    @asynccontextmanager
    async def url(self) -> AsyncIterator[str]:
        async with relaying(self._relay) as port:
            yield f"redis://127.0.0.1:{port}/{self._address.get('db', 0)}"

    def cut_off(self) -> None:
        """Break all connections, and every further one."""
        self.cut = True
        for scope in self._connected:
            scope.cancel()

    async def _relay(self, client: SocketStream) -> None:
        if self.cut:
            await client.aclose()
            return
        upstream = await anyio.connect_tcp(self._address["host"], self._address["port"])
        async with client, upstream, anyio.create_task_group() as tasks:
            self._connected.add(tasks.cancel_scope)
            tasks.start_soon(forward, client, upstream)
            async for reply in upstream:
                if self.replies_to_skip:
                    self.replies_to_skip -= 1
                elif self.replies_to_lose:
                    self.replies_to_lose -= 1
                    break
                if held := self.reply_to_hold_back:
                    self.reply_to_hold_back = None
                    await held.wait()
                await client.send(reply)
            tasks.cancel_scope.cancel()
        self._connected.discard(tasks.cancel_scope)


async def stand(store: Store, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
    """Stand in line, and say so as soon as the wait has begun."""
    async with store.turn(KEY, task_status.started):
        pytest.fail("this turn was to be waited for in vain")


def line_length(url: str) -> int:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return sum(client.llen(name) for name in client.scan_iter("cardbot:line:*"))


def head_of_line(url: str) -> str:
    """The ticket that is first in the only line; it begins with its process."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        (name,) = client.scan_iter("cardbot:line:*")
        ticket: str = client.lindex(name, 0)
        return ticket


def kill(url: str, store: RedisStore) -> None:
    """Let a store's lease run out, as if its process had been killed."""
    with redis.Redis.from_url(url) as client:
        client.delete(f"cardbot:alive:{store.process}", f"cardbot:young:{store.process}")


def forget_everything(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.flushdb()


async def grow_up(url: str, store: RedisStore) -> None:
    """Live for a whole lease."""
    for _ in range(2):
        age(url, LEASE * 0.6)
        await store.beat()


@pytest.mark.anyio
async def test_a_claim_whose_reply_was_lost_is_still_the_first(redis_url: str) -> None:
    between = Between(redis_url)
    async with between.url() as url, open_store(url) as store:
        await store.first_seen("warm")  # the server knows the script from here on
        between.replies_to_lose = 1
        assert await store.first_seen("frame", "message")
        assert not between.replies_to_lose
        assert not await store.first_seen("message")


@pytest.mark.anyio
async def test_a_count_whose_reply_was_lost_does_not_count_twice(redis_url: str) -> None:
    between = Between(redis_url)
    async with between.url() as url, open_store(url) as store:
        await store.spend("2026-11", calls=1, answers=1)
        between.replies_to_lose = 1
        total = await store.spend("2026-11", calls=7, answers=1)
        assert not between.replies_to_lose
        assert (total.calls, total.answers) == (8, 2)


@pytest.mark.anyio
async def test_the_tokens_of_counts_do_not_stay(redis_url: str) -> None:
    async with open_store(redis_url) as store:
        await store.spend("2026-11", calls=1, answers=1)
        age(redis_url, TOKEN_LIFE)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        assert list(client.scan_iter()) == ["cardbot:usage:2026-11"]


@pytest.mark.anyio
async def test_an_adoption_whose_reply_was_lost_is_handed_over_all_the_same(redis_url: str) -> None:
    between = Between(redis_url)
    async with between.url() as url, open_store(url) as store:
        await store.adopt_replies()  # the server knows the script from here on
        async with open_store(redis_url) as gone:
            await gone.keep_reply("reply-1", "{}")
        between.replies_to_lose = 1
        assert await store.adopt_replies() == {"reply-1": "{}"}
        assert not between.replies_to_lose


@pytest.mark.anyio
async def test_an_adoption_that_failed_is_handed_over_by_the_next(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(redis_url) as gone:
        await gone.keep_reply("reply-1", "{}")
    between = Between(redis_url)
    monkeypatch.setattr("cardbot.store.redis_calls.RETRIES", 0)
    async with between.url() as url, open_store(url) as store:
        await store.beat()
        between.replies_to_lose = 1
        with pytest.raises(StoreError):
            await store.adopt_replies()
        assert await store.adopt_replies() == {"reply-1": "{}"}
        assert await store.adopt_replies() == {}


@pytest.mark.anyio
async def test_words_whose_reply_was_lost_are_handed_over_all_the_same(redis_url: str) -> None:
    between = Between(redis_url)
    async with between.url() as url, open_store(url) as store:
        await store.post("reply-1", "warm")
        await store.collect(["reply-1"])  # the server knows the scripts from here on
        await store.post("reply-1", "stop")
        await store.post("reply-1", "like")
        async with open_store(redis_url) as other:
            between.replies_to_skip, between.replies_to_lose = 1, 1
            assert await store.collect(["reply-1"]) == [("reply-1", "stop"), ("reply-1", "like")]
            assert not between.replies_to_lose
            assert await other.collect(["reply-1"]) == []


@pytest.mark.anyio
async def test_a_word_whose_posting_was_sent_twice_is_there_once(redis_url: str) -> None:
    between = Between(redis_url)
    async with between.url() as url, open_store(url) as store:
        await store.post("reply-2", "warm")
        between.replies_to_lose = 1
        await store.post("reply-1", "stop")
        assert not between.replies_to_lose
        assert await store.collect(["reply-1"]) == [("reply-1", "stop")]


@pytest.mark.anyio
async def test_words_leave_nothing_behind(redis_url: str) -> None:
    async with open_store(redis_url) as store:
        await store.post("reply-1", "stop")
        await store.post("reply-2", "like")
        await store.collect(["reply-1"])
    age(redis_url, max(WORD_LIFE, TOKEN_LIFE))
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


@pytest.mark.anyio
async def test_texts_of_cards_leave_nothing_behind(redis_url: str) -> None:
    async with open_redis(redis_url) as store:
        await store.keep_shown(CardKey("robot", "chat", "pqk"), "text")
        with redis.Redis.from_url(redis_url) as client:
            (name,) = client.keys("cardbot:shown:*")
            assert name.decode() == 'cardbot:shown:["robot","chat","pqk"]'
            assert 0 < client.ttl(name) <= SHOWN_LIFE


@pytest.mark.anyio
async def test_the_names_of_an_older_cardbot_are_those_of_no_app(redis_url: str) -> None:
    """What a release without apps has left: its process is gone, its reply is not."""
    with redis.Redis.from_url(redis_url) as client:
        client.hset("cardbot:keepers", mapping={"reply-1": "killed", "reply-2": ""})
        client.hset("cardbot:replies", mapping={"reply-1": "so far", "reply-2": "{}"})
        client.sadd("cardbot:processes", "killed")
    async with open_redis(redis_url, app="app-1") as store:
        assert await store.adopt_replies() == {"reply-2": "{}"}
        await grow_up(redis_url, store)
        assert await store.adopt_replies() == {"reply-1": "so far"}
        assert await store.beat() == 1
        for reply in ["reply-1", "reply-2"]:
            await store.drop_reply(reply)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        assert set(client.scan_iter()) == {"cardbot:processes", "cardbot:adopted:reply-1", "cardbot:adopted:reply-2"}


@pytest.mark.anyio
async def test_a_reply_dropped_during_an_adoption_is_not_handed_over_again(redis_url: str) -> None:
    between = Between(redis_url)
    found: list[dict[str, str]] = []

    async def adopt(store: Store) -> None:
        found.append(await store.adopt_replies())

    async with between.url() as url, open_store(url) as store:
        async with open_store(redis_url) as gone:
            await gone.keep_reply("reply-1", "{}")
        await store.adopt_replies()
        async with anyio.create_task_group() as tasks:
            between.reply_to_hold_back = release = anyio.Event()
            tasks.start_soon(adopt, store)
            with anyio.fail_after(SOON):
                while between.reply_to_hold_back:
                    await anyio.lowlevel.checkpoint()
            await store.drop_reply("reply-1")
            release.set()
    assert found == [{}]


@pytest.mark.anyio
async def test_who_lost_an_adopted_reply_may_adopt_it_again(redis_url: str) -> None:
    async with open_redis(redis_url) as first:
        await first.keep_reply("reply-1", "{}")
    async with open_redis(redis_url) as suspended:
        await suspended.adopt_replies()
        async with open_redis(redis_url) as other:
            await grow_up(redis_url, other)
            assert list(await other.adopt_replies()) == ["reply-1"]
            with pytest.raises(ReplyAdopted):
                await suspended.keep_reply("reply-1", "{}")
        assert list(await suspended.adopt_replies()) == ["reply-1"]


@pytest.mark.anyio
async def test_an_open_reply_is_kept_again_when_the_server_lost_it(redis_url: str) -> None:
    async with open_redis(redis_url) as store:
        await store.keep_reply("reply-1", "{}")
        forget_everything(redis_url)
        await store.keep_reply("reply-1", '{"text":"so far"}')
    async with open_redis(redis_url) as next_one:
        assert await next_one.adopt_replies() == {"reply-1": '{"text":"so far"}'}


@pytest.mark.anyio
async def test_a_process_whose_lease_runs_out_is_dead(redis_url: str) -> None:
    async with open_redis(redis_url) as killed, open_redis(redis_url) as store:
        await killed.keep_reply("reply-1", "{}")
        await grow_up(redis_url, store)
        assert await store.beat() == 1
        assert await store.adopt_replies() == {"reply-1": "{}"}
        with redis.Redis.from_url(redis_url, decode_responses=True) as client:
            assert client.smembers("cardbot:processes") == {store.process}


@pytest.mark.anyio
async def test_a_beat_keeps_a_process_alive(redis_url: str) -> None:
    async with open_redis(redis_url) as one, open_redis(redis_url) as other:
        await one.keep_reply("reply-1", "{}")
        for _ in range(3):
            age(redis_url, LEASE * 0.6)
            assert [await store.beat() for store in [one, other]] == [2, 2]
        assert await other.adopt_replies() == {}


@pytest.mark.anyio
async def test_who_comes_back_first_after_an_outage_takes_nobody_for_dead(redis_url: str) -> None:
    async with open_redis(redis_url) as first, open_redis(redis_url) as second:
        await second.keep_reply("reply-1", "{}")
        await grow_up(redis_url, first)
        await second.beat()
        age(redis_url, LEASE)  # nobody reached the server
        assert await first.adopt_replies() == {}
        assert await first.beat() == 2
        assert await first.adopt_replies() == {}
        await second.beat()
        await second.keep_reply("reply-1", '{"text":"more"}')


@pytest.mark.anyio
async def test_a_new_process_waits_for_a_lease_before_it_takes_others_for_dead(redis_url: str) -> None:
    async with open_redis(redis_url) as killed, open_redis(redis_url) as store:
        await killed.keep_reply("reply-1", "{}")
        kill(redis_url, killed)
        assert await store.adopt_replies() == {}
        await grow_up(redis_url, store)
        assert await store.adopt_replies() == {"reply-1": "{}"}


@pytest.mark.anyio
async def test_a_store_that_was_left_leaves_nothing_behind(redis_url: str) -> None:
    async with open_redis(redis_url) as store:
        await store.keep_reply("reply-1", "{}")
        await store.drop_reply("reply-1")
        async with store.turn(KEY):
            pass
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


@pytest.mark.anyio
@pytest.mark.usefixtures("hasty")
async def test_the_line_holds_across_replicas_in_order(redis_url: str) -> None:
    told: list[str] = []
    taken = 0

    async def take(store: Store, name: str, *, task_status: TaskStatus[None]) -> None:
        nonlocal taken
        async with store.turn(KEY, task_status.started):
            taken += 1
            assert taken == 1
            told.append(name)
            await anyio.sleep(0.02)  # longer than others take to ask
            taken -= 1

    names = [f"turn {number}" for number in range(LINE)]
    async with open_redis(redis_url) as one, open_redis(redis_url) as other:
        with anyio.fail_after(SOON):
            async with anyio.create_task_group() as tasks, other.turn(KEY):
                for number, name in enumerate(names):
                    await tasks.start(take, [one, other][number % 2], name)
                with pytest.raises(LineFull):
                    await stand(one)
        assert told == names


@pytest.mark.anyio
@pytest.mark.usefixtures("hasty")
async def test_the_place_of_a_dead_process_is_skipped(redis_url: str) -> None:
    async with (
        open_redis(redis_url) as first,
        open_redis(redis_url) as second,
        open_redis(redis_url) as store,
        anyio.create_task_group() as tasks,
        first.turn(KEY),
    ):
        await tasks.start(stand, second)
        await grow_up(redis_url, store)
        with anyio.fail_after(SOON):
            async with store.turn(KEY, lambda: pytest.fail("only the dead were in the way")):
                # Behind it stands, at times, the one that only looks dead here and has asked again since.
                assert head_of_line(redis_url).startswith(store.process)
                tasks.cancel_scope.cancel()


@pytest.mark.anyio
@pytest.mark.usefixtures("hasty")
async def test_who_waits_for_a_process_that_dies_gets_the_turn(redis_url: str) -> None:
    async with open_redis(redis_url) as killed, open_redis(redis_url) as store, killed.turn(KEY):
        await grow_up(redis_url, store)
        await killed.beat()
        with anyio.fail_after(SOON):
            async with store.turn(KEY, lambda: kill(redis_url, killed)):
                pass


@pytest.mark.anyio
@pytest.mark.usefixtures("hasty")
async def test_the_place_of_a_living_process_is_not_skipped_by_a_new_one(redis_url: str) -> None:
    async with open_redis(redis_url) as first, open_redis(redis_url) as store, first.turn(KEY):
        kill(redis_url, first)
        with anyio.move_on_after(0.2) as patience:
            await stand(store)
        assert patience.cancelled_caught


@pytest.mark.anyio
@pytest.mark.usefixtures("hasty")
async def test_a_wait_that_loses_the_server_is_reported(redis_url: str) -> None:
    between = Between(redis_url)
    async with between.url() as url, open_redis(url) as store, open_redis(redis_url) as other, other.turn(KEY):
        with anyio.fail_after(SOON), pytest.raises(StoreError, match=r"Redis at 127\.0\.0\.1:\d+ failed"):
            async with store.turn(KEY, between.cut_off):
                pytest.fail("the other has the turn")


@pytest.mark.anyio
@pytest.mark.usefixtures("hasty")
async def test_a_place_that_could_not_be_given_back_is_given_back_by_a_beat(redis_url: str) -> None:
    between = Between(redis_url)
    async with between.url() as url, open_redis(url) as store:
        async with store.turn(KEY):
            between.cut_off()
        assert line_length(redis_url) == 1
        between.cut = False
        await store.beat()
        assert line_length(redis_url) == 0


@pytest.mark.anyio
@pytest.mark.usefixtures("hasty")
async def test_who_waits_stands_in_line_again_when_the_server_lost_the_line(redis_url: str) -> None:
    async with open_redis(redis_url) as store, open_redis(redis_url) as other, other.turn(KEY):
        with anyio.fail_after(SOON):
            async with store.turn(KEY, lambda: forget_everything(redis_url)):
                assert line_length(redis_url) == 1


@pytest.mark.anyio
@pytest.mark.usefixtures("hasty")
async def test_a_lost_line_forms_again(redis_url: str) -> None:
    async with open_redis(redis_url) as store, anyio.create_task_group() as tasks:
        async with store.turn(KEY):
            for _ in range(3):
                await tasks.start(wait_and_stay, store)
            forget_everything(redis_url)
            with anyio.fail_after(SOON):
                while line_length(redis_url) < 3:  # noqa: ASYNC110 - the server tells nobody
                    await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()


async def wait_and_stay(store: Store, *, task_status: TaskStatus[None]) -> None:
    async with store.turn(KEY, task_status.started):
        await anyio.sleep_forever()


@pytest.mark.anyio
async def test_a_line_of_the_dead_to_which_nobody_comes_goes_away(redis_url: str) -> None:
    async with open_redis(redis_url) as killed, killed.turn(KEY):
        age(redis_url, LINE_LIFE - 60)
        assert line_length(redis_url) == 1
        age(redis_url, 60)
        assert line_length(redis_url) == 0


@pytest.mark.anyio
async def test_leaving_without_a_server_is_no_error(redis_url: str) -> None:
    between = Between(redis_url)
    async with between.url() as url, open_redis(url):
        between.cut_off()
