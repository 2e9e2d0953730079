"""Stream mode over real sockets, with a bot side written by hand."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from cardbot.playground.platform.gateway import Gateway
from cardbot.playground.platform.ledger import Ledger
from cardbot.playground.platform.pushes import Message, Timing
from tests.patience import SOON

pytestmark = pytest.mark.anyio

TOPIC = "/v1.0/im/bot/messages/get"


@dataclass
class Side:
    """Both ends: the gateway with what it noted, and a way to connect."""

    gateway: Gateway
    ledger: Ledger

    def address(self, *topics: str) -> str:
        answer = self.gateway.issue_ticket(frozenset(topics or {TOPIC}))
        return f"{answer['endpoint']}?ticket={answer['ticket']}"

    @asynccontextmanager
    async def bot(self, *topics: str) -> AsyncIterator[ClientConnection]:
        before = self.gateway.connections
        async with connect(self.address(*topics), ping_interval=None) as socket:
            await self.until(lambda: self.gateway.connections > before)
            yield socket

    async def push(self, msg_id: str = "msg1==") -> Message:
        message = Message(msg_id, "cid1==", "user0001", TOPIC, {"msgId": msg_id})
        await self.gateway.push(message)
        return message

    async def until(self, condition: Any) -> None:
        await self.ledger.wait_for(condition, seconds=SOON)

    async def violation(self, text: str) -> None:
        await self.until(lambda: any(text in found for found in self.ledger.violations))


@asynccontextmanager
async def platform(timing: Timing | None = None) -> AsyncIterator[Side]:
    ledger = Ledger()
    async with Gateway(ledger, timing=timing) as gateway:
        yield Side(gateway, ledger)


async def receive(socket: ClientConnection, topic: str = TOPIC) -> dict[str, Any]:
    with anyio.fail_after(SOON):
        while True:
            frame: dict[str, Any] = json.loads(await socket.recv())
            if frame["headers"]["topic"] == topic:
                return frame


def ack(frame: dict[str, Any], **changes: Any) -> str:
    headers = {"contentType": "application/json", "messageId": frame["headers"]["messageId"]}
    data = frame["data"] if frame["headers"]["topic"] == "ping" else '{"response": null}'
    return json.dumps({"code": 200, "headers": headers, "message": "OK", "data": data, **changes})


async def test_ticket_opens_one_connection_only() -> None:
    async with platform() as side:
        address = side.address()
        async with connect(address):
            with pytest.raises(InvalidStatus) as refusal:
                await connect(address)
        assert refusal.value.response.status_code == 401
        assert side.ledger.violations == ["connect: a ticket that is unknown, used or expired"]


async def test_ticket_expires() -> None:
    async with platform(Timing(ticket=0)) as side:
        with pytest.raises(InvalidStatus):
            await connect(side.address())


async def test_unknown_path_is_refused() -> None:
    async with platform() as side:
        with pytest.raises(InvalidStatus) as refusal:
            await connect(side.address().replace("/connect", "/other"))
        assert refusal.value.response.status_code == 404


async def test_push_is_a_callback_frame_with_its_data_in_a_string() -> None:
    async with platform() as side, side.bot() as socket:
        await side.push()
        frame = await receive(socket)
        assert (frame["specVersion"], frame["type"]) == ("1.0", "CALLBACK")
        assert json.loads(frame["data"]) == {"msgId": "msg1=="}
        assert set(frame["headers"]) == {"appId", "connectionId", "contentType", "messageId", "time", "topic"}
        assert abs(int(frame["headers"]["time"]) - time.time() * 1000) < 60_000


async def test_ack_reaches_the_message() -> None:
    async with platform() as side, side.bot() as socket:
        message = await side.push()
        await socket.send(ack(await receive(socket)))
        with anyio.fail_after(SOON):
            await message.acked.wait()
        assert message.ack is not None
        assert message.ack["message"] == "OK"
        assert side.ledger.violations == []


async def test_push_goes_to_one_connection_at_random() -> None:
    async with platform() as side, side.bot() as one, side.bot() as other:
        for number in range(20):
            await side.push(f"msg{number}==")
        await side.gateway.ping()
        shares: list[list[str]] = []
        for socket in (one, other):
            shares.append([])
            while (frame := json.loads(await socket.recv()))["headers"]["topic"] != "ping":
                shares[-1].append(json.loads(frame["data"])["msgId"])
        assert sorted(shares[0] + shares[1]) == sorted(f"msg{number}==" for number in range(20))
        # The chance that one of two gets nothing is 1 in 500,000.
        assert all(shares)


async def test_push_goes_only_where_its_topic_is_subscribed() -> None:
    async with platform() as side, side.bot("/v1.0/card/instances/callback"):
        assert (await side.push()).deliveries == 0


async def test_message_without_ack_comes_again_with_a_new_frame_and_the_same_id() -> None:
    async with platform(Timing(redelivery=0.05)) as side, side.bot() as socket:
        message = await side.push()
        first, second = await receive(socket), await receive(socket)
        assert first["data"] == second["data"]
        assert first["headers"]["messageId"] != second["headers"]["messageId"]
        await side.until(lambda: message.deliveries == 2)


async def test_acknowledged_message_does_not_come_again() -> None:
    async with platform(Timing(redelivery=0.05)) as side, side.bot() as socket:
        message = await side.push()
        await socket.send(ack(await receive(socket)))
        await message.acked.wait()
        unanswered = await side.push("msg2==")
        await side.until(lambda: unanswered.deliveries == 3)
        assert message.deliveries == 1


async def test_ack_with_an_error_code_does_not_count() -> None:
    async with platform() as side, side.bot() as socket:
        message = await side.push()
        await socket.send(ack(await receive(socket), code=404))
        await side.violation("ACK with code 404")
        assert not message.acked.is_set()


async def test_missing_ack_is_a_violation() -> None:
    async with platform(Timing(ack=0.05)) as side, side.bot():
        await side.push()
        await side.violation(f"{TOPIC}: no ACK within 0.05 s")


async def test_late_ack_is_a_violation() -> None:
    async with platform(Timing(ack=0.05)) as side, side.bot() as socket:
        await side.push()
        frame = await receive(socket)
        await side.violation("no ACK")
        await socket.send(ack(frame))
        await side.violation(f"{TOPIC}: ACK after 0.1 s")


async def test_second_ack_is_a_violation() -> None:
    async with platform() as side, side.bot() as socket:
        await side.push()
        frame = await receive(socket)
        await socket.send(ack(frame))
        await socket.send(ack(frame))
        await side.violation("ACK twice")


async def test_ack_on_another_connection_is_a_violation() -> None:
    async with platform() as side, side.bot() as one:
        await side.push()
        frame = await receive(one)
        async with side.bot() as other:
            await other.send(ack(frame))
            await side.violation("ACK on another connection")


@pytest.mark.parametrize(
    ("changes", "violation"),
    [
        ({"headers": {"contentType": "application/json", "messageId": "other"}}, "ACK with unknown messageId other"),
        ({"headers": {}}, "ACK: no headers.messageId"),
        ({"code": None}, "ACK: no code"),
        ({"message": None}, "ACK without a message"),
        ({"data": {"response": None}}, "ACK whose data is not JSON in a string"),
        ({"data": "{}"}, "ACK whose data has no response"),
    ],
)
async def test_malformed_ack_is_a_violation(changes: dict[str, Any], violation: str) -> None:
    async with platform() as side, side.bot() as socket:
        await side.push()
        await socket.send(ack(await receive(socket), **changes))
        await side.violation(violation)


@pytest.mark.parametrize(("text", "violation"), [("{", "ACK: not JSON"), (b"{}", "ACK: a binary frame")])
async def test_noise_is_a_violation(text: str | bytes, violation: str) -> None:
    async with platform() as side, side.bot() as socket:
        await socket.send(text)
        await side.violation(violation)


async def test_pings_come_by_themselves() -> None:
    async with platform(Timing(ping=0.01)) as side, side.bot() as socket:
        frame = await receive(socket, "ping")
        assert frame["type"] == "SYSTEM"
        assert json.loads(frame["data"])["opaque"]


async def test_ping_echo_in_other_json_spelling_is_fine() -> None:
    async with platform() as side, side.bot() as socket:
        await side.gateway.ping()
        frame = await receive(socket, "ping")
        await socket.send(ack(frame, data=frame["data"].replace(" ", "")))
        message = await side.push()
        await socket.send(ack(await receive(socket)))
        await side.until(message.acked.is_set)
        assert side.ledger.violations == []


async def test_wrong_ping_echo_is_a_violation() -> None:
    async with platform() as side, side.bot() as socket:
        await side.gateway.ping()
        await socket.send(ack(await receive(socket, "ping"), data='{"opaque": "other"}'))
        await side.violation("ping: ping echo differs")


async def test_unanswered_ping_is_a_violation() -> None:
    async with platform(Timing(ack=0.05)) as side, side.bot():
        await side.gateway.ping()
        await side.violation("ping: no ACK within 0.05 s")


async def test_disconnect_frame_stops_pushes_and_then_ends_tcp() -> None:
    async with platform(Timing(cut=0.05)) as side, side.bot() as socket:
        await side.gateway.disconnect()
        assert json.loads((await receive(socket, "disconnect"))["data"]) == {"reason": "connection is expired"}
        assert (await side.push()).deliveries == 0
        with anyio.fail_after(SOON), pytest.raises(ConnectionClosedError):
            await socket.recv()
        await side.until(lambda: side.gateway.sockets == 0)


async def test_after_a_disconnect_frame_the_new_connection_gets_the_pushes() -> None:
    async with platform() as side, side.bot() as old:
        await side.gateway.disconnect()
        async with side.bot() as new:
            await side.push()
            await receive(new)
            assert side.gateway.sockets == 2
        await receive(old, "disconnect")


async def test_dropped_connection_ends_without_a_close_frame() -> None:
    async with platform() as side, side.bot() as socket:
        side.gateway.drop()
        with anyio.fail_after(SOON), pytest.raises(ConnectionClosedError) as end:
            await socket.recv()
        assert end.value.rcvd is None


async def test_zombie_answers_websocket_pings_and_says_nothing_else() -> None:
    async with platform(Timing(ping=0.05)) as side, side.bot() as socket:
        side.gateway.forget()
        assert (await side.push()).deliveries == 0
        with anyio.fail_after(SOON):
            await (await socket.ping())
        with anyio.move_on_after(0.2) as four_ping_intervals:
            await socket.recv()
        assert four_ping_intervals.cancelled_caught


async def test_error_of_the_caller_comes_out_as_it_is() -> None:
    with pytest.raises(LookupError):
        async with platform():
            raise LookupError
