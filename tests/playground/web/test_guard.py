"""Only this machine's own browser, from the page itself."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cardbot.playground.web.guard import Guard, policy

pytestmark = pytest.mark.anyio

PORT = 4711
HERE = f"127.0.0.1:{PORT}"


async def answer(_: Request) -> Response:
    return PlainTextResponse("in")


async def ask(method: str, **headers: str) -> httpx.Response:
    app = Starlette(routes=[Route("/", answer, methods=["GET", "POST", "DELETE"])])
    guard = Guard(app, port=PORT, policy=policy())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url=f"http://{HERE}") as client:
        return await client.request(method, "/", headers=headers)


@pytest.mark.parametrize("host", [HERE, f"localhost:{PORT}"])
async def test_the_own_page_may_look_and_act(host: str) -> None:
    assert (await ask("GET", Host=host)).text == "in"
    assert (await ask("POST", Host=host, Origin=f"http://{host}")).text == "in"


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:80", f"[::1]:{PORT}", ""]
)
async def test_another_name_for_this_machine_is_refused(host: str) -> None:
    """What DNS rebinding looks like from here."""
    assert (await ask("GET", Host=host)).status_code == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", f"https://{HERE}", f"http://localhost:{PORT}", "http://127.0.0.1:80", ""]
)
async def test_an_action_of_another_page_is_refused(origin: str) -> None:
    assert (await ask("POST", Host=HERE, Origin=origin)).status_code == 403
    assert (await ask("DELETE", Host=HERE, Origin=origin)).status_code == 403


async def test_an_action_without_an_origin_is_refused() -> None:
    assert (await ask("POST", Host=HERE)).status_code == 403


async def test_another_page_may_not_even_look() -> None:
    assert (await ask("GET", Host=HERE, Origin="http://evil.example")).status_code == 403


async def test_each_answer_carries_the_policy() -> None:
    headers = (await ask("GET")).headers
    assert "script-src 'self';" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
