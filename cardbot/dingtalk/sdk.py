"""The official SDK's clients on one pooled HTTP client.

The SDK knows which method and path a call has and which fields its body may hold. Its own transport, though, opens a
new TCP and TLS connection for each call, building an SSL context each time (measured 2026-11 with CPython 3.11: 36 ms
of CPU per call on the event loop, against 0.65 ms pooled), and talks plain HTTP unless told otherwise. So
`execute_async`, through which every generated method goes, is replaced. The signatures are the SDK's.
"""

import json
import logging
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import anyio
import httpx
from alibabacloud_dingtalk.card_1_0.client import Client as _GeneratedCardClient
from alibabacloud_dingtalk.oauth2_1_0.client import Client as _GeneratedOAuthClient
from alibabacloud_dingtalk.robot_1_0.client import Client as _GeneratedRobotClient
from alibabacloud_tea_openapi.models import Config

from cardbot import __version__
from cardbot.dingtalk.refusals import answer_of_api
from cardbot.errors import DingTalkUnreachable
from cardbot.forms import is_loopback

TIMEOUT = httpx.Timeout(connect=5.0, read=10.0, write=10.0, pool=10.0)
"""Seconds. DingTalk's gateway answers 504 after 3 s (documented: open.dingtalk.com, error codes, read 2026-11), so
10 s without a byte is a dead connection. Our choice: the SDK's own values."""

DEADLINE = 30.0
"""Seconds for one call altogether, a slow drip of bytes included. Our choice: the sum of the above, rounded down."""

LIMITS = httpx.Limits(max_connections=40, max_keepalive_connections=20, keepalive_expiry=30.0)
"""Our choice: 20 calls a second of 1 s each, twice; as many are kept as a busy second begins at once. Idle connections
are closed after 30 s, before the other side is likely to."""

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""What httpx raises before the first byte of a request is written."""

for _name in ("darabonba-core", "alibabacloud-tea", "credentials"):
    # The SDK's packages set these to DEBUG or INFO on import and write to stderr, past the program's own logging.
    logging.getLogger(_name).handlers.clear()
    logging.getLogger(_name).setLevel(logging.WARNING)
# httpx logs each URL at INFO, and the URL of a session webhook is as good as a password.
logging.getLogger("httpx").setLevel(logging.WARNING)


def pooled_client(endpoint: httpx.URL, *, timeout: httpx.Timeout) -> httpx.AsyncClient:
    """The HTTP client for all calls. It adds no token by itself, follows no redirect and keeps no cookie."""
    client = httpx.AsyncClient(
        timeout=timeout,
        limits=LIMITS,
        headers={"accept": "application/json", "user-agent": f"cardbot/{__version__}"},
        follow_redirects=False,
        trust_env=not is_loopback(endpoint.host),  # no proxy between this machine and itself
    )
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return client


def encoded(body: Any) -> bytes:
    """The body as it goes over the wire. Half a surrogate pair, which UTF-8 cannot carry, becomes a question mark."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


async def exchange(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """Send one request and read the whole answer. Raises `DingTalkUnreachable` if there is none."""
    try:
        with anyio.fail_after(DEADLINE):
            return await client.send(request)
    except (httpx.RequestError, TimeoutError) as exc:
        raise DingTalkUnreachable(
            f"{request.method} {request.url.netloc.decode()}{request.url.path} got no answer: {type(exc).__name__}."
        ) from exc


def was_never_sent(error: DingTalkUnreachable) -> bool:
    """Whether DingTalk cannot have seen the request that ended with this error."""
    return isinstance(error.__cause__, NEVER_SENT)


class _Pooled:
    """Replaces the transport of a generated client."""

    def __init__(self, http: httpx.AsyncClient, endpoint: httpx.URL) -> None:
        super().__init__(Config(protocol=endpoint.scheme, endpoint=endpoint.netloc.decode()))  # type: ignore[call-arg]  # the generated client's
        self._http = http
        self._base = str(endpoint)
        self._urls: dict[str, httpx.URL] = {}

    async def execute_async(self, params: Any, request: Any, _runtime: Any) -> dict[str, Any]:
        """Send what a generated method has prepared; return what it expects to build its response from."""
        content = encoded(request.body)
        response = await exchange(
            self._http,
            self._http.build_request(
                params.method,
                self._url(params.pathname),
                params=request.query or None,
                headers={**request.headers, "content-type": "application/json; charset=utf-8"},
                content=content,
            ),
        )
        return {"headers": {}, "statusCode": response.status_code, "body": answer_of_api(response)}

    def _url(self, path: str) -> httpx.URL:
        """The parsed URL of a call; there are few, and parsing costs as much as the rest of a request."""
        if path not in self._urls:
            self._urls[path] = httpx.URL(self._base + path)
        return self._urls[path]


class CardClient(_Pooled, _GeneratedCardClient):  # type: ignore[misc]  # the SDK has no types
    """Cards: create, deliver, update, stream."""


class RobotClient(_Pooled, _GeneratedRobotClient):  # type: ignore[misc]  # the SDK has no types
    """What the robot says and receives."""


class OAuthClient(_Pooled, _GeneratedOAuthClient):  # type: ignore[misc]  # the SDK has no types
    """Access tokens."""
