"""The long connection, against the simulated platform, and against gateways that misbehave, on real sockets."""

import asyncio
import fcntl
import gc
import itertools
import json
import math
import os
import socket
import struct
import sys
import termios
import tracemalloc
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from blockbuster import blockbuster_ctx
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from cardbot.dingtalk.connection import Connection, Receiver
from cardbot.dingtalk.openapi import OpenApi
from cardbot.dingtalk.opening import FRAME_LIMIT, OPEN_PATH
from cardbot.dingtalk.stream import Stream
from cardbot.dingtalk.suspend import Watch
from cardbot.errors import DingTalkRejected, InvalidCredentials, PermissionDenied
from cardbot.playground.platform import Platform
from cardbot.playground.platform.faults import HtmlError, Reject
from tests.dingtalk.server import Answer, Fault, Server, answer, refusal
from tests.patience import SOON

pytestmark = pytest.mark.anyio

TOPIC = "/v1.0/im/bot/messages/get"
OPEN = f"POST {OPEN_PATH}"

Take = Callable[[str, Mapping[str, Any]], None]


@pytest.fixture(autouse=True)
def _nothing_blocks_the_loop() -> Generator[None]:
    with blockbuster_ctx("cardbot"):
        yield


class Mailbox:
    """A receiver that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[tuple[str, Mapping[str, Any]]] = []
        self._more = anyio.Event()

    def __call__(self, frame_id: str, data: Mapping[str, Any]) -> None:
        self.got.append((frame_id, data))
        self._more.set()
        self._more = anyio.Event()

    async def filled(self, count: int = 1) -> None:
        with anyio.fail_after(SOON):
            while len(self.got) < count:
                await self._more.wait()

    @property
    def names(self) -> list[str]:
        return [data["msgId"] for _, data in self.got]


@asynccontextmanager
async def client(url: str, receiver: Take | Receiver, **timing: Any) -> AsyncGenerator[Stream]:
    """A stream for an app; short pauses, so that a test need not wait."""
    api = OpenApi(client_id="dingtest", client_secret="secret", robot_code="dingtest", endpoint=url)
    async with api:
        yield Stream(
            api.http,
            endpoint=api.endpoint,
            client_id="dingtest",
            client_secret="secret",
            receivers={TOPIC: receiver if isinstance(receiver, Receiver) else Receiver(receiver)},
            **{"first_pause": 0.01, "longest_pause": 0.05, **timing},
        )


@asynccontextmanager
async def streaming(url: str, receiver: Take | Receiver, **timing: Any) -> AsyncGenerator[None]:
    """A stream that runs inside the block."""
    async with client(url, receiver, **timing) as stream, anyio.create_task_group() as tasks:
        tasks.start_soon(stream.run)
        yield
        tasks.cancel_scope.cancel()


class Gateway:
    """A websocket server that a test drives frame by frame."""

    def __init__(self, http: Server) -> None:
        self.http = http
        self.sockets: list[ServerConnection] = []
        self.acks: list[dict[str, Any]] = []
        self.closed = 0
        self.greeting: Callable[[ServerConnection], Any] | None = None
        self._changed = anyio.Event()

    @property
    def url(self) -> str:
        return self.http.url

    async def talk(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        self._change()
        try:
            if self.greeting:
                await self.greeting(socket)
            async for text in socket:
                self.acks.append(json.loads(text))
                self._change()
        except ConnectionClosed:
            pass
        finally:
            self.closed += 1
            self._change()

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def until(self, condition: Callable[[], object], *, within: float = SOON) -> None:
        with anyio.fail_after(within):
            while not condition():
                await self._changed.wait()

    async def read(self, socket: ServerConnection) -> ServerConnection:
        """Until the client has its whole mind on the connection."""
        answered = len(self.acks)
        await socket.send(frame("hello", kind="SYSTEM", topic="ping"))
        await self.until(lambda: len(self.acks) > answered)
        return socket

    async def asked(self, count: int) -> None:
        """Until so many connections were asked for."""
        with anyio.fail_after(SOON):
            while len(self.http.to(OPEN_PATH)) < count:  # noqa: ASYNC110 - the server tells nobody
                await anyio.sleep(0.01)

    async def connected(self, count: int = 1) -> ServerConnection:
        await self.until(lambda: len(self.sockets) >= count)
        return self.sockets[count - 1]


@asynccontextmanager
async def gateway() -> AsyncGenerator[Gateway]:
    async with Server().running() as http:
        there = Gateway(http)
        async with serve(there.talk, "127.0.0.1", 0, ping_interval=None, close_timeout=0.2) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            http.answers(OPEN_PATH, answer({"endpoint": f"ws://127.0.0.1:{port}/connect", "ticket": "ticket-1"}))
            yield there


def frame(
    name: str = "m1", *, kind: str = "CALLBACK", topic: str | None = TOPIC, data: object = None, **headers: Any
) -> str:
    """A frame in DingTalk's form, with a message id of its own."""
    content = json.dumps({"msgId": name}) if data is None else data
    named = {"messageId": f"frame-{name}", "topic": topic, "contentType": "application/json", **headers}
    return json.dumps(
        {
            "specVersion": "1.0",
            "type": kind,
            "headers": {key: value for key, value in named.items() if value is not None},
            "data": content,
        }
    )


