"""What stands between the bot and Dify: nothing is lost on the way, unless that is ordered."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest

from cardbot.playground import relay as module
from cardbot.playground.dify import FakeDify, Script
from cardbot.playground.relay import Asked, Breakage, Relay
from tests.patience import SOON

pytestmark = pytest.mark.anyio

QUESTION = {"inputs": {}, "query": "hello", "user": "dingtalk:corp:user0001", "response_mode": "streaming"}


@asynccontextmanager
async def between() -> AsyncGenerator[tuple[FakeDify, Relay, httpx.AsyncClient]]:
    async with FakeDify(api_key="app-x", linger=0) as dify, Relay(dify.url) as relay:
        headers = {"Authorization": "Bearer app-x"}
        async with httpx.AsyncClient(base_url=relay.url, headers=headers, trust_env=False) as client:
            yield dify, relay, client


async def test_an_answer_passes_unchanged_and_is_noted() -> None:
    requests: list[Asked] = []
    heard: list[int] = []
    async with between() as (dify, relay, client):
        relay.watch = lambda asked: requests.append(asked) if asked not in requests else None
        relay.heard = lambda _, size: heard.append(size)
        dify.default = Script("晴天 " * 50)
        through = await client.post("/chat-messages", json=QUESTION)
        assert through.headers["x-version"] == "1.14.1"
        assert "message_end" in through.text
        pieces = [json.loads(line[6:]).get("answer", "") for line in through.text.splitlines() if line[:5] == "data:"]
        assert "".join(pieces) == "晴天 " * 50
    (asked,) = requests
    assert (asked.user, asked.query, asked.status) == ("dingtalk:corp:user0001", "hello", 200)
    assert (asked.received, sum(heard)) == (len(through.content), len(through.content))
    assert asked.answered is not None
    assert asked.ending == ""


async def test_a_refusal_passes_with_its_status() -> None:
    async with between() as (_, _, client):
        answer = await client.get("/info", headers={"Authorization": "Bearer wrong"})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


async def test_queries_pass() -> None:
    async with between() as (dify, _, client):
        await client.get("/messages", params={"user": "x", "conversation_id": "y"})
        assert (dify.requests[0].path, dify.requests[0].user) == ("/v1/messages", "x")


async def test_a_dify_that_is_not_there_looks_like_a_lost_connection() -> None:
    async with Relay("http://127.0.0.1:9/v1") as relay, httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"{relay.url}/info")


@pytest.mark.parametrize("breakage", ["error", "cut", "silence"])
async def test_an_answer_breaks_after_some_text(breakage: Breakage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRIKES_AFTER", 0.1)
    text = ""
    async with between() as (dify, relay, client):
        dify.default = Script("word " * 200, cps=200)
        relay.breakage = breakage
        with anyio.move_on_after(3.0 if breakage == "silence" else SOON) as patience:  # all would take 5 s
            try:
                async with client.stream("POST", "/chat-messages", json=QUESTION) as response:
                    async for chunk in response.aiter_text():
                        text += chunk
            except httpx.RemoteProtocolError:
                assert breakage == "cut"
        assert '"event":"message"' in text
        assert "message_end" not in text
        assert ('"event": "error"' in text) == (breakage == "error")
        assert patience.cancelled_caught == (breakage == "silence")
