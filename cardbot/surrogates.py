"""Halves of surrogate pairs: models cut emojis in two, and JSON carries the halves, but no UTF-8 does. Pure."""


def mended(text: str) -> str:
    """The text, each half of a pair in it a question mark."""
    return text.encode("utf-8", "replace").decode()
