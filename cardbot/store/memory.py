"""The contract in its plainest form: a store that forgets when the process ends.

What the backends share stands here too: how long things are kept.
"""

import time
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager

from cachetools import TTLCache

from cardbot.ports import CardKey, ConversationKey, Usage, tell_nobody
from cardbot.store.turns import Turns, text_of

CONVERSATION_LIFE = 30 * 24 * 60 * 60
"""Seconds since its last use that a conversation goes on. Our choice: a holiday does not cut a thread, and what nobody
has gone on with for a month is not held for ever. Dify keeps the conversation itself; only our way back to it ends."""

SEEN_LIFE = 24 * 60 * 60
"""Seconds that a message's names are known, counted from the first sight. DingTalk delivers a message again after about
2, 16 or 60 s (reported for several clients; the documents promise nothing), and ten minutes are said to be enough.
Our choice: a day, because how long the platform's queue holds a message is not documented, an answer given twice is
worse than two short rows kept longer, and names are never used again."""

SHOWN_LIFE = 7 * 24 * 60 * 60
"""Seconds that the text of a finished card is kept for those who quote it, counted from its end. Our choice: people
quote what they have just read, or what was said before a weekend; and answers should lie about no longer than they are
of use. Seen: other public bots keep theirs for as long."""

ADOPTED_LIFE = 24 * 60 * 60
"""Seconds that a process which was taken for dead can still be told that its reply was adopted. Our choice: a day, for
a machine that is suspended overnight; an answer that is older is not written on."""

WORD_LIFE = 60
"""Seconds that a word waits for who collects it. Set by the contract: it is for a process that lives, which asks every
second or so."""

CONVERSATIONS = 50_000
"""Conversations held in memory. Our choice: one for each person of a large organisation; measured: 24 MB when full.
Above it the one unused for longest begins anew."""

SEEN_NAMES = 100_000
"""Names held in memory. Our choice: a day of 50,000 messages with two names each; measured: 30 MB when full. Above it
the oldest go, which are far past the time of a redelivery."""

SHOWN_CARDS = 1_000
"""Texts of cards held in memory. Our choice: 16 MB when all of them are as long as may be and Chinese. Above it the
oldest go."""


class MemoryStore:
    """For trying things out and for tests: no file, no server, and nothing left after a restart.

    No method but `turn` awaits anything, which is what makes each of them atomic. Nobody else can see into it, so
    there is never anything to adopt.

    Args:
        timer: seconds of any clock that never goes back, for what is kept for a time.
        now: Unix time in seconds.
    """

    lasts = False

    def __init__(self, *, timer: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time) -> None:
        self._conversations: TTLCache[str, str, float] = TTLCache(CONVERSATIONS, CONVERSATION_LIFE, timer)
        self._seen: TTLCache[str, None, float] = TTLCache(SEEN_NAMES, SEEN_LIFE, timer)
        self._shown: TTLCache[str, str, float] = TTLCache(SHOWN_CARDS, SHOWN_LIFE, timer)
        self._turns = Turns()
        self._usage: dict[str, Usage] = {}
        self._replies: dict[str, str] = {}
        self._words: list[tuple[float, str, str]] = []
        self._timer = timer
        self._now = now

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

    async def keep_shown(self, key: CardKey, text: str) -> None:
        """This is what the card shows in the end."""
        self._shown[text_of(key)] = text

    async def shown(self, key: CardKey) -> str:
        """What the card shows in the end, or an empty string."""
        return self._shown.get(text_of(key), "")

    def turn(
        self, key: ConversationKey, on_wait: Callable[[], None] = tell_nobody
    ) -> AbstractAsyncContextManager[None]:
        """Stand in this conversation's line; inside it is this one's turn."""
        return self._turns.turn(key, on_wait)

    async def first_seen(self, *names: str) -> bool:
        """Whether none of these names of one message was seen before; from now on all of them are."""
        if not names:
            raise ValueError("first_seen() needs at least one name of the message")
        new = [name for name in dict.fromkeys(names) if name not in self._seen]
        for name in new:
            self._seen[name] = None
        return len(new) == len(set(names))

    async def spend(self, month: str, *, calls: int, answers: int) -> Usage:
        """Count these in the month, and return its totals."""
        before = self._usage.get(month) or Usage(0, 0, self._now())
        self._usage[month] = Usage(before.calls + calls, before.answers + answers, before.since)
        return self._usage[month]

    async def usage(self, month: str) -> Usage:
        """The month's totals."""
        return self._usage.get(month, Usage(0, 0, 0.0))

    async def keep_reply(self, reply_id: str, record: str) -> None:
        """Write down an open reply, or what is new about it."""
        self._replies[reply_id] = record

    async def drop_reply(self, reply_id: str) -> None:
        """The reply has its final state."""
        self._replies.pop(reply_id, None)

    async def adopt_replies(self) -> dict[str, str]:
        """Nothing: no other process keeps its replies here."""
        return {}

    async def replies_elsewhere(self) -> dict[str, str]:
        """Nothing, for the same reason."""
        return {}

    async def post(self, address: str, word: str) -> None:
        """Leave a word for this process itself: nobody else can find it."""
        now = self._timer()
        self._words = [left for left in self._words if left[0] > now]
        self._words.append((now + WORD_LIFE, address, word))

    async def collect(self, addresses: Collection[str]) -> list[tuple[str, str]]:
        """Take the words that were left for these addresses, oldest first, as (address, word)."""
        if not self._words:
            return []
        now = self._timer()
        wanted = frozenset(addresses)
        found = [(address, word) for end, address, word in self._words if end > now and address in wanted]
        self._words = [left for left in self._words if left[0] > now and left[1] not in wanted]
        return found

    async def beat(self) -> int:
        """This process, and no other."""
        return 1
