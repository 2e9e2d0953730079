"""What is known of an app: asked when it is first needed, and again after a while, once for all who wait."""

from collections.abc import Awaitable, Callable

import anyio
import structlog

from cardbot.dify.app import App
from cardbot.errors import DifyError

FRESH = 300.0
"""Seconds for which an app is taken to be as it was. Our choice: who publishes a change sees it in a few minutes, and
two small requests in that time weigh nothing."""

log = structlog.get_logger(__name__)


class Acquaintance:
    """One app. What was once known is good enough as long as Dify cannot be asked anew."""

    def __init__(self, fetch: Callable[[], Awaitable[App]], *, fresh: float = FRESH) -> None:
        self._fetch = fetch
        self._fresh = fresh
        self._lock = anyio.Lock()
        self._app: App | None = None
        self._times = 0
        self._asked_at = 0.0
        self._failure: DifyError | None = None

    async def app(self) -> App:
        """The app. Raises `DifyError` if it cannot be asked and was never known."""
        if self._app is None or anyio.current_time() - self._asked_at >= self._fresh:
            times = self._times
            async with self._lock:
                if self._times == times:  # nobody has asked meanwhile
                    await self._ask()
        if self._app is None:
            raise self._failure or AssertionError("neither an app nor a failure")
        return self._app

    async def _ask(self) -> None:
        try:
            self._app = await self._fetch()
        except DifyError as exc:
            self._failure = exc
            if self._app is not None:
                log.warning("dify_app_not_asked", error=str(exc), effect="it is taken to be as it was")
        self._times += 1
        self._asked_at = anyio.current_time()
