"""The connections to one Redis server, and how long a call may take and in which words it fails."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from urllib.parse import urlsplit

from anyio import fail_after
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError

from cardbot.errors import SettingsError, StoreError

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
be repeated without harm, `first_seen` and `spend` thanks to their tokens."""


def pool_for(url: str) -> BlockingConnectionPool:
    """Connections to this address, none of them open yet. Raises `SettingsError`."""
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


def translated(where: str) -> AbstractContextManager[None]:
    """Bound the time of a method, and say in our words what went wrong with it."""
    return translated_within(TIMEOUT, where)


@contextmanager
def translated_within(timeout: float, where: str) -> Generator[None]:
    """The same for a call that may take so many seconds."""
    try:
        with fail_after(timeout):
            yield
    except TimeoutError as exc:
        raise StoreError(f"Redis at {where} did not answer within {timeout:g} s: check that it is up") from exc
    except RedisError as exc:
        # A server that does not know a command, AUTH for one, quotes what followed it (seen: Redis 7.0).
        said, _, quoted = str(exc).partition(", with args beginning with")
        raise StoreError(f"Redis at {where} failed: {said}; check CARDBOT_STORE and the server") from (
            None if quoted else exc
        )
    except UnicodeEncodeError as exc:  # half of a surrogate pair, which JSON can carry and UTF-8 cannot
        raise StoreError(f"the store at {where} holds text only, and was given half a character") from exc
