"""The platform's end of Stream mode: tickets, connections, pushes and their acknowledgements.

documented: open.dingtalk.com and developerpedia, Stream mode protocol, read 2026-11. A push goes to one connection
chosen at random, never to all. Where sources disagree (redelivery), `Timing` chooses.
"""

import asyncio
import json
import logging
import random
import time
import uuid
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from cardbot.playground.http import HOST
from cardbot.playground.platform import acks
from cardbot.playground.platform.endpoint import Json
from cardbot.playground.platform.ledger import Ledger
from cardbot.playground.platform.pushes import Message, Timing

REDELIVERIES = 3
"""Times a message is pushed again. Our choice: enough to see a bot that never acknowledges."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Connection:
    id: str
    socket: ServerConnection
    topics: frozenset[str]
    routed: bool = True
    silent: bool = False


@dataclass(slots=True, eq=False)
class _Sent:
    """A frame that is to be acknowledged."""

    connection: _Connection
    topic: str
    data: Json
    message: Message | None
    at: float
    acked: bool = False


class Gateway:
    """A websocket server on a free port of the loopback interface, for as long as the `async with` block runs."""

    def __init__(self, ledger: Ledger, *, timing: Timing | None = None) -> None:
        self._ledger = ledger
        self._timing = timing or Timing()
        self._app_id = str(uuid.uuid4())
        self._port = 0
        self._tickets: dict[str, tuple[float, frozenset[str]]] = {}
        self._admitted: dict[uuid.UUID, frozenset[str]] = {}
        self._connections: list[_Connection] = []
        self._sent: dict[str, _Sent] = {}
        self._jobs: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        # No keepalive of the library's own: the protocol has SYSTEM pings, and a zombie must be able to stay silent.
        server = await self._stack.enter_async_context(
            serve(self._talk, HOST, 0, process_request=self._admit, ping_interval=None, close_timeout=1)
        )
        self._port = next(iter(server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    # Connections.

    @property
    def connections(self) -> int:
        """Connections that pushes are sent to."""
        return sum(connection.routed for connection in self._connections)

    @property
    def sockets(self) -> int:
        """Open websockets, those that get no more pushes included."""
        return len(self._connections)

    def issue_ticket(self, topics: frozenset[str]) -> Json:
        """The answer of `connections/open`: an address, and a ticket for one connection with these topics."""
        ticket = str(uuid.uuid4())
        self._tickets[ticket] = (time.monotonic(), topics)
        return {"endpoint": f"ws://{HOST}:{self._port}/connect", "ticket": ticket}

    def drop(self) -> None:
        """End every connection without a word, as a broken network does."""
        for connection in self._connections:
            connection.routed = False
            connection.socket.transport.abort()

    async def disconnect(self) -> None:
        """Ask every client to leave: no more pushes on these connections, TCP ends `Timing.cut` seconds later."""
        for connection in self._routed():
            connection.routed = False
            await self._send(connection, "SYSTEM", "disconnect", {"reason": "connection is expired"})
            self._spawn(self._cut(connection))

    def forget(self) -> None:
        """Turn every connection into a zombie: open, answering websocket pings, and nothing else ever again."""
        for connection in self._routed():
            connection.routed, connection.silent = False, True

    async def ping(self) -> None:
        """Send a SYSTEM ping on every connection now."""
        for connection in self._routed():
            await self._ping(connection)

    # Pushes.

    async def push(self, message: Message) -> None:
        """Send `message` to one connection, if there is one, and again later if `Timing.redelivery` says so."""
        self._ledger.pushes.append(message)
        await self.deliver(message)
        if self._timing.redelivery is not None:
            self._spawn(self._redeliver(message, self._timing.redelivery))

    async def deliver(self, message: Message) -> None:
        """Send `message` to one connection, if there is one."""
        listening = [connection for connection in self._routed() if message.topic in connection.topics]
        if not listening:
            _log.info("nobody listens to %s: a push is lost", message.topic)
            self._ledger.changed()
            return
        message.deliveries += 1
        message.sent_at = message.sent_at or time.monotonic()
        await self._send(random.choice(listening), "CALLBACK", message.topic, message.data, message)
        self._ledger.changed()

    async def _redeliver(self, message: Message, interval: float) -> None:
        for _ in range(REDELIVERIES):
            with suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await message.acked.wait()
                    return
            await self.deliver(message)

    # The wire.

    def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        address = urlsplit(request.path)
        if address.path != "/connect":
            return socket.respond(HTTPStatus.NOT_FOUND, "no such path\n")
        ticket = parse_qs(address.query).get("ticket", [""])[0]
        issued_at, topics = self._tickets.pop(ticket, (-float("inf"), frozenset()))
        if time.monotonic() - issued_at > self._timing.ticket:
            self._ledger.objection("connect: a ticket that is unknown, used or expired")
            return socket.respond(HTTPStatus.UNAUTHORIZED, "ticket is invalid\n")
        self._admitted[socket.id] = topics
        return None

    async def _talk(self, socket: ServerConnection) -> None:
        connection = _Connection(f"conn-{uuid.uuid4()}", socket, self._admitted.pop(socket.id))
        self._connections.append(connection)
        self._ledger.changed()
        pinging = self._spawn(self._keep_pinging(connection))
        try:
            with suppress(ConnectionClosed):
                async for text in socket:
                    self._hear(connection, text)
        finally:
            pinging.cancel()
            connection.routed = False
            self._connections.remove(connection)
            self._ledger.changed()

    async def _keep_pinging(self, connection: _Connection) -> None:
        while True:
            await asyncio.sleep(self._timing.ping)
            if not connection.routed:
                return
            await self._ping(connection)

    async def _ping(self, connection: _Connection) -> None:
        await self._send(connection, "SYSTEM", "ping", {"opaque": uuid.uuid4().hex})

    async def _cut(self, connection: _Connection) -> None:
        await asyncio.sleep(self._timing.cut)
        connection.socket.transport.abort()

    async def _send(
        self, connection: _Connection, kind: str, topic: str, data: Json, message: Message | None = None
    ) -> None:
        message_id = uuid.uuid4().hex
        frame = {
            "specVersion": "1.0",
            "type": kind,
            "headers": {
                "appId": self._app_id,
                "connectionId": connection.id,
                "contentType": "application/json",
                "messageId": message_id,
                "time": str(time.time_ns() // 1_000_000),
                "topic": topic,
            },
            "data": json.dumps(data, ensure_ascii=False),
        }
        self._sent[message_id] = _Sent(connection, topic, data, message, time.monotonic())
        if topic != "disconnect":
            asyncio.get_running_loop().call_later(self._timing.ack, self._check_acked, self._sent[message_id])
        # A connection that is gone already loses the push, as it does in life.
        with suppress(ConnectionClosed):
            await connection.socket.send(json.dumps(frame, ensure_ascii=False))

    def _check_acked(self, sent: _Sent) -> None:
        # Nobody can acknowledge over a connection that has gone away since.
        if not sent.acked and sent.connection in self._connections and not sent.connection.silent:
            self._ledger.objection(f"{sent.topic}: no ACK within {self._timing.ack} s")

    def _hear(self, connection: _Connection, text: str | bytes) -> None:
        try:
            ack = acks.parse(text)
        except acks.BadAck as bad:
            self._ledger.objection(f"ACK: {bad}")
            return
        message_id = ack["headers"]["messageId"]
        sent = self._sent.get(message_id)
        if sent is None:
            self._ledger.objection(f"ACK with unknown messageId {message_id}")
            return
        if sent.connection is not connection:
            self._ledger.objection(f"{sent.topic}: ACK on another connection than the frame's")
        if sent.acked:
            self._ledger.objection(f"{sent.topic}: ACK twice")
            return
        sent.acked = True
        now = time.monotonic()
        if now - sent.at > self._timing.ack:
            self._ledger.objection(f"{sent.topic}: ACK after {now - sent.at:.1f} s")
        for objection in acks.objections(ack, topic=sent.topic, data=sent.data):
            self._ledger.objection(f"{sent.topic}: {objection}")
        if sent.message is not None and ack["code"] == HTTPStatus.OK:
            sent.message.ack, sent.message.acked_at = ack, now
            sent.message.acked.set()
        self._ledger.changed()

    def _routed(self) -> list[_Connection]:
        return [connection for connection in self._connections if connection.routed]

    def _spawn(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # No task group: it would wrap the error of whoever uses the platform into an ExceptionGroup.
        task = asyncio.get_running_loop().create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        return task
