"""The one contract: every backend does what `cardbot.ports.Store` promises. Then: which URL opens which backend."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from anyio.abc import TaskStatus

from cardbot.errors import LineFull, ReplyAdopted, SettingsError
from cardbot.ports import CardKey, ConversationKey, Store, Usage
from cardbot.store import open_store
from cardbot.store.memory import (
    ADOPTED_LIFE,
    CONVERSATION_LIFE,
    SEEN_LIFE,
    SHOWN_CARDS,
    SHOWN_LIFE,
    WORD_LIFE,
    MemoryStore,
)
from cardbot.store.redis import LEASE, open_redis
from cardbot.store.sqlite import SqliteStore, open_sqlite
from cardbot.store.turns import LINE
from tests.patience import SOON
from tests.store.servers import age

KEY = ConversationKey(app="app-1", robot="robot", chat="cid+/==", person="王:小 明")

CARD = CardKey(robot="robot", chat="cid+/==", carrier="pqk")

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


class Opener(Protocol):
    def __call__(self, app: str = "app") -> AbstractAsyncContextManager[Store]: ...


@dataclass(frozen=True, slots=True)
class Backend:
    """One place where things are kept, a way to let time pass there, and one to make the living look dead."""

    open: Opener
    later: Callable[[float], None]
    only_this_one_seems_to_live: Callable[[Store], Awaitable[None]]


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def later(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def backend(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backend:
    clock = Clock()
    match request.param:
        case "memory":
            return memory_backend(clock)
        case "sqlite":
            return sqlite_backend(tmp_path, clock)
        case _:
            monkeypatch.setattr("cardbot.store.redis_line.PAUSE", 0.01)
            return redis_backend(request.getfixturevalue("redis_url"), clock)


def memory_backend(clock: Clock) -> Backend:
    store = MemoryStore(timer=clock, now=clock)

    async def impossible(survivor: Store) -> None:
        pytest.fail("a store in memory is of one process")

    return Backend(lambda app="": nullcontext(store), clock.later, impossible)


def sqlite_backend(folder: Path, clock: Clock) -> Backend:
    def remove_signs_but(kept: str) -> None:
        for sign in folder.glob("store.db-alive-*"):
            if not sign.name.endswith(kept):
                sign.unlink()

    async def suspend_others(survivor: Store) -> None:
        assert isinstance(survivor, SqliteStore)
        await anyio.to_thread.run_sync(remove_signs_but, survivor.process)

    return Backend(lambda app="app": open_sqlite(folder / "store.db", app=app, now=clock), clock.later, suspend_others)


def redis_backend(url: str, clock: Clock) -> Backend:
    def later(seconds: float) -> None:
        clock.later(seconds)
        age(url, seconds)

    async def let_leases_run_out(survivor: Store) -> None:
        for _ in range(2):
            later(LEASE * 0.6)
            await survivor.beat()

    return Backend(lambda app="app": open_redis(url, app=app, now=clock), later, let_leases_run_out)


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    async with backend.open() as opened:
        yield opened


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

    async def test_what_an_unknown_card_shows_is_an_empty_string(self, store: Store) -> None:
        assert await store.shown(CARD) == ""

    async def test_what_a_card_shows_is_found_as_often_as_it_is_quoted(self, store: Store) -> None:
        await store.keep_shown(CARD, "答案 **1**\n\0")
        assert [await store.shown(CARD) for _ in range(2)] == ["答案 **1**\n\0"] * 2

    async def test_the_last_text_of_a_card_counts(self, store: Store) -> None:
        await store.keep_shown(CARD, "so far")
        await store.keep_shown(CARD, "all")
        assert await store.shown(CARD) == "all"

    async def test_cards_with_keys_of_any_characters_do_not_meet(self, store: Store) -> None:
        keys = [CardKey(key.robot, key.chat, key.person) for key in AWKWARD_KEYS]
        keys = list(dict.fromkeys(keys))
        for number, key in enumerate(keys):
            await store.keep_shown(key, f"text {number}")
        assert [await store.shown(key) for key in keys] == [f"text {number}" for number in range(len(keys))]

    async def test_what_a_card_shows_is_known_for_seven_days(self, backend: Backend, store: Store) -> None:
        await store.keep_shown(CARD, "all")
        backend.later(SHOWN_LIFE - 60)
        assert await store.shown(CARD) == "all"
        backend.later(60)
        assert await store.shown(CARD) == ""

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

        async def take(name: str, *, task_status: TaskStatus[None]) -> None:
            async with store.turn(KEY, task_status.started):
                told.append(f"{name} begins")
                await anyio.lowlevel.checkpoint()
                told.append(f"{name} ends")

        with anyio.fail_after(SOON):
            async with anyio.create_task_group() as tasks, store.turn(KEY):
                for name in ["first", "second", "third"]:
                    await tasks.start(take, name)
                assert told == []
        assert told == [f"{name} {what}" for name in ["first", "second", "third"] for what in ["begins", "ends"]]

    async def test_a_turn_that_comes_at_once_is_no_wait(self, store: Store) -> None:
        for _ in range(2):
            async with store.turn(KEY, lambda: pytest.fail("nobody was in the way")):
                pass

    async def test_a_wait_is_told_once(self, store: Store) -> None:
        told: list[str] = []

        async def take(*, task_status: TaskStatus[None]) -> None:
            def tell() -> None:
                told.append("waits")
                task_status.started()

            async with store.turn(KEY, tell):
                told.append("begins")

        async with anyio.create_task_group() as tasks, store.turn(KEY):
            await tasks.start(take)
            assert told == ["waits"]
        assert told == ["waits", "begins"]

    async def test_one_more_than_may_wait_is_refused_at_once(self, store: Store) -> None:
        async with anyio.create_task_group() as tasks, store.turn(KEY):
            for _ in range(LINE):
                await tasks.start(stand, store)
            with anyio.fail_after(SOON), pytest.raises(LineFull) as caught:
                async with store.turn(KEY, lambda: pytest.fail("it does not wait")):
                    pass
            assert caught.value.waiting == LINE
            tasks.cancel_scope.cancel()

    async def test_who_is_refused_or_cancelled_leaves_no_place_behind(self, store: Store) -> None:
        async with store.turn(KEY):
            for _ in range(2):
                async with anyio.create_task_group() as tasks:
                    for _ in range(LINE):
                        await tasks.start(stand, store)
                    with pytest.raises(LineFull):
                        await stand(store)
                    tasks.cancel_scope.cancel()

    async def test_a_full_line_in_one_conversation_is_none_in_another(self, store: Store) -> None:
        async with anyio.create_task_group() as tasks, store.turn(KEY):
            for _ in range(LINE):
                await tasks.start(stand, store)
            with anyio.fail_after(SOON):
                async with store.turn(replace(KEY, person="someone else")):
                    pass
            tasks.cancel_scope.cancel()

    async def test_other_conversations_do_not_wait_for_a_turn(self, store: Store) -> None:
        with anyio.fail_after(SOON):
            async with store.turn(KEY), store.turn(replace(KEY, person="someone else")):
                pass

    async def test_a_turn_that_fails_lets_the_next_begin(self, store: Store) -> None:
        with pytest.raises(RuntimeError, match="broken"):
            async with store.turn(KEY):
                raise RuntimeError("broken")
        with anyio.fail_after(SOON):
            async with store.turn(KEY):
                pass

    async def test_who_is_cancelled_while_waiting_holds_up_nobody(self, store: Store) -> None:
        async with anyio.create_task_group() as tasks, store.turn(KEY):
            await tasks.start(stand, store)
            tasks.cancel_scope.cancel()
        with anyio.fail_after(SOON):
            async with store.turn(KEY):
                pass

    async def test_a_month_without_a_count_is_zero(self, store: Store) -> None:
        assert await store.usage("2026-11") == Usage(calls=0, answers=0, since=0.0)

    async def test_counts_add_up_within_their_month(self, store: Store) -> None:
        await store.spend("2026-11", calls=7, answers=1)
        await store.spend("2026-12", calls=1, answers=0)
        total = await store.spend("2026-11", calls=5, answers=2)
        assert (total.calls, total.answers) == (12, 3)
        assert await store.usage("2026-11") == total

    async def test_a_month_begins_with_its_first_count(self, backend: Backend, store: Store) -> None:
        first = await store.spend("2026-11", calls=1, answers=0)
        backend.later(60.5)
        second = await store.spend("2026-11", calls=1, answers=0)
        other = await store.spend("2026-12", calls=1, answers=0)
        assert first.since == second.since == 1_700_000_000.0
        assert other.since == 1_700_000_060.5

    async def test_of_many_counts_at_once_none_is_lost(self, backend: Backend) -> None:
        async def count(store: Store) -> None:
            for _ in range(20):
                await store.spend("2026-11", calls=2, answers=1)

        async with backend.open() as one, backend.open() as other:
            async with anyio.create_task_group() as tasks:
                for store in [one, one, other]:
                    tasks.start_soon(count, store)
            total = await other.usage("2026-11")
        assert (total.calls, total.answers) == (120, 60)

    async def test_own_open_replies_are_not_handed_out(self, store: Store) -> None:
        await store.keep_reply("reply-1", "{}")
        await store.keep_reply("reply-1", '{"text":"so far"}')
        assert await store.adopt_replies() == {}

    async def test_own_open_replies_are_not_elsewhere(self, store: Store) -> None:
        await store.keep_reply("reply-1", "{}")
        assert await store.replies_elsewhere() == {}

    async def test_an_unknown_reply_can_be_dropped(self, store: Store) -> None:
        await store.drop_reply("reply-1")
        assert await store.adopt_replies() == {}

    async def test_a_lone_process_counts_itself(self, store: Store) -> None:
        assert [await store.beat() for _ in range(2)] == [1, 1]

    async def test_with_no_words_there_is_nothing_to_collect(self, store: Store) -> None:
        assert await store.collect(["reply-1"]) == []

    async def test_words_are_collected_once_in_their_order(self, store: Store) -> None:
        left = [("reply-1", "stop"), ("reply-2", "like"), ("reply-1", "stop"), ("回复 3", "a\n\0 词")]
        for address, word in left:
            await store.post(address, word)
        addresses = ["回复 3", "reply-2", "reply-1", "reply-4"]
        assert [await store.collect(addresses) for _ in range(2)] == [left, []]

    async def test_words_to_other_addresses_stay(self, store: Store) -> None:
        await store.post("reply-1", "stop")
        await store.post("reply-2", "like")
        assert await store.collect(["reply-2", "reply"]) == [("reply-2", "like")]
        assert await store.collect([]) == []
        assert await store.collect(["reply-1"]) == [("reply-1", "stop")]

    async def test_a_word_is_thrown_away_after_a_minute(self, backend: Backend, store: Store) -> None:
        await store.post("reply-1", "too old")
        backend.later(WORD_LIFE / 2)
        await store.post("reply-1", "just in time")
        backend.later(WORD_LIFE / 2)
        assert await store.collect(["reply-1"]) == [("reply-1", "just in time")]

    async def test_a_word_waits_for_nearly_a_minute(self, backend: Backend, store: Store) -> None:
        await store.post("reply-1", "stop")
        backend.later(WORD_LIFE - 1)
        await store.post("reply-2", "like")
        assert await store.collect(["reply-1"]) == [("reply-1", "stop")]

    async def test_of_many_collectors_each_word_goes_to_exactly_one(self, backend: Backend) -> None:
        words = [("reply-1", f"word {number:02}") for number in range(30)]
        collected: list[tuple[str, str]] = []

        async def collect(store: Store) -> None:
            for _ in range(5):
                collected.extend(await store.collect(["reply-1", "reply-2"]))

        async with backend.open() as one, backend.open("other app") as other:
            async with anyio.create_task_group() as tasks:
                for store in [one, other, one, other]:
                    tasks.start_soon(collect, store)
                for word in words:
                    await one.post(*word)
            collected.extend(await other.collect(["reply-1"]))
        assert sorted(collected) == words

    async def test_a_card_of_one_store_is_known_to_another_in_the_same_place(self, backend: Backend) -> None:
        async with backend.open() as one, backend.open("another app") as two:
            await one.keep_shown(CARD, "all")
            assert await two.shown(CARD) == "all"

    async def test_two_stores_in_one_place_see_the_same(self, backend: Backend) -> None:
        async with backend.open() as one, backend.open() as other:
            await one.keep_conversation(KEY, "conversation-1")
            assert await other.conversation(KEY) == "conversation-1"
            await other.forget_conversation(KEY)
            assert await one.conversation(KEY) == ""


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("backend", "anyio_backend"),
    [("sqlite", "asyncio"), ("sqlite", "trio"), ("redis", "asyncio")],
    indirect=["backend"],
)
class TestContractOfSharedStores:
    """What only shows where several processes can open one place."""

    async def test_what_a_process_leaves_open_is_adopted_at_once_with_its_last_record(self, backend: Backend) -> None:
        async with backend.open() as gone:
            await gone.keep_reply("reply-1", '{"text":""}')
            await gone.keep_reply("reply-1", '{"text":"so far"}')
            await gone.keep_reply("reply-2", "{}")
        async with backend.open() as store:
            assert await store.adopt_replies() == {"reply-1": '{"text":"so far"}', "reply-2": "{}"}

    async def test_ids_and_records_may_hold_any_text(self, backend: Backend) -> None:
        replies = {"回复 1": "你好\n\0", "a b:c": "x" * 300_000, "'; DROP TABLE replies": ""}
        async with backend.open() as gone:
            for reply_id, record in replies.items():
                await gone.keep_reply(reply_id, record)
        async with backend.open() as store:
            assert await store.adopt_replies() == replies

    async def test_a_dropped_reply_is_not_adopted(self, backend: Backend) -> None:
        async with backend.open() as gone:
            await gone.keep_reply("reply-1", "{}")
            await gone.keep_reply("reply-2", "{}")
            await gone.drop_reply("reply-1")
        async with backend.open() as store:
            assert await store.adopt_replies() == {"reply-2": "{}"}

    async def test_a_living_process_keeps_its_replies(self, backend: Backend) -> None:
        async with backend.open() as one, backend.open() as other:
            await one.keep_reply("reply-1", "{}")
            assert await other.adopt_replies() == {}

    async def test_others_see_what_is_open_and_leave_it_where_it_is(self, backend: Backend) -> None:
        async with backend.open() as one, backend.open() as other, backend.open("another app") as stranger:
            await one.keep_reply("reply-1", "{}")
            await one.keep_reply("reply-1", '{"text":"so far 你好"}')
            await one.keep_reply("reply-2", "{}")
            await one.drop_reply("reply-2")
            await other.keep_reply("reply-3", "{}")
            assert await other.replies_elsewhere() == {"reply-1": '{"text":"so far 你好"}'}
            assert await stranger.replies_elsewhere() == {}
            await one.keep_reply("reply-1", "{}")  # or `ReplyAdopted`

    async def test_what_a_process_left_open_is_elsewhere_until_it_is_adopted(self, backend: Backend) -> None:
        async with backend.open() as gone:
            await gone.keep_reply("reply-1", "{}")
        async with backend.open() as store:
            assert await store.replies_elsewhere() == {"reply-1": "{}"}
            await store.adopt_replies()
            assert await store.replies_elsewhere() == {}

    async def test_nobody_writes_over_the_reply_of_another_living_process(self, backend: Backend) -> None:
        async with backend.open() as one, backend.open() as other:
            await one.keep_reply("reply-1", "{}")
            with pytest.raises(ReplyAdopted):
                await other.keep_reply("reply-1", "{}")

    async def test_who_leaves_gives_up_only_its_own_replies(self, backend: Backend) -> None:
        async with backend.open() as one, backend.open() as other:
            await one.keep_reply("reply-1", "{}")
            async with backend.open() as gone:
                await gone.keep_reply("reply-2", "{}")
            assert await other.adopt_replies() == {"reply-2": "{}"}

    async def test_a_reply_is_handed_to_its_adopter_once(self, backend: Backend) -> None:
        async with backend.open() as gone:
            await gone.keep_reply("reply-1", "{}")
        async with backend.open() as store:
            assert list(await store.adopt_replies()) == ["reply-1"]
            await store.keep_reply("reply-1", '{"text":"more"}')
            assert await store.adopt_replies() == {}

    async def test_what_an_adopter_leaves_open_is_adopted_again(self, backend: Backend) -> None:
        async with backend.open() as gone:
            await gone.keep_reply("reply-1", "{}")
        async with backend.open() as adopter:
            await adopter.adopt_replies()
            await adopter.keep_reply("reply-1", '{"text":"more"}')
        async with backend.open() as store:
            assert await store.adopt_replies() == {"reply-1": '{"text":"more"}'}

    async def test_of_many_adopters_each_reply_gets_exactly_one(self, backend: Backend) -> None:
        replies = {f"reply-{number}": f"record {number}" for number in range(30)}
        async with backend.open() as gone:
            for reply_id, record in replies.items():
                await gone.keep_reply(reply_id, record)
        adopted: list[tuple[str, str]] = []

        async def adopt(store: Store) -> None:
            adopted.extend((await store.adopt_replies()).items())

        async with backend.open() as one, backend.open() as other, anyio.create_task_group() as tasks:
            for store in [one, one, other, other]:
                tasks.start_soon(adopt, store)
        assert sorted(adopted) == sorted(replies.items())

    async def test_who_was_taken_for_dead_is_told_so(self, backend: Backend) -> None:
        async with backend.open() as suspended, backend.open() as adopter:
            await suspended.keep_reply("reply-1", "of the suspended")
            await backend.only_this_one_seems_to_live(adopter)
            assert await adopter.adopt_replies() == {"reply-1": "of the suspended"}
            with pytest.raises(ReplyAdopted) as caught:
                await suspended.keep_reply("reply-1", "of the revived")
            assert caught.value.reply_id == "reply-1"
            assert await suspended.adopt_replies() == {}

    async def test_who_was_taken_for_dead_is_told_so_when_the_reply_is_finished(self, backend: Backend) -> None:
        async with backend.open() as suspended, backend.open() as adopter:
            await suspended.keep_reply("reply-1", "{}")
            await backend.only_this_one_seems_to_live(adopter)
            await adopter.adopt_replies()
            await adopter.drop_reply("reply-1")
            with pytest.raises(ReplyAdopted):
                await suspended.keep_reply("reply-1", "{}")
        async with backend.open() as store:
            assert await store.adopt_replies() == {}

    async def test_who_was_taken_for_dead_cannot_drop_what_was_adopted(self, backend: Backend) -> None:
        async with backend.open() as suspended, backend.open() as adopter:
            await suspended.keep_reply("reply-1", "{}")
            await backend.only_this_one_seems_to_live(adopter)
            await adopter.adopt_replies()
            await adopter.keep_reply("reply-1", "of the adopter")
            await suspended.drop_reply("reply-1")
        async with backend.open() as store:
            assert await store.adopt_replies() == {"reply-1": "of the adopter"}

    async def test_who_was_taken_for_dead_goes_on_with_what_nobody_adopted(self, backend: Backend) -> None:
        async with backend.open() as suspended, backend.open() as other:
            await suspended.keep_reply("reply-1", "{}")
            await backend.only_this_one_seems_to_live(other)
            await suspended.keep_reply("reply-1", "of the revived")
            await suspended.keep_reply("reply-2", "{}")

    async def test_who_was_taken_for_dead_is_told_so_for_a_day(self, backend: Backend) -> None:
        async with backend.open() as suspended, backend.open() as adopter:
            await suspended.keep_reply("reply-1", "{}")
            await backend.only_this_one_seems_to_live(adopter)
            await adopter.adopt_replies()
            await adopter.drop_reply("reply-1")
            backend.later(ADOPTED_LIFE - 60)
            with pytest.raises(ReplyAdopted):
                await suspended.keep_reply("reply-1", "{}")
            backend.later(60)
            await suspended.keep_reply("reply-1", "{}")

    async def test_a_beat_counts_the_living(self, backend: Backend) -> None:
        async with backend.open() as one:
            async with backend.open() as other, backend.open() as third:
                assert [await store.beat() for store in [one, other, third]] == [3, 3, 3]
            assert await one.beat() == 1

    async def test_another_app_does_not_adopt_what_an_app_leaves_open(self, backend: Backend) -> None:
        async with backend.open("app-1") as gone:
            await gone.keep_reply("reply-1", "{}")
        async with backend.open("app-2") as other, backend.open("app-1") as same:
            assert await other.adopt_replies() == {}
            assert await same.adopt_replies() == {"reply-1": "{}"}

    async def test_another_app_does_not_adopt_what_a_dead_process_left(self, backend: Backend) -> None:
        async with backend.open("app-1") as killed, backend.open("app-2") as other:
            await killed.keep_reply("reply-1", "{}")
            await backend.only_this_one_seems_to_live(other)
            assert await other.adopt_replies() == {}
            await killed.keep_reply("reply-1", '{"text":"more"}')
        async with backend.open("app-1") as same:
            assert await same.adopt_replies() == {"reply-1": '{"text":"more"}'}

    async def test_what_was_adopted_stays_with_its_app(self, backend: Backend) -> None:
        async with backend.open("app-1") as gone:
            await gone.keep_reply("reply-1", "{}")
        async with backend.open("app-1") as adopter:
            await adopter.adopt_replies()
        async with backend.open("app-2") as other:
            assert await other.adopt_replies() == {}

    async def test_replies_of_no_app_go_to_whichever_app_asks_first(self, backend: Backend) -> None:
        async with backend.open("") as gone:
            await gone.keep_reply("reply-1", "{}")
        async with backend.open("app-1") as first, backend.open("app-2") as second:
            assert await first.adopt_replies() == {"reply-1": "{}"}
            assert await second.adopt_replies() == {}
        async with backend.open("app-2") as second:
            assert await second.adopt_replies() == {}
        async with backend.open("app-1") as first:
            assert await first.adopt_replies() == {"reply-1": "{}"}

    async def test_replies_of_no_app_stay_with_a_living_process(self, backend: Backend) -> None:
        async with backend.open("") as older, backend.open("app-1") as store:
            await older.keep_reply("reply-1", "{}")
            assert await store.adopt_replies() == {}

    async def test_who_just_looks_takes_only_what_is_of_no_app(self, backend: Backend) -> None:
        async with backend.open("app-1") as gone:
            await gone.keep_reply("reply-1", "{}")
        async with backend.open("") as store:
            assert await store.adopt_replies() == {}

    async def test_a_beat_counts_the_living_of_its_own_app(self, backend: Backend) -> None:
        async with backend.open("app-1") as one, backend.open("app-2") as two, backend.open("") as looking:
            assert [await store.beat() for store in [one, two, looking]] == [1, 1, 1]
            async with backend.open("app-2"):
                assert [await store.beat() for store in [one, two]] == [1, 2]

    async def test_apps_share_what_is_not_of_one_of_them(self, backend: Backend) -> None:
        async with backend.open("app-1") as one, backend.open("app-2") as two:
            await one.keep_conversation(KEY, "conversation-1")
            assert await two.conversation(KEY) == "conversation-1"
            await one.first_seen("message")
            assert not await two.first_seen("message")
            await one.spend("2026-11", calls=7, answers=1)
            assert (await two.spend("2026-11", calls=5, answers=1)).calls == 12
            await one.post("reply-1", "stop")
            assert await two.collect(["reply-1"]) == [("reply-1", "stop")]


async def stand(store: Store, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
    """Stand in line, and say so as soon as the wait has begun."""
    async with store.turn(KEY, task_status.started):
        pytest.fail("this turn was to be waited for in vain")


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
    with pytest.raises(SettingsError, match=r"pip install '\.\[redis\]'"):
        open_store("redis://127.0.0.1")


@pytest.mark.anyio
async def test_a_store_in_memory_holds_only_so_many_texts_of_cards() -> None:
    store = MemoryStore()
    keys = [CardKey("robot", "chat", f"pqk-{number}") for number in range(SHOWN_CARDS + 1)]
    for key in keys:
        await store.keep_shown(key, "text")
    assert [await store.shown(key) for key in (keys[0], keys[1], keys[-1])] == ["", "text", "text"]