# Frames and their acknowledgements.


async def test_a_message_is_acknowledged_and_handed_on() -> None:
    box = Mailbox()
    async with Platform() as platform, streaming(platform.url, box):
        await platform.connected()
        message = await platform.say("hello")
        await platform.wait_for(lambda: message.ack)
        await box.filled()
        assert box.names == [message.id]
        assert platform.violations == []


async def test_a_ping_is_echoed() -> None:
    async with Platform() as platform, streaming(platform.url, Mailbox()):
        await platform.connected()
        await platform.ping()
        message = await platform.say("after it")
        await platform.wait_for(lambda: message.ack)
        assert platform.violations == []


@pytest.mark.parametrize("data", ['{"opaque": "1", "big": 12345678901234567890.10}', "not JSON", "[]"])
async def test_a_pings_data_comes_back_to_the_letter(data: str) -> None:
    async with gateway() as there, streaming(there.url, Mailbox()):
        await (await there.connected()).send(frame("p", kind="SYSTEM", topic="ping", data=data))
        await there.until(lambda: there.acks)
        assert (there.acks[0]["code"], there.acks[0]["data"]) == (200, data)


async def test_a_receiver_that_fails_costs_neither_its_acknowledgement_nor_the_connection() -> None:
    box = Mailbox()

    def fragile(frame_id: str, data: Mapping[str, Any]) -> None:
        if data["msgId"] == "bad":
            raise RuntimeError("a bug")
        box(frame_id, data)

    with capture_logs() as logs:
        await _bad_then_good(fragile, box)
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["stream_receiver_failed"]


async def _bad_then_good(receiver: Take, box: Mailbox) -> None:
    async with gateway() as there, streaming(there.url, receiver):
        socket = await there.connected()
        await socket.send(frame("bad"))
        await socket.send(frame("good"))
        await box.filled()
        await there.until(lambda: len(there.acks) == 2)
        assert [ack["code"] for ack in there.acks] == [200, 200]
        assert len(there.sockets) == 1


async def test_the_acknowledgement_goes_out_before_the_receiver_is_called() -> None:
    arrived: list[int] = []

    def look(*_: object) -> None:
        raw = there.sockets[0].transport.get_extra_info("socket")
        waiting = bytearray(4)
        fcntl.ioctl(raw.fileno(), termios.FIONREAD, waiting)
        arrived.append(int.from_bytes(waiting, sys.byteorder))

    async with gateway() as there, streaming(there.url, look):
        await (await there.connected()).send(frame())
        await there.until(lambda: there.acks)
        assert arrived[0] > 0


async def test_what_a_receiver_responds_is_in_the_acknowledgement() -> None:
    box = Mailbox()
    async with gateway() as there, streaming(there.url, Receiver(box, lambda data: {"said": data["msgId"]})):
        await (await there.connected()).send(frame("你好"))
        await there.until(lambda: there.acks)
        assert json.loads(there.acks[0]["data"]) == {"response": {"said": "你好"}}
        await box.filled()


@pytest.mark.parametrize("data", ["{", "[]", "5", "[" * 200_000])
async def test_a_receiver_responds_to_data_that_cannot_be_read_as_to_an_empty_object(data: str) -> None:
    box = Mailbox()
    async with gateway() as there, streaming(there.url, Receiver(box, lambda data: {"keys": list(data)})):
        socket = await there.connected()
        await socket.send(frame("bad", data=data))
        await socket.send(frame("good"))
        await there.until(lambda: len(there.acks) == 2)
        await box.filled()
        assert box.names == ["good"]
        assert json.loads(there.acks[0]["data"]) == {"response": {"keys": []}}


