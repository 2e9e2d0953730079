"""Files that are uploaded to a Dify before they are named in a question."""

import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from cardbot.playground.dify.checks import Refused
from cardbot.playground.dify.release import Json
from cardbot.playground.http import Request


@dataclass(frozen=True, slots=True)
class Upload:
    """One uploaded file. It belongs to its user."""

    id: str
    user: str
    name: str
    media_type: str
    content: bytes

    def row(self) -> Json:
        """The answer to the upload."""
        return {
            "id": self.id,
            "name": self.name,
            "size": len(self.content),
            "extension": self.name.rpartition(".")[2] if "." in self.name else "",
            "mime_type": self.media_type,
            "created_by": self.user,
            "created_at": int(time.time()),
        }


def uploaded(request: Request) -> Upload:
    """The file of a multipart request: one part `file`, and a field `user`. Raises Refused."""
    parts = dict(_parts(request))
    if "file" not in parts:
        raise Refused(400, "no_file_uploaded", "Please upload your file.")
    head, content = parts["file"]
    _, user = parts.get("user", ("", b"DEFAULT-USER"))
    return Upload(
        id=str(uuid.uuid4()),
        user=user.decode(),
        name=_found(r'\bfilename="([^"]*)"', head),
        media_type=_found(r"(?i)^content-type: *([^;\r\n]+)", head),
        content=content,
    )


def _parts(request: Request) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """Name, head and content of each part. The e-mail parser of the standard library spoils UTF-8 file names."""
    boundary = _found(r'\bboundary="?([^";]+)', request.headers.get("content-type", ""))
    for part in (b"\r\n" + request.body).split(b"\r\n--" + boundary.encode())[1:-1]:
        raw, _, content = part.partition(b"\r\n\r\n")
        head = raw.decode()
        yield _found(r'\bname="([^"]*)"', head), (head, content)


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else ""
