"""The long connection over which DingTalk pushes messages (Stream mode). asyncio only, as `websockets` is.

The official SDK gives the frames; the loop is ours, because the SDK's blocks while it opens, swallows cancellation,
logs the ticket, waits 10 s after each drop and does not notice a socket that is open but dead.
"""

import json
import logging
import math
import random
import socket
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import anyio
import httpx
import structlog
import websockets
from dingtalk_stream.frames import AckMessage, CallbackMessage, EventMessage, SystemMessage
from websockets.asyncio.client import ClientConnection, connect

from cardbot import __version__
from cardbot.dingtalk.frames import Frame, acknowledgement, parse
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
from cardbot.settings import is_loopback

OPEN_PATH = "/v1.0/gateway/connections/open"

SILENCE = 75.0
"""Seconds without a frame after which the connection is dead, however open its socket. Seen: DingTalk itself pings
every 20 to 30 s; an answer to a websocket ping is no proof that anything is still delivered."""

FAREWELL = 12.0
"""Seconds that an old connection is still read after `disconnect`. Documented: DingTalk cuts it after about 10."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between which the pauses lie before trying to connect again: doubled each time, with jitter. Our choice, as
the official connector's."""

HEALTHY = 60.0
"""Seconds a connection must have lasted for the pauses to begin anew."""

OPEN_TIMEOUT = 10.0
"""Seconds for the websocket's handshake. Our choice."""

ACK_TIMEOUT = 2.0
"""Seconds for sending one acknowledgement. Seen: DingTalk waits about as long before it pushes a message again."""