async def test_a_response_that_fails_costs_neither_the_acknowledgement_nor_the_message() -> None:
    box = Mailbox()

    def fails(data: Mapping[str, Any]) -> None:
        raise RuntimeError("a bug")

    with capture_logs() as logs:
        async with gateway() as there, streaming(there.url, Receiver(box, fails)):
            await (await there.connected()).send(frame("one"))
            await there.until(lambda: there.acks)
            await box.filled()
            assert json.loads(there.acks[0]["data"]) == {"response": None}
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["stream_receiver_failed"]


NO_FRAMES = {
    "empty": "",
    "no JSON": "{",
    "a list": "[]",
    "null": "null",
    "an unknown type": frame(kind="NEWS"),
    "a type that is a list": json.dumps({"type": [], "headers": {"topic": TOPIC}}),
    "no headers": json.dumps({"type": "CALLBACK", "data": "{}"}),
    "headers that are a list": json.dumps({"type": "CALLBACK", "headers": []}),
    "no topic": frame(topic=None),
    "a topic that is a number": json.dumps({"type": "CALLBACK", "headers": {"topic": 5}}),
    "lists in lists": "[" * 200_000,
    "bytes": b"\xff\xfe",
    "no bytes": b"",
    "a system topic nobody knows": frame("s", kind="SYSTEM", topic="KEEPALIVE"),
    "an event": frame("e", kind="EVENT", topic="*"),
    "a topic nobody takes": frame("t", topic="/v1.0/other"),
    "a message id with half a character": frame("h", kind="EVENT", topic="*", messageId="\ud800"),
    "no message id": frame("n", kind="EVENT", topic="*", messageId=None),
    "data that is no JSON": frame(data="{"),
    "data that is a list": frame(data="[]"),
    "data that is a number": frame(data="5"),
    "data that is not in a string": frame(data={"msgId": "x"}),
    "deep data": frame(data="[" * 200_000),
}


@pytest.mark.parametrize("odd", NO_FRAMES.values(), ids=NO_FRAMES)
async def test_an_odd_frame_costs_neither_the_connection_nor_the_next_message(odd: str | bytes) -> None:
    box = Mailbox()
    async with gateway() as there, streaming(there.url, box):
        socket = await there.connected()
        await socket.send(odd)
        await socket.send(frame("good"))
        await there.until(lambda: "frame-good" in [ack["headers"]["messageId"] for ack in there.acks])
        await anyio.wait_all_tasks_blocked()
        assert "good" in [data.get("msgId") for _, data in box.got]
        assert len(there.sockets) == 1


@pytest.mark.parametrize("data", ["{", "[]", "5", "[" * 200_000])
async def test_data_that_cannot_be_read_is_acknowledged_once_for_it_gets_no_better(data: str) -> None:
    async with gateway() as there, streaming(there.url, Mailbox()):
        await (await there.connected()).send(frame("bad", data=data))
        await there.until(lambda: there.acks)
        assert [(ack["code"], ack["headers"]["messageId"]) for ack in there.acks] == [(200, "frame-bad")]


@pytest.mark.parametrize(
    ("kind", "topic", "code", "data"),
    [
        ("CALLBACK", TOPIC, 200, {"response": None}),
        ("CALLBACK", "/v1.0/other", 404, {"response": None}),
        ("EVENT", "*", 200, {"status": "SUCCESS"}),
        ("CALLBACK", None, 404, {"response": None}),
        ("NEWS", "headlines", 404, {"response": None}),
    ],
)
async def test_each_kind_of_frame_has_its_acknowledgement(
    kind: str, topic: str | None, code: int, data: object
) -> None:
    async with gateway() as there, streaming(there.url, Mailbox()):
        await (await there.connected()).send(frame("one", kind=kind, topic=topic))
        await there.until(lambda: there.acks)
        (ack,) = there.acks
        assert (ack["code"], json.loads(ack["data"])) == (code, data)
        assert ack["headers"] == {"messageId": "frame-one", "contentType": "application/json"}


async def test_each_frame_is_acknowledged_once_whatever_becomes_of_it() -> None:
    async with gateway() as there, streaming(there.url, Mailbox()):
        socket = await there.connected()
        frames = [
            frame("message"),
            frame("message"),  # pushed again
            frame("unreadable", data="{"),
            frame("ping", kind="SYSTEM", topic="ping"),
            frame("event", kind="EVENT", topic="*"),
            frame("stranger", topic="/v1.0/other"),
            frame("news", kind="NEWS"),
            frame("last"),
        ]
        for text in frames:
            await socket.send(text)
        await there.until(lambda: len(there.acks) >= len(frames))
        named = [json.loads(text)["headers"]["messageId"] for text in frames]
        assert [ack["headers"]["messageId"] for ack in there.acks] == named


