"""Files of Dify's as links that people can open. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from cardbot.dify.fields import text
from cardbot.events import FileProduced

FILE_MARK = "dify_model_identity"
"""The field by which Dify marks a file in its JSON. Seen: 0.15.8."""

_OWN = "](/files/"
"""How the address of a file of Dify's begins that a text links without a host."""

_MARKS_OF_MARKDOWN = re.compile(r"([\\\[\]])")
_ENDS_AN_ADDRESS = str.maketrans({" ": "%20", "(": "%28", ")": "%29", "<": "%3C", ">": "%3E", "\n": "", "\r": ""})


def absolute(url: str, base: str) -> str:
    """The address with its host. Where an administrator has not set FILES_URL, which is so by default, Dify leaves its
    own host out (seen: github.com/langgenius/dify/issues/22552)."""
    try:
        return urljoin(base, url) if url else ""
    except ValueError:  # no address at all, such as `//[`
        return url


def with_hosts(text: str, base: str) -> str:
    """The text, whose links to Dify's own files have their host."""
    return text.replace(_OWN, f"]({absolute('/files/', base)}") if base else text


def settled(text: str) -> str:
    """As much of a text that grows as `with_hosts` will not change: not what may become such an address."""
    held = next((size for size in range(len(_OWN) - 1, 0, -1) if text.endswith(_OWN[:size])), 0)
    return text[: len(text) - held]


def link(file: FileProduced) -> str:
    """The file in markdown: a picture shows, any other file can be clicked."""
    name = _MARKS_OF_MARKDOWN.sub(r"\\\1", " ".join((file.name or _name_in(file.url) or file.type or "file").split()))
    return f"{'!' if file.type == 'image' else ''}[{name}]({file.url.translate(_ENDS_AN_ADDRESS)})"


def identity(url: str) -> str:
    """What names the file itself. Dify signs its own addresses anew each time it tells one."""
    path = _path(url)
    return path if "/files/" in path else url


def files_in(value: object, base: str) -> Iterator[FileProduced]:
    """The files in an output: it may be one, or a list of some."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict) and FILE_MARK in item:
            yield _file(item, base)


def _file(file: Mapping[str, Any], base: str) -> FileProduced:
    url = absolute(text(file, "remote_url") or text(file, "url"), base)
    return FileProduced(identity(url), text(file, "type"), url, "assistant", name=text(file, "filename"))


def _name_in(url: str) -> str:
    name = unquote(_path(url).rpartition("/")[2])
    return name if "." in name else ""


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:  # as `absolute`
        return url
