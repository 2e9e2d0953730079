"""The simulated AI assistant, with a bot written by hand."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from cardbot.playground.platform import Platform
from cardbot.playground.platform.faults import Reject
from cardbot.playground.platform.pushes import Message
from tests.patience import SOON

pytestmark = pytest.mark.anyio

TOPIC = "/v1.0/graph/api/invoke"
SEND = "POST /agent/send"
TEMPLATE = "d28e2ac5-fb34-4d93-94bc-cf5c580c2d4f.schema"
GOOD = {
    "statusLine": {"code": 200, "reasonPhrase": "OK"},
    "headers": {"Content-Type": "application/json"},
    "body": "{}",
}
FORMS = pytest.mark.parametrize("form", ["status", "errcode"])


@asynccontextmanager
async def listening(platform: Platform, *topics: str) -> AsyncIterator[ClientConnection]:
    """A connection that takes the data of these topics."""
    opening = {
        "clientId": "dingtest",
        "clientSecret": "secret",
        "subscriptions": [{"type": "CALLBACK", "topic": topic} for topic in topics],
    }
    async with httpx.AsyncClient(headers={"accept": "application/json"}, trust_env=False) as http:
        answer = (await http.post(f"{platform.url}/v1.0/gateway/connections/open", json=opening)).json()
    async with connect(f"{answer['endpoint']}?ticket={answer['ticket']}") as socket:
        await platform.connected()
        yield socket


async def receive(socket: ClientConnection) -> dict[str, Any]:
    with anyio.fail_after(SOON):
        frame: dict[str, Any] = json.loads(await socket.recv())
        return frame


async def acknowledge(socket: ClientConnection, frame: dict[str, Any], response: object) -> None:
    headers = {"contentType": "application/json", "messageId": frame["headers"]["messageId"]}
    ack = {"code": 200, "headers": headers, "message": "OK", "data": json.dumps({"response": response})}
    await socket.send(json.dumps(ack))


def address(asked: Message) -> str:
    return str(json.loads(asked.data["body"])["sessionWebhook"])


def answer(text: object = "**hi**", **changes: Any) -> dict[str, Any]:
    return {"contentType": "ai_card", "content": {"templateId": TEMPLATE, "cardData": {"content": text}}, **changes}


async def post(url: str, body: object, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.post(url, json=body, headers=headers)


def refusal(response: httpx.Response) -> object:
    """The code, in whichever form."""
    body = response.json()
    return (response.status_code, body["code"] if "code" in body else body.get("errcode"))


async def test_a_request_has_its_variables_as_json_in_a_string() -> None:
    async with Platform() as platform, listening(platform, TOPIC) as socket:
        await platform.ask_assistant("你好", user="user0002", unionId=None, runId="run-1")
        frame = await receive(socket)
        data = json.loads(frame["data"])
        body = json.loads(data["body"])
        assert (frame["type"], frame["headers"]["topic"]) == ("CALLBACK", TOPIC)
        assert set(data) == {"requestLine", "headers", "body"}
        assert body.pop("sessionWebhook").startswith(f"{platform.url}/agent/send?session=aswh_")
        assert body == {"rawInput": "你好", "openConversationId": "cidAssistantuser0002==", "runId": "run-1"}


async def test_a_request_by_get_has_its_variables_in_the_query() -> None:
    async with Platform() as platform:
        asked = await platform.ask_assistant("1 + 1 = 你?", method="GET", runId=None)
        line = asked.data["requestLine"]
        assert (line["method"], asked.data["body"]) == ("GET", "{}")
        query = httpx.URL(line["uri"]).params
        assert query["rawInput"] == "1 + 1 = 你?"
        assert query["sessionWebhook"].startswith(f"{platform.url}/agent/send?session=aswh_")


async def test_who_takes_robot_messages_only_is_asked_nothing() -> None:
    async with Platform() as platform, listening(platform, "/v1.0/im/bot/messages/get"):
        assert (await platform.ask_assistant("hello")).deliveries == 0


async def test_a_response_in_form_is_not_objected_to() -> None:
    async with Platform() as platform, listening(platform, TOPIC) as socket:
        asked = await platform.ask_assistant("hello")
        await acknowledge(socket, await receive(socket), GOOD)
        await platform.wait_for(lambda: asked.ack)
        assert platform.violations == []


@pytest.mark.parametrize(
    ("response", "objection"),
    [
        (None, "no statusLine, headers and body"),
        ("OK", "no statusLine, headers and body"),
        ({**GOOD, "statusLine": {"code": 200}}, "no statusLine, headers and body"),
        ({**GOOD, "headers": None}, "no statusLine, headers and body"),
        ({**GOOD, "body": {}}, "no statusLine, headers and body"),
        ({**GOOD, "statusLine": {"code": "200", "reasonPhrase": "OK"}}, "the status '200'"),
        ({**GOOD, "statusLine": {"code": True, "reasonPhrase": "OK"}}, "the status True"),
        ({**GOOD, "statusLine": {"code": 0, "reasonPhrase": "OK"}}, "the status 0"),
        ({**GOOD, "headers": {"Content-Length": 2}}, "headers are not text"),
        ({**GOOD, "body": ""}, "body is not JSON"),
    ],
)
async def test_a_response_in_another_form_is_objected_to(response: object, objection: str) -> None:
    async with Platform() as platform, listening(platform, TOPIC) as socket:
        await platform.ask_assistant("hello")
        await acknowledge(socket, await receive(socket), response)
        await platform.wait_for(lambda: platform.violations)
        assert objection in platform.violations[0]


async def test_a_late_response_is_objected_to() -> None:
    async with Platform(ack_deadline=0.05) as platform, listening(platform, TOPIC):
        await platform.ask_assistant("hello")
        await platform.wait_for(lambda: platform.violations)
        assert platform.violations == [f"{TOPIC}: no ACK within 0.05 s"]


@FORMS
async def test_an_answer_is_kept_with_its_chat_and_person(form: Any) -> None:
    async with Platform(assistant_form=form) as platform:
        asked = await platform.ask_assistant("hello")
        response = await post(address(asked), answer())
        [reply] = platform.replies
        assert response.status_code == 200
        assert response.json().get("errcode", 0) == 0
        assert (reply.via, reply.kind, reply.text) == ("assistant", "ai_card", "**hi**")
        assert (reply.conversation, reply.users) == ("cidAssistantuser0001==", ("user0001",))
        assert platform.violations == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        answer(contentType="markdown"),
        answer(content="**hi**"),
        answer(content=json.dumps(answer()["content"])),
        answer(content={"templateId": "other.schema", "cardData": {"content": "hi"}}),
        answer(content={"templateId": TEMPLATE, "cardData": {"cardParamMap": {"content": "hi"}}}),
        answer(5),
        answer(None),
        answer(" "),
    ],
)
@pytest.mark.parametrize(("form", "no"), [("status", (400, "invalidParameter")), ("errcode", (200, 40035))])
async def test_a_body_that_is_no_markdown_card_is_refused(form: Any, no: object, body: dict[str, Any]) -> None:
    async with Platform(assistant_form=form) as platform:
        asked = await platform.ask_assistant("hello")
        assert refusal(await post(address(asked), body)) == no
        assert platform.replies == []


@pytest.mark.parametrize(("form", "no"), [("status", (400, "invalidSession")), ("errcode", (200, 300001))])
async def test_a_session_that_is_unknown_or_past_its_time_is_refused(form: Any, no: object) -> None:
    async with Platform(assistant_form=form) as platform:
        assert refusal(await post(f"{platform.url}/agent/send?session=aswh_other", answer())) == no
        asked = await platform.ask_assistant("hello")
        platform.expire_webhooks()
        assert refusal(await post(address(asked), answer())) == no
    async with Platform(assistant_form=form, session_lifetime=0) as platform:
        asked = await platform.ask_assistant("hello")
        assert refusal(await post(address(asked), answer())) == no


@pytest.mark.parametrize(
    "body",
    [
        answer(msgUuid="1"),
        answer(content={**answer()["content"], "options": {}}),
        answer(content={"templateId": TEMPLATE, "cardData": {"content": "hi", "title": "hi"}}),
    ],
)
async def test_fields_that_nobody_knows_are_objected_to(body: dict[str, Any]) -> None:
    async with Platform() as platform:
        asked = await platform.ask_assistant("hello")
        await post(address(asked), body)
        assert platform.violations == [f"{SEND}: fields that nobody knows"]


async def test_an_access_token_is_objected_to() -> None:
    async with Platform() as platform:
        asked = await platform.ask_assistant("hello")
        await post(address(asked), answer(), **{"x-acs-dingtalk-access-token": "t"})
        assert platform.violations == [f"{SEND}: carries an access token"]


async def test_a_body_longer_than_any_webhook_takes_is_objected_to() -> None:
    async with Platform() as platform:
        asked = await platform.ask_assistant("hello")
        await post(address(asked), answer("x" * 20_000))
        assert ["more than any webhook" in found for found in platform.violations] == [True]


@pytest.mark.parametrize(
    ("fault", "no"), [(Reject(200, "130101"), (200, 130101)), (Reject(403, "Forbidden"), (403, "Forbidden"))]
)
async def test_the_webhook_can_be_told_to_fail_in_either_form(fault: Reject, no: object) -> None:
    async with Platform() as platform:
        platform.faults.add(SEND, fault)
        asked = await platform.ask_assistant("hello")
        assert refusal(await post(address(asked), answer())) == no