CLOSE_TIMEOUT = 1.0
"""Seconds for the closing handshake. Our choice: courtesy, which a dead connection must not turn into waiting."""

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
        silence: float = SILENCE,
        farewell: float = FAREWELL,
        first_pause: float = FIRST_PAUSE,
        longest_pause: float = LONGEST_PAUSE,
        healthy: float = HEALTHY,
    ) -> None:
        self._http = http
        self._endpoint = endpoint
        self._client_id = client_id
        self._client_secret = client_secret
        self._receivers = receivers
        self._silence = silence
        self._farewell = farewell
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._healthy = healthy
        self._was_connected = False
        self._failures = 0

    async def run(self) -> None:
        """Stay connected until cancelled.

        Raises `InvalidCredentials`, or another `DingTalkRejected`, if DingTalk refuses the very first connection: then
        the configuration is wrong. Whatever happens later is retried.
        """
        connection = await self._connection()  # before the task group, which would wrap a refusal
        hasty = False
        async with anyio.create_task_group() as tasks:
            while True:
                began = anyio.current_time()
                served = _Served()
                tasks.start_soon(self._serve, connection, served)
                await served.over.wait()
                # The old connection may still be read: its successor is to be up before it goes.
                lasted = anyio.current_time() - began
                hasty, was_hasty = served.announced and lasted < self._first_pause, hasty
                if served.announced and not (hasty and was_hasty):
                    self._failures = 0  # nothing is pushed in between, so the successor is wanted at once
                else:
                    self._failures = 0 if lasted >= self._healthy else self._failures + 1
                connection = await self._connection()

    async def _connection(self) -> ClientConnection:
        """A new connection, after as many tries as it takes."""
        while True:
            if self._failures:
                await anyio.sleep(_pause(self._failures, first=self._first_pause, longest=self._longest_pause))
            try:
                connection = await self._connect()
            except DingTalkError as exc:
                if not self._was_connected and isinstance(exc, DingTalkRejected) and _is_final(exc):
                    raise _blamed(exc) from None
                log.warning("stream_not_connected", error=str(exc), endpoint=str(self._endpoint))
                self._failures += 1
            else:
                self._was_connected = True
                log.info("stream_connected")
                return connection

    async def _connect(self) -> ClientConnection:
        request = self._http.build_request(
            "POST",
            self._endpoint.join(OPEN_PATH),
            json={
                "clientId": self._client_id,
                "clientSecret": self._client_secret,
                "subscriptions": [{"type": CallbackMessage.TYPE, "topic": topic} for topic in self._receivers],
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

    async def _serve(self, connection: ClientConnection, served: "_Served") -> None:
        """Read one connection to its end, and say when another one should take over."""
        leave_at = math.inf
        try:
            while True:
                with anyio.fail_after(min(self._silence, leave_at - anyio.current_time())):
                    raw = await connection.recv()
                if await self._frame(connection, raw) == SystemMessage.TOPIC_DISCONNECT and not served.announced:
                    log.info("stream_disconnect_announced")
                    leave_at = anyio.current_time() + self._farewell
                    served.announced = True
                    served.over.set()
        except TimeoutError:
            if not served.announced:
                log.warning("stream_silent", seconds=self._silence)
        except websockets.ConnectionClosed as exc:
            log.info("stream_closed", reason=str(exc))
        finally:
            served.over.set()
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await connection.close()
            connection.transport.abort()  # nothing but a dead peer still has it open

    async def _frame(self, connection: ClientConnection, raw: str | bytes) -> str:
        """Acknowledge one frame, then hand on what it holds. Returns the topic if it is a `SYSTEM` frame."""
        try:
            frame = parse(raw)
        except (ValueError, RecursionError) as exc:
            log.warning("stream_frame_malformed", error=str(exc), size=len(raw))
            return ""
        code = AckMessage.STATUS_OK
        match frame.kind:
            case SystemMessage.TYPE:
                if frame.topic == SystemMessage.TOPIC_DISCONNECT:
                    return frame.topic  # documented: needs no answer
                data = frame.data  # documented: `ping` wants its own data back
            case EventMessage.TYPE:
                data = json.dumps({"status": "SUCCESS"})
            case _:
                data = json.dumps({"response": None})
                if frame.topic not in self._receivers:
                    log.warning("stream_topic_unknown", topic=frame.topic)
                    code = AckMessage.STATUS_NOT_IMPLEMENT
        if not frame.message_id:
            log.warning("stream_frame_malformed", error="no messageId", size=len(raw))
        else:
            await _acknowledge(connection, frame.message_id, code, data)
        if frame.kind == CallbackMessage.TYPE and frame.topic in self._receivers:
            self._hand_on(frame)
        return frame.topic if frame.kind == SystemMessage.TYPE else ""

    def _hand_on(self, frame: Frame) -> None:
        """Give the data to its receiver."""
        try:
            data = json.loads(frame.data)
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            log.error("stream_data_unreadable", topic=frame.topic, frame=frame.message_id, size=len(frame.data))
            return
        try:
            self._receivers[frame.topic](frame.message_id, data)
        except Exception:  # one message's failure must not end the connection, which is everybody's
            log.exception("stream_receiver_failed", topic=frame.topic, frame=frame.message_id)


class _Served:
    """How far one connection is."""

    def __init__(self) -> None:
        self.over = anyio.Event()
        """A successor is wanted."""
        self.announced = False
        """DingTalk itself said that it will close, and pushes nothing more here."""


async def _acknowledge(connection: ClientConnection, message_id: str, code: int, data: str) -> None:
    """Say that a frame arrived. If that fails the message is worked on none the less: whether DingTalk would push it
    again is disputed, and if it does, it is recognised."""
    try:
        with anyio.fail_after(ACK_TIMEOUT):
            await connection.send(acknowledgement(message_id, code, data))
    except (TimeoutError, websockets.ConnectionClosed) as exc:
        log.warning("stream_not_acknowledged", frame=message_id, error=type(exc).__name__)


def _is_final(error: DingTalkRejected) -> bool:
    """Whether trying again is useless: DingTalk, and not some gateway before it, understood and said no."""
    return bool(error.code) and error.status < 500 and not isinstance(error, Throttled | QuotaExhausted)


def _blamed(error: DingTalkRejected) -> DingTalkRejected:
    """What is wrong with the configuration. Seen for a wrong secret: 401 with the code `authFailed`; documented: 400
    for it, for an app that is not published and for one without Stream mode."""
    if isinstance(error, InvalidCredentials | PermissionDenied):
        return error
    return InvalidCredentials(
        f"{error} Check DINGTALK_CLIENT_ID and DINGTALK_CLIENT_SECRET, and that the app is published and its robot set"
        " to Stream mode.",
        status=error.status,
        code=error.code,
        request_id=error.request_id,
    )


def _pause(failures: int, *, first: float, longest: float) -> float:
    """Seconds to wait: doubled with each failure, between half and all of it, so that replicas spread out."""
    whole: float = min(longest, first * 2 ** min(failures, 10))
    return whole * random.uniform(0.5, 1.0)


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
