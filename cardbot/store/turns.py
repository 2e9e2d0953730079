"""The line of each conversation within one process: one turn at a time, first come, first served."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import astuple
from weakref import WeakValueDictionary

from anyio import Lock

from cardbot.errors import LineFull
from cardbot.ports import CardKey, ConversationKey, tell_nobody

LINE = 8
"""Messages that may wait behind the one whose turn it is. Our choice: with half a minute for an answer the last of
them waits four minutes; who writes a ninth is better told so now than answered then."""


def text_of(key: ConversationKey | CardKey) -> str:
    """The key as one line of ASCII: a JSON list, so that no character in a part can make two keys look alike.

    Not hashed: whoever runs the bot can find one person's entries, and delete them.
    """
    return json.dumps(astuple(key), separators=(",", ":"))


class Turns:
    """The lines of all conversations. A line in which nobody stands is not remembered."""

    def __init__(self) -> None:
        # Who holds a lock or waits for it keeps it alive; a lock that nobody knows is gone by itself.
        self._locks: WeakValueDictionary[str, Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, key: ConversationKey, on_wait: Callable[[], None] = tell_nobody) -> AsyncGenerator[None]:
        """Stand in this conversation's line. To be left by the task that entered it."""
        lock = self._locks.setdefault(text_of(key), Lock())
        if lock.locked():
            waiting = lock.statistics().tasks_waiting
            if waiting >= LINE:
                raise LineFull(waiting=waiting)
            on_wait()
        async with lock:
            yield

    def __len__(self) -> int:
        """Conversations whose turn is taken."""
        return len(self._locks)
