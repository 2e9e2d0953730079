"""Stands between the bot and Dify: passes everything on, notes when text comes by, and breaks answers on demand."""

import json
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

import anyio
import httpx

from cardbot.playground.http import Cut, LoopbackServer, Request, Response, Stream

Breakage = Literal["error", "cut", "silence"]
"""`error`: Dify says that the model failed; `cut`: the connection ends; `silence`: nothing comes any more."""

STRIKES_AFTER = 2.0
"""Seconds of an answer until it breaks. Our choice: some text is there by then, and the rest is missed."""

PASSED_ON = frozenset({"accept", "authorization", "content-type", "user-agent"})
"""Headers of the bot that Dify gets. Our choice: what it reads; lengths and connections are each side's own."""

PASSED_BACK = ("content-type", "x-version", "www-authenticate", "retry-after")
"""Headers of Dify that the bot gets."""

NO_PROXY: dict[str, None] = {f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")}
"""The machine talks to itself directly, whatever proxy the environment names."""


@dataclass(slots=True, eq=False)
class Asked:
    """One request of the bot. Times on the steady clock, sizes in bytes. `status` is 0 while there is no answer.

    `query` is empty for requests that ask no question. `ending` says how an answer ended, if not well.
    """

    time: float
    method: str
    path: str
    user: str
    query: str
    size: int
    status: int = 0
    received: int = 0
    answered: float | None = None
    ending: str = ""


class Relay:
    """A server on the loopback interface, for as long as the `async with` block runs.

    `watch` is called for each request when it begins and ends, and `heard` for each piece of an answer, with its size.
    """

    def __init__(self, address: str) -> None:
        self.breakage: Breakage | None = None
        self.watch: Callable[[Asked], None] = _ignore
        self.heard: Callable[[Asked, int], None] = _ignore
        self._address = address.rstrip("/")
        self._server = LoopbackServer(self._handle)
        # The bot decides how long it waits; it leaves, and this side with it.
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(None, connect=30.0), mounts=NO_PROXY)

    @property
    def url(self) -> str:
        """What the bot takes for Dify's base URL."""
        return f"{self._server.url}/v1"

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._server.__aexit__(kind, error, traceback)
        finally:
            await self._http.aclose()

    async def _handle(self, request: Request) -> Response | Stream:
        asked = _asked(request)
        self.watch(asked)
        onward = self._http.build_request(
            request.method,
            self._address + request.path.removeprefix("/v1"),
            params=request.query,
            content=request.body,
            headers={
                **{name: value for name, value in request.headers.items() if name in PASSED_ON},
                "accept-encoding": "identity",
            },
        )
        try:
            response = await self._http.send(onward, stream=True)
        except httpx.TransportError as error:
            self._over(asked, type(error).__name__)
            raise Cut from error
        asked.status = response.status_code
        headers = tuple((name, response.headers[name]) for name in PASSED_BACK if name in response.headers)
        chunks = self._chunks(asked, response)
        if response.headers.get("content-type", "").startswith("text/event-stream"):
            return Stream(response.status_code, headers, chunks)
        return Response(response.status_code, b"".join([chunk async for chunk in chunks]), headers)

    async def _chunks(self, asked: Asked, response: httpx.Response) -> AsyncGenerator[bytes]:
        """What Dify sends, as it comes; broken off if that is ordered."""
        ending = "left"
        began = time.monotonic()
        try:
            async for chunk in response.aiter_raw():
                if self.breakage and asked.query and time.monotonic() - began >= STRIKES_AFTER:
                    ending = self.breakage
                    yield await _break(self.breakage)
                    return
                asked.received += len(chunk)
                self.heard(asked, len(chunk))
                yield chunk
            ending = ""
        except httpx.TransportError as error:
            ending = type(error).__name__
            raise Cut from error
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()
            self._over(asked, ending)

    def _over(self, asked: Asked, ending: str) -> None:
        asked.answered, asked.ending = time.monotonic(), ending
        self.watch(asked)


async def _break(breakage: Breakage) -> bytes:
    match breakage:
        case "error":
            # seen: the one event without a task id, in all releases.
            error = {"event": "error", "status": 400, "code": "completion_request_error", "message": "model overloaded"}
            return f"data: {json.dumps(error)}\n\n".encode()
        case "cut":
            raise Cut
        case "silence":
            await anyio.sleep_forever()
            raise AssertionError("silence does not end")


def _asked(request: Request) -> Asked:
    try:
        body = request.json()
    except ValueError:
        body = None
    fields = body if isinstance(body, dict) else request.query
    user, query = fields.get("user"), fields.get("query")
    return Asked(
        time.monotonic(),
        request.method,
        request.path,
        user if isinstance(user, str) else "",
        query if isinstance(query, str) else "",
        len(request.body),
    )


def _ignore(*_: object) -> None:
    """Nobody watches."""
