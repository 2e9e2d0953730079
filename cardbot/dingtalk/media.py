"""Fetches the files that people send: a code becomes an address, and the address a stream of bytes."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field

import anyio
import filetype
import httpx

from cardbot.dingtalk.hosts import download_at
from cardbot.dingtalk.openapi import OpenApi
from cardbot.errors import DingTalkRejected, FileRefused, Throttled
from cardbot.file_kinds import content_type_of, extension_for, extension_of, kind_of
from cardbot.messages import Attachment, FileKind
from cardbot.ports import Download

MB = 1024 * 1024

TIMEOUT = httpx.Timeout(connect=5.0, read=15.0, write=10.0, pool=30.0)
"""Seconds. Our choice: a store that is silent for 15 s has lost the connection; `pool` is a wait behind other calls."""

AT_ONCE = 10
"""Files that are on their way at once, for the whole bot. Our choice: a quarter of the connections to DingTalk, so that
slow files never keep cards waiting."""

PATIENCE = 10.0
"""Seconds to wait for room at the API that gives out addresses. Our choice: the person waits for the answer."""

SIMPLE_ENCODINGS = frozenset(["identity", "gzip", "deflate"])
"""Content encodings that are undone, although none was asked for. Measured: one gzip in another makes 2 GB of 2 kB, and
that before the first byte can be counted; one alone makes 64 MB at most of what is read at once."""

REDIRECTS = 2
"""Further addresses that one may lead to. Our choice: seen is none."""

HEAD = 8192
"""Bytes by which a file's type is known. Measured: as many as `filetype` looks at."""

NAME_LIMIT = 120
"""Characters of a name. Seen: Dify cuts one of more than 200 at its first dot."""

_NAMES = {FileKind.IMAGE: "picture", FileKind.AUDIO: "voice", FileKind.VIDEO: "video"}
"""What a file without a name of its own is called."""

_NOT_IN_A_NAME = re.compile(r'[\x00-\x1f\x7f/\\"]')
"""What would end a name in a header, or is refused in one by Dify."""

_NO_REAL_EXTENSIONS = frozenset(["", "file", "unknown", "bin"])
"""What DingTalk writes where it does not know. Seen: `.file` and `.unknown`."""


@dataclass(frozen=True, slots=True)
class _Body:
    """What arrives: how much it will be, and the bytes."""

    size: int
    chunks: AsyncGenerator[bytes] = field(repr=False)


