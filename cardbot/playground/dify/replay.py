"""A recorded HTTP exchange, played again byte for byte.

A recording is a pair of files. `NN-step.body` is the raw body, after chunked decoding. `NN-step.json` describes it:
`request` (method, path), `response` (status, headers, `end`, `t_end_ms`), `http_chunk_sizes` (the sizes of the HTTP
chunks, a last 0 for the terminating chunk; null for a body of known length) and `reads_ms_and_bytes` (each network
read: milliseconds since the request, number of bytes).
"""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cardbot.playground.http import Headers

_FRAMING = frozenset({"server", "date", "connection", "keep-alive", "transfer-encoding", "content-length"})
"""Response headers that belong to the recorded connection, not to the answer."""


@dataclass(frozen=True, slots=True)
class Replay:
    """One step of a recording.

    Args:
        path: The `NN-step.json` file; `NN-step.body` lies beside it.
        speed: What the recorded times are multiplied with. 0: no waiting.
    """

    path: Path | str
    speed: float = 0.0


@dataclass(frozen=True, slots=True)
class Recording:
    """A step, read and cut into its HTTP chunks."""

    method: str
    target: str
    """The request's path without its query."""
    status: int | None
    """None: the server had sent nothing when the client gave up."""
    headers: Headers
    chunked: bool
    chunks: tuple[tuple[float, bytes], ...]
    """Each HTTP chunk, or the whole body of known length, with the seconds after which it had arrived."""
    end: Literal["clean", "cut", "silence"]
    ended: float
    """Seconds after which the end was seen."""


def load(replay: Replay) -> Recording:
    """Read a step. Raises OSError for a missing file, ValueError for a malformed one."""
    path = Path(replay.path)
    step = json.loads(path.read_bytes())
    body = path.with_suffix(".body").read_bytes()
    response = step["response"]
    sizes: list[int] | None = step["http_chunk_sizes"]
    pieces = [size for size in sizes if size] if sizes else [len(body)] if body else []
    if sum(pieces) != len(body):
        raise ValueError(f"{path}: chunks of {sum(pieces)} bytes, but a body of {len(body)}")
    reads = step["reads_ms_and_bytes"] or []
    headers = [(name, value) for name, value in response["headers"] if name.lower() not in _FRAMING]
    return Recording(
        method=step["request"]["method"],
        target=step["request"]["path"].partition("?")[0],
        status=response["status"],
        headers=tuple(headers),
        chunked=sizes is not None,
        chunks=tuple(_timed(body, pieces, reads, replay.speed)),
        end=_end(response),
        ended=response["t_end_ms"] / 1000 * replay.speed,
    )


def _end(response: dict[str, object]) -> Literal["clean", "cut", "silence"]:
    match response["end"]:
        case "terminating chunk 0" | "content-length reached":
            return "clean"
        case "peer closed (FIN)":
            # A 204 has no body, so the end of its connection says nothing.
            return "clean" if response["status"] == 204 else "cut"
        case _:
            return "silence"


def _timed(body: bytes, pieces: list[int], reads: list[tuple[float, int]], speed: float) -> list[tuple[float, bytes]]:
    arrivals = list(itertools.accumulate(reads, lambda seen, read: (read[0], seen[1] + read[1])))
    timed: list[tuple[float, bytes]] = []
    start = 0
    for size in pieces:
        stop = start + size
        arrived = next(ms for ms, total in arrivals if total >= stop)
        timed.append((arrived / 1000 * speed, body[start:stop]))
        start = stop
    return timed
