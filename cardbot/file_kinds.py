"""What kind a file is for Dify, which looks at its name. Pure.

Seen: Dify's source, `api/constants` and `api/factories/file_factory`, 0.15 to 1.15, read 2026-11: the extension decides
and, where it is not in these lists, the content type that came with the upload.
"""

import mimetypes
import re

from cardbot.messages import FileKind

_EXTENSIONS = {
    FileKind.IMAGE: ("jpg", "jpeg", "png", "webp", "gif", "svg"),
    FileKind.VIDEO: ("mp4", "mov", "mpeg", "webm"),
    FileKind.AUDIO: ("mp3", "m4a", "wav", "amr", "mpga"),
    FileKind.DOCUMENT: (
        *("txt", "markdown", "md", "mdx", "pdf", "html", "htm", "xlsx", "xls", "docx", "csv", "vtt", "properties"),
        # Documents where Dify has an Unstructured server, of no kind elsewhere: it does not tell which.
        *("doc", "ppt", "pptx", "eml", "msg", "xml", "epub"),
    ),
}

_KINDS = {extension: kind for kind, extensions in _EXTENSIONS.items() for extension in extensions}

_CONTENT_TYPES = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "svg": "image/svg+xml",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "mpeg": "video/mpeg",
    "webm": "video/webm",
    "mp3": "audio/mpeg",
    "mpga": "audio/mpeg",
    "m4a": "audio/mp4",
    "wav": "audio/wav",  # Dify's audio-to-text takes no `audio/x-wav`
    "amr": "audio/amr",
    "ogg": "audio/ogg",
    "md": "text/markdown",
    "markdown": "text/markdown",
    "mdx": "text/markdown",
    "properties": "text/plain",
    "log": "text/plain",
}
"""Those that versions of Python know under several names, or not at all."""

_OTHERS = mimetypes.MimeTypes()  # Python's own table, whatever this machine's files say

_BY_CONTENT_TYPE = (
    ("image", FileKind.IMAGE),
    ("video", FileKind.VIDEO),
    ("audio", FileKind.AUDIO),
    ("text", FileKind.DOCUMENT),
    ("pdf", FileKind.DOCUMENT),
)

UNKNOWN = "application/octet-stream"
"""The content type of a file of which nothing is known."""


def extension_of(name: str) -> str:
    """The extension in small letters, without its dot; empty for a name that has none."""
    found = re.search(r"[^.]\.([A-Za-z0-9_]{1,10})$", name)
    return found[1].lower() if found else ""


def kind_of(name: str) -> FileKind:
    """The kind of a file with this name; `CUSTOM` for one that Dify knows no kind for."""
    if kind := _KINDS.get(extension_of(name)):
        return kind
    content_type = content_type_of(name)
    return next((kind for word, kind in _BY_CONTENT_TYPE if word in content_type), FileKind.CUSTOM)


def content_type_of(name: str) -> str:
    """What a file of this name holds, in the words of HTTP."""
    extension = extension_of(name)
    return _CONTENT_TYPES.get(extension) or _OTHERS.guess_type(f"x.{extension}")[0] or UNKNOWN


def extension_for(content_type: str) -> str:
    """The extension of files with this content type; empty where it says nothing."""
    plain = content_type.partition(";")[0].strip().lower()
    if plain == UNKNOWN:
        return ""
    known = next((extension for extension, name in _CONTENT_TYPES.items() if name == plain), "")
    return known or (_OTHERS.guess_extension(plain) or "").removeprefix(".")
