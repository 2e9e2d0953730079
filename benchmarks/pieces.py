"""What the pure steps of an event cost, each in a tight loop of its own: decode, parse, apply, show.

The bytes are those of the scripted Dify, one chunk for each event as over a socket. Each step gets what the one before
it gave, and runs over whole answers, since `Answer.markdown` and the card see a text that grows. The best of several
runs counts: what disturbs a loop only ever adds to it. A tight loop has warm caches; a process that wakes up for each
event has not, so the same steps cost more there. That difference ends up in the remainder of the table.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from benchmarks.load import Load
from cardbot.answer import Answer
from cardbot.dify.wire import EventReader
from cardbot.dingtalk.sheet import Sheet
from cardbot.dingtalk.template import Template
from cardbot.events import Event
from cardbot.playground.dify import FakeDify, Script
from cardbot.sse import Decoder, ServerSentEvent
from cardbot.texts import EN

DECODE = "decode: bytes to server-sent events"
PARSE = "parse: JSON to events"
APPLY = "apply: events to the text so far"
SHOW = "show: the text to its card"

RUNS = 20
"""Of each step. Our choice: the best of 20 changes by a few per cent from one time to the next."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One step, in seconds for an event."""

    name: str
    seconds: float


async def measure(load: Load) -> list[Piece]:
    """All steps, over one answer of the load."""
    chunks = await _chunks(load)
    documents = [[sse.data for sse in decoded] for decoded in _decode(chunks)]
    events = _parse(documents)
    texts = _apply(events)
    steps: list[tuple[str, Callable[[], object]]] = [
        (DECODE, lambda: _decode(chunks)),
        (PARSE, lambda: _parse(documents)),
        (APPLY, lambda: _apply(events)),
        (SHOW, lambda: _show(texts)),
    ]
    return [Piece(name, _best(step) / len(chunks)) for name, step in steps]


async def _chunks(load: Load) -> list[bytes]:
    """One answer as it comes from the socket, a chunk for each event."""
    async with FakeDify(api_key="app-bench", linger=0) as dify, httpx.AsyncClient(base_url=dify.url) as http:
        text = load.answer_to("question")
        dify.default = Script(text, chunk=load.piece)
        question = {"inputs": {}, "query": "?", "response_mode": "streaming", "user": "reader"}
        headers = {"authorization": "Bearer app-bench"}
        response = await http.post("chat-messages", json=question, headers=headers, timeout=60)
        return [event + b"\n\n" for event in response.content.split(b"\n\n") if event]


def _decode(chunks: list[bytes]) -> list[list[ServerSentEvent]]:
    decoder = Decoder()
    return [list(decoder.feed(chunk)) for chunk in chunks]


def _parse(documents: list[list[str]]) -> list[list[Event]]:
    reader = EventReader()
    return [[event for data in group for event in reader.read(data)] for group in documents]


def _apply(events: list[list[Event]]) -> list[str]:
    answer, texts = Answer(EN), []
    for group in events:
        for event in group:
            answer.apply(event)
            texts.append(answer.markdown)
    return texts


def _show(texts: list[str]) -> None:
    sheet = Sheet(Template("template", "content"), "card", now=0.0, texts=EN)
    for text in texts:
        sheet.show(text, 0.0)


def _best(step: Callable[[], object]) -> float:
    """Seconds of the quickest of several runs."""
    best = float("inf")
    for _ in range(RUNS):
        began = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - began)
    return best
