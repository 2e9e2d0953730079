"""`cardbot run` in a process of its own, to be killed."""

import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import Process

from cardbot.playground.dify import FakeDify
from cardbot.playground.platform import TEMPLATE_ID, Platform

START = 40.0
"""Seconds until a bot is connected. Our choice: it takes about one, and several start at once on few and busy cores."""


def settings(platform: Platform, dify: FakeDify, store: str, **more: str) -> dict[str, str]:
    """The environment of a bot between these two."""
    tree = {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}  # where a test's own tree is
    return {
        "PATH": "/usr/bin:/bin",
        **tree,
        "DINGTALK_CLIENT_ID": "dingtest",
        "DINGTALK_CLIENT_SECRET": "secret",
        "DINGTALK_CARD_TEMPLATE_ID": TEMPLATE_ID,
        "DINGTALK_OPENAPI_ENDPOINT": platform.url,
        "DIFY_BASE_URL": dify.url,
        "DIFY_API_KEY": "app-test",
        "CARDBOT_LANGUAGE": "en",
        "CARDBOT_STORE": store,
        **more,
    }


@asynccontextmanager
async def cardbot_run(environment: dict[str, str], folder: Path) -> AsyncGenerator[Process]:
    """The bot, starting. Whatever happens in the block, it is gone after it; what it logged is in the folder."""
    with await anyio.to_thread.run_sync(open, folder / "log.txt", "ab") as log:
        process = await anyio.open_process(
            [sys.executable, "-m", "cardbot", "run"], env=environment, cwd=folder, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()


async def kill(process: Process) -> None:
    """As `kill -9` does; returns when it is gone."""
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
