"""The scripted Dify's inputs, outputs and forms, as a client without any help sees them."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from cardbot.playground.dify import FakeDify, Pause, Script
from cardbot.playground.dify.checks import Refused
from cardbot.playground.dify.inputs import taken

pytestmark = pytest.mark.anyio

NAME = {"text-input": {"variable": "name", "required": True, "max_length": 5, "default": "x"}}
COLOUR = {"select": {"variable": "colour", "options": ["red", "blue"]}}
COUNT = {"number": {"variable": "count"}}
FILES = {"file-list": {"variable": "files", "max_length": 1}}
FORM: list[dict[str, Any]] = [NAME, COLOUR, COUNT, FILES]
KEY = {"Authorization": "Bearer app-test"}


def test_undeclared_inputs_are_dropped_and_declared_ones_are_there() -> None:
    assert taken({"name": "Ada", "gone": 1}, FORM) == {"name": "Ada", "colour": None, "count": None, "files": None}


def test_a_number_may_be_written_as_a_text() -> None:
    assert [taken({"count": value}, [COUNT])["count"] for value in ("3", "1.5", " ", 2)] == [3, 1.5, None, 2]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "name is required in input form"),  # its default is not looked at
        ({"name": 5}, r"\(type 'text-input'\) name in input form must be a string"),
        ({"name": "Ada Lovelace"}, "name in input form must be less than 5 characters"),
        ({"name": "Ada", "colour": "green"}, "colour in input form must be one of the following"),
        ({"name": "Ada", "count": "many"}, "count in input form must be a valid number"),
        ({"name": "Ada", "files": "x"}, "files in input form must be a list of files"),
        ({"name": "Ada", "files": [{}, {}]}, "files in input form must be less than 1 files"),
        ({"name": "Ada", "count": {}}, "Internal Server Error"),
    ],
)
def test_a_wrong_input_is_refused(inputs: Mapping[str, object], words: str) -> None:
    with pytest.raises(Refused, match=words):
        taken(inputs, FORM)


async def stream(http: httpx.AsyncClient, path: str, **body: Any) -> list[dict[str, Any]]:
    response = await http.post(path, json={"response_mode": "streaming", "user": "ada", "inputs": {}, **body})
    response.raise_for_status()
    return events_in(response.text)


def events_in(text: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n") if line.startswith("data: ")]


@pytest.mark.parametrize(("app", "version"), [("chat", "1.14.1"), ("workflow", "0.15.8"), ("workflow", "1.12.1")])
async def test_a_missing_input_is_refused_at_once(app: Any, version: str) -> None:
    async with FakeDify(app, version, inputs=[NAME]) as dify, httpx.AsyncClient(base_url=dify.url, headers=KEY) as http:
        path = "workflows/run" if app == "workflow" else "chat-messages"
        body = {"inputs": {}, "query": "hi", "user": "ada", "response_mode": "streaming"}
        response = await http.post(path, json=body)
    assert (response.status_code, response.json()["message"]) == (400, "name is required in input form")


async def test_a_relayed_stream_finds_out_late_and_says_why_since_1_15() -> None:
    async with (
        FakeDify("workflow", "1.15.0", inputs=[NAME]) as dify,
        httpx.AsyncClient(base_url=dify.url, headers=KEY) as http,
    ):
        events = await stream(http, "workflows/run")
    assert events[-1]["data"]["error"] == "name is required in input form"


async def test_a_blocking_question_is_refused_at_once_in_all_versions() -> None:
    async with FakeDify("workflow", inputs=[NAME]) as dify, httpx.AsyncClient(base_url=dify.url, headers=KEY) as http:
        body = {"inputs": {}, "user": "ada", "response_mode": "blocking"}
        response = await http.post("workflows/run", json=body)
    assert response.status_code == 400


async def test_a_workflow_without_a_model_streams_no_text() -> None:
    async with FakeDify("workflow", linger=0) as dify, httpx.AsyncClient(base_url=dify.url, headers=KEY) as http:
        dify.default = Script("", outputs={"n": 3, "list": [1]})
        events = await stream(http, "workflows/run")
        run = (await http.get(f"workflows/run/{events[0]['workflow_run_id']}")).json()
    assert "text_chunk" not in [event["event"] for event in events]
    assert events[-1]["data"]["outputs"] == run["outputs"] == {"n": 3, "list": [1]}


# Forms.


async def test_a_run_that_waits_shows_its_form_everywhere() -> None:
    async with FakeDify("advanced-chat", linger=0) as dify, httpx.AsyncClient(base_url=dify.url, headers=KEY) as http:
        dify.default = Script("So far.", pause=Pause(content="Well?", actions=("yes", "no")))
        events = await stream(http, "chat-messages", query="hi")
        *_, required, paused = events
        form = required["data"]
        conversation = {"conversation_id": paused["conversation_id"], "user": "ada"}
        (message,) = (await http.get("messages", params=conversation)).json()["data"]
        shown = (await http.get(f"form/human_input/{form['form_token']}")).json()
        run = (await http.get(f"workflows/run/{paused['workflow_run_id']}")).json()
    assert [required["event"], paused["event"]] == ["human_input_required", "workflow_paused"]
    assert paused["data"]["reasons"][0]["form_token"] == form["form_token"]
    assert (message["status"], message["answer"]) == ("paused", "So far.")
    assert message["extra_contents"][0]["form_definition"] == form
    assert (shown["form_content"], [action["id"] for action in shown["user_actions"]]) == ("Well?", ["yes", "no"])
    assert (run["status"], run["outputs"]) == ("paused", {})


@pytest.mark.parametrize(
    ("user", "status", "words"),
    [("ada", 200, ""), ("bob", 404, "Workflow run not found"), ("", 400, "Arg user must be provided.")],
)
async def test_only_who_asked_may_follow_a_run(user: str, status: int, words: str) -> None:
    async with FakeDify("workflow", linger=0) as dify, httpx.AsyncClient(base_url=dify.url, headers=KEY) as http:
        events = await stream(http, "workflows/run")
        path = f"workflow/{events[0]['workflow_run_id']}/events"
        response = await http.get(path, params={"user": user} if user else {})
    assert response.status_code == status
    if words:
        assert response.json()["message"] == words
    else:  # of a run that is over: that it is
        (over,) = events_in(response.text)
        assert (over["event"], over["data"]["outputs"]) == (
            "workflow_finished",
            {"result": "Hello from the playground."},
        )


@pytest.mark.parametrize("path", ["form/human_input/gone", "workflow/gone/events?user=ada"])
async def test_before_1_14_nobody_can_hand_in_a_form(path: str) -> None:
    async with (
        FakeDify("advanced-chat", "1.12.1") as dify,
        httpx.AsyncClient(base_url=dify.url, headers=KEY) as http,
    ):
        dify.default = Script("Hello", pause=Pause())
        events = await stream(http, "chat-messages", query="hi")
        response = await http.get(path)
    assert response.headers["content-type"].startswith("text/html")
    assert events[-1]["event"] == "message_end", "it does not wait at all"


async def test_a_listener_hears_only_what_is_said_from_then_on() -> None:
    async with FakeDify("workflow", linger=0) as dify, httpx.AsyncClient(base_url=dify.url, headers=KEY) as http:
        dify.default = Script("", pause=Pause(Script("one two three four", cps=60), picked_up=0.0))
        *_, required, paused = await stream(http, "workflows/run")
        body = {"inputs": {}, "action": "approve", "user": "ada"}
        await http.post(f"form/human_input/{required['data']['form_token']}", json=body)
        await asyncio.sleep(0.1)  # this much is missed
        response = await http.get(f"workflow/{paused['workflow_run_id']}/events", params={"user": "ada"})
    events = events_in(response.text)
    heard = "".join(event["data"]["text"] for event in events if event["event"] == "text_chunk")
    assert heard
    assert "one two three four".endswith(heard)
    assert heard != "one two three four"
    assert events[-1]["data"]["outputs"] == {"result": "one two three four"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"inputs": {}, "action": "approve"}, "invalid_param"),
        ({"inputs": {}, "user": "ada"}, "invalid_param"),
        ({"action": "approve", "user": "ada"}, "invalid_param"),
        ({"inputs": {}, "action": "gone", "user": "ada"}, "invalid_form_data"),
        ({"inputs": {}, "action": "approve", "user": "ada"}, "invalid_form_data"),  # a field is missing
    ],
)
async def test_a_form_that_is_not_filled_in_properly_is_refused(body: Mapping[str, object], code: str) -> None:
    async with FakeDify("workflow", linger=0) as dify, httpx.AsyncClient(base_url=dify.url, headers=KEY) as http:
        dify.default = Script("", pause=Pause(inputs=[{"type": "text_input", "output_variable_name": "comment"}]))
        *_, required, _ = await stream(http, "workflows/run")
        response = await http.post(f"form/human_input/{required['data']['form_token']}", json=body)
    assert (response.status_code, response.json()["code"]) == (400, code)
