"""The page without a browser: what it is told, and what it asks for."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx

from tests.patience import SOON

DIRECT = "cidDirectuser0001=="
GROUP = "cidPRODUCT0001=="
ADA = "user0001"


class Visitor:
    """Keeps the things of one page, as its scripts do."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.things: dict[tuple[str, str], dict[str, Any]] = {}
        self._changed = anyio.Event()

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [thing for (its, _), thing in self.things.items() if its == kind]

    async def act(self, name: str, **body: Any) -> httpx.Response:
        return await self.http.post(f"/do/{name}", json=body)

    async def say(self, text: str, *, chat: str = DIRECT, speaker: str = ADA, **more: Any) -> None:
        (await self.act("say", text=text, chat=chat, speaker=speaker, **more)).raise_for_status()

    async def until(self, condition: Callable[[], object], within: float = SOON) -> None:
        """Return once `condition` holds."""
        with anyio.fail_after(within):
            while not condition():
                await self._changed.wait()

    async def listen(self) -> None:
        async with self.http.stream("GET", "/events", timeout=None) as response:
            async for line in response.aiter_lines():
                if not line.startswith("data:"):
                    continue
                state = json.loads(line.removeprefix("data:"))
                if state["whole"]:
                    self.things.clear()
                for thing in state["put"]:
                    self.things[thing["kind"], thing["id"]] = thing
                changed, self._changed = self._changed, anyio.Event()
                changed.set()


@asynccontextmanager
async def visiting(url: str) -> AsyncGenerator[Visitor]:
    """Somebody who has the page open."""
    async with httpx.AsyncClient(base_url=url, headers={"Origin": url}, trust_env=False) as http:
        visitor = Visitor(http)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(visitor.listen)
            await visitor.until(lambda: visitor.all("meter"))
            yield visitor
            tasks.cancel_scope.cancel()
