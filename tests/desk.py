"""A whole bot between a simulated DingTalk and a scripted Dify, connected by its public settings only."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio

from cardbot.bot import Bot
from cardbot.playground.dify import FakeDify
from cardbot.playground.platform import TEMPLATE_ID, Platform
from cardbot.playground.platform.cards import State
from cardbot.settings import Settings
from tests.patience import SOON

CREATE = "POST /v1.0/card/instances/createAndDeliver"
STREAM = "PUT /v1.0/card/streaming"
UPDATE = "PUT /v1.0/card/instances"
WEBHOOK = "POST /robot/sendBySession"


@dataclass(frozen=True)
class Desk:
    platform: Platform
    dify: FakeDify
    leave: anyio.Event
    settings: Settings

    async def ended(self, count: int = 1, *, within: float = SOON) -> None:
        """Until so many messages have their visible final state."""
        await self.platform.wait_for(lambda: len(self.finals) >= count, timeout=within)

    @property
    def finals(self) -> list[str]:
        """The final texts that people see: of finished cards that hold an answer, and of plain replies."""
        cards = [
            card.content
            for card in self.platform.cards.values()
            if card.delivered and card.state in (State.DONE, State.FAILED) and card.content not in ("", ELSEWHERE)
        ]
        return cards + [reply.text for reply in self.platform.replies]

    @property
    def spinning(self) -> list[str]:
        """Cards that people see and that have no end."""
        return [
            card.out_track_id
            for card in self.platform.cards.values()
            if card.delivered and card.state not in (State.DONE, State.FAILED)
        ]


ELSEWHERE = "The answer is in the next message."


@asynccontextmanager
async def desk(
    *, platform: dict[str, Any] | None = None, dify: dict[str, Any] | None = None, **settings: str
) -> AsyncGenerator[Desk]:
    """Everything running and connected; leaves as SIGTERM does, and judges the bot by the platform's objections."""
    async with (
        Platform(**{"client_id": "dingtest", "client_secret": "secret", **(platform or {})}) as there,
        FakeDify(**{"api_key": "app-test", "linger": 0, **(dify or {})}) as brain,
    ):
        values = {
            "DINGTALK_CLIENT_ID": "dingtest",
            "DINGTALK_CLIENT_SECRET": "secret",
            "DINGTALK_CARD_TEMPLATE_ID": TEMPLATE_ID,
            "DINGTALK_OPENAPI_ENDPOINT": there.url,
            "DIFY_API_KEY": "app-test",
            "DIFY_BASE_URL": brain.url,
            "CARDBOT_STORE": "memory:",
            "CARDBOT_LANGUAGE": "en",
            "CARDBOT_DRAIN_SECONDS": "0",
            **settings,
        }
        leave = anyio.Event()
        async with anyio.create_task_group() as tasks:
            chosen = Settings.of(values)
            tasks.start_soon(Bot(chosen).run, leave)
            await there.connected()
            yield Desk(there, brain, leave, chosen)
            leave.set()
