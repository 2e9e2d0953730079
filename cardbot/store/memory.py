"""The contract in its plainest form: a store that forgets when the process ends.

What the backends share stands here too: how long things are kept, how a key is written, whose turn it is.
"""

import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from weakref import WeakValueDictionary

from anyio import Lock
from cachetools import TTLCache

from cardbot.ports import ConversationKey

CONVERSATION_LIFE = 30 * 24 * 60 * 60
"""Seconds since its last use that a conversation goes on. Our choice: a holiday does not cut a thread, and what nobody
has gone on with for a month is not held for ever. Dify keeps the conversation itself; only our way back to it ends."""

SEEN_LIFE = 24 * 60 * 60
"""Seconds that a message's names are known, counted from the first sight. DingTalk delivers a message again after about
2, 16 or 60 s (reported for several clients; the documents promise nothing), and ten minutes are said to be enough.
Our choice: a day, because how long the platform's queue holds a message is not documented, an answer given twice is
worse than two short rows kept longer, and names are never used again."""

CONVERSATIONS = 50_000
"""Conversations held in memory. Our choice: one for each person of a large organisation; measured: 24 MB when full.
Above it the one unused for longest begins anew."""

SEEN_NAMES = 100_000
"""Names held in memory. Our choice: a day of 50,000 messages with two names each; measured: 30 MB when full. Above it
the oldest go, which are far past the time of a redelivery."""


def text_of(key: ConversationKey) -> str:
    """The key as one line of ASCII: a JSON list, so that no character in a part can make two keys look alike.

    Not hashed: whoever runs the bot can find one person's entries, and delete them.
    """
    return json.dumps([key.app, key.robot, key.chat, key.person], separators=(",", ":"))


class Turns:
    """One turn at a time for each conversation, first come, first served, within this process."""

    def __init__(self) -> None:
        # Who holds a lock or waits for it keeps it alive; a lock that nobody knows is gone by itself.
        self._locks: WeakValueDictionary[str, Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, key: ConversationKey) -> AsyncGenerator[None]:
        """Wait for this conversation's turns before this one. To be left by the task that entered it."""
        lock = self._locks.setdefault(text_of(key), Lock())
        async with lock:
            yield

    def __len__(self) -> int:
        """Conversations whose turn is taken."""
        return len(self._locks)


class MemoryStore:
    """For trying things out and for tests: no file, no server, and nothing left after a restart.

    No method but `turn` awaits anything, which is what makes each of them atomic.
    """

    def __init__(self, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._conversations: TTLCache[str, str, float] = TTLCache(CONVERSATIONS, CONVERSATION_LIFE, timer)
        self._seen: TTLCache[str, None, float] = TTLCache(SEEN_NAMES, SEEN_LIFE, timer)
        self._turns = Turns()

    async def conversation(self, key: ConversationKey) -> str:
        """The Dify conversation id to go on with, or an empty string. Reading it is using it."""
        text = text_of(key)
        conversation_id = self._conversations.get(text, "")
        if conversation_id:
            self._conversations[text] = conversation_id  # setting is what renews the time to live
        return conversation_id

    async def keep_conversation(self, key: ConversationKey, conversation_id: str) -> None:
        """Go on with this id from now on."""
        self._conversations[text_of(key)] = conversation_id

    async def forget_conversation(self, key: ConversationKey) -> None:
        """Begin anew next time."""
        self._conversations.pop(text_of(key), None)

    def turn(self, key: ConversationKey) -> AbstractAsyncContextManager[None]:
        """Wait for this conversation's turns before this one; the next waits until this one is left."""
        return self._turns.turn(key)

    async def first_seen(self, *names: str) -> bool:
        """Whether none of these names of one message was seen before; from now on all of them are."""
        if not names:
            raise ValueError("first_seen() needs at least one name of the message")
        new = [name for name in dict.fromkeys(names) if name not in self._seen]
        for name in new:
            self._seen[name] = None
        return len(new) == len(set(names))
