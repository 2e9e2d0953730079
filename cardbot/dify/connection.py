"""The HTTP edge: requests to one Dify app, and its streams, with its refusals as errors of ours."""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
import httpx
import structlog

from cardbot.dify.refusal import rejection
from cardbot.errors import DifyUnreachable, SettingsError
from cardbot.forms import is_loopback

CONNECT_TIMEOUT = 5.0
"""Seconds to reach Dify. Our choice: a healthy server answers in well under one."""

CONNECT_PAUSES = (0.5, 1.0)
"""Seconds before each further try to connect. Only a failed connection is tried again: nothing was sent yet."""

GET_TIMEOUT = 10.0
"""Seconds for the small requests. Our choice."""

SEND_TIMEOUT = 30.0
"""Seconds for each piece of a question to be taken. Our choice: a question is short, a proxy may be slow."""

_HEADER_TEXT = re.compile(r"[!-~]+")
_T = TypeVar("_T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is answered by a stream of events."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


class Connection:
    """All requests under one key. Use as an async context manager."""

    def __init__(self, *, base_url: str, api_key: str) -> None:
        if not _HEADER_TEXT.fullmatch(api_key):  # an HTTP library's own complaint would repeat the key
            raise SettingsError(["DIFY_API_KEY has characters that no key has: copy it again from Dify's API page."])
        self.fingerprint = hashlib.sha256(api_key.encode()).hexdigest()[:16]
        self.address = base_url
        self.http = httpx.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(GET_TIMEOUT, connect=CONNECT_TIMEOUT),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            follow_redirects=False,
            trust_env=not is_loopback(httpx.URL(base_url).host),  # no proxy between this machine and itself
        )

    async def __aenter__(self) -> Self:
        await self.http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.__aexit__(kind, error, trace)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        patience: float = GET_TIMEOUT,
    ) -> httpx.Response:
        """A request with an answer of known length, for which `patience` seconds are waited. Raises `DifyError`."""
        timeout = httpx.Timeout(SEND_TIMEOUT, connect=CONNECT_TIMEOUT, read=patience)
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if content else {}
        response = await _connected(
            lambda: self.http.request(method, path, params=params, content=content, headers=headers, timeout=timeout)
        )
        if not response.is_success:
            raise rejection(response.status_code, response.content)
        return response

    async def stream(self, call: Call, put: Callable[[bytes], None]) -> None:
        """Hand on the bytes of a stream as they come, until it ends or breaks. Raises `DifyError` before its first."""
        await _connected(lambda: self._stream(call, put))

    async def _stream(self, call: Call, put: Callable[[bytes], None]) -> None:
        timeout = httpx.Timeout(connect=CONNECT_TIMEOUT, read=None, write=SEND_TIMEOUT, pool=None)
        content = None if call.body is None else json.dumps(call.body).encode()  # ASCII: half a surrogate pair fits in
        headers = {"Content-Type": "application/json"} if content else {}
        async with self.http.stream(
            call.method, call.path, params=call.params, content=content, headers=headers, timeout=timeout
        ) as response:
            if response.status_code != 200:
                raise rejection(response.status_code, await response.aread())
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise DifyUnreachable("What answers there is not Dify's service API: no event stream.", sent=True)
            try:
                async for chunk in response.aiter_bytes():
                    put(chunk)
            except httpx.HTTPError as exc:  # the question was accepted: an answer without its end, not a refusal
                log.warning("dify_stream_broken", error=str(exc) or type(exc).__name__)


async def _connected(send: Callable[[], Awaitable[_T]]) -> _T:
    """Only to connect is tried again: nothing was sent yet."""
    try:
        for pause in CONNECT_PAUSES:
            try:
                return await send()
            except (httpx.ConnectError, httpx.ConnectTimeout):
                await anyio.sleep(pause)
        return await send()
    except httpx.HTTPError as exc:
        nothing_sent = isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.UnsupportedProtocol)
        what = str(exc) or type(exc).__name__
        raise DifyUnreachable(f"Dify could not be reached: {what}", sent=not nothing_sent) from exc
