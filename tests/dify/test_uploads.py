"""Files handed to a scripted Dify, over real sockets."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from anyio.abc import SocketAttribute

from cardbot.dify.uploads import transcribe, upload
from cardbot.errors import DifyRejected, DifyUnauthorized, DifyUnreachable, FileRefused
from cardbot.file_kinds import content_type_of, kind_of
from cardbot.messages import FileKind
from cardbot.playground.dify import FakeDify
from cardbot.playground.http import Cut, LoopbackServer, Request, Response
from cardbot.ports import Download

pytestmark = pytest.mark.anyio

MB = 1024 * 1024
PNG = b"\x89PNG\r\n\x1a\n--" + bytes(range(256))


@asynccontextmanager
async def dify_and_http(**options: Any) -> AsyncGenerator[tuple[FakeDify, httpx.AsyncClient]]:
    async with FakeDify(**options) as dify, client_of(dify.url) as http:
        yield dify, http


def client_of(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, headers={"Authorization": "Bearer app-test"}, timeout=5, trust_env=False)


def file(name: str = "pic 图.png", content: bytes = PNG, *, size: int | None = None, piece: int = 7) -> Download:
    async def chunks() -> AsyncGenerator[bytes]:
        for start in range(0, len(content), piece):
            yield content[start : start + piece]

    size = len(content) if size is None else size
    return Download(name, kind_of(name), content_type_of(name), size, chunks())


async def refusal(http: httpx.AsyncClient, given: Download) -> FileRefused:
    with pytest.raises(FileRefused) as refused:
        await upload(http, given, "ann")
    return refused.value


async def test_a_file_arrives_whole_with_its_name_type_and_user() -> None:
    async with dify_and_http() as (dify, http):
        given = await upload(http, file(), "dingtalk:corp:李雷")
    (kept,) = dify.files
    assert (given.id, given.kind) == (kept.id, FileKind.IMAGE)
    assert (kept.name, kept.media_type, kept.content, kept.user) == (
        "pic 图.png",
        "image/png",
        PNG,
        "dingtalk:corp:李雷",
    )


async def test_the_length_is_told_and_right() -> None:
    async with dify_and_http() as (dify, http):
        await upload(http, file(), "ann")
    headers = dify.requests[-1].headers
    assert int(headers["content-length"]) > len(PNG)
    assert "transfer-encoding" not in headers


async def test_an_empty_file_is_taken() -> None:
    async with dify_and_http() as (dify, http):
        await upload(http, file("e.png", b""), "ann")
    assert dify.files[0].content == b""


async def test_a_quote_in_a_name_does_not_end_it() -> None:
    async with dify_and_http() as (dify, http):
        await upload(http, file('a"; x="y.png'), "ann")
    assert dify.files[0].name == 'a"; x="y.png'


@pytest.mark.parametrize(("name", "size"), [("a.png", 10), ("a.pdf", 15)])
async def test_what_is_too_large_for_dify_is_refused(name: str, size: int) -> None:
    async with dify_and_http() as (dify, http):
        found = await refusal(http, file(name, bytes(size * MB + 1), piece=MB))
    assert (found.why, dify.files) == ("too_large", [])


async def test_an_extension_on_the_servers_list_is_of_the_wrong_type() -> None:
    async with dify_and_http() as (dify, http):
        dify.blocked_extensions.add("exe")
        assert (await refusal(http, file("a.exe"))).why == "wrong_type"


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (413, b"<html>\r\n<head><title>413 Request Entity Too Large</title></head></html>", "too_large"),
        (413, b'{"code":"file_too_large","message":"File size exceeded. {message}","status":413}', "too_large"),
        (415, b'{"code":"unsupported_file_type","message":"File type not allowed.","status":415}', "wrong_type"),
    ],
)
async def test_refusals_as_recorded(status: int, body: bytes, why: str) -> None:
    async def answer(_: Request) -> Response:
        return Response(status, body)

    async with LoopbackServer(answer) as server, client_of(f"{server.url}/v1") as http:
        assert (await refusal(http, file())).why == why


async def test_a_proxy_that_answers_before_the_end_is_heard() -> None:

    async def talk(stream: Any) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            while True:  # as nginx does: it reads on for a while, so that its answer is not lost
                try:
                    await stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, talk)
        port = listener.extra(SocketAttribute.local_port)
        async with client_of(f"http://127.0.0.1:{port}") as http:
            assert (await refusal(http, file(content=bytes(8 * MB), piece=MB))).why == "too_large"
        tasks.cancel_scope.cancel()


async def test_a_wrong_key_is_no_fault_of_the_file() -> None:
    async with dify_and_http(api_key="app-other") as (_, http):
        with pytest.raises(DifyUnauthorized):
            await upload(http, file(), "ann")


async def test_a_server_that_dies_is_unreachable() -> None:
    async def die(_: Request) -> Response:
        raise Cut

    async with LoopbackServer(die) as server, client_of(server.url) as http:
        with pytest.raises(DifyUnreachable):
            await upload(http, file(), "ann")


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"{}", b'{"id":5}'])
async def test_an_answer_that_is_not_difys_is_no_upload(body: bytes) -> None:
    async def answer(_: Request) -> Response:
        return Response(200, body)

    async with LoopbackServer(answer) as server, client_of(server.url) as http:
        with pytest.raises(DifyUnreachable):
            await upload(http, file(), "ann")


async def test_a_file_that_breaks_off_is_told_as_such_and_not_kept() -> None:
    async def broken() -> AsyncGenerator[bytes]:
        yield b"begin"
        raise FileRefused("It broke off.", why="not_fetched")

    async with dify_and_http() as (dify, http):
        found = await refusal(http, Download("a.png", FileKind.IMAGE, "image/png", 100, broken()))
        assert (found.why, dify.files) == ("not_fetched", [])
        assert (await upload(http, file(), "ann")).id  # the client is as good as new


@pytest.mark.parametrize("size", [len(PNG) - 1, len(PNG) + 1])
async def test_a_file_of_another_length_than_told_is_not_kept(size: int) -> None:
    async with dify_and_http() as (dify, http):
        assert (await refusal(http, file(size=size))).why == "not_fetched"
        assert dify.files == []


async def test_a_recording_becomes_text() -> None:
    async with dify_and_http(speech_to_text=True) as (dify, http):
        dify.transcript = " 今天天气怎么样？\n"
        assert await transcribe(http, file("voice.amr", b"#!AMR\n"), "ann") == "今天天气怎么样？"
    assert dify.heard == [b"#!AMR\n"]


@pytest.mark.parametrize("name", ["voice.amr", "voice.mp3", "voice.wav", "voice.m4a"])
async def test_each_kind_of_recording_that_dify_knows_is_taken(name: str) -> None:
    async with dify_and_http(speech_to_text=True) as (_, http):
        assert await transcribe(http, file(name), "ann")


@pytest.mark.parametrize(("listens", "name"), [(False, "voice.amr"), (True, "voice.ogg")])
async def test_a_recording_that_dify_does_not_hear_is_refused(listens: bool, name: str) -> None:
    async with dify_and_http(speech_to_text=listens) as (_, http):
        with pytest.raises(FileRefused) as refused:
            await transcribe(http, file(name), "ann")
    assert refused.value.why == "not_heard"


async def test_a_recording_over_thirty_megabytes_is_too_large() -> None:
    body = b'{"code":"audio_too_large","message":"Audio size larger than 30 mb","status":413}'

    async def answer(_: Request) -> Response:
        return Response(413, body)

    async with LoopbackServer(answer) as server, client_of(server.url) as http:
        with pytest.raises(FileRefused) as refused:
            await transcribe(http, file("voice.amr"), "ann")
    assert refused.value.why == "too_large"


async def test_another_refusal_is_difys_own() -> None:
    body = b'{"code":"invalid_param","message":"something else","status":400}'

    async def answer(_: Request) -> Response:
        return Response(400, body)

    async with LoopbackServer(answer) as server, client_of(server.url) as http:
        with pytest.raises(DifyRejected, match="something else"):
            await upload(http, file(), "ann")
