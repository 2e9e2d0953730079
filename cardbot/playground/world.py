"""The unchanged bot between a simulated DingTalk and a scripted or real Dify, connected by its public settings."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from cardbot.bot import Bot
from cardbot.playground.dify import FakeDify
from cardbot.playground.platform import TEMPLATE_ID, Platform
from cardbot.playground.relay import Relay
from cardbot.playground.samples import about_files, heard, sample_answer
from cardbot.settings import DifySettings, Settings
from cardbot.texts import Language

LATENCY = 0.12
"""Seconds that each call to the simulated DingTalk takes. Our choice: what a real one takes from within China."""

CALLS_PER_MONTH = 5000
"""Calls of the organisation. documented: open.dingtalk.com billing page, read 2026-11, standard edition."""

IDLE_SECONDS = 15.0
"""Seconds of silence after which the bot gives up on the scripted Dify. Our choice: nobody waits two minutes to see."""

DRAIN_SECONDS = 1.0
"""Seconds that open answers get on leaving. Our choice: whoever leaves has seen enough."""

FILES = {
    "enabled": True,
    "allowed_file_types": ["image", "document"],
    "allowed_file_extensions": [],
    "allowed_file_upload_methods": ["local_file"],
    "number_limits": 3,
}
"""The files that the scripted app takes. Our choice: as most apps, so that a video shows what happens to other ones."""

APP: Final = "advanced-chat"
"""What the scripted app is. Our choice: a chatflow can do all that the page shows, and wait for a person besides."""

CLIENT_ID, CLIENT_SECRET, DIFY_KEY = "playground", "playground-secret", "app-playground"
"""Credentials between the parts; they open nothing outside this process."""


APP_SETTINGS = {
    "DIFY_APP_MODE": "dify_app_mode",
    "DIFY_INPUTS": "dify_inputs",
    "DIFY_QUERY_INPUT": "dify_query_input",
    "DIFY_OUTPUT": "dify_output",
    "DIFY_SYSTEM_PROMPT": "dify_system_prompt",
}
"""How a real app is asked, as it is anywhere."""


@dataclass(frozen=True, slots=True)
class World:
    """The sides that the bot talks to, both running. `scripted` is None where a real Dify answers."""

    platform: Platform
    relay: Relay
    scripted: FakeDify | None
    idle_seconds: float


@asynccontextmanager
async def world(dify: DifySettings | None, language: Language) -> AsyncGenerator[World]:
    """Everything started and connected. `dify` names a real app to ask; None asks a scripted one.

    On leaving, the bot finishes its open cards as it does on SIGTERM.
    """
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(
            Platform(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, latency=LATENCY, monthly=CALLS_PER_MONTH)
        )
        scripted: FakeDify | None = None
        if dify is None:
            scripted = await stack.enter_async_context(
                FakeDify(APP, api_key=DIFY_KEY, file_upload=FILES, speech_to_text=True)
            )
            scripted.default, scripted.about_files, scripted.transcript = sample_answer, about_files, heard
            address, key, idle_seconds = scripted.url, DIFY_KEY, IDLE_SECONDS
        else:
            address, key = dify.dify_base_url, dify.dify_api_key.get_secret_value()
            idle_seconds = dify.dify_idle_seconds
        relay = await stack.enter_async_context(Relay(address))
        values: dict[str, object] = {
            "DINGTALK_CLIENT_ID": CLIENT_ID,
            "DINGTALK_CLIENT_SECRET": CLIENT_SECRET,
            "DINGTALK_CARD_TEMPLATE_ID": TEMPLATE_ID,
            "DINGTALK_OPENAPI_ENDPOINT": platform.url,
            "DIFY_API_KEY": key,
            "DIFY_BASE_URL": relay.url,
            "CARDBOT_DIFY_IDLE_SECONDS": idle_seconds,
            "CARDBOT_STORE": "memory:",
            "CARDBOT_LANGUAGE": language,
            "CARDBOT_DRAIN_SECONDS": DRAIN_SECONDS,
        }
        if dify is not None:
            values |= {name: getattr(dify, field) for name, field in APP_SETTINGS.items()}
        leave = anyio.Event()
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(Bot(Settings.of(values)).run, leave)
        await platform.connected()
        try:
            yield World(platform, relay, scripted, idle_seconds)
        finally:
            leave.set()
