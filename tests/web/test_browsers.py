"""Clients in a browser: whose pages may call the front, over real sockets and with the headers that browsers send."""

import httpx
import pytest

from cardbot.errors import SettingsError
from cardbot.settings import ServeSettings
from cardbot.web import serve
from tests.web.stand import Stand, dify_settings, stand, user

pytestmark = pytest.mark.anyio

CHAT = "https://chat.example.com"
ASKED = {"model": "dify", "messages": [user("hi")]}
BEARER = {"Authorization": "Bearer key-1"}


async def preflight(there: Stand, origin: str = CHAT) -> httpx.Response:
    """What a browser asks before it lets a page ask."""
    wants = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    return await there.http.options("/v1/chat/completions", headers={"Origin": origin, **wants})


@pytest.mark.parametrize("origins", [CHAT, f"http://other.example.com, {CHAT}/", "HTTPS://Chat.example.com", "*"])
async def test_a_page_of_a_named_site_may_ask(origins: str) -> None:
    async with stand(keys="key-1", origins=origins) as there:
        allowed = await preflight(there)
        answer = await there.http.post("/v1/chat/completions", json=ASKED, headers={"Origin": CHAT, **BEARER})
    assert allowed.status_code == 200
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    assert answer.status_code == 200
    for reply in (allowed, answer):
        assert reply.headers["access-control-allow-origin"] in (CHAT, "*")


async def test_a_page_can_read_a_stream() -> None:
    async with stand(keys="key-1", origins=CHAT) as there:
        body = {**ASKED, "stream": True}
        answer = await there.http.post("/v1/chat/completions", json=body, headers={"Origin": CHAT, **BEARER})
    assert answer.headers["access-control-allow-origin"] == CHAT
    assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/nowhere"])
async def test_a_page_can_read_why_it_is_refused(path: str) -> None:
    async with stand(keys="key-1", origins=CHAT) as there:
        refused = await there.http.get(path, headers={"Origin": CHAT})
    assert refused.status_code in (401, 404)
    assert refused.headers["access-control-allow-origin"] == CHAT
    assert "x-request-id" in refused.headers["access-control-expose-headers"].lower()


async def test_a_page_of_another_site_may_not_ask() -> None:
    async with stand(keys="key-1", origins=CHAT) as there:
        refused = await preflight(there, "https://evil.example.com")
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers


async def test_no_page_may_ask_unless_it_is_said_so() -> None:
    async with stand(keys="key-1") as there:
        refused = await preflight(there)
        answer = await there.http.get("/v1/models", headers={"Origin": CHAT, **BEARER})
    assert (refused.status_code, refused.json()["error"]["code"]) == (405, "method_not_allowed")
    assert "access-control-allow-origin" not in answer.headers


async def test_without_keys_a_named_site_may_ask_and_no_other() -> None:
    async with stand(origins="http://localhost:3210") as there:
        told = [
            (await there.http.get("/v1/models", headers={"Origin": origin})).status_code
            for origin in ("http://localhost:3210", "http://localhost:3211", CHAT)
        ]
    assert told == [200, 403, 403]


async def test_without_keys_not_every_site_may_ask() -> None:
    settings = ServeSettings.of({"CARDBOT_STORE": "memory:", "CARDBOT_CORS_ORIGINS": "*"})
    with pytest.raises(SettingsError, match="any site that is open in a browser"):
        async with serve({"dify": dify_settings("http://127.0.0.1:9/v1")}, settings, port=0):
            pass


@pytest.mark.parametrize(
    "origins", ["chat.example.com", "https://*.example.com", "https://chat.example.com/app", '["*"]']
)
def test_what_is_no_origin_is_refused_at_the_start(origins: str) -> None:
    with pytest.raises(SettingsError, match="CARDBOT_CORS_ORIGINS must be origins"):
        ServeSettings.of({"CARDBOT_CORS_ORIGINS": origins})


async def test_a_page_can_read_of_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cardbot.web.completions.order_of", lambda *_, **__: 1 / 0)
    async with stand(keys="key-1", origins=CHAT) as there:
        refused = await there.http.post("/v1/chat/completions", json=ASKED, headers={"Origin": CHAT, **BEARER})
    assert (refused.status_code, refused.headers.get("access-control-allow-origin")) == (500, CHAT)
