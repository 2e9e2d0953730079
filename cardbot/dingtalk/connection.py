"""One connection of Stream mode, read to its end: each frame is acknowledged, then what it holds is handed on."""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
import structlog
import websockets
from websockets.asyncio.client import ClientConnection

from cardbot.dingtalk.frames import Frame, acknowledgement, content, parse

SILENCE = 75.0
"""Seconds without a frame after which the connection is dead, however open its socket. Seen: DingTalk itself pings
every 20 to 30 s; an answer to a websocket ping is no proof that anything is still delivered."""

FAREWELL = 12.0
"""Seconds that a connection is still read after its successor was called for. Documented: DingTalk cuts it about 10 s
after `disconnect`."""

ACK_TIMEOUT = 2.0
"""Seconds for sending one acknowledgement. Seen: DingTalk waits about as long before it pushes a message again."""

CLOSE_TIMEOUT = 1.0
"""Seconds for the closing handshake. Our choice: courtesy, which a dead connection must not turn into waiting."""

log = structlog.get_logger(__name__)


def no_response(data: Mapping[str, Any]) -> None:
    """What most topics are told in an acknowledgement: nothing but that the data arrived."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who takes the data of one topic."""

    take: Callable[[str, Mapping[str, Any]], None]
    """Takes a frame's message id and its data. Called after the acknowledgement went out; must not wait."""
    response: Callable[[Mapping[str, Any]], Mapping[str, Any] | None] = no_response
    """What the acknowledgement says about the data, before any work is done: pure, and quick. Data that cannot be read
    comes as an empty object."""


class Connection:
    """One websocket. `receivers` names, by topic, who takes the pushed data."""

    def __init__(
        self, socket: ClientConnection, receivers: Mapping[str, Receiver], *, silence: float, farewell: float
    ) -> None:
        self.over = anyio.Event()
        """A successor is wanted."""
        self.leaving = False
        """It was said beforehand that it is to be left, and not merely found out that it is gone."""
        self._socket = socket
        self._receivers = receivers
        self._silence = silence
        self._farewell = farewell
        self._leave_at = math.inf
        self._waiting = anyio.CancelScope()
        self._stalled = False
        self._closing = False

    def leave(self) -> None:
        """Call for a successor. What still comes here until it is up is taken."""
        if not self.leaving:
            self.leaving = True
            self._leave_at = anyio.current_time() + self._farewell
            self._waiting.deadline = min(self._waiting.deadline, self._leave_at)
            self.over.set()

    async def serve(self) -> None:
        """Read to the end, and say when another connection should take over."""
        try:
            await self._read()
            self.over.set()
            self._closing = True
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._close)
                with suppress(websockets.ConnectionClosed):
                    while True:  # what was pushed before DingTalk heard the goodbye
                        await self._take(await self._socket.recv())
        finally:
            self.over.set()
            await self._close()

    async def _read(self) -> None:
        try:
            while not self._stalled:
                with anyio.CancelScope() as self._waiting:
                    self._waiting.deadline = min(anyio.current_time() + self._silence, self._leave_at)
                    raw = await self._socket.recv()
                if self._waiting.cancelled_caught:
                    break
                await self._take(raw)
        except websockets.ConnectionClosed as exc:
            log.info("stream_closed", reason=str(exc))
            return
        if not (self.leaving or self._stalled):
            log.warning("stream_silent", seconds=self._silence)

    async def _close(self) -> None:
        if not self._stalled:  # else what is stuck might yet arrive, too late
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await self._socket.close()
        self._socket.transport.abort()  # nothing but a dead peer still has it open

    async def _take(self, raw: str | bytes) -> None:
        """Acknowledge one frame, then hand on what it holds."""
        try:
            frame = parse(raw)
        except (ValueError, RecursionError) as exc:
            log.warning("stream_frame_malformed", error=type(exc).__name__, size=len(raw))
            return
        if frame.says_disconnect:
            log.info("stream_disconnect_announced")
            self.leave()
            return
        if not frame.is_known(self._receivers):
            log.warning("stream_frame_unknown", kind=frame.kind, topic=frame.topic)
        receiver = self._receivers[frame.topic] if frame.is_for(self._receivers) else None
        data = _read(frame) if receiver else None
        if not frame.message_id:
            log.warning("stream_frame_malformed", error="no messageId", size=len(raw))
        elif not self._closing:  # nothing may be said after a goodbye
            await self._acknowledge(frame, _response(receiver, frame, data or {}) if receiver else None)
        if receiver and data is not None:
            _hand_on(receiver, frame, data)

    async def _acknowledge(self, frame: Frame, response: Mapping[str, Any] | None) -> None:
        """Say that a frame arrived. If that fails the message is worked on none the less: whether DingTalk would push
        it again is disputed, and if it does, it is recognised.

        Shielded: a message whose acknowledgement went out is never dropped, and is handed on next.
        """
        try:
            with anyio.move_on_after(ACK_TIMEOUT, shield=True) as patience:
                await self._socket.send(acknowledgement(frame, self._receivers, response=response))
        except websockets.ConnectionClosed as exc:
            log.warning("stream_not_acknowledged", frame=frame.message_id, error=type(exc).__name__)
        if patience.cancelled_caught:
            # Seen: late acknowledgements blocked DingTalk's reader. So what is stuck goes down with the connection.
            self._stalled = True
            log.warning("stream_not_acknowledged", frame=frame.message_id, error="DingTalk does not read")


def _read(frame: Frame) -> Mapping[str, Any] | None:
    """The data for its receiver, if it can be read."""
    try:
        return content(frame)
    except (ValueError, RecursionError):
        log.error("stream_data_unreadable", topic=frame.topic, frame=frame.message_id, size=len(frame.data))
        return None


def _response(receiver: Receiver, frame: Frame, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the receiver has to say at once; if it fails, the frame is acknowledged none the less."""
    try:
        return receiver.response(data)
    except Exception:  # one message's failure must not end the connection, which is everybody's
        log.exception("stream_receiver_failed", topic=frame.topic, frame=frame.message_id)
        return None


def _hand_on(receiver: Receiver, frame: Frame, data: Mapping[str, Any]) -> None:
    """Give the data to its receiver."""
    try:
        receiver.take(frame.message_id, data)
    except Exception:  # as above
        log.exception("stream_receiver_failed", topic=frame.topic, frame=frame.message_id)
