"""A push over Stream mode, and the intervals that decide what becomes of it."""

import asyncio
from dataclasses import dataclass, field

from cardbot.playground.platform.endpoint import Json

PING_INTERVAL = 20.0
"""Seconds between SYSTEM pings. seen: 20 to 30."""

ACK_DEADLINE = 2.0
"""Seconds to acknowledge. documented for card callbacks: event-callback-card, read 2026-11. seen for messages."""

TICKET_LIFETIME = 90.0
"""Seconds from `connections/open` to the handshake. documented: Stream mode protocol, read 2026-11."""

CUT_DELAY = 10.0
"""Seconds between a `disconnect` frame and the end of TCP. seen: public connectors."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Intervals in seconds. `redelivery` is disputed: never, 2 or 60."""

    ping: float = PING_INTERVAL
    ack: float = ACK_DEADLINE
    redelivery: float | None = None
    ticket: float = TICKET_LIFETIME
    cut: float = CUT_DELAY


@dataclass(slots=True, eq=False)
class Message:
    """One push and what became of it. `id` is the `msgId`; redeliveries share it. Times on the steady clock."""

    id: str
    conversation_id: str
    user: str
    topic: str
    data: Json
    acked: asyncio.Event = field(default_factory=asyncio.Event)
    ack: Json | None = None
    sent_at: float | None = None
    acked_at: float | None = None
    deliveries: int = 0
