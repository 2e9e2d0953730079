"""A server that says yes to every call at once, in a process of its own: what is left is the caller's cost.

HTTP/1.1 with keep-alive, over TLS if it is given a certificate. It counts connections, and is cheap rather than
strict: a request ends where its Content-Length says.
"""

import asyncio
import json
import ssl

from benchmarks.children import parameters, say, told

HOST = "127.0.0.1"

YES = json.dumps({"success": True, "result": True, "accessToken": "token", "expireIn": 7200}).encode()
"""Does for a card call and for the token."""

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(YES), YES)


class Yes(asyncio.Protocol):
    """One connection."""

    opened = 0

    def __init__(self) -> None:
        self._unread = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Yes.opened += 1
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (length := _request_length(self._unread)) and len(self._unread) >= length:
            del self._unread[:length]
            self._transport.write(ANSWER)


def _request_length(unread: bytes | bytearray) -> int:
    """Bytes of the first request, 0 while its head is not complete."""
    head, end, _ = bytes(unread).partition(b"\r\n\r\n")
    if not end:
        return 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(head) + len(end) + int(value)
    return len(head) + len(end)


async def main() -> None:
    """Serve until the parent has gone; tell the number of connections opened since the last time when asked."""
    certificate = parameters()["certificate"]
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(Yes, HOST, 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        say({"url": f"{'https' if certificate else 'http'}://{HOST}:{port}"})
        while await told() is not None:
            say(Yes.opened)
            Yes.opened = 0


if __name__ == "__main__":
    asyncio.run(main())
