"""Who may use the front, what else it answers, and what its log says."""

from collections.abc import AsyncGenerator
from contextlib import nullcontext
from functools import partial
from typing import Any

import anyio
import httpx
import openai
import pytest
from structlog.testing import capture_logs

from cardbot import events
from cardbot.errors import CardbotError, SettingsError, StoreError
from cardbot.messages import Question
from cardbot.playground.dify import FakeDify, Script
from cardbot.settings import ServeSettings
from cardbot.store.memory import MemoryStore
from cardbot.web import body, serve
from tests.web.source import Answers, sunny
from tests.web.stand import dify_settings, front_of, stand, talking, until, user

pytestmark = pytest.mark.anyio

KEYS = "key-1, key-2"


@pytest.mark.parametrize("key", ["key-1", "key-2"])
async def test_each_key_opens(key: str) -> None:
    async with stand(key=key, keys=KEYS) as there:
        assert (await there.ask()).choices


@pytest.mark.parametrize("key", ["key-3", "key-1x", "key-", "key-1, key-2", "密钥"])
async def test_another_key_does_not(key: str) -> None:
    async with stand(keys=KEYS) as there:
        for path in ("/v1/models", "/v1/models/dify"):
            answer = await there.http.get(path, headers={b"Authorization": f"Bearer {key}".encode()})
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
            assert key not in answer.text
        assert (await there.post()).status_code == 401
        assert (await there.http.delete("/v1/conversations/ada")).status_code == 401
    assert there.asked == []


async def test_the_client_calls_a_wrong_key_an_authentication_error() -> None:
    async with stand(key="key-3", keys=KEYS) as there:
        with pytest.raises(openai.AuthenticationError):
            await there.ask()


@pytest.mark.parametrize("header", ["", "Bearer", "Basic key-1", "key-1"])
async def test_no_key_is_told_so(header: str) -> None:
    async with stand(keys=KEYS) as there:
        answer = await there.http.get("/v1/models", headers={"Authorization": header})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "missing_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_without_a_key_a_body_is_not_even_read() -> None:
    async with stand(keys=KEYS) as there:
        assert (await there.http.post("/v1/chat/completions", content=b"{")).status_code == 401


async def test_with_keys_any_name_of_the_server_will_do() -> None:
    async with stand(keys=KEYS) as there:
        headers = {"Host": "bot.example.com", "Authorization": "Bearer key-1", "Origin": "https://chat.example.com"}
        assert (await there.http.get("/v1/models", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example.com"},
        {"Host": "127.0.0.1.evil.example.com"},
        {"Host": ""},
        {"Host": "["},
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
    ],
)
async def test_without_keys_a_web_site_does_not_get_in(headers: dict[str, str]) -> None:
    async with stand() as there:
        answer = await there.http.get("/v1/models", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_from_here")


async def test_without_keys_this_machine_gets_in_by_each_of_its_names() -> None:
    async with stand() as there:
        port = there.address.rpartition(":")[2]
        for name in ("127.0.0.1", "localhost", "[::1]"):
            assert (await there.http.get("/v1/models", headers={"Host": f"{name}:{port}"})).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
async def test_without_keys_nothing_is_open_to_others(host: str) -> None:
    settings = ServeSettings.of({"CARDBOT_STORE": "memory:"})
    with pytest.raises(SettingsError, match="CARDBOT_API_KEYS is missing"):
        async with serve({"dify": dify_settings("http://127.0.0.1:9/v1")}, settings, host=host, port=0):
            pass


async def test_with_keys_others_may_come_in() -> None:
    settings = ServeSettings.of({"CARDBOT_STORE": "memory:", "CARDBOT_DRAIN_SECONDS": 0, "CARDBOT_API_KEYS": KEYS})
    async with serve({"dify": dify_settings("http://127.0.0.1:9/v1")}, settings, host="0.0.0.0", port=0) as address:
        assert address.startswith("http://0.0.0.0:")


async def test_a_port_that_is_taken_is_one_sentence() -> None:
    async with stand() as there:
        settings = ServeSettings.of({"CARDBOT_STORE": "memory:"})
        port = int(there.address.rpartition(":")[2])
        with pytest.raises(CardbotError, match=f"127.0.0.1 port {port} cannot be used: Address already in use"):
            async with serve({"dify": dify_settings("http://127.0.0.1:9/v1")}, settings, port=port):
                pass


# What is wrong with a request.


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"Content-Type": "application/json"}, b"{", 400),
        ({"Content-Type": "application/json; charset=utf-8"}, b"[]", 400),
        ({"Content-Type": "text/plain"}, b"{}", 415),
        ({}, b"{", 400),
    ],
)
async def test_a_body_that_is_no_json_is_refused(headers: dict[str, str], content: bytes, status: int) -> None:
    async with stand() as there:
        answer = await there.http.post("/v1/chat/completions", content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, "invalid_request_error")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch, chunked: bool) -> None:
    monkeypatch.setattr(body, "BODY_LIMIT", 1024 * 1024)

    async def pieces() -> Any:
        for _ in range(17):
            yield b" " * 64 * 1024

    content = pieces() if chunked else b" " * 17 * 64 * 1024
    async with stand() as there:
        answer = await there.http.post(
            "/v1/chat/completions", content=content, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == 413
    assert answer.json()["error"]["message"] == "The body is longer than 1 MB."


async def test_what_is_not_there_is_told_in_the_same_form() -> None:
    async with stand() as there:
        nowhere = await there.http.get("/v1/nowhere")
        wrong = await there.http.get("/v1/chat/completions")
    assert (nowhere.status_code, nowhere.json()["error"]["type"]) == (404, "invalid_request_error")
    assert nowhere.json()["error"]["code"] == "unknown_url"
    assert "base URL ends in /v1" in nowhere.json()["error"]["message"]
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert wrong.json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("name", "code"),
    [("", "missing_required_parameter"), ("a%00b", "invalid_value"), ("x" * 2000, "invalid_value")],
)
async def test_who_can_have_no_conversation_has_none_to_delete(name: str, code: str) -> None:
    async with stand() as there:
        answer = await there.http.delete(f"/v1/conversations/{name}")
    assert (answer.status_code, answer.json()["error"]["param"], answer.json()["error"]["code"]) == (400, "user", code)


