"""What the simulated Dify does with a form that nobody hands in by its time."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest

from cardbot.playground.dify import FakeDify, Pause, Script

pytestmark = pytest.mark.anyio

APPS = ["advanced-chat", "workflow"]


@asynccontextmanager
async def late(app: Any, then: Any) -> AsyncGenerator[tuple[FakeDify, httpx.AsyncClient, str]]:
    """A run that waits, whose time is over and which Dify has not looked at yet."""
    async with FakeDify(app, linger=0) as dify:
        dify.default = Script("Draft.", pause=Pause(late=then, expires_in=-1, looked_for=1e6))
        headers = {"Authorization": "Bearer app-test"}
        async with httpx.AsyncClient(base_url=dify.url, headers=headers, timeout=20) as client:
            path = "/workflows/run" if app == "workflow" else "/chat-messages"
            body = {"inputs": {}, "query": "buy", "user": "ada", "response_mode": "streaming"}
            await client.post(path, json=body)
            (run_id,) = dify.runs
            yield dify, client, run_id


def look(dify: FakeDify) -> None:
    (run,) = dify.runs.values()
    assert run.message
    dify._human.end_its_time(run.message.forms[-1])


def told(response: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]


async def ended(dify: FakeDify) -> None:
    (run,) = dify.runs.values()
    with anyio.fail_after(20):
        while run.finished_at is None:  # noqa: ASYNC110 - the simulator announces nothing
            await anyio.sleep(0.01)


@pytest.mark.parametrize("app", APPS)
async def test_it_goes_on_along_the_branch_and_tells_its_listeners(app: str) -> None:
    async with (
        late(app, Script(" Nobody came.")) as (dify, client, run_id),
        client.stream("GET", f"/workflow/{run_id}/events", params={"user": "ada"}) as stream,
    ):
        lines = stream.aiter_lines()
        await anext(lines)  # a ping: somebody listens
        look(dify)
        events = [json.loads(line[6:]) async for line in lines if line.startswith("data: ")]
    names = [event["event"] for event in events]
    assert names[:3] == ["workflow_started", "node_started", "human_input_form_timeout"]
    assert set(events[2]["data"]) == {"node_id", "node_title", "expiration_time"}
    assert names[-1] == "workflow_finished"
    assert events[0]["data"]["reason"] == "resumption"


@pytest.mark.parametrize("app", APPS)
async def test_it_is_stopped_with_a_reason(app: str) -> None:
    async with late(app, "stopped") as (dify, client, run_id):
        look(dify)
        run = (await client.get(f"/workflows/run/{run_id}")).json()
        events = told(await client.get(f"/workflow/{run_id}/events", params={"user": "ada"}))
    assert (run["status"], run["error"]) == ("stopped", "Human input global timeout at node hi")
    assert [(one["event"], one["data"]["status"]) for one in events] == [("workflow_finished", "stopped")]


async def test_the_message_of_a_stopped_run_stays_as_it_was() -> None:
    async with late("advanced-chat", "stopped") as (dify, client, _):
        look(dify)
        (conversation,) = dify.conversations
        page = (await client.get("/messages", params={"user": "ada", "conversation_id": conversation})).json()
    (message,) = page["data"]
    assert (message["status"], message["extra_contents"][0]["submitted"]) == ("paused", False)


@pytest.mark.parametrize("then", [Script(" Nobody came."), "stopped", "waits"], ids=["goes on", "stopped", "waits"])
async def test_the_form_is_closed_whatever_follows(then: Any) -> None:
    async with late("advanced-chat", then) as (dify, client, run_id):
        look(dify)
        (run,) = dify.runs.values()
        assert run.message
        path = f"/form/human_input/{run.message.forms[0].token}"
        answers = [
            await client.get(path),
            await client.post(path, json={"inputs": {}, "action": "approve", "user": "ada"}),
        ]
        if isinstance(then, Script):
            await ended(dify)
        status = (await client.get(f"/workflows/run/{run_id}")).json()["status"]
    assert [(one.status_code, one.json()["code"]) for one in answers] == [(412, "human_input_form_expired")] * 2
    assert status == {"stopped": "stopped", "waits": "paused"}.get(str(then), "succeeded")


async def test_a_form_that_was_handed_in_has_no_time_that_could_be_over() -> None:
    async with FakeDify("advanced-chat", linger=0) as dify:
        dify.default = Script("Draft.", pause=Pause(Script(" Bought."), late=Script(" Nobody came."), looked_for=1e6))
        headers = {"Authorization": "Bearer app-test"}
        async with httpx.AsyncClient(base_url=dify.url, headers=headers, timeout=20) as client:
            body = {"inputs": {}, "query": "buy", "user": "ada", "response_mode": "streaming"}
            await client.post("/chat-messages", json=body)
            (run,) = dify.runs.values()
            assert run.message
            handing_in = {"inputs": {}, "action": "approve", "user": "ada"}
            await client.post(f"/form/human_input/{run.message.forms[0].token}", json=handing_in)
            look(dify)
            await ended(dify)
    assert run.answer == "Draft. Bought."
