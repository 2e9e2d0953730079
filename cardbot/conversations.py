"""The conversations with Dify: whose turn it is, which one to go on with, and how to begin anew.

An answer without memory or out of turn is better than none: where the store fails, the log says so.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import anyio
import structlog

from cardbot.errors import StoreError
from cardbot.ports import ConversationKey, Store, tell_nobody

log = structlog.get_logger(__name__)


@asynccontextmanager
async def turn(key: ConversationKey, store: Store, on_wait: Callable[[], None] = tell_nobody) -> AsyncGenerator[None]:
    """Answers of one conversation come one after the other. Raises `LineFull` if too many wait already."""
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(store.turn(key, on_wait))
        except StoreError as exc:
            log.error("turn_not_kept", error=str(exc))
        yield


@asynccontextmanager
async def place(places: anyio.CapacityLimiter, on_wait: Callable[[], None] = tell_nobody) -> AsyncGenerator[None]:
    """One of the places for answers that stream at once. `on_wait` is called before the wait, if there is one."""
    if places.available_tokens < 1:
        on_wait()
    borrower = object()
    await places.acquire_on_behalf_of(borrower)
    try:
        yield
    finally:
        places.release_on_behalf_of(borrower)


async def to_go_on_with(key: ConversationKey, store: Store) -> str:
    """Dify's id of the conversation; empty if a new one begins."""
    try:
        return await store.conversation(key)
    except StoreError as exc:
        log.error("conversation_not_read", error=str(exc))
        return ""


async def go_on_with(conversation: str, key: ConversationKey, store: Store, *, asked_at: float) -> None:
    """Go on with it from now on, unless somebody has begun anew since the question was asked, at this Unix time."""
    try:
        await store.keep_conversation(key, conversation)
        renewed = await store.conversation(_renewal(key))
        if renewed and 0 < asked_at < float(renewed):
            await store.forget_conversation(key)  # nobody else's: it is this answer's turn
    except StoreError as exc:
        log.error("conversation_not_kept", error=str(exc))


async def begin_anew(key: ConversationKey, store: Store, *, at: float) -> None:
    """Forget the conversation, also that of an answer under way, as of this Unix time. Raises `StoreError`."""
    # First, so that an answer under way, whose conversation may not be known yet, finds it whenever it looks.
    await store.keep_conversation(_renewal(key), repr(at))
    await store.forget_conversation(key)


def _renewal(key: ConversationKey) -> ConversationKey:
    """Where it is kept when somebody last began anew. People may have any name, robots have not."""
    return replace(key, robot=f"renewal of {key.robot}")