# What else there is.


async def test_health_needs_no_key() -> None:
    async with stand(keys=KEYS) as there:
        answer = await there.http.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_each_reply_has_an_id_that_the_client_shows() -> None:
    async with stand() as there:
        ids = {(await there.ask())._request_id for _ in range(2)}
    assert len(ids - {None}) == 2


async def test_the_log_has_a_line_for_each_request_and_none_of_its_secrets() -> None:
    with capture_logs() as lines:
        async with stand(key="key-1", keys=KEYS) as there:
            there.dify.default = Script("The answer is hunter4.")
            await there.ask("My word is hunter2.", user="hunter3")
            await there.http.delete("/v1/conversations/hunter3?model=dify")
            await there.http.get("/v1/models", headers={"Authorization": "Bearer hunter5"})
            await there.http.get("/hunter6")
    found = [(line["method"], line["route"], line["status"]) for line in lines if line["event"] == "request"]
    assert found == [
        ("POST", "/v1/chat/completions", 200),
        ("DELETE", "/v1/conversations/{user:path}", 401),
        ("GET", "/v1/models", 401),
        ("GET", "unknown", 404),
    ]
    assert "hunter" not in str(lines)
    assert "key-1" not in str(lines)


async def test_a_fault_of_ours_is_told_and_the_server_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stand() as there:
        with monkeypatch.context() as patch:
            patch.setattr("cardbot.web.completions.order_of", lambda *_, **__: 1 / 0)
            answer = await there.post()
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
        assert (await there.post()).status_code == 200


async def test_a_client_that_leaves_amid_its_body_is_nobodys_error() -> None:
    async with stand() as there:
        host, _, port = there.address.removeprefix("http://").partition(":")
        with capture_logs() as lines:
            async with await anyio.connect_tcp(host, int(port)) as socket:
                await socket.send(
                    f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
                    "Content-Length: 100\r\n\r\n{".encode()
                )
            await until(lambda: [line for line in lines if line["event"] == "request"])
        assert [line["log_level"] for line in lines if line["event"] != "dify_ready"] == ["info"]
        assert (await there.post()).status_code == 200


async def test_life_is_shown_as_long_as_answers_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is told of nobody's life takes the places in line away."""
    beats: list[float] = []

    class Watched(MemoryStore):
        async def beat(self) -> int:
            beats.append(anyio.current_time())
            if len(beats) == 1:
                raise StoreError("away for a moment")
            return 1

    monkeypatch.setattr("cardbot.web.serving.open_store", lambda _: nullcontext(Watched()))
    monkeypatch.setattr("cardbot.web.serving.BEAT_EVERY", 0.05)
    async with FakeDify(api_key="app-test", linger=0) as dify, anyio.create_task_group() as tasks:
        dify.default = Script("It is sunny.", first=1.0)
        settings = ServeSettings.of({"CARDBOT_STORE": "memory:", "CARDBOT_DRAIN_SECONDS": 10})

        async def ask(address: str) -> None:
            async with talking(address) as (client, _):
                await client.chat.completions.create(model="dify", messages=[user("hi")])

        async with serve({"dify": dify_settings(dify.url)}, settings, port=0) as address:
            tasks.start_soon(ask, address)
            await until(lambda: dify._stage.active)
            left = anyio.current_time()
    assert max(beats) - left > 0.5


async def test_a_user_who_is_forgotten_while_an_answer_begins_begins_anew() -> None:
    begun, go = anyio.Event(), anyio.Event()

    async def late(question: Question) -> AsyncGenerator[events.Event]:
        begun.set()
        await go.wait()
        async for event in sunny(question):
            yield event

    source = Answers(late)
    async with front_of(source) as (address, client), httpx.AsyncClient(base_url=address) as http:
        async with anyio.create_task_group() as tasks:
            ask = partial(client.chat.completions.create, model="dify", user="ada", messages=[user("hello")])
            tasks.start_soon(ask)
            await begun.wait()
            assert (await http.delete("/v1/conversations/ada")).status_code == 200
            go.set()
        await ask()
    assert [question.conversation_id for question in source.questions] == ["", ""]
