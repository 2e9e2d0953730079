"""Messages that tests send, and who answers them."""

import uuid
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import anyio

from cardbot.desk import Desk
from cardbot.messages import Attachment, Chat, ChatKind, Incoming, Person, SessionWebhook
from cardbot.ports import Download
from cardbot.store.memory import MemoryStore
from cardbot.texts import EN
from cardbot.words import Words

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


class Unwatched:
    """Nobody needs to know what becomes of a card. Implements `ports.Watcher`."""

    def shown(self) -> None:
        """Nothing to do."""

    def lost(self) -> None:
        """Nothing to do."""

    def carried(self, card_id: str, carrier: str) -> None:
        """Nothing to do."""

    def ended(self, card_id: str, markdown: str) -> None:
        """Nothing to do."""

    def hidden(self) -> None:
        """Nothing to do."""

    async def is_ours(self) -> bool:
        """Nobody else knows it."""
        return True


class NoFiles:
    """Messages here have no files. Implements `ports.Files`."""

    def fetch(self, attachment: Attachment, *, robot_code: str) -> AbstractAsyncContextManager[Download]:
        raise AssertionError("nothing to fetch")


def desk_of(*, source: Any, cards: Any, webhook: Any, **changes: Any) -> Desk:
    """A desk in English that forgets when the test ends."""
    store = changes.pop("store", None) or MemoryStore()
    values = {
        "store": store,
        "words": Words(store),
        "files": NoFiles(),
        "texts": EN,
        "app": "app-1",
        "places": anyio.CapacityLimiter(100),
        **changes,
    }
    return Desk(source=source, cards=cards, webhook=webhook, **values)
