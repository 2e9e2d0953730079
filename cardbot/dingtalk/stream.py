"""The long connection over which DingTalk pushes messages (Stream mode). asyncio only, as `websockets` is.

The official SDK gives the frames; the loop is ours, because the SDK's blocks while it opens, swallows cancellation,
logs the ticket, waits 10 s after each drop and does not notice a socket that is open but dead.
"""

import json
import logging
import random
import socket
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import anyio
import httpx
import structlog
import websockets
from dingtalk_stream.frames import AckMessage, CallbackMessage, EventMessage, Headers, SystemMessage
from websockets.asyncio.client import ClientConnection, connect

from cardbot import __version__
from cardbot.dingtalk.refusals import answer_of_api
from cardbot.dingtalk.sdk import exchange
from cardbot.errors import (
    CardbotError,
    DingTalkError,
    DingTalkRejected,
    DingTalkUnreachable,
    InvalidCredentials,
    Throttled,
)

OPEN_PATH = "/v1.0/gateway/connections/open"

SILENCE = 75.0
"""Seconds without a frame after which the connection is dead, however open its socket. Seen: DingTalk itself pings
every 20 to 30 s; an answer to a websocket ping is no proof that anything is still delivered."""

FAREWELL = 12.0
"""Seconds that an old connection is still read after `disconnect`. Documented: DingTalk cuts it after about 10."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds before trying to connect again: doubled each time, with jitter. Our choice, as the official connector's."""

HEALTHY = 60.0
"""Seconds a connection must have lasted for the pauses to begin anew."""

OPEN_TIMEOUT = 10.0
"""Seconds for the websocket's handshake, and for sending one acknowledgement. Our choice."""

FRAME_LIMIT = 4 * 1024 * 1024
"""Bytes of one frame. Our choice: seen are 256 KiB in another SDK, and messages of up to 1 MB of text."""

log = structlog.get_logger(__name__)

Receiver = Callable[[str, Mapping[str, Any]], None]
"""Takes the frame's message id and its data. Called after the acknowledgement went out; must not wait."""

# websockets logs the address it connects to, ticket included, when the root logger is at DEBUG.
_quiet = logging.getLogger(f"{__name__}.websocket")
_quiet.setLevel(logging.WARNING)


