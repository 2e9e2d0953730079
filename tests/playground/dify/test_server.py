"""The scripted Dify over real sockets: what it says, in which order, and what it keeps."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from cardbot.playground.dify import FakeDify
from cardbot.playground.dify.release import App
from cardbot.playground.dify.script import Drop, Hang, Html, Refuse, Script

pytestmark = pytest.mark.anyio

PING = b"event: ping\n\n"


@asynccontextmanager
async def dify_and_client(
    app: App = "chat", version: str = "1.14.1", **options: Any
) -> AsyncIterator[tuple[FakeDify, httpx.AsyncClient]]:
    async with FakeDify(app, version, linger=0.0, **options) as dify:
        headers = {"Authorization": "Bearer app-test"}
        async with httpx.AsyncClient(base_url=dify.url, headers=headers, timeout=5) as client:
            yield dify, client


def question(query: str = "hi", user: str = "ann", **more: Any) -> dict[str, Any]:
    return {"inputs": {}, "query": query, "user": user, "response_mode": "streaming", **more}


def blocks(body: bytes) -> list[Any]:
    """The events of a stream: parsed JSON, or the bytes of a ping."""
    assert body.endswith(b"\n\n")
    parts = body.removesuffix(b"\n\n").split(b"\n\n")
    return [json.loads(part[6:]) if part.startswith(b"data: ") else part + b"\n\n" for part in parts]


def order(body: bytes) -> list[str]:
    """Names of the events, repeated ones once, node events left out."""
    names: list[str] = []
    for block in blocks(body):
        name = "ping" if block == PING else block["event"]
        if not name.startswith("node_") and names[-1:] != [name]:
            names.append(name)
    return names


def text(body: bytes) -> str:
    return "".join(block.get("answer", "") for block in blocks(body) if block != PING)


async def read_until(answer: httpx.Response, enough: bytes) -> tuple[bytes, AsyncIterator[bytes]]:
    """Read a stream up to some bytes; what came, and the rest of the stream."""
    chunks = answer.aiter_raw()
    received = b""
    while enough not in received:
        received += await anext(chunks)
    return received, chunks


async def read_until_broken(client: httpx.AsyncClient, seconds: float = 5.0, **more: Any) -> tuple[bytes, Exception]:
    """Ask, and read until the stream fails or is silent for so long; what came, and the failure."""
    received = b""
    try:
        async with client.stream("POST", "/chat-messages", json=question(**more), timeout=seconds) as answer:
            async for chunk in answer.aiter_raw():
                received += chunk
    except httpx.TransportError as error:
        return received, error
    raise AssertionError(f"the stream ended well after {received!r}")


async def history(client: httpx.AsyncClient, conversation: str, user: str = "ann", **more: Any) -> Any:
    params = {"conversation_id": conversation, "user": user, **more}
    return (await client.get("/messages", params=params)).json()


# The order of events.

CHATFLOW_OLD = ["workflow_started", "message", "workflow_finished", "message_end"]
CHATFLOW_NEW = ["ping", "workflow_started", "message", "message_end", "workflow_finished"]


@pytest.mark.parametrize(
    ("app", "version", "expected"),
    [
        ("chat", "0.15.8", ["message", "message_end"]),
        ("chat", "1.14.1", ["message", "message_end"]),
        ("agent-chat", "1.14.1", ["agent_thought", "agent_message", "agent_thought", "message_end"]),
        ("agent", "1.15.0", ["message", "message_end"]),
        ("agent", "1.16.0", ["agent_message", "message", "message_end"]),
        ("advanced-chat", "0.15.8", CHATFLOW_OLD),
        ("advanced-chat", "1.12.1", CHATFLOW_OLD),
        ("advanced-chat", "1.14.1", CHATFLOW_NEW),
        ("advanced-chat", "1.15.0", CHATFLOW_NEW),
    ],
)
async def test_good_answer_has_the_events_of_its_release(app: App, version: str, expected: Sequence[str]) -> None:
    async with dify_and_client(app, version) as (_, client):
        answer = await client.post("/chat-messages", json=question())
    assert order(answer.content) == expected


@pytest.mark.parametrize(
    ("app", "version", "expected"),
    [
        ("chat", "1.14.1", ["message", "error"]),
        ("agent-chat", "1.14.1", ["agent_thought", "agent_message", "error"]),
        ("advanced-chat", "1.12.1", ["workflow_started", "message", "workflow_finished", "error"]),
        ("advanced-chat", "1.14.1", ["ping", "workflow_started", "message", "workflow_finished"]),
    ],
)
async def test_failed_answer_has_the_events_of_its_release(app: App, version: str, expected: Sequence[str]) -> None:
    async with dify_and_client(app, version) as (dify, client):
        dify.answers.append(Script(end="error"))
        answer = await client.post("/chat-messages", json=question())
    assert order(answer.content) == expected


@pytest.mark.parametrize(("version", "early"), [("1.12.1", []), ("1.14.1", ["ping"])])
async def test_workflow_streams_text_chunks_and_its_result(version: str, early: list[str]) -> None:
    async with dify_and_client("workflow", version) as (dify, client):
        dify.answers.append(Script(text="forty-two"))
        answer = await client.post("/workflows/run", json=question(inputs={"query": "hi"}))
    assert order(answer.content) == [*early, "workflow_started", "text_chunk", "workflow_finished"]
    assert blocks(answer.content)[-1]["data"]["outputs"] == {"result": "forty-two"}


async def test_completion_has_no_conversation() -> None:
    async with dify_and_client("completion") as (_, client):
        answer = await client.post("/completion-messages", json=question())
    assert order(answer.content) == ["message", "message_end"]
    assert b"conversation_id" not in answer.content


async def test_replacement_comes_before_the_end_and_is_what_is_kept() -> None:
    async with dify_and_client("advanced-chat") as (dify, client):
        dify.answers.append(Script(replace="No."))
        answer = await client.post("/chat-messages", json=question())
        kept = await history(client, blocks(answer.content)[1]["conversation_id"])
    assert order(answer.content)[-3:] == ["message_replace", "message_end", "workflow_finished"]
    assert kept["data"][0]["answer"] == "No."


async def test_error_event_carries_no_task_id() -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(Script(end="error", error="[models] Error: no money"))
        last = blocks((await client.post("/chat-messages", json=question())).content)[-1]
    assert set(last) == {"event", "conversation_id", "message_id", "created_at", "code", "status", "message"}
    assert json.loads(last["message"])["message"] == "[models] Error: no money"


# Bytes.


async def test_0_15_8_streams_ascii_with_spaces() -> None:
    async with dify_and_client(version="0.15.8") as (dify, client):
        dify.answers.append(Script(text="你😀"))
        answer = await client.post("/chat-messages", json=question())
    assert rb'"answer": "\u4f60\ud83d\ude00"' in answer.content
    assert answer.headers["x-version"] == "0.15.8"


async def test_1_14_1_streams_compact_utf8() -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(Script(text="你😀\u2028"))
        answer = await client.post("/chat-messages", json=question())
    assert '"answer":"你😀\u2028"'.encode() in answer.content


async def test_other_bodies_of_1_14_1_escape_slashes_and_end_their_line() -> None:
    async with dify_and_client() as (_, client):
        answer = await client.post("/chat-messages", json=question(conversation_id=str(uuid.uuid4())))
    assert answer.content.endswith(b"}\n")
    assert rb"[\/v1\/chat-messages]" in answer.content


async def test_each_event_is_one_http_chunk() -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(Script(text="abcdefghi", chunk=3))
        async with client.stream("POST", "/chat-messages", json=question()) as answer:
            chunks = [chunk async for chunk in answer.aiter_raw()]
    assert [json.loads(chunk[6:]).get("answer") for chunk in chunks] == ["abc", "def", "ghi", "", None]


# Time and pings.


async def test_chat_sends_no_headers_before_its_first_event() -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(Script(first=60.0))
        with pytest.raises(httpx.ReadTimeout):
            await client.send(client.build_request("POST", "/chat-messages", json=question(), timeout=0.2), stream=True)


async def test_chatflow_pings_at_once() -> None:
    async with dify_and_client("advanced-chat") as (dify, client):
        dify.answers.append(Script(first=60.0))
        async with client.stream("POST", "/chat-messages", json=question()) as answer:
            assert await anext(answer.aiter_raw()) == PING


async def test_pings_come_before_the_first_token_and_between_tokens() -> None:
    async with dify_and_client(ping_every=0.05) as (dify, client):
        dify.answers.append(Script(text="abcd", chunk=2, first=0.12, cps=20.0))
        answer = await client.post("/chat-messages", json=question())
    seen = [block if block == PING else block.get("answer") for block in blocks(answer.content)]
    assert seen == [PING, PING, "ab", PING, PING, "cd", PING, PING, "", None]


async def test_a_paced_answer_keeps_its_schedule() -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(Script(text="x" * 100, chunk=1, cps=200.0))
        loop = asyncio.get_running_loop()
        start = loop.time()
        await client.post("/chat-messages", json=question())
    assert 0.5 <= loop.time() - start < 0.75


async def test_stall_pings_for_ever() -> None:
    async with dify_and_client(ping_every=0.01) as (dify, client):
        dify.answers.append(Script(text="abcd", end="stall"))
        async with client.stream("POST", "/chat-messages", json=question()) as answer:
            received, _ = await read_until(answer, PING * 3)
    assert text(received) == "ab"


async def test_hang_is_silent_without_pings() -> None:
    async with dify_and_client(ping_every=0.01) as (dify, client):
        dify.answers.append(Script(text="abcd", end="hang"))
        received, error = await read_until_broken(client, 0.2)
    assert isinstance(error, httpx.ReadTimeout)
    assert text(received) == "ab"
    assert PING not in received


# Broken ends.


async def test_eof_is_a_proper_end_without_a_terminal_event() -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(Script(text="abcd", end="eof"))
        answer = await client.post("/chat-messages", json=question())
    assert (order(answer.content), text(answer.content)) == (["message"], "ab")


@pytest.mark.parametrize(("end", "kind"), [("cut", httpx.RemoteProtocolError), ("reset", httpx.ReadError)])
async def test_broken_end_comes_after_half_of_the_answer(end: Any, kind: type[Exception]) -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(Script(text="abcd", end=end))
        received, error = await read_until_broken(client)
    assert text(received) == "ab"
    assert isinstance(error, kind)


@pytest.mark.parametrize(("how", "error"), [("cut", httpx.RemoteProtocolError), ("reset", httpx.ReadError)])
async def test_drop_ends_the_connection_before_any_response(how: Any, error: type[Exception]) -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(Drop(how))
        with pytest.raises(error):
            await client.post("/chat-messages", json=question())


async def test_hang_answers_nothing_at_all() -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(Hang())
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/chat-messages", json=question(), timeout=0.1)


async def test_refusal_is_difys_json() -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(Refuse(400, "provider_quota_exceeded", "No more."))
        answer = await client.post("/chat-messages", json=question())
    assert answer.status_code == 400
    assert answer.json() == {"code": "provider_quota_exceeded", "message": "No more.", "status": 400}


async def test_gateway_error_is_html() -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(Html(504))
        answer = await client.post("/chat-messages", json=question())
    assert (answer.status_code, answer.headers["content-type"]) == (504, "text/html")


# What is kept.


@pytest.mark.parametrize(
    ("app", "version", "script", "kept"),
    [
        ("chat", "1.14.1", Script(text="abcd"), ("abcd", "normal")),
        ("chat", "1.14.1", Script(text="abcd", think="hm"), ("<think>\nhm\n</think>\n\nabcd", "normal")),
        ("chat", "1.14.1", Script(text="abcd", end="eof"), ("", "normal")),
        ("chat", "1.14.1", Script(text="abcd", end="error"), ("", "error")),
        ("advanced-chat", "1.12.1", Script(text="abcd", end="eof"), ("", "normal")),
        ("advanced-chat", "1.14.1", Script(text="abcd", end="eof"), ("abcd", "normal")),
        ("advanced-chat", "1.14.1", Script(text="abcd", end="error"), ("", "error")),
        ("chat", "1.14.1", Script(text="abcd", end="eof", stored="other"), ("other", "normal")),
    ],
)
async def test_history_keeps_what_a_real_server_would(
    app: App, version: str, script: Script, kept: tuple[str, str]
) -> None:
    async with dify_and_client(app, version) as (dify, client):
        dify.answers.append(script)
        await client.post("/chat-messages", json=question())
        (conversation,) = dify.conversations
        (message,) = (await history(client, conversation))["data"]
    assert (message["answer"], message["status"]) == kept


async def test_run_of_a_chatflow_outlives_its_client() -> None:
    async with dify_and_client("advanced-chat") as (dify, client):
        dify.answers.append(Script(text="abcdefgh", cps=80.0))
        async with client.stream("POST", "/chat-messages", json=question()) as answer:
            await read_until(answer, b'"answer"')
        (conversation,) = dify.conversations
        page = await history(client, conversation)
        before = page["data"][0]["answer"]
        async with asyncio.timeout(5):
            while not page["data"][0]["answer"]:
                page = await history(client, conversation)
    assert (before, page["data"][0]["answer"]) == ("", "abcdefgh")


async def test_answer_of_a_chat_is_lost_with_its_client() -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(Script(text="abcdefgh", end="cut"))
        await read_until_broken(client)
        (conversation,) = dify.conversations
        assert (await history(client, conversation))["data"][0]["answer"] == ""


async def test_second_turn_continues_the_conversation() -> None:
    async with dify_and_client() as (dify, client):
        dify.default = lambda query: Script(text=f"echo {query}")
        first = await client.post("/chat-messages", json=question("one"))
        conversation = blocks(first.content)[0]["conversation_id"]
        second = await client.post("/chat-messages", json=question("two", conversation_id=conversation))
        page = await history(client, conversation)
    assert blocks(second.content)[0]["conversation_id"] == conversation
    assert [(row["query"], row["answer"]) for row in page["data"]] == [("one", "echo one"), ("two", "echo two")]
    assert dify.conversations[conversation].user == "ann"


async def test_messages_page_backwards_and_read_forwards() -> None:
    async with dify_and_client() as (dify, client):
        await client.post("/chat-messages", json=question("1"))
        (conversation,) = dify.conversations
        for query in "2345":
            await client.post("/chat-messages", json=question(query, conversation_id=conversation))
        newest = await history(client, conversation, limit=2)
        older = await history(client, conversation, limit=3, first_id=newest["data"][0]["id"])
    assert ([row["query"] for row in newest["data"]], newest["has_more"]) == (["4", "5"], True)
    assert ([row["query"] for row in older["data"]], older["has_more"]) == (["1", "2", "3"], False)


async def test_conversations_are_listed_for_their_user_only() -> None:
    async with dify_and_client() as (dify, client):
        await client.post("/chat-messages", json=question(user="ann"))
        await client.post("/chat-messages", json=question(user="bob"))
        listed = (await client.get("/conversations", params={"user": "bob"})).json()
    assert [dify.conversations[row["id"]].user for row in listed["data"]] == ["bob"]


@pytest.mark.parametrize(("version", "status"), [("0.15.8", 200), ("1.14.1", 204)])
async def test_deleted_conversation_is_gone(version: str, status: int) -> None:
    async with dify_and_client(version=version) as (dify, client):
        await client.post("/chat-messages", json=question())
        (conversation,) = dify.conversations
        deleted = await client.request("DELETE", f"/conversations/{conversation}", json={"user": "ann"})
        again = await client.post("/chat-messages", json=question(conversation_id=conversation))
    assert (deleted.status_code, again.status_code) == (status, 404)


async def test_answer_is_kept_before_its_last_event_is_sent() -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(Script(text="abcd"))
        async with client.stream("POST", "/chat-messages", json=question()) as answer:
            await read_until(answer, b"message_end")
            (conversation,) = dify.conversations
            assert (await history(client, conversation))["data"][0]["answer"] == "abcd"


# Stopping.


@pytest.mark.parametrize(
    ("app", "version", "tail"),
    [
        ("chat", "1.14.1", ["message_end"]),
        ("advanced-chat", "1.12.1", ["workflow_finished", "message_end"]),
        ("advanced-chat", "1.14.1", ["workflow_finished"]),
    ],
)
async def test_stop_ends_the_stream_and_keeps_its_part(app: App, version: str, tail: list[str]) -> None:
    async with dify_and_client(app, version) as (dify, client):
        dify.answers.append(Script(text="abcdefgh", chunk=4, cps=0.1))
        async with client.stream("POST", "/chat-messages", json=question()) as answer:
            received, rest = await read_until(answer, b'"abcd"')
            task = blocks(received)[-1]["task_id"]
            stopped = await client.post(f"/chat-messages/{task}/stop", json={"user": "ann"})
            received = b"".join([chunk async for chunk in rest])
        (conversation,) = dify.conversations.values()
    assert stopped.json() == {"result": "success"}
    assert order(received) == tail
    assert (conversation.messages[0].answer, conversation.messages[0].status) == ("abcd", "normal")


async def test_stop_of_another_user_changes_nothing() -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(Script(text="abcdefgh", cps=40.0))
        async with client.stream("POST", "/chat-messages", json=question()) as answer:
            received, rest = await read_until(answer, b'"abcd"')
            task = blocks(received)[-1]["task_id"]
            stopped = await client.post(f"/chat-messages/{task}/stop", json={"user": "bob"})
            received += b"".join([chunk async for chunk in rest])
    assert (stopped.status_code, text(received)) == (200, "abcdefgh")


async def test_stopped_workflow_stays_running_in_1_14_1() -> None:
    async with dify_and_client("workflow") as (dify, client):
        dify.answers.append(Script(cps=0.1))
        async with client.stream("POST", "/workflows/run", json=question()) as answer:
            received, rest = await read_until(answer, b"text_chunk")
            last = blocks(received)[-1]
            await client.post(f"/workflows/tasks/{last['task_id']}/stop", json={"user": "x"})
            received = b"".join([chunk async for chunk in rest])
        run = (await client.get(f"/workflows/run/{last['workflow_run_id']}")).json()
    assert blocks(received)[-1]["data"]["status"] == "stopped"
    assert run["status"] == "running"


# Checks.


@pytest.mark.parametrize(("app", "version"), [("chat", "1.14.1"), ("advanced-chat", "1.12.1")])
async def test_unknown_conversation_is_a_404(app: App, version: str) -> None:
    async with dify_and_client(app, version) as (_, client):
        answer = await client.post("/chat-messages", json=question(conversation_id=str(uuid.uuid4())))
    assert answer.status_code == 404
    assert answer.json()["message"].startswith("Conversation Not Exists.")


async def test_another_users_conversation_is_a_404() -> None:
    async with dify_and_client() as (dify, client):
        await client.post("/chat-messages", json=question(user="ann"))
        (conversation,) = dify.conversations
        answer = await client.post("/chat-messages", json=question(user="bob", conversation_id=conversation))
        page = await client.get("/messages", params={"conversation_id": conversation, "user": "bob"})
    assert (answer.status_code, page.status_code) == (404, 404)


async def test_unknown_conversation_of_a_1_14_1_chatflow_is_one_ping_and_silence() -> None:
    async with dify_and_client("advanced-chat", ping_every=0.01) as (dify, client):
        received, error = await read_until_broken(client, 0.2, conversation_id=str(uuid.uuid4()))
    assert isinstance(error, httpx.ReadTimeout)
    assert received == PING
    assert dify.conversations == {}


async def test_unknown_conversation_of_a_1_15_0_chatflow_is_a_made_up_failure() -> None:
    async with dify_and_client("advanced-chat", "1.15.0") as (_, client):
        answer = await client.post("/chat-messages", json=question(conversation_id=str(uuid.uuid4())))
    assert order(answer.content) == ["ping", "workflow_started", "workflow_finished"]
    assert blocks(answer.content)[-1]["data"]["status"] == "failed"
    assert b"conversation_id" not in answer.content


async def test_blocking_chatflow_of_1_14_1_is_checked_at_once() -> None:
    async with dify_and_client("advanced-chat") as (_, client):
        body = question(conversation_id=str(uuid.uuid4()), response_mode="blocking")
        assert (await client.post("/chat-messages", json=body)).status_code == 404


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "Authorization header must be provided and start with 'Bearer'"),
        ({"Authorization": "Basic app-test"}, "Authorization scheme must be 'Bearer'"),
        ({"Authorization": "Bearer app-other"}, "Access token is invalid"),
    ],
)
async def test_wrong_key_is_a_401(headers: dict[str, str], message: str) -> None:
    async with FakeDify() as dify, httpx.AsyncClient() as client:
        answer = await client.post(f"{dify.url}/chat-messages", json=question(), headers=headers)
    assert (answer.status_code, answer.json()["message"]) == (401, message)
    assert answer.headers["www-authenticate"] == 'Bearer realm="api"'


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("user", "Arg user must be provided."),
        ("query", "1 validation error for ChatRequestPayload\nquery\n  Field required [type=missing]"),
        ("inputs", "1 validation error for ChatRequestPayload\ninputs\n  Field required [type=missing]"),
    ],
)
async def test_missing_field_is_a_400(missing: str, message: str) -> None:
    body = question()
    del body[missing]
    async with dify_and_client() as (_, client):
        answer = await client.post("/chat-messages", json=body)
    assert (answer.status_code, answer.json()["message"]) == (400, message)


@pytest.mark.parametrize("content", [b"", b"[]", b"{not json", rb'{"inputs": {}, "user": "u", "query": "\ud83d"}'])
async def test_unreadable_body_is_a_bad_request(content: bytes) -> None:
    async with dify_and_client() as (_, client):
        answer = await client.post("/chat-messages", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


async def test_0_15_8_names_the_missing_parameter() -> None:
    async with dify_and_client(version="0.15.8") as (_, client):
        answer = await client.post("/chat-messages", json={"inputs": {}, "user": "ann"})
    assert answer.json()["params"] == "query"


async def test_refused_question_leaves_the_script_for_the_next() -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(Script(text="abcd"))
        await client.post("/chat-messages", json=question(query=""))
        answer = await client.post("/chat-messages", json=question())
    assert text(answer.content) == "abcd"


@pytest.mark.parametrize(
    ("app", "path", "code"),
    [
        ("workflow", "/chat-messages", "not_chat_app"),
        ("chat", "/workflows/run", "not_workflow_app"),
        ("chat", "/completion-messages", "app_unavailable"),
    ],
)
async def test_wrong_kind_of_app_is_refused(app: App, path: str, code: str) -> None:
    async with dify_and_client(app) as (_, client):
        answer = await client.post(path, json=question())
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_one_answer_too_many_is_a_400() -> None:
    async with dify_and_client(max_active=1) as (dify, client):
        dify.answers.append(Script(end="stall"))
        async with client.stream("POST", "/chat-messages", json=question()) as first:
            _, _rest = await read_until(first, b'"answer"')  # kept: the stream is closed with its last reference
            refused = await client.post("/chat-messages", json=question())
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
    assert refused.json()["message"].startswith("Too many requests.")


async def test_place_is_free_again_after_an_answer() -> None:
    async with dify_and_client(max_active=1) as (_, client):
        for _ in range(2):
            answer = await client.post("/chat-messages", json=question())
            assert answer.status_code == 200


# The rest.


async def test_blocking_answer_is_one_json_object() -> None:
    async with dify_and_client() as (dify, client):
        dify.answers.append(Script(text="你好"))
        answer = await client.post("/chat-messages", json=question(response_mode="blocking"))
    assert rb'"answer": "\u4f60\u597d"' in answer.content
    assert answer.json()["conversation_id"] in dify.conversations


async def test_blocking_failure_is_a_400_but_200_for_a_workflow() -> None:
    statuses = []
    for app, path in (("chat", "/chat-messages"), ("workflow", "/workflows/run")):
        async with dify_and_client(app) as (dify, client):  # type: ignore[arg-type]  # a str that is an App
            dify.answers.append(Script(end="error"))
            answer = await client.post(path, json=question(response_mode="blocking"))
            statuses.append(answer.status_code)
    assert statuses == [400, 200]


@pytest.mark.parametrize(("version", "mode"), [("0.15.8", None), ("1.14.1", "chat")])
async def test_info_names_the_mode_since_1_x(version: str, mode: str | None) -> None:
    async with dify_and_client(version=version) as (_, client):
        assert (await client.get("/info")).json().get("mode") == mode


async def test_unknown_path_is_an_html_404() -> None:
    async with dify_and_client() as (_, client):
        answer = await client.get("/nowhere")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


async def test_uploaded_file_is_kept_for_its_user() -> None:
    async with dify_and_client() as (dify, client):
        part = {"file": ("图.png", b"\x89PNG\r\n\x00", "image/png")}
        answer = await client.post("/files/upload", files=part, data={"user": "ann"})
    (upload,) = dify.files
    assert (answer.status_code, answer.json()["id"], answer.json()["extension"]) == (201, upload.id, "png")
    assert (upload.user, upload.name, upload.content) == ("ann", "图.png", b"\x89PNG\r\n\x00")


async def test_upload_without_a_file_is_refused() -> None:
    async with dify_and_client() as (_, client):
        answer = await client.post("/files/upload", data={"user": "ann"})
    assert (answer.status_code, answer.json()["code"]) == (400, "no_file_uploaded")


async def test_finished_run_shows_its_outputs() -> None:
    async with dify_and_client("workflow") as (dify, client):
        await client.post("/workflows/run", json=question())
        (run,) = dify.runs
        row = (await client.get(f"/workflows/run/{run}")).json()
    assert (row["status"], row["outputs"]) == ("succeeded", {"result": "Hello from the playground."})


async def test_requests_are_recorded_without_showing_the_key() -> None:
    async with dify_and_client() as (dify, client):
        await client.post("/chat-messages", json=question("what?"))
        await client.get("/parameters", params={"user": "bob"})
    post, get = dify.requests
    assert (post.method, post.path, post.user) == ("POST", "/v1/chat-messages", "ann")
    assert post.body == question("what?")
    assert (get.user, get.body) == ("bob", None)
    assert post.time <= get.time
    assert "app-test" not in repr(dify.requests)


def test_agent_app_needs_a_release_that_has_it() -> None:
    with pytest.raises(ValueError, match=r"1\.15\.0"):
        FakeDify("agent", "1.14.1")
