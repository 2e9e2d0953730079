"""Readers that take nothing: they are given up, and keep nobody waiting."""

import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketStream

from cardbot import events
from cardbot.messages import Question
from cardbot.web import answering, connection, serving
from tests.patience import SOON
from tests.web.source import IDS, Answers, sunny
from tests.web.stand import front_of, until, user

pytestmark = pytest.mark.anyio

SIZE = 16_000_000
"""Bytes of an answer: more than the system's own buffers take."""

MB = 1_000_000

EITHER_WAY = pytest.mark.parametrize("stream", [True, False], ids=["stream", "one piece"])


async def large(_: Question) -> AsyncGenerator[events.Event]:
    yield IDS
    yield events.TextDelta("x" * SIZE)
    yield events.MessageEnded()


async def large_and_endless(_: Question) -> AsyncGenerator[events.Event]:
    yield IDS
    yield events.TextDelta("x" * SIZE)
    await anyio.sleep_forever()


@asynccontextmanager
async def asked(address: str, *, stream: bool) -> AsyncGenerator[SocketStream]:
    """A connection on which a question was asked, and nothing is read yet."""
    host, _, port = address.removeprefix("http://").partition(":")
    body = json.dumps({"model": "dify", "messages": [user("hi")], "user": "ada", "stream": stream})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
    async with await anyio.connect_tcp(host, int(port)) as reader:
        await reader.send(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        yield reader


def noted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """The calls that asyncio makes to connections, of this name."""
    calls: list[str] = []
    really = getattr(connection.Connection, name)

    def call(self: connection.Connection, *args: object) -> None:
        calls.append(name)
        really(self, *args)

    monkeypatch.setattr(connection.Connection, name, call)
    return calls


async def rest(reader: SocketStream) -> int:
    """How much there still is to read."""
    length = 0
    try:
        async for chunk in reader:
            length += len(chunk)
    except anyio.BrokenResourceError:
        pass
    return length


@EITHER_WAY
async def test_a_reader_that_takes_nothing_is_cut_off(stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STALL", 0.3)
    lost = noted(monkeypatch, "connection_lost")
    async with front_of(Answers(large)) as (address, _), asked(address, stream=stream) as reader:
        await until(lambda: lost)
        assert await rest(reader) < SIZE


async def test_the_line_is_free_again_after_a_reader_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STALL", 0.3)
    monkeypatch.setattr(answering, "FAREWELL", 0.2)  # it does not stop when told
    source = Answers(large_and_endless)
    async with front_of(source) as (address, client), asked(address, stream=True):
        await until(lambda: source.questions)
        source.happens = sunny
        with anyio.fail_after(SOON):
            await client.chat.completions.create(model="dify", messages=[user("hi")], user="ada")


@EITHER_WAY
async def test_a_slow_reader_gets_it_all(stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STALL", 1.0)
    async with front_of(Answers(large)) as (address, _), asked(address, stream=stream) as reader:
        began, length = anyio.current_time(), 0
        for _ in range(12):
            at_once = 0
            while at_once < MB:
                at_once += len(await reader.receive(MB))
            length += at_once
            await anyio.sleep(0.2)  # slowness is the point
        length += await rest(reader)
    assert anyio.current_time() - began > 2 * connection.STALL
    assert length > SIZE


@pytest.mark.parametrize(("happens", "stream"), [(large, True), (large, False), (large_and_endless, True)])
async def test_a_reader_that_takes_nothing_does_not_keep_the_server_from_ending(
    happens: Callable[[Question], AsyncGenerator[events.Event]],
    stream: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(answering, "FAREWELL", 0.2)  # the endless one does not stop when told
    stuck = noted(monkeypatch, "pause_writing")
    source = Answers(happens)
    async with AsyncExitStack() as readers:
        async with front_of(source) as (address, _):
            await readers.enter_async_context(asked(address, stream=stream))
            await until(lambda: stuck)
            began = anyio.current_time()
        assert anyio.current_time() - began < serving.GOODBYE + 1
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert source.open == 0
