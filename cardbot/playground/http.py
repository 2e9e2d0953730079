"""A loopback HTTP/1.1 server that can also misbehave.

An ASGI server cannot cut a body, reset a connection or choose the size of a chunk. Real services and the
proxies before them do all of that, so this one speaks through h11 and keeps the socket in its own hands.
It listens on 127.0.0.1 only.
"""

import asyncio
import json
import socket
import ssl
import struct
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote

import h11

HOST = "127.0.0.1"
"""The only interface. Our choice: nothing here is fit for a network."""

MAX_BODY = 32 * 1024 * 1024
"""Bytes of a request body. Our choice: above every upload limit of the services simulated on top."""

MAX_HEAD = 64 * 1024
"""Bytes of request line and headers. Our choice: h11's own 16 KiB is short for a long query."""

_LINGER_ZERO = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""`struct linger` with a timeout of 0 s: closing then sends RST. documented: socket(7), SO_LINGER."""

Headers = tuple[tuple[str, str], ...]


class Cut(Exception):
    """Raised by a handler or a stream to end the TCP connection (FIN) right here."""


class Reset(Exception):
    """Raised by a handler or a stream to reset the TCP connection (RST) right here."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, complete with its body. Header names are lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises ValueError if it is not."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of known length."""

    status: int
    body: bytes = b""
    headers: Headers = ()

    @classmethod
    def json(cls, value: object, status: int = 200, headers: Headers = ()) -> Self:
        """Compact UTF-8 JSON. A content type among `headers` wins over `application/json`."""
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        if not any(name.lower() == "content-type" for name, _ in headers):
            headers = (("Content-Type", "application/json"), *headers)
        return cls(status, body, headers)


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer in chunks: each item of `chunks` is one HTTP chunk, its end the terminating chunk.

    The headers leave at once. `chunks` may raise `Cut` or `Reset`, and is closed when the client goes away.
    """

    status: int
    headers: Headers
    chunks: AsyncIterator[bytes]


Handler = Callable[[Request], Awaitable[Response | Stream]]


class LoopbackServer:
    """Serves `handler` on a port of 127.0.0.1 for as long as the `async with` block runs.

    A bug in the handler answers 500 and is raised again at the end of the block, so that a test fails loudly.
    A handler whose client goes away is cancelled.
    """

    def __init__(self, handler: Handler, port: int = 0, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._port = port
        self._ssl_context = ssl_context
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._bugs: list[Exception] = []

    @property
    def url(self) -> str:
        """Scheme, host and port, without a trailing slash."""
        if self._server is None:
            raise RuntimeError("LoopbackServer has no address before `async with`")
        scheme = "http" if self._ssl_context is None else "https"
        return f"{scheme}://{HOST}:{self._port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self._handler, self._connections, self._bugs),
            HOST,
            self._port,
            ssl=self._ssl_context,
            backlog=1024,
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await asyncio.gather(*[connection.close() for connection in self._connections])
        if not self._bugs:
            return
        if error is not None:
            error.add_note(f"The loopback server's handler failed too: {self._bugs!r}")
        elif len(self._bugs) == 1:
            raise self._bugs[0]
        else:
            raise ExceptionGroup("bugs in the loopback server's handler", self._bugs)


class _Connection(asyncio.Protocol):
    """One client connection: requests in, answers out, one after the other, in one task."""

    def __init__(self, handler: Handler, peers: "set[_Connection]", bugs: list[Exception]) -> None:
        self._handler = handler
        self._peers = peers
        self._bugs = bugs
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()
        self._method = ""

    # What the event loop tells us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # Hardly a buffer: a client that does not read holds the stream up, and `Reset` loses nothing.
        # Not 0: with that, asyncio's TLS transport pauses even while its buffer is empty (CPython 3.11).
        transport.set_write_buffer_limits(high=1, low=0)
        self._peers.add(self)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        self._readable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        # Also reached by a client that only half-closes: HTTP clients do not, so nobody waits for the answer.
        self._task.cancel()
        self._peers.discard(self)
        self._lost.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def close(self) -> None:
        """Stop the handler, then the connection. Returns when both are gone."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self._transport.abort()
        await self._lost.wait()

    # What we do with it.

    async def _run(self) -> None:
        try:
            while True:
                request = await self._receive()
                await self._answer(request)
                if self._http.our_state is h11.MUST_CLOSE:
                    return
                self._http.start_next_cycle()
        except Cut:
            return
        except Reset:
            await self._writable.wait()
            sock: socket.socket = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            self._transport.abort()
        except h11.RemoteProtocolError as error:
            await self._send_response(_plain(error.error_status_hint, str(error)))
        finally:
            self._transport.close()

    async def _receive(self) -> Request:
        head, body = None, bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    self._send(h11.InformationalResponse(status_code=100, headers=[]))
                self._readable.clear()
                await self._readable.wait()
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                # Read on when it is too long: a client in the middle of sending would miss the refusal.
                if len(body) <= MAX_BODY:
                    body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                if len(body) > MAX_BODY:
                    raise h11.RemoteProtocolError(f"body over {MAX_BODY} bytes", error_status_hint=413)
                self._method = head.method.decode("ascii")
                path, _, query = head.target.decode("ascii").partition("?")
                return Request(
                    method=self._method,
                    path=unquote(path),
                    query=dict(parse_qsl(query, keep_blank_values=True)),
                    headers={name.decode("ascii"): value.decode("latin-1") for name, value in head.headers},
                    body=bytes(body),
                )
            else:
                raise AssertionError(f"h11 gave {event!r} before a whole request")

    async def _answer(self, request: Request) -> None:
        try:
            answer = await self._handler(request)
            if isinstance(answer, Stream):
                await self._send_stream(answer)
            else:
                await self._send_response(answer)
        except (Cut, Reset):
            raise
        except Exception as bug:
            self._bugs.append(bug)
            if self._http.our_state is not h11.SEND_RESPONSE:
                raise Reset from bug
            await self._send_response(_plain(500, f"bug in the handler: {bug!r}"))

    async def _send_response(self, response: Response) -> None:
        headers = list(response.headers)
        if response.status not in (204, 304):
            headers.append(("Content-Length", str(len(response.body))))
        self._send(h11.Response(status_code=response.status, headers=headers))
        if self._method != "HEAD":
            self._send(h11.Data(data=response.body))
        self._send(h11.EndOfMessage())
        await self._writable.wait()

    async def _send_stream(self, stream: Stream) -> None:
        try:
            self._send(h11.Response(status_code=stream.status, headers=list(stream.headers)))
            async for chunk in stream.chunks:
                self._send(h11.Data(data=chunk))
                await self._writable.wait()
                # A stream that never waits would keep everything else waiting, its client's leaving included.
                await asyncio.sleep(0)
        finally:
            if isinstance(stream.chunks, AsyncGenerator):
                await stream.chunks.aclose()
        self._send(h11.EndOfMessage())
        await self._writable.wait()

    def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._transport.write(data)


def _plain(status: int, text: str) -> Response:
    return Response(status, text.encode(), (("Content-Type", "text/plain; charset=utf-8"),))
