"""The loopback server, seen from real sockets."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest

from cardbot.playground.http import MAX_BODY, Cut, LoopbackServer, Request, Reset, Response, Stream

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def echo(request: Request) -> Response:
    return Response.json({"path": request.path, "query": request.query, "body": request.body.decode()})


async def exchange(server: LoopbackServer, sent: bytes) -> bytes:
    """Send bytes and read until the server ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(sent)
    try:
        return await reader.read()
    finally:
        writer.close()


def streaming(chunks: AsyncIterator[bytes]) -> LoopbackServer:
    async def handler(request: Request) -> Stream:
        return Stream(200, (("Content-Type", "text/plain"),), chunks)

    return LoopbackServer(handler)


async def test_request_arrives_with_path_query_and_body_apart() -> None:
    async with LoopbackServer(echo) as server, httpx.AsyncClient() as client:
        answer = await client.post(f"{server.url}/a%20b/c?x=1&y=&z=%E4%BD%A0", content="hé")
    assert answer.json() == {"path": "/a b/c", "query": {"x": "1", "y": "", "z": "你"}, "body": "hé"}


async def test_header_names_arrive_in_lower_case() -> None:
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return Response(204)

    async with LoopbackServer(handler) as server, httpx.AsyncClient() as client:
        await client.get(server.url, headers={"X-Token": "Abc"})
    assert seen[0].headers["x-token"] == "Abc"


async def test_json_response_is_compact_utf8() -> None:
    async def handler(request: Request) -> Response:
        return Response.json({"a": ["你", 1]}, 201, (("X-Extra", "1"),))

    async with LoopbackServer(handler) as server, httpx.AsyncClient() as client:
        answer = await client.get(server.url)
    assert answer.content == '{"a":["你",1]}'.encode()
    assert (answer.status_code, answer.headers["content-type"]) == (201, "application/json")


async def test_request_json_raises_value_error_for_anything_else() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which words json chooses is not ours
        Request("POST", "/", {}, {}, b"\xff{").json()


async def test_a_204_has_no_content_length() -> None:
    async def handler(request: Request) -> Response:
        return Response(204)

    async with LoopbackServer(handler) as server:
        answer = await exchange(server, GET[:-2] + b"Connection: close\r\n\r\n")
    assert b"204" in answer
    assert b"content-length" not in answer.lower()


async def test_requests_sent_in_one_go_are_answered_in_order() -> None:
    last = b"GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with LoopbackServer(echo) as server:
        answer = await exchange(server, GET.replace(b"/ ", b"/1 ") + last)
    assert answer.index(b'"path":"/1"') < answer.index(b'"path":"/2"')


async def test_one_connection_serves_many_requests() -> None:
    async with LoopbackServer(echo) as server, httpx.AsyncClient() as client:
        ports = set()
        for _ in range(3):
            answer = await client.get(server.url)
            ports.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(ports) == 1


async def test_each_item_of_a_stream_is_one_chunk_on_the_wire() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"bcd" * 10

    async with streaming(chunks()) as server:
        answer = await exchange(server, GET[:-2] + b"Connection: close\r\n\r\n")
    assert answer.partition(b"\r\n\r\n")[2] == b"1\r\na\r\n1e\r\n" + b"bcd" * 10 + b"\r\n0\r\n\r\n"


async def test_headers_of_a_stream_leave_before_its_first_item() -> None:
    go_on = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        await go_on.wait()
        yield b"late"

    async with (
        streaming(chunks()) as server,
        httpx.AsyncClient() as client,
        client.stream("GET", server.url) as answer,
    ):
        assert answer.status_code == 200
        go_on.set()
        assert await answer.aread() == b"late"


async def test_cut_ends_the_connection_without_the_terminating_chunk() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"half"
        raise Cut

    async with streaming(chunks()) as server:
        answer = await exchange(server, GET)
    assert answer.endswith(b"4\r\nhalf\r\n")


