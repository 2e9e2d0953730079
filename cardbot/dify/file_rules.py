"""Which files a Dify app takes along with a question. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cardbot.dify.fields import mapping, mappings, number
from cardbot.errors import FileRefused
from cardbot.file_kinds import extension_of, kind_of
from cardbot.messages import FileKind
from cardbot.ports import Download

__all__ = ["FileRules", "kind_of"]

MB = 1024 * 1024

NUMBER = 10
"""Files of one question where the app names no limit. Seen: Dify's own `WORKFLOW_FILE_UPLOAD_LIMIT`."""

_LIMITS = {
    FileKind.IMAGE: ("image_file_size_limit", 10),
    FileKind.VIDEO: ("video_file_size_limit", 100),
    FileKind.AUDIO: ("audio_file_size_limit", 50),
    FileKind.DOCUMENT: ("file_size_limit", 15),
    FileKind.CUSTOM: ("file_size_limit", 15),
}
"""MB of one file: the name in `system_parameters` and Dify's own value, for servers that do not tell. Seen: Dify's
`configs/feature`, 0.15 to 1.15."""

_UNSURE = frozenset([FileKind.DOCUMENT, FileKind.CUSTOM])
"""Kinds that Dify tells apart by how it is set up."""


@dataclass(frozen=True, slots=True)
class FileRules:
    """What `GET /parameters` says about files. No kinds and no extensions: the app takes all of them."""

    enabled: bool = False
    kinds: frozenset[str] = frozenset()
    extensions: frozenset[str] = frozenset()
    """Those that the app has named itself, for the kind `custom`: in small letters, without a dot."""
    number: int = 0
    """How many files one question may carry; 0 where it may carry none."""
    limits: Mapping[FileKind, int] = field(default_factory=dict)
    """MB of one file."""

    @classmethod
    def from_parameters(cls, body: Mapping[str, Any]) -> "FileRules":
        """The rules of uploads or, where these are off, of the first input that is a file."""
        limits = {
            kind: number(mapping(body, "system_parameters"), name) or usual for kind, (name, usual) in _LIMITS.items()
        }
        uploads = mapping(body, "file_upload")
        image = mapping(uploads, "image")
        # Before 0.15 there were pictures only, and nothing but their own switch.
        if uploads.get("enabled", image.get("enabled")) is True:
            most = number(uploads, "number_limits") or number(image, "number_limits") or NUMBER
            kinds = _words(uploads, "allowed_file_types")
            if not kinds and "allowed_file_types" not in uploads and image:
                kinds = frozenset([FileKind.IMAGE.value])
            return cls(True, kinds, _extensions(uploads), most, limits)
        for entry in mappings(body, "user_input_form"):
            for kind, most in (("file", 1), ("file-list", number(mapping(entry, "file-list"), "max_length") or NUMBER)):
                if declared := mapping(entry, kind):
                    kinds = _words(declared, "allowed_file_types")
                    return cls(True, kinds, _extensions(declared), most, limits)
        return cls(limits=limits)

    def check(self, file: Download) -> FileKind:
        """The kind under which the app takes this file; a question has to name it. Raises `FileRefused`."""
        if not self.enabled:
            raise FileRefused("The Dify app takes no files.", why="no_uploads")
        kind = self._kind(file.name)
        limit = self.limits.get(kind_of(file.name), 0)  # by the extension alone, whatever the app allows
        if limit and file.size > limit * MB:
            raise FileRefused(f"Dify takes {kind} files of up to {limit} MB.", why="too_large", limit=limit)
        return kind

    def _kind(self, name: str) -> FileKind:
        kind = kind_of(name)
        named = extension_of(name) in self.extensions
        if named and (kind in _UNSURE or kind not in self.kinds):
            return FileKind.CUSTOM
        if kind in self.kinds or not (self.kinds or self.extensions):
            return kind
        taken = ", ".join(sorted({*self.kinds, *self.extensions}))
        raise FileRefused(f"The Dify app takes {taken}, no {kind} (.{extension_of(name)}).", why="wrong_type")


def _words(body: Mapping[str, Any], name: str) -> frozenset[str]:
    values = body.get(name)
    return frozenset(value for value in values if isinstance(value, str)) if isinstance(values, list) else frozenset()


def _extensions(body: Mapping[str, Any]) -> frozenset[str]:
    """Seen: with a dot and without, in either case. They count only where `custom` is among the kinds."""
    if FileKind.CUSTOM not in _words(body, "allowed_file_types"):
        return frozenset()
    return frozenset(word.lower().removeprefix(".") for word in _words(body, "allowed_file_extensions"))
