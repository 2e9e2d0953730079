"""Recordings, played to real sockets."""

import asyncio
import json
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from cardbot.playground.dify import FakeDify
from cardbot.playground.dify.replay import Replay, load
from tests.patience import SOON

pytestmark = pytest.mark.anyio

BODY = b'event: ping\n\ndata: {"event": "message", "conversation_id": "c-1", "answer": "h\xc3\xa9"}\n\n'
SIZES = [13, 30, len(BODY) - 43]


def record(folder: Path, name: str = "01-request", body: bytes = BODY, **changes: Any) -> Path:
    """Write a recorded step, as the recorder would."""
    response = {
        "status": 200,
        "headers": [
            ["Server", "gunicorn"],
            ["Transfer-Encoding", "chunked"],
            ["Content-Type", "text/event-stream; charset=utf-8"],
            ["X-Version", "1.14.1"],
        ],
        "t_end_ms": 40.0,
        "end": "terminating chunk 0",
    }
    request = {"method": "POST", "path": "/v1/chat-messages"}
    step = {
        "request": {**request, **changes.get("request", {})},
        "response": {**response, **changes.get("response", {})},
        "http_chunk_sizes": changes.get("sizes", [*SIZES, 0]),
        "reads_ms_and_bytes": changes.get("reads", [[10.0, 20], [30.0, len(body) - 20]]),
    }
    (folder / f"{name}.body").write_bytes(body)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(step))
    return path


async def ask(dify: FakeDify) -> bytes:
    """One question over a bare socket; everything that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(dify.url.split(":")[2].partition("/")[0]))
    head = "POST /v1/chat-messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer app-test\r\nConnection: close\r\n"
    writer.write(f"{head}Content-Length: 0\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_replayed_chunks_have_the_recorded_sizes(tmp_path: Path) -> None:
    async with FakeDify() as dify:
        dify.answers.append(Replay(record(tmp_path)))
        head, _, body = (await ask(dify)).partition(b"\r\n\r\n")
    expected, start = b"", 0
    for size in SIZES:
        expected += b"%x\r\n" % size + BODY[start : start + size] + b"\r\n"
        start += size
    assert body == expected + b"0\r\n\r\n"
    assert b"X-Version: 1.14.1" in head
    assert b"gunicorn" not in head


async def test_replayed_cut_has_no_terminating_chunk(tmp_path: Path) -> None:
    path = record(tmp_path, sizes=SIZES, response={"end": "peer closed (FIN)"})
    async with FakeDify() as dify:
        dify.answers.append(Replay(path))
        answer = await ask(dify)
    assert answer.endswith(BODY[-10:] + b"\r\n")


@pytest.mark.parametrize("end", ["client timeout", "CLIENT closed the connection on purpose"])
async def test_replay_is_silent_where_the_recorder_gave_up(tmp_path: Path, end: str) -> None:
    path = record(tmp_path, sizes=SIZES, response={"end": end})
    headers = {"Authorization": "Bearer app-test"}
    async with (
        FakeDify() as dify,
        httpx.AsyncClient(timeout=SOON, headers=headers) as client,
    ):
        dify.answers.append(Replay(path))
        async with client.stream("POST", f"{dify.url}/chat-messages") as answer:
            chunks = answer.aiter_raw()
            assert b"".join([await anext(chunks) for _ in SIZES]) == BODY
            with anyio.move_on_after(0.2) as silence:
                await anext(chunks)
            assert silence.cancelled_caught


async def test_replay_of_a_json_refusal_keeps_status_and_body(tmp_path: Path) -> None:
    body = b'{"code":"not_found"}\n'
    response = {
        "status": 404,
        "headers": [["Content-Type", "application/json"], ["Content-Length", "21"]],
        "end": "content-length reached",
    }
    path = record(tmp_path, body=body, sizes=None, reads=[[2.0, 21]], response=response)
    async with FakeDify() as dify:
        dify.answers.append(Replay(path))
        answer = await ask(dify)
    assert answer.startswith(b"HTTP/1.1 404")
    assert answer.endswith(body)


async def test_chunks_arrive_when_their_last_byte_did(tmp_path: Path) -> None:
    recording = load(Replay(record(tmp_path), speed=2.0))
    assert [round(at, 3) for at, _ in recording.chunks] == [0.02, 0.06, 0.06]
    assert recording.ended == 0.08


async def test_folder_answers_the_later_steps_too(tmp_path: Path) -> None:
    record(tmp_path)
    history = {"method": "GET", "path": "/v1/messages?conversation_id=c-1&user=u"}
    response = {"headers": [["Content-Type", "application/json"]], "end": "content-length reached"}
    record(tmp_path, "02-messages", b"{}\n", request=history, response=response, sizes=None, reads=[[1.0, 3]])
    async with FakeDify() as dify, httpx.AsyncClient() as client:
        await dify.replay_folder(tmp_path)
        assert BODY[:13] in await ask(dify)
        answer = await client.get(f"{dify.url}/messages", params={"conversation_id": "c-1", "user": "u"})
    assert answer.content == b"{}\n"


def test_recording_whose_chunks_do_not_add_up_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="chunks of 13 bytes"):
        load(Replay(record(tmp_path, sizes=[13, 0])))
