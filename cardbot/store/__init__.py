"""What outlives a message, behind one contract (`cardbot.ports.Store`): which backend a URL names."""

from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

from cardbot.errors import SettingsError
from cardbot.ports import Store
from cardbot.store.memory import MemoryStore
from cardbot.store.sqlite import open_sqlite

__all__ = ["open_store"]


def open_store(url: str, *, app: str = "") -> AbstractAsyncContextManager[Store]:
    """The store that `CARDBOT_STORE` names, to be entered with `async with`.

    A path is taken as it stands: nothing in it is percent-decoded, `~` is not expanded.

    Args:
        url: the value of `CARDBOT_STORE`.
        app: client id of the DingTalk app that this process answers for. Open replies and life signs are shared with
            the processes of the same app only; empty for who just looks.

    Raises:
        SettingsError: the URL has none of the forms we know, or its store needs an extra that is not installed. The
            URL is not repeated: it may hold a password.
    """
    if url == "memory:":
        return nullcontext(MemoryStore())
    match url.partition("://"):
        case "sqlite", _, path if len(path) > 1 and path.startswith("/"):
            return open_sqlite(Path(path[1:]), app=app)
        case "redis" | "rediss", _, _:
            return _redis(url, app)
    raise SettingsError(
        [
            "CARDBOT_STORE must be memory: (nothing is kept over a restart), sqlite:///path (sqlite:////path for an"
            " absolute one) or redis://host:port/database (rediss:// for TLS)"
        ]
    )


def _redis(url: str, app: str) -> AbstractAsyncContextManager[Store]:
    try:
        from cardbot.store.redis import open_redis
    except ModuleNotFoundError as exc:
        sentence = "CARDBOT_STORE names a Redis server, which needs one more package: pip install '.[redis]'"
        raise SettingsError([sentence]) from exc
    return open_redis(url, app=app)
