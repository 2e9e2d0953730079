"""Messages that tests send."""

from dataclasses import replace
from typing import Any

from cardbot.messages import Chat, ChatKind, Incoming, Person, SessionWebhook

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