class Stream:
    """Keeps one app connected. `receivers` names, by topic, who takes the pushed data."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        endpoint: httpx.URL,
        client_id: str,
        client_secret: str,
        receivers: Mapping[str, Receiver],
    ) -> None:
        self._http = http
        self._endpoint = endpoint
        self._client_id = client_id
        self._client_secret = client_secret
        self._receivers = receivers
        self._was_connected = False
        self._local_ip = "127.0.0.1"

    async def run(self) -> None:
        """Stay connected until cancelled.

        Raises `InvalidCredentials` or `DingTalkRejected` if DingTalk refuses the very first connection: then the
        configuration is wrong. Whatever happens later is retried.
        """
        self._local_ip = await anyio.to_thread.run_sync(_local_ip)
        failures = 0
        async with anyio.create_task_group() as tasks:
            while True:
                began = anyio.current_time()
                enough = HEALTHY
                try:
                    connection = await self._connect()
                except DingTalkError as exc:
                    if not self._was_connected and _is_final(exc):
                        raise
                    log.warning("stream_not_connected", error=str(exc))
                else:
                    self._was_connected = True
                    log.info("stream_connected")
                    served = _Served()
                    tasks.start_soon(self._serve, connection, served)
                    await served.over.wait()
                    # The old connection may still be read: its successor is to be up before it goes.
                    if served.announced:
                        enough = FIRST_PAUSE
                failures = 0 if anyio.current_time() - began >= enough else failures + 1
                if failures:
                    await anyio.sleep(_pause(failures))

    async def _connect(self) -> ClientConnection:
        request = self._http.build_request(
            "POST",
            self._endpoint.join(OPEN_PATH),
            json={
                "clientId": self._client_id,
                "clientSecret": self._client_secret,
                "subscriptions": [{"type": "CALLBACK", "topic": topic} for topic in self._receivers],
                "ua": f"cardbot/{__version__}",
                "localIp": self._local_ip,
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
            )
        except (OSError, TimeoutError, websockets.WebSocketException) as exc:
            raise DingTalkUnreachable(f"The websocket could not be opened: {type(exc).__name__}.") from exc

    async def _serve(self, connection: ClientConnection, served: "_Served") -> None:
        """Read one connection to its end, and say when another one should take over."""
        patience = SILENCE
        try:
            while True:
                with anyio.fail_after(patience):
                    raw = await connection.recv()
                if await self._frame(connection, raw) == SystemMessage.TOPIC_DISCONNECT:
                    log.info("stream_disconnect_announced")
                    patience = FAREWELL
                    served.announced = True
                    served.over.set()
        except TimeoutError:
            if not served.announced:
                log.warning("stream_silent", seconds=SILENCE)
        except websockets.ConnectionClosed as exc:
            log.info("stream_closed", code=exc.rcvd.code if exc.rcvd else None)
        finally:
            served.over.set()
            with anyio.move_on_after(1.0, shield=True):
                await connection.close()

    async def _frame(self, connection: ClientConnection, raw: str | bytes) -> str:
        """Acknowledge one frame, then hand on what it holds. Returns its topic."""
        try:
            frame = _parse(raw)
        except (ValueError, AttributeError, TypeError) as exc:
            log.warning("stream_frame_malformed", error=str(exc), size=len(raw))
            return ""
        topic = str(frame.headers.topic or "")
        receiver = None
        match frame:
            case SystemMessage():
                code, data = AckMessage.STATUS_OK, frame.data
            case EventMessage():
                code, data = AckMessage.STATUS_OK, {"status": "SUCCESS"}
            case _:
                receiver = self._receivers.get(topic)
                code = AckMessage.STATUS_OK if receiver else AckMessage.STATUS_NOT_IMPLEMENT
                data = {"response": None}
        if topic == SystemMessage.TOPIC_DISCONNECT:
            return topic  # documented: needs no answer
        with anyio.fail_after(OPEN_TIMEOUT):
            await connection.send(_ack(frame.headers.message_id, code, data))
        if receiver is not None:
            receiver(str(frame.headers.message_id), frame.data)
        elif isinstance(frame, CallbackMessage):
            log.warning("stream_topic_unknown", topic=topic)
        return topic


class _Served:
    """How far one connection is."""

    def __init__(self) -> None:
        self.over = anyio.Event()
        """A successor is wanted."""
        self.announced = False
        """DingTalk itself said that it will close, and pushes nothing more here."""


def _parse(raw: str | bytes) -> SystemMessage | EventMessage | CallbackMessage:
    body = json.loads(raw)
    kinds = {kind.TYPE: kind for kind in (SystemMessage, EventMessage, CallbackMessage)}
    kind = kinds.get(body.get("type"))
    if kind is None:
        raise ValueError(f"unknown type {body.get('type')!r}")
    return kind.from_dict(body)


def _ack(message_id: str, code: int, data: Any) -> str:
    ack = AckMessage()
    ack.code = code
    ack.message = "OK" if code == AckMessage.STATUS_OK else "not implemented"
    ack.headers.message_id = message_id
    ack.headers.content_type = Headers.CONTENT_TYPE_APPLICATION_JSON
    ack.data = data
    return json.dumps(ack.to_dict(), ensure_ascii=False)


def _is_final(error: CardbotError) -> bool:
    """Whether trying again is useless: DingTalk understood and said no."""
    return isinstance(error, InvalidCredentials) or (
        isinstance(error, DingTalkRejected) and not isinstance(error, Throttled) and error.status < 500
    )


def _pause(failures: int) -> float:
    """Seconds to wait: doubled with each failure, between half and all of it, so that replicas spread out."""
    longest: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 10))
    return longest * random.uniform(0.5, 1.0)


def _local_ip() -> str:
    """This machine's address, for DingTalk's records only. Blocks: it asks the resolver."""
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"
