"""The front on a real socket, before a scripted Dify or a source of the test's own, and the client that people use."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import openai
from pydantic import SecretStr

from cardbot.playground.dify import FakeDify
from cardbot.settings import DifySettings, ServeSettings
from cardbot.store.memory import MemoryStore
from cardbot.web import serve
from cardbot.web.asking import Desk, Model
from cardbot.web.gate import Gate
from cardbot.web.serving import listening, served
from tests.patience import SOON


@dataclass(frozen=True)
class Stand:
    """What a test talks to."""

    address: str
    client: openai.AsyncOpenAI
    http: httpx.AsyncClient
    dify: FakeDify

    async def ask(self, text: str = "hello", **more: Any) -> Any:
        """The whole answer to one message."""
        return await self.client.chat.completions.create(model="dify", messages=[user(text)], **more)

    async def stream(self, text: str = "hello", **more: Any) -> Any:
        """The chunks of an answer, as they come."""
        return await self.client.chat.completions.create(model="dify", messages=[user(text)], stream=True, **more)

    async def post(self, **body: Any) -> httpx.Response:
        """A request as it is, with what a valid one needs."""
        return await self.http.post("/v1/chat/completions", json={"model": "dify", "messages": [user("hello")], **body})

    @property
    def asked(self) -> list[dict[str, Any]]:
        """What Dify was asked."""
        return [request.body or {} for request in self.dify.requests if request.path.endswith("-messages")]

    @property
    def stopped(self) -> list[str | None]:
        """Whose answers Dify was told to stop."""
        return [request.user for request in self.dify.requests if request.path.endswith("/stop")]


async def until(condition: Callable[[], object]) -> None:
    """Until it is true."""
    with anyio.fail_after(SOON):
        while not condition():  # noqa: ASYNC110  # what is waited for is on the other side of a socket
            await anyio.sleep(0.01)


def user(content: Any) -> Any:
    """A message of the user's."""
    return {"role": "user", "content": content}


def dify_settings(url: str, idle: float = 5.0) -> DifySettings:
    """Where an app is."""
    return DifySettings.of({"DIFY_API_KEY": "app-test", "DIFY_BASE_URL": url, "CARDBOT_DIFY_IDLE_SECONDS": idle})


@asynccontextmanager
async def stand(
    *,
    dify: Mapping[str, Any] | None = None,
    models: Mapping[str, str] | None = None,
    keys: str = "",
    key: str = "none",
    origins: str = "",
    idle: float = 5.0,
) -> AsyncGenerator[Stand]:
    """The whole front. `models` are addresses of Dify; `key` is what the client sends."""
    values = {"CARDBOT_STORE": "memory:", "CARDBOT_DRAIN_SECONDS": 0, "CARDBOT_API_KEYS": keys}
    values["CARDBOT_CORS_ORIGINS"] = origins
    async with FakeDify(**{"api_key": "app-test", "linger": 0, **(dify or {})}) as fake:
        apps = {name: dify_settings(url, idle) for name, url in (models or {"dify": fake.url}).items()}
        async with serve(apps, ServeSettings.of(values), port=0) as address, talking(address, key) as (client, http):
            yield Stand(address, client, http, fake)


@asynccontextmanager
async def front_of(
    source: Any, *, places: int = 100, keys: Collection[str] = ()
) -> AsyncGenerator[tuple[str, openai.AsyncOpenAI]]:
    """The front of one source, without Dify; its address and a client."""
    models = {"dify": Model(name="dify", source=source, app="app-1")}
    desk = Desk(store=MemoryStore(), places=anyio.CapacityLimiter(places))
    with listening("127.0.0.1", 0) as listener:
        async with (
            served(models, desk, Gate([SecretStr(each) for each in keys]), listener, drain=0) as address,
            talking(address) as (client, _),
        ):
            yield address, client


@asynccontextmanager
async def talking(address: str, key: str = "none") -> AsyncGenerator[tuple[openai.AsyncOpenAI, httpx.AsyncClient]]:
    """Clients of it."""
    async with (
        openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0, timeout=20) as client,
        httpx.AsyncClient(base_url=address, timeout=20) as http,
    ):
        yield client, http
