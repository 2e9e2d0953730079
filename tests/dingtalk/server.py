"""A small HTTP server on this machine that answers as a test tells it to, byte for byte if need be."""

import json
import socket
import struct
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import anyio
import h11
from anyio.abc import ByteStream, SocketAttribute, TaskGroup


@dataclass(frozen=True)
class Request:
    """What arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int = 200
    body: bytes = b'{"success":true,"result":true}'
    content_type: str = "application/json"


class Fault(Enum):
    """What may happen instead of an answer."""

    RESET = auto()
    """The request is read, then the connection is reset."""
    CLOSE = auto()
    """The request is read, then the connection is closed in good order."""
    SILENCE = auto()
    """The request is read, and that is all."""
    LAST_CALL = auto()
    """The connection is reset, and the server takes no further ones."""


def answer(body: object, *, status: int = 200) -> Answer:
    return Answer(status, json.dumps(body).encode())


def refusal(status: int, code: str, **more: object) -> Answer:
    """An error in DingTalk's form: keys and lower case as logged from the live service."""
    return answer({"code": code, "message": "…", "requestid": "req-1", **more}, status=status)


class Server:
    """Answers in the order given per path, the last one for ever; unknown paths get the SDK's plainest success."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.connections = 0
        self.tokens_given = 0
        self._answers: dict[str, deque[Answer | Fault]] = {}
        self._listener: Any = None
        self._accepting = anyio.CancelScope()
        self._closed = anyio.Event()

    def answers(self, path: str, *answers: Answer | Fault) -> None:
        self._answers[path] = deque(answers)

    def to(self, path: str) -> list[Request]:
        """The requests that arrived at this path."""
        return [request for request in self.requests if request.path == path]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Server"]:
        self._listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = self._listener.extra(SocketAttribute.local_port)
        self.url = f"http://127.0.0.1:{port}"
        async with self._listener, anyio.create_task_group() as tasks:
            tasks.start_soon(self._accept, tasks)
            yield self
            tasks.cancel_scope.cancel()

    async def _accept(self, tasks: TaskGroup) -> None:
        with self._accepting:
            await self._listener.serve(self._talk, tasks)
        await self._listener.aclose()
        self._closed.set()

    async def _talk(self, stream: ByteStream) -> None:
        self.connections += 1
        async with stream:
            try:
                await self._exchanges(stream)
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                return

    async def _exchanges(self, stream: ByteStream) -> None:
        while True:
            connection = h11.Connection(h11.SERVER)  # a fresh one per exchange: clients here do not pipeline
            request = await self._read(connection, stream)
            self.requests.append(request)
            match self._next(request.path):
                case Answer() as reply:
                    headers = [("content-type", reply.content_type), ("content-length", str(len(reply.body)))]
                    head = h11.Response(status_code=reply.status, headers=headers)
                    await stream.send((connection.send(head) or b"") + reply.body)
                case Fault.SILENCE:
                    await stream.receive()
                case Fault.CLOSE:
                    return
                case fault:
                    if fault is Fault.LAST_CALL:
                        self._accepting.cancel()
                        await self._closed.wait()
                    raw = stream.extra(SocketAttribute.raw_socket)
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return

    def _next(self, path: str) -> Answer | Fault:
        planned = self._answers.get(path)
        if planned:
            return planned.popleft() if len(planned) > 1 else planned[0]
        if path == "/v1.0/oauth2/accessToken":
            self.tokens_given += 1
            return answer({"accessToken": f"token-{self.tokens_given}", "expireIn": 7200})
        return Answer()

    @staticmethod
    async def _read(connection: h11.Connection, stream: ByteStream) -> Request:
        head: h11.Request | None = None
        body = b""
        while True:
            match connection.next_event():
                case h11.Request() as head:
                    pass
                case h11.Data() as data:
                    body += bytes(data.data)
                case h11.EndOfMessage():
                    assert head is not None
                    headers = {name.decode(): value.decode() for name, value in head.headers}
                    return Request(head.method.decode(), head.target.decode(), headers, body)
                case _:
                    connection.receive_data(await stream.receive())
