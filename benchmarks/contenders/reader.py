"""Not bots: they read the answers of a scripted Dify and throw them away. What they cost is a part of what a bot costs.

`httpx` reads the bytes with nothing around it. `ask` reads the same through cardbot's client for Dify, so it decodes
and parses too, and hands each event from the task that reads to the one that asked.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import asdict

import anyio
import httpx

from benchmarks.children import parameters, say
from benchmarks.load import Load
from benchmarks.meter import Meter
from cardbot import logs
from cardbot.dify.client import DifyClient
from cardbot.messages import Question

Read = Callable[[str], AsyncGenerator[object]]
"""Asks one question; what it yields is of no interest."""

Open = Callable[[str], AbstractAsyncContextManager[Read]]


@asynccontextmanager
async def bare(address: str) -> AsyncGenerator[Read]:
    """With httpx alone."""
    headers = {"authorization": "Bearer app-bench"}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=None, limits=limits) as dify:

        async def read(query: str) -> AsyncGenerator[object]:
            question = {"inputs": {}, "query": query, "response_mode": "streaming", "user": "reader"}
            async with dify.stream("POST", "chat-messages", json=question) as response:
                async for chunk in response.aiter_bytes():
                    yield chunk

        yield read


@asynccontextmanager
async def ask(address: str) -> AsyncGenerator[Read]:
    """With cardbot's client."""
    async with DifyClient(base_url=address, api_key="app-bench", mode="chat") as dify:
        yield lambda query: dify.ask(Question(query, "reader"))


WAYS: dict[str, Open] = {"httpx": bare, "ask": ask}


async def main() -> None:
    """Read all answers at once; tell what that took, connecting included."""
    given = parameters()
    load = Load(**given["load"])
    meter = Meter()
    async with WAYS[given["way"]](given["dify"]) as read:

        async def listen(number: int) -> None:
            await anyio.sleep(number * load.spread / load.answers)
            async with aclosing(read(f"question {number:03}")) as answer:
                async for _ in answer:
                    pass

        meter.begin()
        async with anyio.create_task_group() as tasks:
            for number in range(load.answers):
                tasks.start_soon(listen, number)
        say(asdict(meter.end()))


if __name__ == "__main__":
    logs.set_up("INFO")
    anyio.run(main, backend_options={"use_uvloop": parameters()["loop"] == "uvloop"})