async def test_reset_sends_rst_after_what_was_streamed() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"half"
        raise Reset

    async with streaming(chunks()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        writer.write(GET)
        assert (await reader.readuntil(b"half\r\n")).startswith(b"HTTP/1.1 200")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


@pytest.mark.parametrize(("fault", "error"), [(Cut, httpx.RemoteProtocolError), (Reset, httpx.ReadError)])
async def test_a_handler_can_drop_the_connection_before_any_response(
    fault: type[Exception], error: type[Exception]
) -> None:
    async def handler(request: Request) -> Response:
        raise fault

    async with LoopbackServer(handler) as server, httpx.AsyncClient() as client:
        with pytest.raises(error):
            await client.get(server.url)


async def buggy(request: Request) -> Response:
    raise KeyError("oops")


async def test_bug_in_a_handler_answers_500_and_is_raised_at_the_end() -> None:
    server = await LoopbackServer(buggy).__aenter__()
    async with httpx.AsyncClient() as client:
        answer = await client.get(server.url)
    assert (answer.status_code, answer.headers["content-type"]) == (500, "text/plain; charset=utf-8")
    with pytest.raises(KeyError, match="oops"):
        await server.__aexit__(None, None, None)


async def test_bug_in_a_stream_resets_the_connection_and_is_raised_at_the_end() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"half"
        raise KeyError("oops")

    server = await streaming(chunks()).__aenter__()
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ReadError):
            await client.get(server.url)
    with pytest.raises(KeyError, match="oops"):
        await server.__aexit__(None, None, None)


async def test_two_bugs_are_raised_together() -> None:
    server = await LoopbackServer(buggy).__aenter__()
    async with httpx.AsyncClient() as client:
        await client.get(server.url)
        await client.get(server.url)
    with pytest.raises(ExceptionGroup) as caught:
        await server.__aexit__(None, None, None)
    assert [type(bug) for bug in caught.value.exceptions] == [KeyError, KeyError]


async def test_bugs_do_not_hide_the_failure_of_the_test_itself() -> None:
    async def fail() -> None:
        async with LoopbackServer(buggy) as server, httpx.AsyncClient() as client:
            await client.get(server.url)
            raise AssertionError("mine")

    with pytest.raises(AssertionError, match="mine") as caught:
        await fail()
    assert "oops" in caught.value.__notes__[0]


async def test_handler_is_cancelled_when_its_client_leaves() -> None:
    waiting, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Response:
        waiting.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Response(200)

    async with LoopbackServer(handler) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        writer.write(GET)
        await waiting.wait()
        writer.close()
        await asyncio.wait_for(cancelled.wait(), 5)


async def test_stream_is_closed_when_its_client_leaves() -> None:
    closed = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"more"
        finally:
            closed.set()

    async with (
        streaming(chunks()) as server,
        httpx.AsyncClient() as client,
        client.stream("GET", server.url) as answer,
    ):
        await anext(answer.aiter_raw())
        await answer.aclose()
        await asyncio.wait_for(closed.wait(), 5)


async def test_stream_that_never_waits_lets_others_run() -> None:
    ran: list[int] = []
    seen: list[int] = []

    async def chunks() -> AsyncIterator[bytes]:
        for turn in range(3):
            asyncio.get_running_loop().call_soon(ran.append, turn)
            yield b"x"
            seen.append(len(ran))

    async with streaming(chunks()) as server, httpx.AsyncClient() as client:
        await client.get(server.url)
    assert seen == [1, 2, 3]


async def test_leaving_the_block_ends_open_streams() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.get_running_loop().create_future()

    async with streaming(chunks()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        writer.write(GET)
        await reader.readuntil(b"first\r\n")
    assert await reader.read() == b""
    writer.close()


async def test_body_over_the_limit_is_refused() -> None:
    async with LoopbackServer(echo) as server, httpx.AsyncClient() as client:
        answer = await client.post(server.url, content=bytes(MAX_BODY + 1))
    assert answer.status_code == 413


async def test_malformed_request_is_refused() -> None:
    async with LoopbackServer(echo) as server:
        assert (await exchange(server, b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400")


async def test_head_gets_no_body() -> None:
    async with LoopbackServer(echo) as server:
        answer = await exchange(server, b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n")


async def test_client_that_asks_first_may_go_on() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    async with LoopbackServer(echo) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        writer.write(head)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(b"hi")
        assert b'"body":"hi"' in await reader.read()
        writer.close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A file with a key and its certificate for 127.0.0.1, good for this test only."""
    pytest.importorskip("cryptography", reason="makes the certificate")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    made = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = tmp_path / "loopback.pem"
    path.write_bytes(secret + made.public_bytes(pem))
    return path


async def test_tls_serves_streams_larger_than_its_buffers(certificate: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(100_000)

    async def handler(request: Request) -> Stream:
        return Stream(200, (), chunks())

    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(certificate)
    theirs = ssl.create_default_context(cafile=str(certificate))
    async with LoopbackServer(handler, ssl_context=ours) as server, httpx.AsyncClient(verify=theirs) as client:
        answer = await client.get(server.url)
    assert answer.url.scheme == "https"
    assert len(answer.content) == 2_000_000


def test_server_has_no_address_before_it_runs() -> None:
    with pytest.raises(RuntimeError, match="before"):
        _ = LoopbackServer(echo).url
