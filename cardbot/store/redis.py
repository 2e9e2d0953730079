"""One Redis server: what several replicas share.

For asyncio only, as `redis.asyncio` is; from Redis 2.6.12 on. One server, or a proxy that looks like one: not Redis
Cluster, where the names of one message may live on different nodes.
"""

from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from urllib.parse import urlsplit
from uuid import uuid4

from anyio import fail_after, move_on_after
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError

from cardbot.errors import SettingsError, StoreError
from cardbot.ports import ConversationKey
from cardbot.store.memory import CONVERSATION_LIFE, SEEN_LIFE, Turns, text_of

PREFIX = "cardbot:"
"""Begins every key, so that a server can be shared and one pattern finds everything that is ours."""

TIMEOUT = 5.0
"""Seconds for one method, retries and a new connection included. Our choice: a healthy server needs a few
milliseconds, and someone waits for the answer."""

CONNECTIONS = 16
"""Connections at most; further calls wait for one. Our choice: one carries thousands of our small calls a second, and
a server that comes back is not met by a flood."""

RETRIES = 3
"""Further attempts after a lost connection. Our choice: enough for a restarted server or a failover. Every method may
be repeated without harm, `first_seen` thanks to its token."""

FIRST_SEEN = """
local first = 1
for _, name in ipairs(KEYS) do
    if not redis.call('SET', name, ARGV[1], 'NX', 'EX', ARGV[2]) and redis.call('GET', name) ~= ARGV[1] then
        first = 0
    end
end
return first
"""
"""A script, because several names are claimed as one. ARGV[1] is the call's own token: a call whose reply was lost and
that is sent again meets its own mark and still is the first, and so does a name that is given twice."""


class RedisStore:
    """Keys `cardbot:conversation:<key as JSON>` and `cardbot:seen:<name>`, which Redis expires. See `open_redis`."""

    def __init__(self, redis: Redis, where: str) -> None:
        self._redis = redis
        self._where = where
        self._turns = Turns()
        self._first_seen = redis.register_script(FIRST_SEEN)

    async def conversation(self, key: ConversationKey) -> str:
        """The Dify conversation id to go on with, or an empty string. Reading it is using it."""
        name = _conversation_name(key)
        with _translated(self._where):
            # GETEX does both at once, but only from Redis 6.2 on, which not every provider offers.
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.get(name)
                pipeline.expire(name, CONVERSATION_LIFE)
                conversation_id, _ = await pipeline.execute()
        return conversation_id or ""

    async def keep_conversation(self, key: ConversationKey, conversation_id: str) -> None:
        """Go on with this id from now on."""
        with _translated(self._where):
            await self._redis.set(_conversation_name(key), conversation_id, ex=CONVERSATION_LIFE)

    async def forget_conversation(self, key: ConversationKey) -> None:
        """Begin anew next time."""
        with _translated(self._where):
            await self._redis.delete(_conversation_name(key))

    def turn(self, key: ConversationKey) -> AbstractAsyncContextManager[None]:
        """Wait for this conversation's turns before this one, in this replica; the next waits until this one is left.

        Not yet across replicas: two messages of one person that reach two of them at once are asked side by side.
        """
        return self._turns.turn(key)

    async def first_seen(self, *names: str) -> bool:
        """Whether none of these names of one message was seen before; from now on all of them are."""
        if not names:
            raise ValueError("first_seen() needs at least one name of the message")
        keys = [f"{PREFIX}seen:{name}" for name in names]
        with _translated(self._where):
            return bool(await self._first_seen(keys=keys, args=[uuid4().hex, SEEN_LIFE]))


@asynccontextmanager
async def open_redis(url: str) -> AsyncGenerator[RedisStore]:
    """Open the store on the server at `redis://[[user]:password@]host[:port][/database]`, or `rediss://` for TLS.

    Raises:
        SettingsError: the address cannot be understood.
        StoreError: the server does not answer, or refuses us.
    """
    pool = _pool(url)
    where = f"{pool.connection_kwargs.get('host', 'localhost')}:{pool.connection_kwargs.get('port', 6379)}"
    redis = Redis.from_pool(pool)
    try:
        with _translated(where):
            await redis.ping()  # a wrong password is told at start, not to the first person who writes
        yield RedisStore(redis, where)
    finally:
        with move_on_after(TIMEOUT, shield=True):
            await redis.aclose()


def _pool(url: str) -> BlockingConnectionPool:
    try:
        parts = urlsplit(url)
        if "@" not in parts.path + parts.query + parts.fragment:
            return BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=TIMEOUT,
                socket_timeout=TIMEOUT,
                socket_connect_timeout=TIMEOUT,
                retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), RETRIES),
                decode_responses=True,
                # RESP 3 begins with HELLO, which servers before 6.0 do not know: they quote it, password included.
                protocol=2,
            )
    except ValueError:
        pass  # its text may quote what it took for the port: the beginning of a password
    raise SettingsError(
        [
            "CARDBOT_STORE is not an address that Redis understands: expected redis://:password@host:6379/0,"
            " with the special characters of the password percent-encoded (/ as %2F, # as %23, ? as %3F)"
        ]
    )


def _conversation_name(key: ConversationKey) -> str:
    return f"{PREFIX}conversation:{text_of(key)}"


@contextmanager
def _translated(where: str) -> Generator[None]:
    """Bound the time of a call, and say in our words what went wrong with it."""
    try:
        with fail_after(TIMEOUT):
            yield
    except TimeoutError as exc:
        raise StoreError(f"Redis at {where} did not answer within {TIMEOUT:g} s: check that it is up") from exc
    except RedisError as exc:
        # A server that does not know a command, AUTH for one, quotes what followed it (seen: Redis 7.0).
        said, _, quoted = str(exc).partition(", with args beginning with")
        raise StoreError(f"Redis at {where} failed: {said}; check CARDBOT_STORE and the server") from (
            None if quoted else exc
        )
    except UnicodeEncodeError as exc:  # half of a surrogate pair, which JSON can carry and UTF-8 cannot
        raise StoreError(f"the store at {where} holds text only, and was given half a character") from exc
