"""Files that are uploaded to a Dify before they are named in a question."""

import re
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from cardbot.playground.dify.checks import Refused
from cardbot.playground.dify.release import Json, Release
from cardbot.playground.http import Request

KINDS = {
    "image": ("jpg", "jpeg", "png", "webp", "gif", "svg"),
    "video": ("mp4", "mov", "mpeg", "webm"),
    "audio": ("mp3", "m4a", "wav", "amr", "mpga"),
    "document": (
        *("txt", "markdown", "md", "mdx", "pdf", "html", "htm", "xlsx", "xls", "docx", "csv", "vtt", "properties"),
    ),
}
"""Kinds of files by extension, on a server without Unstructured. seen: `api/constants`, 1.15."""

SIZE_LIMITS = {"image": 10, "video": 100, "audio": 50}
"""MB of one file; 15 for all others. seen: `api/configs/feature`, all releases."""

AUDIO_LIMIT = 30
"""MB of a recording. seen: `api/services/audio_service.py`, all releases, as are the types."""

AUDIO_TYPES = {f"audio/{name}" for name in ("mp3", "mp4", "mpeg", "mpga", "m4a", "wav", "webm", "amr")}


@dataclass(frozen=True, slots=True)
class Upload:
    """One uploaded file. It belongs to its user."""

    id: str
    user: str
    name: str
    media_type: str
    content: bytes

    @property
    def extension(self) -> str:
        """In small letters, without its dot."""
        return self.name.rpartition(".")[2].lower() if "." in self.name else ""

    @property
    def kind(self) -> str:
        """What Dify takes it for: by its extension, else by its content type."""
        words = {"image": "image", "video": "video", "audio": "audio", "text": "document", "pdf": "document"}
        by_type = next((kind for word, kind in words.items() if word in self.media_type), "custom")
        return _by_extension(self.extension) or by_type

    def row(self) -> Json:
        """The answer to the upload."""
        return {
            "id": self.id,
            "name": self.name,
            "size": len(self.content),
            "extension": self.extension,
            "mime_type": self.media_type,
            "created_by": self.user,
            "created_at": int(time.time()),
        }


def uploaded(request: Request, release: Release, *, blocked: Collection[str] = ()) -> Upload:
    """The file of a multipart request: exactly one part `file`, and a field `user`. Raises Refused."""
    parts = list(_parts(request))
    files = [(head, content) for name, head, content in parts if name == "file"]
    if not files:
        if release.old_json:
            text = "The browser (or proxy) sent a request that this server could not understand."
            raise Refused(400, "bad_request_key_error", text)
        raise Refused(400, "no_file_uploaded", "Please upload your file.")
    if len(files) > 1:
        raise Refused(400, "too_many_files", "Only one file is allowed.")
    ((head, content),) = files
    name = _found(r'\bfilename="([^"]*)"', head)
    media_type = _found(r"(?i)^content-type: *([^;\r\n]+)", head)
    if not name:
        raise Refused(400, "filename_not_exists_error", "The specified filename does not exist.")
    if not media_type:
        raise Refused(415, "unsupported_file_type", "File type not allowed.")
    if "/" in name or "\\" in name:
        raise Refused(400, "invalid_param", "Filename contains invalid characters")
    upload = Upload(
        id=str(uuid.uuid4()), user=_user(parts), name=name.replace("%22", '"'), media_type=media_type, content=content
    )
    if upload.extension in blocked:
        text = f"File extension '.{upload.extension}' is not allowed for security reasons"
        raise Refused(400, "invalid_param", text)
    limit = SIZE_LIMITS.get(_by_extension(upload.extension), 15)
    if len(content) > limit * 1024 * 1024:
        raise Refused(413, "file_too_large", "File size exceeded. {message}")  # literally so. seen: all releases
    return upload


def recording(request: Request, *, listens: bool) -> bytes:
    """What was recorded, in the form of a request for its text. Raises Refused."""
    if not listens:
        raise Refused(400, "invalid_param", "Speech to text is not enabled")
    parts = list(_parts(request))
    found = [(head, content) for name, head, content in parts if name == "file"]
    if not found:
        raise Refused(400, "no_audio_uploaded", "Please upload your audio.")
    head, content = found[0]
    if _found(r"(?i)^content-type: *([^;\r\n]+)", head) not in AUDIO_TYPES:
        raise Refused(415, "unsupported_audio_type", "Audio type not allowed.")
    if len(content) > AUDIO_LIMIT * 1024 * 1024:
        raise Refused(413, "audio_too_large", f"Audio size larger than {AUDIO_LIMIT} mb")
    return content


def check_attached(body: Json, user: str, files: Iterable[Upload], config: Json, release: Release) -> None:
    """Raise Refused unless the `files` of a question are this user's and of the kinds and number that the app takes."""
    known = {upload.id: upload for upload in files}
    named = body.get("files") or []
    for item in named:
        if item.get("transfer_method") != "local_file":
            continue
        upload = known.get(item.get("upload_file_id"))
        # 0.15.8 took a file of another user, and any type for any file. seen, as are the refusals of later ones.
        if upload is None or (upload.user != user and not release.old_json):
            raise Refused(400, "invalid_param", "Invalid upload file")
        kind = item.get("type", "custom")
        if kind != upload.kind and not release.old_json:
            text = "Detected file type does not match the specified type. Please verify the file."
            raise Refused(400, "invalid_param", text)
        kinds, extensions = config.get("allowed_file_types") or [], config.get("allowed_file_extensions") or []
        taken = f".{upload.extension}" in extensions if kind == "custom" else not kinds or kind in kinds
        if not taken:
            raise Refused(400, "invalid_param", f"File validation failed for file: {upload.name}")
    most = config.get("number_limits")
    if most and len(named) > most:
        raise Refused(400, "invalid_param", f"Number of files exceeds the maximum limit {most}")


def _user(parts: Iterable[tuple[str, str, bytes]]) -> str:
    return next((content.decode() for name, _, content in parts if name == "user"), "DEFAULT-USER")


def _by_extension(extension: str) -> str:
    return next((kind for kind, extensions in KINDS.items() if extension in extensions), "")


def _parts(request: Request) -> Iterator[tuple[str, str, bytes]]:
    """Name, head and content of each part. The e-mail parser of the standard library spoils UTF-8 file names."""
    boundary = _found(r'\bboundary="?([^";]+)', request.headers.get("content-type", ""))
    for part in (b"\r\n" + request.body).split(b"\r\n--" + boundary.encode())[1:-1]:
        raw, _, content = part.partition(b"\r\n\r\n")
        head = raw.decode()
        yield _found(r'\bname="([^"]*)"', head), head, content


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else ""
