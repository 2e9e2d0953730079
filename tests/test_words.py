"""What people say reaches the answer that it is meant for, in this process or another."""

import anyio
import pytest

from cardbot.errors import StoreError
from cardbot.store.memory import MemoryStore
from cardbot.words import LOOK_EVERY, Leaving, Word, Words
from tests.virtual import in_virtual_time

STOP = Word("ada", action="stop")


@in_virtual_time
async def test_a_word_is_heard_at_once_and_once() -> None:
    words = Words(MemoryStore())
    with words.heard_at("r1", "chat") as ear:
        assert words.say("r1", STOP)
        assert await ear.next() == STOP
        with anyio.move_on_after(5) as waiting:
            await ear.next()
        assert waiting.cancelled_caught


@in_virtual_time
async def test_words_are_heard_in_their_order() -> None:
    words = Words(MemoryStore())
    with words.heard_at("r1") as ear:
        for text in "abc":
            words.say("r1", Word("ada", text=text))
        assert [(await ear.next()).text for _ in "abc"] == ["a", "b", "c"]


@in_virtual_time
async def test_nobody_hears_a_word_after_the_answer() -> None:
    words = Words(MemoryStore())
    with words.heard_at("r1"):
        pass
    assert not words.say("r1", STOP)


@in_virtual_time
async def test_all_answers_of_a_conversation_hear_what_is_said_to_it() -> None:
    words = Words(MemoryStore())
    with words.heard_at("r1", "chat") as one, words.heard_at("r2", "chat") as other:
        words.say("chat", STOP)
        assert [await one.next(), await other.next()] == [STOP, STOP]


@in_virtual_time
async def test_a_word_for_another_process_reaches_it_soon() -> None:
    store = MemoryStore()
    here, there = Words(store), Words(store)
    here.share(2)
    there.share(2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(here.keep_collecting)
        tasks.start_soon(there.keep_collecting)
        with there.heard_at("r1") as ear:
            await here.send("r1", STOP)
            with anyio.fail_after(2 * LOOK_EVERY):
                assert await ear.next() == STOP
        tasks.cancel_scope.cancel()


@in_virtual_time
async def test_who_is_alone_asks_the_store_nothing() -> None:
    class Silent(MemoryStore):
        async def collect(self, addresses: object) -> list[tuple[str, str]]:
            raise AssertionError("asked")

    words = Words(Silent())
    words.share(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(words.keep_collecting)
        with words.heard_at("r1"):
            assert not words.say("r2", STOP)
            await anyio.sleep(10)
        tasks.cancel_scope.cancel()


@in_virtual_time
async def test_a_press_is_left_for_a_process_that_is_not_known_yet() -> None:
    store = MemoryStore()
    here, there = Words(store), Words(store)
    there.share(2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(there.keep_collecting)
        with there.heard_at("r1") as ear:
            await here.send("r1", STOP)
            with anyio.fail_after(2 * LOOK_EVERY):
                assert await ear.next() == STOP
        tasks.cancel_scope.cancel()


@in_virtual_time
async def test_what_was_written_before_a_question_is_not_meant_for_its_answer() -> None:
    words = Words(MemoryStore())
    with words.heard_at("chat", since=100.0) as ear:
        words.say("chat", Word("ada", text="early", at=99.9))
        words.say("chat", Word("ada", text="late", at=100.1))
        words.say("chat", Word("ada", action="pressed"))
        assert (await ear.next()).text == "late"
        assert (await ear.next()).action == "pressed"


@in_virtual_time
async def test_a_stop_that_nobody_heard_does_not_stop_the_next_answer() -> None:
    words = Words(MemoryStore())
    words.share(2)
    await words.send("chat", Word("ada", action="stop", at=100.0))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(words.keep_collecting)
        with words.heard_at("chat", since=101.0) as ear, anyio.move_on_after(10) as waiting:
            await ear.next()
        assert waiting.cancelled_caught
        tasks.cancel_scope.cancel()


@in_virtual_time
async def test_a_store_that_fails_for_a_while_ends_nothing() -> None:
    class Failing(MemoryStore):
        async def collect(self, addresses: object) -> list[tuple[str, str]]:
            if anyio.current_time() < began + 3:
                raise StoreError("away")
            return [("r1", STOP.to_json())]

    began = anyio.current_time()
    words = Words(Failing())
    words.share(2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(words.keep_collecting)
        with words.heard_at("r1") as ear:
            assert await ear.next() == STOP
        tasks.cancel_scope.cancel()


@in_virtual_time
async def test_who_waits_for_a_word_learns_that_the_program_ends() -> None:
    words = Words(MemoryStore())
    with words.heard_at("r1") as ear:
        words.say("r1", STOP)
        words.close()
        assert await ear.next() == STOP  # said before
        with pytest.raises(Leaving):
            await ear.next()
    with words.heard_at("r2") as late, pytest.raises(Leaving):
        await late.next()


@in_virtual_time
async def test_what_was_left_for_a_dead_process_reaches_the_one_that_takes_over_alone() -> None:
    words = Words(MemoryStore())
    words.share(2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(words.keep_collecting)
        await words.send("r1", STOP)
        words.share(1)
        with words.heard_at("r1") as ear, anyio.fail_after(2 * LOOK_EVERY):
            assert await ear.next() == STOP
        tasks.cancel_scope.cancel()


@in_virtual_time
async def test_a_word_of_another_version_costs_no_other_word() -> None:
    store = MemoryStore()
    words = Words(store)
    words.share(2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(words.keep_collecting)
        with words.heard_at("r1") as ear:
            await store.post("r1", "[]")
            await store.post("r1", STOP.to_json())
            with anyio.fail_after(2 * LOOK_EVERY):
                assert await ear.next() == STOP
        tasks.cancel_scope.cancel()
