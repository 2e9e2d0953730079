"""Messages that tests send, and who answers them."""

import uuid
from dataclasses import replace
from typing import Any

import anyio

from cardbot.messages import Chat, ChatKind, Incoming, Person, SessionWebhook
from cardbot.reply import Desk
from cardbot.store.memory import MemoryStore
from cardbot.texts import EN

DIRECT = Incoming(
    message_id="msg-1",
    robot_code="dingrobot",
    chat=Chat("cid-direct", ChatKind.DIRECT),
    sender=Person("$:LWCP_v1:$1", "user0001", "Ada", "dingcorp"),
    kind="text",
    text="What is the weather?",
    webhook=SessionWebhook("https://oapi.dingtalk.com/robot/sendBySession?session=x", 4e9),
    created_at=1.0,
)
GROUP = replace(DIRECT, chat=Chat("cidGROUP==", ChatKind.GROUP, "Team"))


def direct(**changes: Any) -> Incoming:
    return replace(DIRECT, **changes)


def new_id() -> str:
    """The id of one more reply."""
    return uuid.uuid4().hex


def desk_of(*, source: Any, cards: Any, webhook: Any, **changes: Any) -> Desk:
    """A desk in English that forgets when the test ends."""
    values = {"store": MemoryStore(), "texts": EN, "app": "app-1", "places": anyio.CapacityLimiter(100), **changes}
    return Desk(source=source, cards=cards, webhook=webhook, **values)
