"""Hands files to Dify: uploads for a question, and recordings to be turned into text."""

import uuid
from collections.abc import AsyncGenerator
from typing import Any

import httpx

from cardbot.dify.fields import parsed, text
from cardbot.dify.refusal import rejection
from cardbot.errors import CardbotError, DifyRejected, DifyUnreachable, FileRefused
from cardbot.messages import Upload
from cardbot.ports import Download

UPLOAD_TIMEOUT = httpx.Timeout(connect=5.0, read=60.0, write=30.0, pool=None)
"""Seconds. Our choice: after the last byte Dify puts the file into its storage, which may be far away."""

TRANSCRIBE_TIMEOUT = httpx.Timeout(connect=5.0, read=60.0, write=30.0, pool=None)
"""Seconds. Our choice: a model has heard a minute of speech by then, and the bot still waits for the file."""

_TOO_LARGE = frozenset(["file_too_large", "audio_too_large"])
_WRONG_TYPE = frozenset(["unsupported_file_type", "file_extension_blocked"])
_NOT_HEARD = frozenset(["unsupported_audio_type", "provider_not_support_speech_to_text"])
"""Dify's codes. Seen: its `controllers/service_api`, 0.15 to 1.15."""

_BLOCKED = "is not allowed for security reasons"
"""In the refusal of an extension on the server's own list, which is an `invalid_param`."""
_DEAF = "Speech to text is not enabled"
"""The refusal of an app that does not listen, which is an `invalid_param`."""


async def upload(http: httpx.AsyncClient, file: Download, user: str) -> Upload:
    """Give Dify a file for a question of this user, as it comes in: it is never in memory as a whole.

    Raises `FileRefused` if Dify does not take it or it cannot be read to its end, else a `DifyError`.
    """
    id = text(await _post(http, "files/upload", file, user, UPLOAD_TIMEOUT), "id")
    if not id:
        raise DifyUnreachable("Dify's answer to an upload holds no id.", sent=True)
    return Upload(id, file.kind)


async def transcribe(http: httpx.AsyncClient, file: Download, user: str) -> str:
    """What is said in a recording; may be empty. Raises `FileRefused` (`not_heard`) where the app cannot tell."""
    return text(await _post(http, "audio-to-text", file, user, TRANSCRIBE_TIMEOUT), "text").strip()


async def _post(
    http: httpx.AsyncClient, path: str, file: Download, user: str, patience: httpx.Timeout
) -> dict[str, Any]:
    """Send a form with the file and the user; return the JSON object that comes back."""
    boundary = uuid.uuid4().hex
    head, tail = _form(boundary, file, user)
    headers = {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        # Without it httpx would send chunks, which the WSGI servers before Dify take for an empty body.
        "Content-Length": str(len(head) + file.size + len(tail)),
    }

    async def body() -> AsyncGenerator[bytes]:
        yield head
        left = file.size
        async for chunk in file.chunks:
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
        if left:  # the HTTP library's own complaint would be no error of ours
            raise FileRefused("A file is not as long as was said.", why="not_fetched")
        yield tail

    try:
        response = await http.post(path, content=body(), headers=headers, timeout=patience)
    except httpx.HTTPError as exc:
        raise DifyUnreachable(f"Dify could not be given a file: {type(exc).__name__}", sent=True) from exc
    if not response.is_success:
        raise _refusal(response)
    answer = parsed(response.content)
    if not isinstance(answer, dict):
        raise DifyUnreachable("What answers there is not Dify's service API.", sent=True)
    return answer


def _form(boundary: str, file: Download, user: str) -> tuple[bytes, bytes]:
    """What comes before the file's bytes and after them. Documented: RFC 7578; names as in HTML."""
    name = file.name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="user"\r\n\r\n{user}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: {file.content_type}\r\n\r\n"
    )
    return head.encode("utf-8", "replace"), f"\r\n--{boundary}--\r\n".encode()


def _refusal(response: httpx.Response) -> CardbotError:
    """Why Dify, or the server before it, does not take the file."""
    error = rejection(response.status_code, response.content)
    code, detail = (error.code, error.detail) if isinstance(error, DifyRejected) else ("", "")
    if code in _TOO_LARGE or response.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:  # nginx says so in HTML
        return FileRefused(str(error), why="too_large")
    if code in _WRONG_TYPE or _BLOCKED in detail:
        return FileRefused(str(error), why="wrong_type")
    if code in _NOT_HEARD or detail.startswith(_DEAF):
        return FileRefused(str(error), why="not_heard")
    return error
