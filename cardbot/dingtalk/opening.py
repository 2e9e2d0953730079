"""Opens connections of Stream mode: DingTalk names an address and a ticket for one use, the websocket goes there."""

import logging
import socket
from collections.abc import Iterable
from urllib.parse import urlencode

import httpx
import websockets
from dingtalk_stream.frames import CallbackMessage
from websockets.asyncio.client import ClientConnection, connect

from cardbot import __version__
from cardbot.dingtalk.refusals import answer_of_api
from cardbot.dingtalk.sdk import exchange
from cardbot.errors import (
    DingTalkError,
    DingTalkRejected,
    DingTalkUnreachable,
    InvalidCredentials,
    PermissionDenied,
    QuotaExhausted,
    Throttled,
)
from cardbot.forms import is_loopback

OPEN_PATH = "/v1.0/gateway/connections/open"

OPEN_TIMEOUT = 10.0
"""Seconds for the websocket's handshake. Our choice."""

FRAME_LIMIT = 4 * 1024 * 1024
"""Bytes of one frame. Our choice: seen are 256 KiB in another SDK, and messages of up to 1 MB of text."""

# websockets logs the address it connects to, ticket included, when the root logger is at DEBUG.
_quiet = logging.getLogger(f"{__name__}.websocket")
_quiet.setLevel(logging.WARNING)


class Opening:
    """How one app asks for a connection that takes the data of `topics`."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        endpoint: httpx.URL,
        client_id: str,
        client_secret: str,
        topics: Iterable[str],
    ) -> None:
        self.endpoint = endpoint
        self._http = http
        self._client_id = client_id
        self._client_secret = client_secret
        self._topics = tuple(topics)

    async def connection(self) -> ClientConnection:
        """A new connection, by one try. Raises `DingTalkError`."""
        request = self._http.build_request(
            "POST",
            self.endpoint.join(OPEN_PATH),
            json={
                "clientId": self._client_id,
                "clientSecret": self._client_secret,
                "subscriptions": [{"type": CallbackMessage.TYPE, "topic": topic} for topic in self._topics],
                "ua": f"cardbot/{__version__}",
                "localIp": _local_ip(),
            },
        )
        answer = answer_of_api(await exchange(self._http, request))
        address, ticket = answer.get("endpoint"), answer.get("ticket")
        if not (isinstance(address, str) and isinstance(ticket, str)):
            raise DingTalkUnreachable("DingTalk opened a connection without naming its endpoint and ticket.")
        try:
            return await connect(
                f"{address}?{urlencode({'ticket': ticket})}",
                open_timeout=OPEN_TIMEOUT,
                max_size=FRAME_LIMIT,
                logger=_quiet,
                user_agent_header=f"cardbot/{__version__}",
                proxy=None if is_loopback(httpx.URL(address).host) else True,  # as for HTTP: none to the machine itself
            )
        except (OSError, TimeoutError, ValueError, httpx.InvalidURL, websockets.WebSocketException) as exc:
            # Not `from exc`: some of these quote the address, ticket included.
            raise DingTalkUnreachable(f"The websocket could not be opened: {type(exc).__name__}.") from None


def is_final(error: DingTalkError) -> bool:
    """Whether trying again is useless: DingTalk, and not some gateway before it, understood and said no."""
    return (
        isinstance(error, DingTalkRejected)
        and bool(error.code)
        and error.status < 500
        and not isinstance(error, Throttled | QuotaExhausted)
    )


def blamed(error: DingTalkError) -> DingTalkError:
    """What is wrong with the configuration. Seen for a wrong secret: 401 with the code `authFailed`; documented: 400
    for it, for an app that is not published and for one without Stream mode."""
    if not isinstance(error, DingTalkRejected) or isinstance(error, InvalidCredentials | PermissionDenied):
        return error
    return InvalidCredentials(
        f"{error} Check DINGTALK_CLIENT_ID and DINGTALK_CLIENT_SECRET, and that the app is published and its robot set"
        " to Stream mode.",
        status=error.status,
        code=error.code,
        request_id=error.request_id,
    )


def _local_ip() -> str:
    """This machine's address, for DingTalk's records only. Nothing is sent, no resolver asked: a UDP socket that is
    told where it would send to has chosen its own address."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.setblocking(False)
            udp.connect(("192.0.2.1", 9))  # set aside for documents (RFC 5737)
            return str(udp.getsockname()[0])
    except OSError:
        return "127.0.0.1"
