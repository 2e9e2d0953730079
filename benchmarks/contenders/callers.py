"""Ways to make a streaming call, each measured alone: CPU time for a given number of calls.

The text is 900 characters, half of an answer of the frames part. Fifty calls go before the count, so that imports,
connections and caches are there.
"""

import json
import time
import uuid
from collections.abc import Awaitable, Callable

import anyio
import httpx
from alibabacloud_dingtalk.card_1_0 import models
from alibabacloud_dingtalk.card_1_0.client import Client
from alibabacloud_tea_openapi.models import Config
from alibabacloud_tea_util.models import RuntimeOptions

from benchmarks.children import parameters, say, told
from benchmarks.load import FLOOR, Load
from cardbot import logs
from cardbot.dingtalk.cards import CardWriter
from cardbot.dingtalk.openapi import Frame, OpenApi
from cardbot.dingtalk.template import Template
from cardbot.messages import Chat, ChatKind, Incoming, Person
from cardbot.pacing import Frames
from cardbot.texts import EN
from tests.values import Unwatched

TEXT = Load(1, characters=900).answer_to("question")

WARM_UP = 50
"""Calls that do not count. Our choice."""

CARDS = 50
"""Cards of the writer. Our choice: as many as in the middle one of the rounds that the quota binds."""

Call = Callable[[], Awaitable[object]]


async def official(url: httpx.URL, calls: int) -> float:
    """The official client as it ships: a loop over its async method."""
    client = Client(Config(protocol=url.scheme, endpoint=url.netloc.decode()))
    headers = models.StreamingUpdateHeaders(x_acs_dingtalk_access_token="token")
    runtime = RuntimeOptions()

    async def call() -> None:
        request = models.StreamingUpdateRequest(
            out_track_id="card", guid=uuid.uuid4().hex, key="content", content=TEXT, is_full=True
        )
        await client.streaming_update_with_options_async(request, headers, runtime)

    return await _loop(call, calls)


def _bare_call(client: httpx.AsyncClient, url: httpx.URL) -> Call:
    headers = {"content-type": "application/json", "x-acs-dingtalk-access-token": "token"}
    address = url.join("/v1.0/card/streaming")

    async def call() -> None:
        body = {
            "outTrackId": "card",
            "guid": uuid.uuid4().hex,
            "key": "content",
            "content": TEXT,
            "isFull": True,
            "isFinalize": False,
            "isError": False,
        }
        response = await client.put(address, content=json.dumps(body).encode(), headers=headers)
        response.json()

    return call


async def bare(url: httpx.URL, calls: int) -> float:
    """httpx with keep-alive and nothing around it, one call after the other."""
    async with httpx.AsyncClient() as client:
        return await _loop(_bare_call(client, url), calls)


async def paced(url: httpx.URL, calls: int) -> float:
    """The same, from 50 tasks that each make a call every 0.8 s: what the writer is to be compared with.

    A process that sleeps between two calls finds its caches cold, so a call costs more than in a tight loop.
    """
    tally = Tally()
    async with httpx.AsyncClient() as client, anyio.create_task_group() as tasks:
        call = _bare_call(client, url)

        async def beat(number: int) -> None:
            due = anyio.current_time() + number * FLOOR / CARDS
            while True:
                await anyio.sleep_until(due)
                await call()
                tally.add()
                due += FLOOR

        for number in range(CARDS):
            tasks.start_soon(beat, number)
        cpu = await tally.cpu(calls)
        tasks.cancel_scope.cancel()
    return cpu


async def open_api(url: httpx.URL, calls: int) -> float:
    """cardbot's transport under the official client's typed request."""
    async with OpenApi(client_id="bench", client_secret="secret", robot_code="bench", endpoint=str(url)) as api:

        async def call() -> None:
            await api.stream(Frame("card", uuid.uuid4().hex, "content", TEXT))

        return await _loop(call, calls)


class _Counted(OpenApi):
    def __init__(self, url: httpx.URL) -> None:
        super().__init__(client_id="bench", client_secret="secret", robot_code="bench", endpoint=str(url))
        self.tally = Tally()

    async def stream(self, frame: Frame) -> None:
        await super().stream(frame)
        self.tally.add()


async def writer(url: httpx.URL, calls: int) -> float:
    """cardbot's whole writer: 50 cards, each given new text whenever a frame of it may go; no ceiling in the way."""
    async with (
        _Counted(url) as api,
        CardWriter(api, Template("template", "content"), texts=EN, qps=10_000, frames=Frames.SMOOTH) as cards,
        anyio.create_task_group() as tasks,
    ):

        async def feed(number: int) -> None:
            async with cards.open(_message(number), uuid.uuid4().hex, Unwatched()) as card:
                for turn in range(10**6):
                    card.show(f"{turn} {TEXT}")
                    await anyio.sleep(0.4)

        for number in range(CARDS):
            tasks.start_soon(feed, number)
        cpu = await api.tally.cpu(calls)
        tasks.cancel_scope.cancel()
    return cpu


def _message(number: int) -> Incoming:
    chat = Chat(f"cid-{number}", ChatKind.DIRECT)
    return Incoming(f"msg-{number}", "bench", chat, Person("id", f"user{number}", "Ada"), "text", "?", None, 0.0)


class Tally:
    """Calls that were made, by whichever task."""

    def __init__(self) -> None:
        self._made = 0
        self._goal = 0
        self._reached = anyio.Event()

    def add(self) -> None:
        """One more."""
        self._made += 1
        if self._made >= self._goal:
            self._reached.set()

    async def cpu(self, calls: int) -> float:
        """CPU time until so many more were made, after the warm-up."""
        await self._more(WARM_UP)
        before = time.process_time()
        await self._more(calls)
        return time.process_time() - before

    async def _more(self, calls: int) -> None:
        self._goal, self._reached = self._made + calls, anyio.Event()
        await self._reached.wait()


async def _loop(call: Call, calls: int) -> float:
    for _ in range(WARM_UP):
        await call()
    before = time.process_time()
    for _ in range(calls):
        await call()
    return time.process_time() - before


WAYS = {"official": official, "bare": bare, "paced": paced, "open_api": open_api, "writer": writer}


async def main() -> None:
    """Measure one way and tell."""
    given = parameters()
    cpu = await WAYS[given["way"]](httpx.URL(given["url"]), given["calls"])
    say(cpu)
    await told()


if __name__ == "__main__":
    logs.set_up("INFO")
    anyio.run(main)
