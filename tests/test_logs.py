"""What is in the log, and what must never be: secrets, tickets, tokens and the addresses of session webhooks."""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from cardbot.playground.dify import FakeDify
from cardbot.playground.dify.script import Refuse, Script
from cardbot.playground.platform import TEMPLATE_ID, Platform
from cardbot.playground.platform.cards import State
from cardbot.playground.platform.endpoint import Json
from cardbot.playground.platform.faults import Reject
from cardbot.playground.platform.gateway import Gateway
from tests.desk import CREATE
from tests.patience import SOON

SECRET = "client-secret-5f2b9c"
KEY = "app-key-of-dify-77aa01"

RUN = """
import logging, signal, anyio
{set_up}
logging.getLogger().setLevel(logging.DEBUG)
from cardbot.bot import Bot
from cardbot.settings import Settings

async def main():
    leave = anyio.Event()
    async with anyio.create_task_group() as tasks:
        async def listen():
            with anyio.open_signal_receiver(signal.SIGTERM) as signals:
                async for _ in signals:
                    leave.set()
        tasks.start_soon(listen)
        await Bot(Settings.load()).run(leave)
        tasks.cancel_scope.cancel()

anyio.run(main)
"""

AS_CARDBOT = "from cardbot.logs import set_up; set_up('DEBUG')"
AS_A_LIBRARY = "logging.basicConfig(level=logging.DEBUG)"


@pytest.fixture
def tickets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every ticket that the simulated platform hands out."""
    issued: list[str] = []
    issue = Gateway.issue_ticket

    def noted(self: Gateway, topics: frozenset[str]) -> Json:
        answer = issue(self, topics)
        issued.append(answer["ticket"])
        return answer

    monkeypatch.setattr(Gateway, "issue_ticket", noted)
    return issued


@pytest.mark.anyio
@pytest.mark.parametrize("set_up", [AS_CARDBOT, AS_A_LIBRARY], ids=["as cardbot", "as a library"])
async def test_a_whole_run_at_debug_tells_no_secret(set_up: str, tickets: list[str], tmp_path: Path) -> None:
    async with Platform(client_secret=SECRET, disconnect_delay=0.2) as platform, FakeDify(api_key=KEY) as dify:
        environment = {
            "PATH": os.environ["PATH"],
            "DINGTALK_CLIENT_ID": "dingtest",
            "DINGTALK_CLIENT_SECRET": SECRET,
            "DINGTALK_CARD_TEMPLATE_ID": TEMPLATE_ID,
            "DINGTALK_OPENAPI_ENDPOINT": platform.url,
            "DIFY_API_KEY": KEY,
            "DIFY_BASE_URL": dify.url,
            "CARDBOT_STORE": f"sqlite:///{tmp_path / 'cardbot.db'}",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        output = tmp_path / "log"
        with output.open("wb") as file:
            process = await anyio.open_process(
                [sys.executable, "-c", RUN.format(set_up=set_up)], stdout=file, stderr=file, env=environment
            )
        async with process:
            try:
                came_up = await _a_days_work(platform, dify)
                process.send_signal(signal.SIGTERM)
                with anyio.fail_after(SOON):
                    assert await process.wait() == 0
            except BaseException:
                process.kill()
                raise
        log = output.read_text()
        secrets = [SECRET, KEY, *tickets, *came_up]
        assert len(tickets) >= 4
        assert all(len(secret) > 10 for secret in secrets)
        for event in ("stream_connected", "answered", "message_unreadable", "card_lost", "dify_refused"):
            assert event in log
        assert [secret for secret in secrets if secret in log] == []
        assert "ticket=" not in log
        assert "session=" not in log


async def _a_days_work(platform: Platform, dify: FakeDify) -> list[str]:
    """A bit of everything that may be logged; returns the secrets that came up."""
    said = []
    await platform.wait_for(lambda: platform.connections)
    dify.answers.append(Script("word " * 20, cps=100))
    said.append(await platform.say("one"))
    await platform.wait_for(lambda: [card.state for card in platform.cards.values()] == [State.DONE])
    tokens = [platform._access._token]
    platform.revoke_tokens()
    said.append(await platform.say("one more"))
    await platform.wait_for(lambda: [card.state for card in platform.cards.values()] == [State.DONE] * 2)
    tokens.append(platform._access._token)
    assert len(set(tokens)) == 2
    platform.faults.add(CREATE, Reject(403, "Forbidden.AccessDenied.ApiCountLimitForOrg"), times=float("inf"))
    said.append(await platform.say("two"))
    await platform.wait_for(lambda: len(platform.replies) == 1)
    dify.answers.append(Refuse(400, "invalid_param", "no"))
    said.append(await platform.say("three"))
    await platform.wait_for(lambda: len(platform.replies) == 2)
    said.append(await platform.push({"msgtype": "text", "text": None, "code": 20001, "errMsg": "quota"}))
    await platform.wait_for(lambda: said[-1].ack)
    await platform.disconnect()
    await platform.connected()
    platform.faults.add("POST /v1.0/gateway/connections/open", Reject(400, "invalidClientIdOrSecret"))
    for _ in range(2):
        await platform.drop_connections()
        await platform.wait_for(lambda: not platform.connections)
        await platform.wait_for(lambda: platform.connections)
    said.append(await platform.push({"msgtype": "picture", "content": {"downloadCode": "d"}}))
    await platform.wait_for(lambda: len(platform.replies) == 3)
    return [*tokens, *(message.data["sessionWebhook"].rpartition("=")[2] for message in said)]


FAIL = """
from cardbot.logs import set_up
set_up("INFO")
import structlog

def work(argument):
    local = "".join(["hun", "ter", "2"])
    raise RuntimeError("what went wrong")

try:
    work("".join(["pass", "word"]))
except RuntimeError:
    structlog.get_logger().exception("failed", message="m1")
"""


def on_a_pipe() -> str:
    return subprocess.run([sys.executable, "-c", FAIL], capture_output=True, text=True, check=True).stderr


def on_a_terminal() -> str:
    ours, theirs = pty.openpty()
    chunks: list[bytes] = []

    def read() -> Iterator[bytes]:
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # Linux says so at the end
                return
            if not chunk:
                return
            yield chunk

    reader = threading.Thread(target=lambda: chunks.extend(read()))
    reader.start()
    subprocess.run([sys.executable, "-c", FAIL], stderr=theirs, check=True)
    os.close(theirs)
    reader.join(10)
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*m", "", b"".join(chunks).decode())


@pytest.mark.parametrize("show", [on_a_pipe, on_a_terminal])
def test_a_traceback_says_what_went_wrong_and_shows_no_local_variables(show: Any) -> None:
    log = show()
    assert "what went wrong" in log
    assert "work" in log
    assert "hunter2" not in log
    assert "password" not in log
