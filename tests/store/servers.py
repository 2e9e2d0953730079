"""What the tests do to a Redis server: find it a port, let time pass in it, stand between it and the store."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import redis
from anyio.abc import SocketAttribute, SocketStream


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def age(url: str, seconds: float) -> None:
    """Let time pass in a Redis server: whatever it would have expired by then goes, the rest has less time left."""
    with redis.Redis.from_url(url) as client:
        for key in list(client.scan_iter()):
            left = client.pttl(key)
            if left == -1:  # never expires
                continue
            if left > seconds * 1000:
                client.pexpire(key, int(left - seconds * 1000))
            else:
                client.delete(key)


async def forward(source: SocketStream, target: SocketStream) -> None:
    async for data in source:
        await target.send(data)


@asynccontextmanager
async def relaying(handle: Callable[[SocketStream], Awaitable[None]]) -> AsyncIterator[int]:
    """Serve connections on a free port, which is yielded."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()
