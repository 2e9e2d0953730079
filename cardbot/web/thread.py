"""The conversation of a chat that comes without a name, found again by what was said in it.

Most chat clients name nobody, and send all that was said with each question. Put before the question, it would be what
an app searches its knowledge for, and each question a conversation of its own at Dify. So a conversation is kept under
the words that were said in it: whoever goes on from these very words goes on with it, and only the last is asked.

Where none is found, since a message was edited, an answer generated anew, or the beginning left out, a new one begins,
and what was said goes along. A conversation is given away once: one that goes on has other words from then on.
"""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import structlog

from cardbot.errors import DifyRejected, FileRefused, LineFull, StoreError
from cardbot.ports import ConversationKey, Store

THREAD = "openai-thread"
"""What stands for the robot in the key: no conversation of a user's can be found by words."""

log = structlog.get_logger(__name__)


def said(before: str, role: str, words: str) -> str:
    """What names a thread after these words. `before`: what names it without them; empty at its beginning.

    White space does not count: clients trim what they keep.
    """
    plain = "".join(words.split())
    return hashlib.sha256(f"{before} {role} {plain}".encode("utf-8", "replace")).hexdigest() if plain else before


def thread_key(app: str, model: str, thread: str) -> ConversationKey:
    """Where the conversation of this thread is kept."""
    return ConversationKey(app, THREAD, model, thread)


async def taken(key: ConversationKey, store: Store) -> str:
    """Dify's id of the conversation, which nobody else gets from now on; empty if a new one begins.

    Not even who asks the same at the very same moment: each would find the other's next words there.
    """
    try:
        if not await store.conversation(key):
            return ""
        async with store.turn(key):
            conversation = await store.conversation(key)
            if conversation:
                await store.forget_conversation(key)
            return conversation
    except (StoreError, LineFull) as exc:
        log.error("conversation_not_read", error=str(exc))
        return ""


@asynccontextmanager
async def borrowed(key: ConversationKey, store: Store) -> AsyncGenerator[str]:
    """The same for as long as the question is asked: where it is refused, whoever asks again gets it back."""
    conversation = await taken(key, store)
    try:
        yield conversation
    except (DifyRejected, FileRefused):
        if conversation:
            await kept(conversation, key, store)
        raise


async def kept(conversation: str, key: ConversationKey, store: Store) -> None:
    """Whoever goes on from here goes on with this one."""
    try:
        await store.keep_conversation(key, conversation)
    except StoreError as exc:  # then the next question brings along what was said
        log.error("conversation_not_kept", error=str(exc))
