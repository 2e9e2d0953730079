"""What a scripted Dify does in place of what it was asked for, over real sockets."""

import uuid

import httpx
import pytest

from cardbot.playground.dify import Html, Refuse
from cardbot.playground.dify.faults import Trouble
from tests.playground.dify.test_server import blocks, dify_and_client, question

pytestmark = pytest.mark.anyio

AWAY = Refuse(503, "internal_server_error", "away")


async def upload(client: httpx.AsyncClient) -> int:
    files = {"file": ("a.png", b"x", "image/png")}
    return (await client.post("/files/upload", files=files, data={"user": "ann"})).status_code


async def test_a_fault_in_line_befalls_one_question() -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(AWAY)
        statuses = [(await client.post("/chat-messages", json=question())).status_code for _ in range(2)]
    assert statuses == [503, 200]


async def test_a_fault_in_line_befalls_a_question_that_would_be_refused_too() -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(Html(502))
        assert (await client.post("/chat-messages", json={})).status_code == 502


async def test_a_trouble_befalls_so_many_of_its_requests_and_no_others() -> None:
    async with dify_and_client() as (dify, client):
        dify.troubles.append(Trouble("POST /v1/files", AWAY, times=2))
        statuses = [await upload(client), (await client.get("/info")).status_code]
        statuses += [await upload(client), await upload(client)]
    assert statuses == [503, 200, 503, 201]


@pytest.mark.parametrize("done", [True, False])
async def test_a_trouble_says_whether_its_request_has_its_effect(done: bool) -> None:
    async with dify_and_client() as (dify, client):
        dify.troubles.append(Trouble("POST /v1/files", AWAY, done=done))
        assert await upload(client) == 503
    assert len(dify.files) == done


async def test_a_relay_has_no_words_for_a_lost_conversation() -> None:
    async with dify_and_client("advanced-chat", "1.15.0") as (_, client):
        answer = await client.post("/chat-messages", json=question(conversation_id=str(uuid.uuid4())))
    assert blocks(answer.content)[-1]["data"]["error"] == ""
