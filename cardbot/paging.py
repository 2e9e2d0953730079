"""Cuts a long markdown text into pages, each of them whole markdown.

Where a page ends depends only on the characters that fit into it. So a page that is followed by another one does not
change while the text grows.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from cardbot.render import fences, is_table_head

WEBHOOK_LIMIT = 20_000
"""UTF-8 bytes of a message through a session webhook. Documented: errcode 460101, open.dingtalk.com, read 2026-11."""

_BRIDGE_SHARE = 3
"""One part in so many of a page may repeat a fence or the head of a table. Our choice."""

_SENTENCE_ENDS = ("。", "！", "？", "；", ". ", "! ", "? ")

_JOINERS = "\u200d\ufe0e\ufe0f"
"""Zero-width joiner and variation selectors: they belong to the character before them."""


def pages(markdown: str, limit: int) -> list[str]:
    """The text as pages of at most `limit` characters; a text that fits is one page, unchanged.

    A code block or table that goes on is closed and opened again. The last page ends as the text does, so that
    `partial` and `whole` can be applied to it.
    """
    return _Cutter(markdown, limit, len, _fit_characters).pages()


def pieces(markdown: str, limit: int = WEBHOOK_LIMIT) -> list[str]:
    """The same with a limit in UTF-8 bytes."""
    return _Cutter(markdown, limit, _bytes, _fit_bytes).pages()


def parcels(markdown: str, limit: int, weight: Callable[[str], int]) -> list[str]:
    """The text in pieces whose `weight`, in bytes of the JSON that carries them, is at most `limit`.

    In JSON a quote takes two bytes and a control character six, and the text is cut by its own bytes. So it is cut
    finer until all pieces fit; nearly always the first cut does.
    """
    bytes_of_text = limit - 500  # the JSON around the text, with a title of 30 characters
    while True:
        cut = pieces(markdown, bytes_of_text)
        if all(weight(piece) <= limit for piece in cut):
            return cut
        bytes_of_text = bytes_of_text * 3 // 4


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _fit_characters(text: str, start: int, room: int) -> int:
    return min(len(text), start + room)


def _fit_bytes(text: str, start: int, room: int) -> int:
    window = text[start : start + room].encode("utf-8", "surrogatepass")
    if len(window) > room:
        while room and window[room] & 0xC0 == 0x80:  # inside a character
            room -= 1
    return start + len(window[:room].decode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class _Cutter:
    text: str
    limit: int
    size: Callable[[str], int]
    fit: Callable[[str, int, int], int]
    """Where the text ends that starts at the second argument and has the size of the third."""

    def pages(self) -> list[str]:
        done: list[str] = []
        at, head = 0, ""
        while (end := self.fit(self.text, at, self.limit - self.size(head))) < len(self.text):
            page, at, head = self._page(at, end, head)
            if page:
                done.append(page)
            if done and not self.text[at:].strip():
                return done
        return [*done, head + self.text[at:]]

    def _page(self, at: int, end: int, head: str) -> tuple[str, int, str]:
        """The page that begins at `at`, where the next one begins, and what it has to repeat."""
        cut = self._boundary(at, end)
        half = len(head) + (end - at) // 2
        while True:
            page = head + self.text[at:cut].rstrip()
            plain, fence = fences(page)
            if fence is None:
                break
            if fence.start > half:
                cut = at + fence.start - len(head) - 1  # before the block: the next page has more room for it
                continue
            closer = "\n" + fence.closer
            if self.size(page) + self.size(closer) <= self.limit:
                bare = f"{fence.indent}{fence.mark}\n"
                opener = next((line for line in (fence.opener, bare) if self._affordable(line + closer)), "")
                return page + closer, self._after(cut), opener
            room = max(0, self.limit - self.size(head) - self.size(closer))
            end = min(end - 1, self.fit(self.text, at, room))
            if end <= at + 1:
                return page, self._after(cut), ""  # a fence as long as the page
            cut = self._boundary(at, end)
        after = self._after(cut)
        if self.text[cut:after] == "\n" and self.text[after:].lstrip(" ").startswith("|"):
            start, table = _table(page, plain)
            if table and start > half:
                return page[:start].rstrip(), at + start - len(head), ""
            if table and self._affordable(table):
                return page, after, table
        return page, after, ""

    def _boundary(self, at: int, end: int) -> int:
        """The best place to end a page in the second half of what fits."""
        text, half = self.text, at + (end - at + 1) // 2
        for gap in ("\n\n", "\n\r\n", "\n"):
            if (cut := text.rfind(gap, half, end)) > at:
                return cut
        for ends in (_SENTENCE_ENDS, (" ",)):
            if (
                cut := max((found + len(e) for e in ends if (found := text.rfind(e, half, end)) >= 0), default=at)
            ) > at:
                return cut
        cut = end
        while cut > half and (unicodedata.combining(text[cut]) or text[cut] in _JOINERS or text[cut - 1] == "\u200d"):
            cut -= 1
        return max(cut, at + 1)

    def _after(self, cut: int) -> int:
        """Where the next page begins: the white space of the boundary is dropped, the indent of a line is kept."""
        blank = "\r\n" if self.text[cut] in "\r\n" else " "
        return len(self.text) - len(self.text[cut:].lstrip(blank))

    def _affordable(self, bridge: str) -> bool:
        return self.size(bridge) <= self.limit // _BRIDGE_SHARE


def _table(page: str, plain: int) -> tuple[int, str]:
    """The table that a page ends with: where it starts, and its head; no head when there is none."""
    gap = page.rfind("\n\n", plain)
    start = plain if gap < 0 else gap + 2
    lines = page[start:].split("\n")
    for header, delimiter in pairwise(lines):
        if is_table_head(header, delimiter):
            return start, f"{header}\n{delimiter}\n"
        start += len(header) + 1
    return start, ""
