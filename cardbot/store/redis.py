"""One Redis server: what several replicas share.

For asyncio only, as `redis.asyncio` is; from Redis 2.6.12 on. One server, or a proxy that looks like one: not Redis
Cluster, where the keys of one script may live on different nodes.
"""

import time
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from uuid import uuid4

from anyio import CancelScope, Lock, move_on_after
from redis.asyncio import Redis

from cardbot.errors import ReplyAdopted, StoreError
from cardbot.ports import CardKey, ConversationKey, Usage, tell_nobody
from cardbot.store import redis_scripts as scripts
from cardbot.store.memory import ADOPTED_LIFE, CONVERSATION_LIFE, SEEN_LIFE, SHOWN_LIFE, WORD_LIFE
from cardbot.store.redis_calls import PREFIX, TIMEOUT, pool_for, translated
from cardbot.store.redis_line import RedisLine
from cardbot.store.turns import text_of

LEASE = 15
"""Seconds that a process is taken to live after a beat. Our choice: three times the 5 s between two beats, so that one
that is late or lost costs nothing, and an abandoned card is finished while people still look at it."""

TOKEN_LIFE = 60
"""Seconds that a count is known not to count twice. Our choice: many times the time in which it may be sent again."""

WORDS = f"{PREFIX}words"


class RedisStore:
    """Keys that begin with `cardbot:`. See `open_redis`.

    `conversation:<key as JSON>`, `shown:<key as JSON>`, `seen:<name>`, `adopted:<reply>`, `spent:<token>`,
    `alive:<process>` and `young:<process>` expire, and so do `words`, a list of tokens, `word:<token>`, a hash, and
    `taken:<token>`; `line:<key as JSON>` is a list of tickets; `usage:<month>` is a hash. Each DingTalk app has a set
    `processes:<app>` and two hashes by reply, `keepers:<app>` and `replies:<app>`; without `:<app>` they are of no app,
    as an older cardbot writes them. `process` names this open store in them.
    """

    lasts = True

    def __init__(self, redis: Redis, *, app: str, where: str, now: Callable[[], float]) -> None:
        self._redis = redis
        self._where = where
        self._now = now
        self.process = uuid4().hex
        self._processes = _name("processes", app)
        self._replies = [_name("keepers", app), _name("replies", app)]
        self._replies_of_no_app = [_name("keepers", ""), _name("replies", "")]
        self._line = RedisLine(redis, where=where, process=self.process)
        self._adopting = Lock()
        self._handed: set[str] = set()  # adopted replies that our caller knows of
        self._first_seen = redis.register_script(scripts.FIRST_SEEN)
        self._spend = redis.register_script(scripts.SPEND)
        self._keep_reply = redis.register_script(scripts.KEEP_REPLY)
        self._drop_reply = redis.register_script(scripts.DROP_REPLY)
        self._adopt_replies = redis.register_script(scripts.ADOPT_REPLIES)
        self._post = redis.register_script(scripts.POST)
        self._collect = redis.register_script(scripts.COLLECT)
        self._beat = redis.register_script(scripts.BEAT)
        self._leave = redis.register_script(scripts.LEAVE)

    async def conversation(self, key: ConversationKey) -> str:
        """The Dify conversation id to go on with, or an empty string. Reading it is using it."""
        name = _conversation_name(key)
        with translated(self._where):
            # GETEX does both at once, but only from Redis 6.2 on, which not every provider offers.
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.get(name)
                pipeline.expire(name, CONVERSATION_LIFE)
                conversation_id, _ = await pipeline.execute()
        return conversation_id or ""

    async def keep_conversation(self, key: ConversationKey, conversation_id: str) -> None:
        """Go on with this id from now on."""
        with translated(self._where):
            await self._redis.set(_conversation_name(key), conversation_id, ex=CONVERSATION_LIFE)

    async def forget_conversation(self, key: ConversationKey) -> None:
        """Begin anew next time."""
        with translated(self._where):
            await self._redis.delete(_conversation_name(key))

    async def keep_shown(self, key: CardKey, text: str) -> None:
        """This is what the card shows in the end."""
        with translated(self._where):
            await self._redis.set(_shown_name(key), text, ex=SHOWN_LIFE)

    async def shown(self, key: CardKey) -> str:
        """What the card shows in the end, or an empty string."""
        with translated(self._where):
            return str(await self._redis.get(_shown_name(key)) or "")

    def turn(
        self, key: ConversationKey, on_wait: Callable[[], None] = tell_nobody
    ) -> AbstractAsyncContextManager[None]:
        """Stand in this conversation's line, which is one over all replicas; inside it is this one's turn."""
        return self._line.turn(key, on_wait)

    async def first_seen(self, *names: str) -> bool:
        """Whether none of these names of one message was seen before; from now on all of them are."""
        if not names:
            raise ValueError("first_seen() needs at least one name of the message")
        keys = [f"{PREFIX}seen:{name}" for name in names]
        with translated(self._where):
            return bool(await self._first_seen(keys=keys, args=[uuid4().hex, SEEN_LIFE]))

    async def spend(self, month: str, *, calls: int, answers: int) -> Usage:
        """Count these in the month, and return its totals."""
        keys = [_usage_name(month), f"{PREFIX}spent:{uuid4().hex}"]
        with translated(self._where):
            return _usage_of(await self._spend(keys=keys, args=[TOKEN_LIFE, calls, answers, self._now()]))

    async def usage(self, month: str) -> Usage:
        """The month's totals."""
        with translated(self._where):
            return _usage_of(await self._redis.hmget(_usage_name(month), ["calls", "answers", "since"]))

    async def keep_reply(self, reply_id: str, record: str) -> None:
        """Write down an open reply, or what is new about it. Raises `ReplyAdopted` if it is another process's now."""
        keys = [*self._replies, f"{PREFIX}adopted:{reply_id}"]
        with translated(self._where):
            kept = await self._keep_reply(keys=keys, args=[self.process, reply_id, record])
        if not kept:
            self._handed.discard(reply_id)
            raise ReplyAdopted(reply_id)

    async def drop_reply(self, reply_id: str) -> None:
        """The reply has its final state. Does nothing to a reply that another process has adopted."""
        with translated(self._where):
            await self._drop_reply(keys=self._replies, args=[self.process, reply_id])
        self._handed.discard(reply_id)

    async def adopt_replies(self) -> dict[str, str]:
        """Take over the open replies of the app's processes that left or whose lease ran out: records by reply id.

        Replies of no app, which an older cardbot has left, go to whichever app asks first.
        """
        async with self._adopting:
            return await self._adopt()

    async def _adopt(self) -> dict[str, str]:
        before = frozenset(self._handed)  # what is dropped while the call is under way may still be in its reply
        with translated(self._where):
            keys = [*self._replies, *self._replies_of_no_app]
            found = await self._adopt_replies(keys=keys, args=[PREFIX, self.process, ADOPTED_LIFE])
        records = dict(zip(found[::2], found[1::2], strict=True))
        new = {reply_id: record for reply_id, record in records.items() if reply_id not in before}
        self._handed |= new.keys()
        return new

    async def replies_elsewhere(self) -> dict[str, str]:
        """The open replies of the app's other processes, dead ones included: records by reply id."""
        with translated(self._where):
            async with self._redis.pipeline(transaction=True) as pipeline:
                for name in self._replies:
                    pipeline.hgetall(name)
                keepers, records = await pipeline.execute()
        return {reply_id: record for reply_id, record in records.items() if keepers.get(reply_id) != self.process}

    async def post(self, address: str, word: str) -> None:
        """Leave a word for whichever process asks for words to this address."""
        token = uuid4().hex
        with translated(self._where):
            await self._post(keys=[WORDS, f"{PREFIX}word:{token}"], args=[token, address, word, WORD_LIFE])

    async def collect(self, addresses: Collection[str]) -> list[tuple[str, str]]:
        """Take the words that were left for these addresses, oldest first, as (address, word)."""
        with translated(self._where):
            if not await self._redis.exists(WORDS):  # asked often, and there is hardly ever a word
                return []
            keys = [WORDS, f"{PREFIX}taken:{uuid4().hex}"]
            found = await self._collect(keys=keys, args=[f"{PREFIX}word:", TOKEN_LIFE, *addresses])
        return list(zip(found[::2], found[1::2], strict=True))

    async def beat(self) -> int:
        """This process lives for another `LEASE`; returns how many of its app do."""
        await self._line.tidy()
        with translated(self._where):
            return int(await self._beat(keys=[self._processes], args=[PREFIX, self.process, LEASE]))

    async def leave(self) -> None:
        """Live no more: what is left open may be adopted at once."""
        await self._line.tidy()
        with translated(self._where):
            await self._leave(keys=[self._replies[0], self._processes], args=[PREFIX, self.process])


