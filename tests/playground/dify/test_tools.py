"""An assistant that uses tools before it answers."""

import json
from typing import Any

import httpx
import pytest

from cardbot.playground.dify import FakeDify, Script

pytestmark = pytest.mark.anyio


async def events(app: Any, **more: Any) -> list[dict[str, Any]]:
    async with FakeDify(app) as dify, httpx.AsyncClient(trust_env=False) as client:
        dify.default = Script("sunny", tools=("geocoder", "forecast"), **more)
        question = {"inputs": {}, "query": "weather?", "user": "u", "response_mode": "streaming"}
        headers = {"Authorization": "Bearer app-test"}
        answer = await client.post(f"{dify.url}/chat-messages", json=question, headers=headers)
    return [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]


async def test_each_tool_is_at_work_and_then_done_before_the_text() -> None:
    seen = await events("agent-chat")
    tools = [(event["tool"], bool(event["observation"])) for event in seen if event.get("tool")]
    assert tools == [("geocoder", False), ("geocoder", True), ("forecast", False), ("forecast", True)]
    names = [event["event"] for event in seen]
    assert names.index("agent_message") > max(place for place, event in enumerate(seen) if event.get("tool"))


async def test_a_plain_chat_app_has_no_tools() -> None:
    assert not any(event.get("tool") for event in await events("chat"))


async def test_a_picture_that_a_tool_made_is_told_before_the_text() -> None:
    seen = await events("agent-chat", files=["/files/tools/1.png"])
    names = [event["event"] for event in seen]
    assert names.index("message_file") < names.index("agent_message")
    told = seen[names.index("message_file")]
    assert (told["type"], told["belongs_to"], told["url"]) == ("image", "assistant", "/files/tools/1.png")
