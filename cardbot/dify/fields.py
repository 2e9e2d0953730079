"""Fields of Dify's JSON, each of which may be missing, null or of another type than documented. Pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def parsed(document: str | bytes) -> Any:
    """The JSON value, or None for what is not JSON.

    Half a surrogate pair, which JSON can spell and UTF-8 cannot, becomes U+FFFD: the text has to be sent on.
    """
    if isinstance(document, bytes):
        document = document.decode("utf-8-sig", "replace")
    try:
        value = json.loads(document)
        if r"\ud" in document or r"\uD" in document:
            utf16 = json.dumps(value, ensure_ascii=False).encode("utf-16-le", "surrogatepass")
            value = json.loads(utf16.decode("utf-16-le", "replace"))
    except (ValueError, RecursionError):  # the latter for arrays in arrays in arrays
        return None
    return value


def text(body: Mapping[str, Any], name: str) -> str:
    """The string, or an empty one."""
    value = body.get(name)
    return value if isinstance(value, str) else ""


def number(body: Mapping[str, Any], name: str) -> int:
    """The whole number, or 0."""
    value = body.get(name)
    return value if isinstance(value, int) else 0


def mapping(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object, or an empty one."""
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def mappings(body: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    """The objects in the array, if it is one."""
    value = body.get(name)
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