async def test_what_a_peer_that_does_not_read_was_to_be_told_is_not_told_too_late() -> None:
    box = Mailbox()
    async with gateway() as there, streaming(there.url, box):
        old = await there.connected()
        old.transport.pause_reading()
        with suppress(ConnectionClosed), anyio.move_on_after(8):
            for number in range(200):  # 20 MB that do not shrink: more than the buffers of both sides hold
                await old.send(frame(f"p{number}", kind="SYSTEM", topic="ping", data=os.urandom(100_000).hex()))
        try:
            await there.connected(2)
        finally:
            old.transport.resume_reading()
        await there.until(lambda: there.closed == 1)
        assert len(there.acks) < 200


async def test_a_message_whose_acknowledgement_is_under_way_is_not_dropped_by_leaving() -> None:
    sending, go_on, box = anyio.Event(), anyio.Event(), Mailbox()

    class Slow(ClientConnection):
        async def send(self, *message: Any, **options: Any) -> None:
            sending.set()
            await go_on.wait()
            await super().send(*message, **options)

    async with gateway() as there, anyio.create_task_group() as tasks:
        address = json.loads(there.http._answers[OPEN_PATH][0].body)["endpoint"]  # type: ignore[union-attr]  # an answer
        slow = await connect(address, create_connection=Slow)
        tasks.start_soon(Connection(slow, {TOPIC: Receiver(box)}, silence=5, farewell=5).serve)
        await (await there.connected()).send(frame("one"))
        await sending.wait()
        tasks.cancel_scope.cancel()
        go_on.set()
    assert box.names == ["one"]


@pytest.mark.parametrize("headers", [{"time": "soon"}, {"time": None}, {"eventBornTime": ""}, {"extra": {"a": 1}}])
async def test_a_header_that_nobody_needs_does_not_cost_the_message(headers: dict[str, Any]) -> None:
    box = Mailbox()
    async with gateway() as there, streaming(there.url, box):
        await (await there.connected()).send(frame("one", **headers))
        await box.filled()
        assert box.names == ["one"]


async def test_messages_without_a_frame_id_are_handed_on_and_not_acknowledged() -> None:
    box = Mailbox()
    async with gateway() as there, streaming(there.url, box):
        socket = await there.connected()
        await socket.send(frame("one", messageId=None))
        await socket.send(frame("two"))
        await box.filled(2)
        await there.until(lambda: there.acks)
        assert [name for name, _ in box.got] == ["", "frame-two"]
        assert [ack["headers"]["messageId"] for ack in there.acks] == ["frame-two"]


async def test_a_binary_frame_is_a_frame() -> None:
    box = Mailbox()
    async with gateway() as there, streaming(there.url, box):
        await (await there.connected()).send(frame("one").encode())
        await box.filled()
        assert box.names == ["one"]


async def test_a_large_message_arrives() -> None:
    box = Mailbox()
    async with gateway() as there, streaming(there.url, box):
        await (await there.connected()).send(frame(data=json.dumps({"msgId": "x" * 2_000_000})))
        await box.filled()
        assert len(box.names[0]) == 2_000_000


async def test_a_frame_over_the_limit_costs_the_connection_and_a_new_one_comes() -> None:
    box = Mailbox()
    async with gateway() as there, streaming(there.url, box):
        await (await there.connected()).send("x" * (FRAME_LIMIT + 1))
        await (await there.connected(2)).send(frame("next"))
        await box.filled()


async def test_a_message_that_cannot_be_acknowledged_any_more_is_not_lost() -> None:
    async def hello_and_goodbye(socket: ServerConnection) -> None:
        await socket.send(frame(f"m{len(there.sockets)}"))
        await socket.close()

    box = Mailbox()
    async with gateway() as there:
        there.greeting = hello_and_goodbye
        async with streaming(there.url, box):
            await box.filled(5)
    assert box.names[:5] == ["m1", "m2", "m3", "m4", "m5"]


# The first connection, and trying again.


