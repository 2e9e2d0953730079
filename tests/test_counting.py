"""The count and the store, in virtual time."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from functools import partial

import anyio
import pytest
from structlog.testing import capture_logs

from cardbot.budget import Budget
from cardbot.counting import SAVE_EVERY, counted, keep_count, save_count
from cardbot.errors import StoreError
from cardbot.ports import Store, Usage
from cardbot.store.memory import MemoryStore
from tests.virtual import in_virtual_time

NOVEMBER = datetime.fromisoformat("2026-11-16T00:00+08:00").timestamp()
DECEMBER = datetime.fromisoformat("2026-12-01T00:00+08:00").timestamp()


class Broken(MemoryStore):
    """Keeps nothing as long as it is broken."""

    broken = True

    async def spend(self, month: str, *, calls: int, answers: int) -> Usage:
        if self.broken:
            raise StoreError("no disk")
        return await super().spend(month, calls=calls, answers=answers)


class Slow(MemoryStore):
    """Takes a count in at once, and its time to say so."""

    async def spend(self, month: str, *, calls: int, answers: int) -> Usage:
        total = await super().spend(month, calls=calls, answers=answers)
        await anyio.sleep(1)
        return total


@in_virtual_time
async def test_what_is_counted_reaches_the_store_within_seconds() -> None:
    budget, store = Budget(), MemoryStore()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: keep_count(budget, store, wall=lambda: NOVEMBER))
        for _ in range(3):
            budget.call(NOVEMBER)
        budget.answer(NOVEMBER)
        await anyio.sleep(SAVE_EVERY + 0.1)
        usage = await store.usage("2026-11")
        tasks.cancel_scope.cancel()
    assert (usage.calls, usage.answers) == (3, 1)


@in_virtual_time
async def test_the_start_which_has_just_saved_is_not_followed_by_another_saving() -> None:
    budget, store = Budget(), MemoryStore()
    budget.call(NOVEMBER)
    with anyio.move_on_after(SAVE_EVERY - 0.1):
        await keep_count(budget, store, wall=lambda: NOVEMBER)
    assert (await store.usage("2026-11")).calls == 0


@in_virtual_time
async def test_calls_of_another_process_are_learnt_without_calls_of_our_own() -> None:
    store = MemoryStore()
    mine, other = Budget(100), Budget(100)
    for _ in range(90):
        other.call(NOVEMBER)
    await save_count(other, store, wall=lambda: NOVEMBER)
    await save_count(mine, store, wall=lambda: NOVEMBER)
    assert mine.used(NOVEMBER) == 90


@in_virtual_time
async def test_a_count_that_is_not_saved_is_saved_later() -> None:
    budget, store = Budget(), Broken()
    budget.call(NOVEMBER)
    await save_count(budget, store, wall=lambda: NOVEMBER)
    assert budget.used(NOVEMBER) == 1
    store.broken = False
    await save_count(budget, store, wall=lambda: NOVEMBER)
    assert (await store.usage("2026-11")).calls == 1
    assert budget.pending() == {}


@in_virtual_time
async def test_over_the_turn_of_the_month_each_gets_its_own() -> None:
    budget, store = Budget(), MemoryStore()
    budget.call(NOVEMBER)
    budget.call(DECEMBER)
    await save_count(budget, store, wall=lambda: DECEMBER)
    assert (await store.usage("2026-11")).calls == 1
    assert (await store.usage("2026-12")).calls == 1
    assert budget.used(DECEMBER) == 1


@in_virtual_time
async def test_cancelled_while_it_saves_nothing_is_counted_twice() -> None:
    budget, store = Budget(), Slow()
    budget.call(NOVEMBER)
    with anyio.move_on_after(SAVE_EVERY + 0.5):
        await keep_count(budget, store, wall=lambda: NOVEMBER)
    await save_count(budget, store, wall=lambda: NOVEMBER)
    assert (await store.usage("2026-11")).calls == 1


# Beside the bot.


@asynccontextmanager
async def opened(store: Store, *, after: float = 0.0, fails: str = "") -> AsyncGenerator[Store]:
    """Takes its time, or fails then; or on leaving."""
    await anyio.sleep(after)
    if fails == "to open":
        raise StoreError("no disk")
    try:
        yield store
    finally:
        if fails == "to close":
            raise StoreError("no disk")


def counting(
    opening: Callable[[], AbstractAsyncContextManager[Store]],
) -> AbstractAsyncContextManager[Callable[[], None]]:
    return counted(opening, wall=lambda: NOVEMBER)


@in_virtual_time
async def test_beside_the_bot_what_is_counted_is_in_the_store_at_the_end_of_the_block() -> None:
    store = MemoryStore()
    await store.spend("2026-11", calls=10, answers=2)
    async with counting(partial(opened, store)) as billed:
        billed()
        billed()
    usage = await store.usage("2026-11")
    assert (usage.calls, usage.answers) == (12, 2)


@in_virtual_time
async def test_a_block_that_lasts_is_saved_while_it_does_for_it_may_be_killed() -> None:
    store = MemoryStore()
    async with counting(partial(opened, store)) as billed:
        billed()
        await anyio.sleep(SAVE_EVERY + 0.1)
        assert (await store.usage("2026-11")).calls == 1
        billed()
    assert (await store.usage("2026-11")).calls == 2


@in_virtual_time
async def test_a_store_that_opens_late_holds_nothing_up_and_misses_nothing() -> None:
    store, began = MemoryStore(), anyio.current_time()
    async with counting(partial(opened, store, after=3)) as billed:
        billed()
        assert anyio.current_time() == began
    assert (await store.usage("2026-11")).calls == 1


@in_virtual_time
async def test_a_block_that_is_cancelled_is_counted_nevertheless() -> None:
    store = MemoryStore()
    with anyio.move_on_after(2):
        async with counting(partial(opened, store)) as billed:
            billed()
            await anyio.sleep_forever()
    assert (await store.usage("2026-11")).calls == 1


@in_virtual_time
async def test_a_store_that_cannot_be_opened_costs_one_warning() -> None:
    with capture_logs() as logs:
        async with counting(partial(opened, MemoryStore(), fails="to open")) as billed:
            billed()
            await anyio.sleep(3 * SAVE_EVERY)
            billed()
    assert [(entry["event"], entry["error"]) for entry in logs] == [("store_failed", "no disk")]


@in_virtual_time
async def test_a_store_that_fails_as_it_is_closed_does_not_end_the_program() -> None:
    store = MemoryStore()
    with capture_logs() as logs:
        async with counting(partial(opened, store, fails="to close")) as billed:
            billed()
    assert [entry["event"] for entry in logs] == ["store_failed"]
    assert (await store.usage("2026-11")).calls == 1


@in_virtual_time
async def test_what_the_block_raises_comes_out_as_it_is_and_is_counted() -> None:
    store = MemoryStore()

    async def send_nothing() -> None:
        async with counting(partial(opened, store)) as billed:
            billed()
            raise ValueError("the message is empty")

    with pytest.raises(ValueError, match="the message is empty"):
        await send_nothing()
    assert (await store.usage("2026-11")).calls == 1