class Media:
    """The files of messages, at DingTalk; implements `cardbot.ports.Files`."""

    def __init__(self, api: OpenApi, *, max_mb: int) -> None:
        """`max_mb` is what one file may weigh."""
        self._api = api
        self._max_mb = max_mb
        self._places = anyio.CapacityLimiter(AT_ONCE)

    @asynccontextmanager
    async def fetch(self, attachment: Attachment, *, robot_code: str) -> AsyncGenerator[Download]:
        """Begin to fetch a file; it can be read inside the block.

        Raises `FileRefused` if it cannot be fetched or is too large, `DingTalkError` if DingTalk cannot be asked.
        """
        place = object()  # one task may fetch several
        await self._places.acquire_on_behalf_of(place)
        try:
            async with AsyncExitStack() as stack:
                url = await self._address(attachment, robot_code=robot_code)
                response = await self._open(url, stack)
                body = await self._body(response)
                rest = await stack.enter_async_context(aclosing(body.chunks))
                head = b""
                while len(head) < HEAD and (chunk := await anext(rest, b"")):
                    head += chunk
                name = _name(attachment, head, response.headers.get("content-type", ""))
                chunks = await stack.enter_async_context(aclosing(_again(head, rest)))
                yield Download(name, kind_of(name), content_type_of(name), body.size, chunks)
        finally:
            self._places.release_on_behalf_of(place)

    async def _address(self, attachment: Attachment, *, robot_code: str) -> httpx.URL:
        """Where the file is. While DingTalk has no room for the call, it is made again."""
        until = anyio.current_time() + PATIENCE
        while True:
            try:
                address = await self._api.download_url(attachment.download_code, robot_code=robot_code)
                return download_at(address, endpoint=self._api.endpoint)
            except Throttled as exc:
                if anyio.current_time() + exc.retry_after > until:
                    raise
                await anyio.sleep(exc.retry_after)
            except DingTalkRejected as exc:
                if type(exc) is not DingTalkRejected:  # about the app or its calls, not about this file
                    raise
                raise FileRefused(f"DingTalk does not give out the file: {exc}", why="not_fetched") from exc

    async def _open(self, url: httpx.URL, stack: AsyncExitStack) -> httpx.Response:
        """Begin to read at the address, or where it leads to."""
        # The bytes as they are: a store that compresses them could not tell their number.
        headers = {"accept": "*/*", "accept-encoding": "identity"}
        for _ in range(1 + REDIRECTS):
            request = self._api.http.build_request("GET", url, headers=headers, timeout=TIMEOUT)
            try:
                response = await self._api.http.send(request, stream=True)
            except httpx.HTTPError as exc:
                raise _broken(url, exc) from exc
            stack.push_async_callback(response.aclose)
            if response.status_code == httpx.codes.OK:
                return response
            if not response.has_redirect_location:
                raise FileRefused(f"{url.host} answered HTTP {response.status_code}.", why="not_fetched")
            url = download_at(str(url.join(response.headers["location"])), endpoint=self._api.endpoint)
        raise FileRefused(f"{url.host} leads from one address to the next.", why="not_fetched")

    async def _body(self, response: httpx.Response) -> _Body:
        """The bytes and their number, which Dify wants to know before the first one."""
        limit = self._max_mb * MB
        told = response.headers.get("content-length", "")
        chunks = _told(response)
        if told.isdecimal() and "content-encoding" not in response.headers:
            if int(told) > limit:
                raise self._too_large()
            return _Body(int(told), chunks)
        if response.headers.get("content-encoding", "identity") not in SIMPLE_ENCODINGS:
            raise FileRefused("The file came compressed more than once.", why="not_fetched")
        content = bytearray()  # nobody has said how much it is, so it is taken in whole, up to the limit
        async with aclosing(chunks):
            async for chunk in chunks:
                content += chunk
                if len(content) > limit:
                    raise self._too_large()
        return _Body(len(content), _once(bytes(content)))

    def _too_large(self) -> FileRefused:
        message = f"The file weighs more than {self._max_mb} MB (CARDBOT_MAX_FILE_MB)."
        return FileRefused(message, why="too_large", limit=self._max_mb)


async def _told(response: httpx.Response) -> AsyncGenerator[bytes]:
    """The bytes of a response, with our error for one that breaks off: h11 knows how many there have to be."""
    try:
        async for chunk in response.aiter_bytes():
            yield chunk
    except httpx.HTTPError as exc:
        raise _broken(response.request.url, exc) from exc


async def _once(content: bytes) -> AsyncGenerator[bytes]:
    yield content


async def _again(head: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """The whole file, its first bytes having been looked at."""
    yield head
    async for chunk in rest:
        yield chunk


def _name(attachment: Attachment, head: bytes, content_type: str) -> str:
    """A name with an extension: the sender's, else what the first bytes tell, else what the store says."""
    name = _NOT_IN_A_NAME.sub("_", attachment.name).strip(" .")
    extension = extension_of(name)
    stem = name.removesuffix(name[-len(extension) - 1 :]) if extension else name
    if extension in _NO_REAL_EXTENSIONS:
        extension = _seen_in(head) or extension_for(content_type) or extension or "bin"
    return f"{(stem or _NAMES.get(attachment.kind, 'file'))[:NAME_LIMIT]}.{extension}"


def _seen_in(head: bytes) -> str:
    """The extension of files that begin like this; empty for those that begin like no other."""
    if head.startswith(b"#!AMR"):
        return "amr"  # `filetype` does not know the wide-band kind, whose sign is longer
    found = filetype.guess_extension(head) if head else None
    return str(found) if found else ""


def _broken(url: httpx.URL, exc: httpx.HTTPError) -> FileRefused:
    # Neither the address nor what httpx says of it: a signed address is as good as the file.
    return FileRefused(f"The file at {url.host} could not be read: {type(exc).__name__}.", why="not_fetched")