@pytest.mark.parametrize(
    "trouble",
    [
        Fault.RESET,
        Fault.CLOSE,
        Answer(200, b"<html>hello</html>", "text/html"),
        Answer(403, b"<html>blocked</html>", "text/html"),
        Answer(404, b"", "text/html"),
        Answer(502, b"<html>bad gateway</html>", "text/html"),
        Answer(504, b""),
        Answer(302, b""),
        answer([]),
        answer({}),
        answer({"endpoint": "ws://127.0.0.1:1/connect"}),
        answer({"ticket": "t"}),
        answer({"endpoint": 5, "ticket": "t"}),
        answer({"endpoint": "", "ticket": "t"}),
        answer({"endpoint": "https://127.0.0.1/", "ticket": "t"}),
        answer({"endpoint": "ws://127.0.0.1:1/connect", "ticket": "t"}),
        answer({"endpoint": "ws://127.0.0.1:99999/", "ticket": "t"}),
        answer({"endpoint": "ws://[::1/", "ticket": "t"}),
        answer({"endpoint": f"ws://{'x' * 70}.invalid/", "ticket": "t"}),
        answer({"status": 1111, "punish": "deny", "wait": 1}),
        refusal(403, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"),
        refusal(403, "Forbidden.AccessDenied.ApiCountLimitForOrg"),
        refusal(500, "ServiceUnavailable"),
        refusal(503, "ServiceUnavailable"),
    ],
    ids=str,
)
async def test_a_passing_trouble_at_the_first_connection_is_waited_out(trouble: Answer | Fault) -> None:
    async with gateway() as there:
        (good,) = there.http._answers[OPEN_PATH]
        there.http.answers(OPEN_PATH, trouble, trouble, good)
        async with streaming(there.url, Mailbox()):
            await there.connected()
        assert len(there.http.to(OPEN_PATH)) == 3


async def test_nobody_at_the_endpoint_is_waited_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    async with streaming(f"http://127.0.0.1:{port}", Mailbox()):
        await anyio.wait_all_tasks_blocked()
        async with Platform(port=port) as platform:
            await platform.connected()


async def test_no_proxy_stands_between_this_machine_and_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with Platform() as platform, streaming(platform.url, Mailbox()):
        await platform.connected()


async def test_a_refused_ticket_is_followed_by_a_new_one() -> None:
    async with Platform(ticket_lifetime=0) as platform, streaming(platform.url, Mailbox()):
        await platform.wait_for(lambda: len(platform.violations) >= 3)
        assert len([call for call in platform.calls if call.path == OPEN_PATH]) >= 3


async def test_a_handshake_that_is_cut_off_is_tried_again() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    async with gateway() as there, await asyncio.start_server(cut, "127.0.0.1", 0) as broken:
        port = broken.sockets[0].getsockname()[1]
        (good,) = there.http._answers[OPEN_PATH]
        there.http.answers(OPEN_PATH, answer({"endpoint": f"ws://127.0.0.1:{port}/", "ticket": "t"}), good)
        async with streaming(there.url, Mailbox()):
            await there.connected()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (refusal(400, "invalidClientIdOrSecret"), InvalidCredentials),
        (refusal(401, "authFailed"), InvalidCredentials),
        (refusal(400, "app.not.published"), InvalidCredentials),
        (refusal(403, "Forbidden.AccessDenied.IpNotInWhiteList"), PermissionDenied),
    ],
)
async def test_a_refusal_of_the_first_connection_is_raised_as_it_is(
    said: Answer, error: type[DingTalkRejected]
) -> None:
    async with gateway() as there:
        there.http.answers(OPEN_PATH, said)
        async with client(there.url, Mailbox()) as stream:
            with pytest.raises(error) as caught:
                await stream.run()
        assert "secret" not in str(caught.value)
        assert len(there.http.to(OPEN_PATH)) == 1


async def test_a_refusal_of_a_later_connection_is_waited_out() -> None:
    async with Platform() as platform, streaming(platform.url, Mailbox()):
        await platform.connected()
        platform.faults.add(OPEN, Reject(400, "invalidClientIdOrSecret"), times=3)
        await platform.drop_connections()
        await platform.wait_for(lambda: platform.faults.unused == [] and platform.connections)


async def test_pauses_double_between_their_bounds() -> None:
    async with Platform() as platform:
        platform.faults.add(OPEN, HtmlError(502), times=6)
        async with streaming(platform.url, Mailbox(), first_pause=0.05, longest_pause=0.4):
            await platform.connected()
        times = [call.time for call in platform.calls]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(gaps) >= 0.05
    assert max(gaps) < 0.05 * 2**5 / 2  # without a bound the last one is not shorter than that
    assert gaps[3] >= 0.2


