"""Starts the playground with its page, or the page of a recording, and runs until it is cancelled."""

import os
import socket
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import uvicorn
from starlette.types import ASGIApp

from cardbot.playground.http import HOST
from cardbot.playground.web import people, questions
from cardbot.playground.web.actions import Actions
from cardbot.playground.web.app import live, replayed
from cardbot.playground.web.feed import Feed
from cardbot.playground.web.recording import Player, create, read, record
from cardbot.playground.web.switches import LATENCIES, LIMITS
from cardbot.playground.web.threads import Threads
from cardbot.playground.web.watch import Watcher
from cardbot.playground.world import World, world
from cardbot.settings import DifySettings
from cardbot.texts import Language

GOODBYE = 1
"""Seconds that open requests get when the server stops. Our choice: they are the page's own."""


class BadPort(Exception):
    """Raised for a port that the page cannot listen on. The text says why."""


@asynccontextmanager
async def playground(
    dify: DifySettings | None,
    language: Language,
    *,
    port: int = 0,
    record_to: Path | None = None,
) -> AsyncGenerator[str]:
    """The playground, running and connected; yields the address of its page. Raises BadRecording and BadPort.

    Args:
        dify: A real app to ask; None asks the scripted one.
        language: Of the bot's own sentences, and of the page until its reader chooses.
        port: Of the page; 0 takes a free one.
        record_to: A file that keeps what happens.
    """
    began = time.monotonic()
    with _listening(port) as listener:
        if record_to is not None:
            await anyio.to_thread.run_sync(create, record_to)
        page = f"http://{HOST}:{listener.getsockname()[1]}"
        async with world(dify, language) as here, anyio.create_task_group() as tasks:
            feed, threads = Feed(lambda: time.monotonic() - began), Threads()
            feed.put("setup", "setup", **_setup(here, dify, language))
            if here.scripted is not None:
                here.scripted.default = partial(questions.answer, page=page)
            watcher = Watcher(here, feed, threads)
            actions = Actions(here, feed, threads, look=watcher.look, tasks=tasks)
            tasks.start_soon(watcher.run)
            origins = frozenset({_origin(dify.dify_base_url)}) if dify else frozenset[str]()
            app = live(feed, actions, port=listener.getsockname()[1], pictures_from=origins)
            async with anyio.create_task_group() as recording, _served(app, listener):
                if record_to is not None:
                    recording.start_soon(record, feed, record_to)
                try:
                    yield page
                finally:
                    feed.close()  # lets the pages go, and the recording come to its end
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def replay(path: Path, *, port: int = 0) -> AsyncGenerator[str]:
    """A recording, playing; yields the address of its page. Raises BadRecording and BadPort."""
    player = Player(await anyio.to_thread.run_sync(read, path))
    with _listening(port) as listener:
        app = replayed(player.feed, player.restart, port=listener.getsockname()[1])
        async with anyio.create_task_group() as tasks, _served(app, listener):
            tasks.start_soon(player.run)
            try:
                yield f"http://{HOST}:{listener.getsockname()[1]}"
            finally:
                player.feed.close()
            tasks.cancel_scope.cancel()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the command's business: it cancels what runs here."""
        yield


@asynccontextmanager
async def _served(app: ASGIApp, listener: socket.socket) -> AsyncGenerator[None]:
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", server_header=False, timeout_graceful_shutdown=GOODBYE
    )
    server = _Server(config)

    async def run() -> None:
        with anyio.CancelScope(shield=True):  # it ends when told below, and closes its connections first
            await server.serve([listener])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        try:
            yield
        finally:
            server.should_exit = True


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    try:
        listener = socket.create_server((HOST, port))
    except OSError as exc:
        raise BadPort(f"Port {port} cannot be used: {os.strerror(exc.errno or 0)}. --port 0 takes a free one.") from exc
    with listener:
        yield listener


def _setup(here: World, dify: DifySettings | None, language: Language) -> dict[str, object]:
    return {
        "mode": "live",
        "language": language,
        "dify": "scripted" if dify is None else "real",
        "idle": here.idle_seconds,
        "latencies": LATENCIES,
        "limits": LIMITS,
        "questions": questions.listed(),
        **people.listed(),
    }


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
