"""Files of Dify's as links that people can open. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from cardbot.dify.fields import text
from cardbot.events import FileProduced

FILE_MARK = "dify_model_identity"
"""The field by which Dify marks a file in its JSON. Seen: 0.15.8."""

_MARKS_OF_MARKDOWN = re.compile(r"([\\\[\]])")
_ENDS_AN_ADDRESS = str.maketrans({" ": "%20", "(": "%28", ")": "%29", "<": "%3C", ">": "%3E", "\n": "", "\r": ""})


def absolute(url: str, base: str) -> str:
    """The address with its host. Where an administrator has not set FILES_URL, which is so by default, Dify leaves its
    own host out (seen: github.com/langgenius/dify/issues/22552)."""
    try:
        return urljoin(base, url) if url else ""
    except ValueError:  # no address at all, such as `//[`
        return url


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