@asynccontextmanager
async def open_redis(url: str, *, app: str = "", now: Callable[[], float] = time.time) -> AsyncGenerator[RedisStore]:
    """Open the store on the server at `redis://[[user]:password@]host[:port][/database]`, or `rediss://` for TLS.

    Args:
        url: where the server is.
        app: the DingTalk app, with whose other processes open replies are shared; empty for who just looks.
        now: Unix time in seconds, to be written down; what expires does so by the server's clock.

    Raises:
        SettingsError: the address cannot be understood.
        StoreError: the server does not answer, or refuses us.
    """
    pool = pool_for(url)
    where = f"{pool.connection_kwargs.get('host', 'localhost')}:{pool.connection_kwargs.get('port', 6379)}"
    redis = Redis.from_pool(pool)
    store = RedisStore(redis, app=app, where=where, now=now)
    try:
        with translated(where):
            await redis.ping()  # a wrong password is told at start, not to the first person who writes
        await store.beat()
        try:
            yield store
        finally:
            with CancelScope(shield=True), suppress(StoreError):  # then the lease runs out by itself
                await store.leave()
    finally:
        with move_on_after(TIMEOUT, shield=True):
            await redis.aclose()


def _name(kind: str, app: str) -> str:
    return f"{PREFIX}{kind}:{app}" if app else f"{PREFIX}{kind}"


def _conversation_name(key: ConversationKey) -> str:
    return f"{PREFIX}conversation:{text_of(key)}"


def _shown_name(key: CardKey) -> str:
    return f"{PREFIX}shown:{text_of(key)}"


def _usage_name(month: str) -> str:
    return f"{PREFIX}usage:{month}"


def _usage_of(row: Sequence[bytes | str | None]) -> Usage:
    calls, answers, since = row
    return Usage(int(calls or 0), int(answers or 0), float(since or 0.0))
