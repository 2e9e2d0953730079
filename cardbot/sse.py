"""Server-sent events: bytes in, events out, whatever the chunk boundaries.

After https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation (read 2026-11), with
one deviation: a lone CR does not end a line. No Dify server or proxy writes one, and splitting on LF alone keeps
U+2028, U+2029 and U+0085 inside JSON whole, which `str.splitlines` would not.
"""

from typing import NamedTuple

LINE_LIMIT = 8 * 1024 * 1024
"""Bytes of one line. Our choice: a workflow's last event repeats whole documents (megabytes are seen); what is larger
is a dump that no answer needs, and is skipped instead of kept in memory."""

_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One dispatched event. `data` is never empty of lines: an event without data is not dispatched."""

    data: str
    event: str = "message"
    id: str = ""


class Decoder:
    """Turns the bytes of one response into events."""

    __slots__ = ("_data", "_event", "_id", "_limit", "_parts", "_size", "_spoiled", "_started", "skipped")

    def __init__(self, *, line_limit: int = LINE_LIMIT) -> None:
        self.skipped = 0
        """Lines that were longer than the limit; an event that held one is not dispatched."""
        self._limit = line_limit
        self._parts: list[bytes] = []  # the unfinished line, in pieces: joined once, so a long line costs no copies
        self._size = 0
        self._data: list[str] = []
        self._event = ""
        self._id = ""
        self._spoiled = False
        self._started = False

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that `chunk` completes."""
        *lines, tail = chunk.split(b"\n")
        events: list[ServerSentEvent] = []
        for piece in lines:
            line = self._complete(piece)
            if line is None:
                continue
            if not self._started:
                self._started = True
                line = line.removeprefix(_BOM)
            if not line:
                self._dispatch(events)
            elif not line.startswith(b":"):
                self._field(line)
        if tail:
            self._hold(tail)
        return events

    def _hold(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            self._parts.clear()
        else:
            self._parts.append(piece)

    def _complete(self, piece: bytes) -> bytes | None:
        """The line that `piece` ends, or None if it was too long to keep."""
        if self._size:
            self._hold(piece)
            too_long = self._size > self._limit
            line = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
        else:
            too_long = len(piece) > self._limit
            line = piece
        if too_long:
            self.skipped += 1
            self._spoiled = True
            return None
        return line.removesuffix(b"\r")

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", "replace")
        match name:
            case b"data":
                self._data.append(text)
            case b"event":
                self._event = text
            case b"id" if "\0" not in text:
                self._id = text
            case _:
                pass  # `retry` is of no use here: a POST is never repeated on its own

    def _dispatch(self, events: list[ServerSentEvent]) -> None:
        if self._data and not self._spoiled:
            events.append(ServerSentEvent("\n".join(self._data), self._event or "message", self._id))
        self._data.clear()
        self._event = ""
        self._spoiled = False