async def test_a_gateway_that_drops_each_connection_is_left_alone_longer_and_longer() -> None:
    async def goodbye(socket: ServerConnection) -> None:
        await socket.close()

    async with gateway() as there:
        there.greeting = goodbye
        async with streaming(there.url, Mailbox(), first_pause=0.1, longest_pause=30.0):
            began = anyio.current_time()
            await there.connected(4)
    assert anyio.current_time() - began >= 0.5 * (0.1 + 0.2 + 0.4)  # a pause is at least half of what it may be


async def test_a_connection_that_was_healthy_is_replaced_at_once() -> None:
    async with Platform() as platform, streaming(platform.url, Mailbox(), first_pause=30.0, healthy=0.0):
        for _ in range(5):
            await platform.connected()
            await platform.drop_connections()
            await platform.wait_for(lambda: not platform.connections)
        await platform.connected()


# The switch from one connection to the next.


async def test_at_a_disconnect_the_successor_is_up_before_the_old_one_is_left() -> None:
    box = Mailbox()
    async with Platform(disconnect_delay=0.5) as platform, streaming(platform.url, box, first_pause=0.0):
        await platform.connected()
        await platform.disconnect()
        await platform.connected()
        assert platform.sockets == 2
        await platform.wait_for(lambda: platform.sockets == 1)
        await platform.say("to the new one")
        await box.filled()
        assert len([call for call in platform.calls if call.path == OPEN_PATH]) == 2
        assert platform.violations == []


async def test_a_message_on_the_old_connection_after_its_disconnect_is_not_lost() -> None:
    box = Mailbox()
    async with gateway() as there, streaming(there.url, box, first_pause=0.0):
        old = await there.connected()
        await old.send(frame("d", kind="SYSTEM", topic="disconnect"))
        new = await there.connected(2)
        await old.send(frame("late"))
        await new.send(frame("new"))
        await box.filled(2)
        assert sorted(box.names) == ["late", "new"]


@pytest.mark.parametrize("message_id", ["frame-d", None])
async def test_a_disconnect_is_not_acknowledged(message_id: str | None) -> None:
    async with gateway() as there, streaming(there.url, Mailbox(), first_pause=0.0):
        await (await there.connected()).send(frame("d", kind="SYSTEM", topic="disconnect", messageId=message_id))
        await (await there.connected(2)).send(frame("one"))
        await there.until(lambda: there.acks)
        assert [ack["headers"]["messageId"] for ack in there.acks] == ["frame-one"]


async def test_an_old_connection_that_nobody_cuts_is_left_after_the_farewell_however_much_it_says() -> None:
    async with gateway() as there, streaming(there.url, Mailbox(), first_pause=0.0, farewell=0.3):
        old = await there.connected()
        await old.send(frame("d", kind="SYSTEM", topic="disconnect"))
        await there.connected(2)
        with anyio.fail_after(SOON):
            while not there.closed:
                with suppress(ConnectionClosed):
                    await old.send(frame("p", kind="SYSTEM", topic="ping"))
                await anyio.sleep(0.05)  # pings come on time


async def test_several_disconnects_in_a_row_end_in_one_connection() -> None:
    box = Mailbox()
    async with Platform(disconnect_delay=0.1) as platform, streaming(platform.url, box):
        for _ in range(5):
            await platform.connected()
            await platform.disconnect()
        await platform.connected()
        await platform.wait_for(lambda: platform.sockets == 1)
        await platform.say("hello")
        await box.filled()
        assert platform.violations == []


async def test_a_disconnect_said_twice_opens_one_connection() -> None:
    async with gateway() as there, streaming(there.url, Mailbox(), first_pause=0.0):
        old = await there.connected()
        await old.send(frame("d", kind="SYSTEM", topic="disconnect"))
        await old.send(frame("d", kind="SYSTEM", topic="disconnect"))
        new = await there.connected(2)
        await new.send(frame("p", kind="SYSTEM", topic="ping"))
        await there.until(lambda: there.acks)
        assert len(there.sockets) == 2


async def test_no_message_is_lost_or_taken_twice_over_many_switches() -> None:
    box = Mailbox()
    said = []
    async with Platform(disconnect_delay=0.05, qps=math.inf) as platform, streaming(platform.url, box, first_pause=0.0):
        for number in range(40):
            await platform.connected()
            said += [(await platform.say(f"{number}")).id for _ in range(5)]
            await platform.disconnect()
        await box.filled(len(said))
        await anyio.wait_all_tasks_blocked()
        assert sorted(box.names) == sorted(said)
        assert platform.violations == []


