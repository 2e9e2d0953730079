"""Keeps the month's calls in the store, where other replicas, the next start and `cardbot usage` find them."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import anyio
import structlog

from cardbot.beside import beside
from cardbot.budget import Budget, Count, month_at
from cardbot.errors import CardbotError, StoreError
from cardbot.ports import Store, Usage

SAVE_EVERY = 5.0
"""Seconds between two savings. Our choice: kill -9 loses the count of so many seconds, and a replica spends that long
without knowing of the others; a write for each call would cost more than the call."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def counted(
    opening: Callable[[], AbstractAsyncContextManager[Store]], *, wall: Callable[[], float] = time.time
) -> AsyncGenerator[Callable[[], None]]:
    """Yields what to call for each call that DingTalk counts, in a program beside the bot.

    The store is opened beside the block, which never waits for it. One that fails costs a warning and the count.
    """
    budget = Budget()
    async with beside(_keep_to_the_end, budget, opening, wall):
        yield lambda: budget.call(wall())


async def _keep_to_the_end(
    budget: Budget, opening: Callable[[], AbstractAsyncContextManager[Store]], wall: Callable[[], float]
) -> None:
    try:
        async with AsyncExitStack() as stack:
            with anyio.CancelScope(shield=True):  # a short block is over before; a store bounds its opening itself
                store = await stack.enter_async_context(opening())
            try:
                await keep_count(budget, store, wall=wall)
            finally:
                await save_count(budget, store, wall=wall)
    except CardbotError as exc:
        log.warning("store_failed", error=str(exc), effect="calls may be missing in `cardbot usage`")


async def keep_count(budget: Budget, store: Store, *, wall: Callable[[], float] = time.time) -> None:
    """Save what is counted, and learn what others counted, until cancelled; for the first time after a while."""
    while True:
        await anyio.sleep(SAVE_EVERY)
        await save_count(budget, store, wall=wall)


async def save_count(budget: Budget, store: Store, *, wall: Callable[[], float] = time.time) -> None:
    """Save once. What cannot be saved stays counted here, and is saved the next time."""
    counts = {month_at(wall()).name: Count(), **budget.pending()}  # this month in any case: others may have made calls
    for month, count in sorted(counts.items()):
        with anyio.CancelScope(shield=True):  # or what the store took in might be told to it again
            try:
                total = await _tell(month, count, store)
            except StoreError as exc:
                log.error("calls_not_counted", month=month, error=str(exc))
                return
            budget.told(month, count, total)


async def _tell(month: str, count: Count, store: Store) -> Usage:
    if count == Count():
        return await store.usage(month)
    return await store.spend(month, calls=count.calls, answers=count.answers)
