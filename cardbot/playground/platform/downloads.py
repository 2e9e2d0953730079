"""Files that people sent: a code becomes an address for a while, and the address gives out the bytes.

documented: open.dingtalk.com download-the-file-content-of-the-robot-receiving-message, read 2026-11. seen: the address
is signed, leads to an object store, and takes no token.
"""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from urllib.parse import quote

from cardbot.playground.http import Cut, Response, Stream
from cardbot.playground.platform.endpoint import Endpoint, Incoming, Refused

CHUNK = 16 * 1024
"""Bytes of each piece of a file. Our choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How the object store gives out a file.

    Args:
        content_type: What it says the file is. seen: this one, for most.
        told: Whether it says how long the file is.
        pause: Seconds before each piece.
        dies_after: Bytes after which the connection ends; None: it does not.
        endless: More and more bytes come; only without a length.
        status: Of the answer; another one than 200 gives out nothing.
        encoding: The content encoding that it names, of a file that is encoded so; empty: none.
        redirect: Another address that it answers with, status 302.
    """

    content_type: str = "application/octet-stream"
    told: bool = True
    pause: float = 0.0
    dies_after: int | None = None
    endless: bool = False
    status: int = 200
    encoding: str = ""
    redirect: str = ""


class Downloads:
    """Gives out what was sent to the robot.

    `once` makes each code good for one address. Whether the real ones are is not published.
    """

    def __init__(self, *, robot_code: str) -> None:
        self.url = ""
        self.files: dict[str, bytes] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.once = False
        self._robot_code = robot_code
        self._used: set[str] = set()
        self._signed: dict[str, str] = {}

    def endpoints(self) -> dict[str, Endpoint]:
        """What is served here, by method and path."""
        return {
            "POST /v1.0/robot/messageFiles/download": Endpoint(self._sign),
            "GET /files": Endpoint(self._give, "legacy"),
        }

    def _sign(self, call: Incoming) -> Response:
        code = call.body.get("downloadCode")
        if call.body.get("robotCode") != self._robot_code:
            raise Refused(400, "invalidParameter.robotCode.auth", "robotCode is not the app's")
        if not isinstance(code, str) or code not in self.files or (self.once and code in self._used):
            # The real code is not published; ours follows the other ones.
            raise Refused(400, "invalidParameter.downloadCode", "downloadCode is unknown or expired")
        self._used.add(code)
        # A `+`, a `/` and a `=`: who writes the address anew in another way breaks the signature.
        signature = f"{uuid.uuid4().hex}+/="
        self._signed[signature] = code
        query = f"code={quote(code, safe='')}&x-oss-signature={quote(signature, safe='')}"
        return Response.json({"downloadUrl": f"{self.url}/files?{query}"})

    def _give(self, call: Incoming) -> Response | Stream:
        code = call.query.get("code", "")
        if self._signed.get(call.query.get("x-oss-signature", "")) != code or code not in self.files:
            return _error(403, "SignatureDoesNotMatch")
        content, delivery = self.files[code], self.deliveries.get(code, Delivery())
        if delivery.redirect:
            return Response(302, b"", (("Location", delivery.redirect),))
        if delivery.status != 200:
            return _error(delivery.status, "AccessDenied")
        headers = [("Content-Type", delivery.content_type)]
        if delivery.encoding:
            headers.append(("Content-Encoding", delivery.encoding))
        if delivery.told:
            headers.append(("Content-Length", str(len(content))))
        return Stream(200, tuple(headers), _pieces(content, delivery))


async def _pieces(content: bytes, delivery: Delivery) -> AsyncGenerator[bytes, None]:
    end = len(content) if delivery.dies_after is None else delivery.dies_after
    for start in range(0, end, CHUNK):
        await asyncio.sleep(delivery.pause)
        yield content[start : min(end, start + CHUNK)]
    if delivery.dies_after is not None:
        raise Cut
    while delivery.endless:
        await asyncio.sleep(delivery.pause)
        yield bytes(CHUNK)


def _error(status: int, code: str) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n  <Code>{code}</Code>\n</Error>\n'
    return Response(status, body.encode(), (("Content-Type", "application/xml"),))