async def test_a_silent_connection_is_replaced() -> None:
    box = Mailbox()
    async with Platform(ping_interval=0.05) as platform, streaming(platform.url, box, silence=0.3):
        await platform.connected()
        await platform.zombie()
        await platform.connected()
        await platform.say("hello")
        await box.filled()


async def test_a_connection_with_pings_and_nothing_else_is_kept() -> None:
    async with Platform(ping_interval=0.05) as platform, streaming(platform.url, Mailbox(), silence=0.3):
        await platform.connected()
        await anyio.sleep(0.8)
        assert len(platform.calls) == 1


# When the machine has slept.


class Wall:
    """A clock on the wall that a test sets."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return anyio.current_time() + self.ahead


@pytest.mark.parametrize(
    ("wall", "monotonic", "missed"),
    [(5, 5, 0), (3605, 5, 3600), (3605, 3605, 3600), (5, 3605, 3600), (-3600, 5, 0), (5.2, 5.2, 0.2), (4.9, 5, 0)],
)
def test_the_clock_that_moved_further_tells_how_long_the_machine_slept(
    wall: float, monotonic: float, missed: float
) -> None:
    watch = Watch(wall=1e9, monotonic=50)
    assert watch.missed(wall=1e9 + wall, monotonic=50 + monotonic, expected=5) == pytest.approx(missed)


def test_one_sleep_is_noticed_once() -> None:
    watch = Watch(wall=0, monotonic=0)
    assert watch.missed(wall=3605, monotonic=5, expected=5) == 3600
    assert watch.missed(wall=3610, monotonic=10, expected=5) == 0


async def test_after_a_sleep_the_connection_is_replaced_at_once_and_once() -> None:
    wall = Wall()
    async with gateway() as there, streaming(there.url, Mailbox(), wall=wall, tick=0.02, first_pause=30.0):
        await there.read(await there.connected())
        wall.ahead = 3600
        await there.read(await there.connected(2))
        await anyio.sleep(0.1)  # some ticks more
        assert len(there.sockets) == 2


async def test_a_clock_that_is_set_by_a_little_or_back_costs_no_connection() -> None:
    wall = Wall()
    async with gateway() as there, streaming(there.url, Mailbox(), wall=wall, tick=0.02):
        await there.read(await there.connected())
        for ahead in (9.0, -3600.0, -3595.0):
            wall.ahead = ahead
            await anyio.sleep(0.06)  # some ticks
        assert len(there.sockets) == 1


async def test_a_message_on_the_connection_from_before_a_sleep_is_not_lost() -> None:
    wall, box = Wall(), Mailbox()
    async with gateway() as there, streaming(there.url, box, wall=wall, tick=0.02):
        old = await there.read(await there.connected())
        wall.ahead = 3600
        await there.connected(2)
        await old.send(frame("late"))
        await box.filled()
        assert box.names == ["late"]


async def test_what_is_pushed_until_the_last_moment_of_a_connection_that_is_left_is_not_lost() -> None:
    wall, box = Wall(), Mailbox()
    async with gateway() as there, streaming(there.url, box, wall=wall, tick=0.02, farewell=0.3):
        old = await there.read(await there.connected())
        wall.ahead = 3600
        sent = []
        with suppress(ConnectionClosed), anyio.fail_after(SOON):
            for number in itertools.count():
                await old.send(frame(f"m{number}"))
                sent.append(f"m{number}")
                if number % 20 == 0:
                    await anyio.lowlevel.checkpoint()
        await box.filled(len(sent))
        assert box.names[: len(sent)] == sent


async def test_a_sleep_ends_the_pause_before_the_next_try() -> None:
    wall = Wall()
    async with gateway() as there:
        (good,) = there.http._answers[OPEN_PATH]
        there.http.answers(OPEN_PATH, good, Answer(502, b""), good)
        async with streaming(
            there.url, Mailbox(), wall=wall, tick=0.02, first_pause=60.0, longest_pause=60.0, healthy=0
        ):
            await (await there.connected()).close()
            await there.asked(2)
            wall.ahead = 3600
            await there.connected(2)


async def test_a_sleep_ends_a_try_that_waits_for_an_answer_from_before() -> None:
    wall = Wall()
    async with gateway() as there:
        (good,) = there.http._answers[OPEN_PATH]
        there.http.answers(OPEN_PATH, good, Fault.SILENCE, good)
        async with streaming(there.url, Mailbox(), wall=wall, tick=0.02, healthy=0):
            await (await there.connected()).close()
            await there.asked(2)
            wall.ahead = 3600
            await there.connected(2)


# For ever.


async def test_a_thousand_reconnects_leave_neither_tasks_nor_memory_behind() -> None:
    async def hello_and_goodbye(socket: ServerConnection) -> None:
        await socket.send(frame("d", kind="SYSTEM", topic="disconnect"))

    def note(*_: object) -> None:
        pass

    tracemalloc.start()
    try:
        async with gateway() as there:
            there.greeting = hello_and_goodbye
            async with streaming(there.url, note, first_pause=0.0, farewell=0.0):
                sizes, tasks = [], []
                for _ in range(5):
                    for _ in range(200):
                        await there.connected()
                        there.sockets.clear()  # what the test keeps is no leak
                        there.http.requests.clear()
                    gc.collect()
                    sizes.append(tracemalloc.get_traced_memory()[0])
                    tasks.append(len(asyncio.all_tasks()))
    finally:
        tracemalloc.stop()
    assert max(tasks[1:]) <= tasks[0] + 5, tasks
    assert sizes[-1] - sizes[0] < 200_000, sizes


async def test_two_hundred_drops_leave_no_tasks_behind() -> None:
    async with Platform(qps=math.inf) as platform, streaming(platform.url, Mailbox(), healthy=0.0, first_pause=0.0):
        await platform.connected()
        before = 0
        for number in range(200):
            await platform.drop_connections()
            await platform.wait_for(lambda: not platform.connections)
            await platform.connected()
            if number == 20:
                await anyio.wait_all_tasks_blocked()
                before = len(asyncio.all_tasks())
        await anyio.wait_all_tasks_blocked()
        assert len(asyncio.all_tasks()) <= before


# Leaving.


async def test_cancelled_while_connected_the_socket_is_closed_in_good_order() -> None:
    async with gateway() as there:
        async with streaming(there.url, Mailbox()):
            server_side = await there.connected()
            await server_side.send(frame())
            await there.until(lambda: there.acks)
        await there.until(lambda: there.closed == 1)
        assert server_side.close_code == 1000


async def test_cancelled_during_a_switch_both_sockets_are_closed() -> None:
    async with gateway() as there:
        async with streaming(there.url, Mailbox(), first_pause=0.0):
            await (await there.connected()).send(frame("d", kind="SYSTEM", topic="disconnect"))
            await there.connected(2)
        await there.until(lambda: there.closed == 2)


async def test_a_peer_that_does_not_answer_the_farewell_does_not_keep_the_socket() -> None:
    async with gateway() as there:
        async with streaming(there.url, Mailbox()):
            server_side = await there.connected()
            await server_side.send(frame())
            await there.until(lambda: there.acks)
            server_side.transport.pause_reading()
            before = anyio.current_time()
        assert anyio.current_time() - before < 5  # the library's own patience is 10
        # A reset reaches a peer that does not read; a socket that is merely half closed would take what is written.
        await anyio.sleep(0.05)
        raw = server_side.transport.get_extra_info("socket")
        assert struct.unpack("B", raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)) != (1,), "still established"


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.012, 0.02, 0.05])
async def test_cancelled_at_any_point_nothing_is_left(delay: float) -> None:
    async with gateway() as there:
        with anyio.move_on_after(delay):
            async with client(there.url, Mailbox()) as stream:
                await stream.run()
        await there.until(lambda: there.closed == len(there.sockets))
        ours = [task for task in asyncio.all_tasks() if "dingtalk.stream" in repr(task) or "keepalive" in repr(task)]
        assert ours == []


@pytest.mark.parametrize("stage", ["open", "handshake", "pause"])
async def test_cancelled_while_waiting_it_ends_at_once(stage: str) -> None:
    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with gateway() as there, await asyncio.start_server(nothing, "127.0.0.1", 0) as mute:
        port = mute.sockets[0].getsockname()[1]
        match stage:
            case "open":
                there.http.answers(OPEN_PATH, Fault.SILENCE)
            case "handshake":
                there.http.answers(OPEN_PATH, answer({"endpoint": f"ws://127.0.0.1:{port}/", "ticket": "t"}))
            case _:
                there.http.answers(OPEN_PATH, Answer(502, b""))
        began = anyio.current_time()
        async with client(there.url, Mailbox(), first_pause=4 * SOON, longest_pause=4 * SOON) as stream:
            with anyio.move_on_after(0.3):
                await stream.run()
        assert anyio.current_time() - began < 5  # a call's own patience is longer
