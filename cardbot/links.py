"""Files of an answer as links that people can open. Pure."""

import re
from urllib.parse import unquote, urljoin, urlsplit

from cardbot.events import FileProduced

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
    """The text, whose links to Dify's own files have their host. Most have none: this is asked with every event."""
    return text.replace(_OWN, f"]({absolute('/files/', base)}") if base and _OWN in text else text


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


def _name_in(url: str) -> str:
    name = unquote(_path(url).rpartition("/")[2])
    return name if "." in name else ""


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:  # as `absolute`
        return url
