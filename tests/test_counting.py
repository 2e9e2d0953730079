"""The count and the store, in virtual time."""

from datetime import datetime

import anyio

from cardbot.budget import Budget
from cardbot.counting import SAVE_EVERY, keep_count, save_count
from cardbot.errors import StoreError
from cardbot.ports import Usage
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
