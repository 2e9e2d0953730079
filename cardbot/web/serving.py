"""Starts the front with its Dify apps, and ends it well."""

import math
import os
import socket
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial

import anyio
import structlog
import uvicorn
from starlette.types import ASGIApp

from cardbot.dify.client import DifyClient
from cardbot.dify.introduction import introduce
from cardbot.errors import CardbotError, SettingsError, StoreError
from cardbot.forms import is_loopback
from cardbot.ports import Store
from cardbot.recovery import BEAT_EVERY
from cardbot.settings import DifySettings, ServeSettings
from cardbot.store import open_store
from cardbot.web.answering import FAREWELL
from cardbot.web.app import front
from cardbot.web.asking import Desk, Model
from cardbot.web.connection import Connection
from cardbot.web.gate import Gate

GOODBYE = 1.5
"""Seconds for the last words to the callers after their answers have ended. Our choice: an error is told in far less,
and who does not read must not make the end last longer."""

SPARE = 2.0
"""Seconds that uvicorn would wait longer than the rest may take. Our choice: its own end is cancellation amid whatever
goes on, with a traceback for each."""

KEEP_ALIVE = 75
"""Seconds that an idle connection is kept. Our choice: longer than clients keep theirs, so that it is never the server
that hangs up just when a question comes."""

log = structlog.get_logger(__name__)


class CannotListen(CardbotError):
    """Raised for an address that cannot be listened on. The text says why."""


@asynccontextmanager
async def serve(
    models: Mapping[str, DifySettings], settings: ServeSettings, *, host: str = "127.0.0.1", port: int = 8000
) -> AsyncGenerator[str]:
    """The front, taking requests; yields its address. Leaving lets the answers under way finish, for a while.

    Args:
        models: the Dify apps, by the names that callers know them by.
        settings: all else.
        host: where to listen. Without API keys, this machine only.
        port: where to listen; 0 takes a free one.

    Raises:
        SettingsError: others could use it without a key.
        CannotListen: the address cannot be listened on.
        StoreError: the store cannot be opened.
    """
    if not settings.api_keys and not is_loopback(host):
        raise SettingsError(
            [
                f"CARDBOT_API_KEYS is missing: without keys only this machine is answered, and --host {host} is open to"
                " others."
            ]
        )
    if not settings.api_keys and "*" in settings.cors_origins:
        raise SettingsError(
            [
                "CARDBOT_API_KEYS is missing: with CARDBOT_CORS_ORIGINS=* and no keys, any site that is open in a"
                " browser here could ask."
            ]
        )
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listening(host, port))
        store = await stack.enter_async_context(open_store(settings.store))
        clients = {name: await stack.enter_async_context(DifyClient.of(app)) for name, app in models.items()}
        apps = {
            name: Model(
                name=name,
                source=dify,
                app=dify.fingerprint,
                address=models[name].dify_base_url,
                system=models[name].dify_system_prompt,
            )
            for name, dify in clients.items()
        }
        desk = Desk(store=store, places=anyio.CapacityLimiter(settings.max_answers))
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(_live, store)
        for name, dify in clients.items():
            system = models[name].dify_system_prompt
            # Of DIFY_INPUTS only what is the same for everybody: no message of DingTalk's is there to name the rest.
            tasks.start_soon(partial(introduce, dify, template=dify.form.inputs, system=system, model=name))
        address = await stack.enter_async_context(
            served(apps, desk, Gate(settings.api_keys, settings.cors_origins), listener, drain=settings.drain_seconds)
        )
        log.info("serving", address=address, models=list(apps), keys=len(settings.api_keys))
        yield address


@asynccontextmanager
async def served(
    models: Mapping[str, Model], desk: Desk, gate: Gate, listener: socket.socket, *, drain: float
) -> AsyncGenerator[str]:
    """The front of these models on a socket that listens; yields its address.

    On leaving, no new requests are taken, and the answers under way have `drain` seconds to finish. Those that do not
    end with an error, and are stopped at Dify; whoever does not take that error is cut off.
    """
    leaving, ended = anyio.Event(), anyio.Event()
    app = front(models, desk, gate, leaving)
    server = _Server(_config(app, drain + GOODBYE + FAREWELL + SPARE))

    async def run() -> None:
        with anyio.CancelScope(shield=True):  # it ends when told below, and closes its connections first
            await server.serve([listener])
        ended.set()
        tasks.cancel_scope.cancel()

    host, port = listener.getsockname()[:2]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        try:
            yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        finally:
            server.should_exit = True
            with anyio.move_on_after(drain, shield=True):
                await ended.wait()
            leaving.set()
            with anyio.move_on_after(GOODBYE, shield=True):
                await ended.wait()
            server.cut_off()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the command's business: it leaves what runs here."""
        yield

    def cut_off(self) -> None:
        """Hang up, whoever is still there."""
        for connection in list(self.server_state.connections):
            assert isinstance(connection, Connection)  # for the type check: `_config` names it
            connection.cut_off()


def _config(app: ASGIApp, patience: float) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(patience),
    )


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as exc:
        why = os.strerror(exc.errno) if exc.errno and exc.errno > 0 else str(exc)
        raise CannotListen(f"{host} port {port} cannot be used: {why}. --port 0 takes a free one.") from exc
    with listener:
        yield listener


async def _live(store: Store) -> None:
    """Show that this process lives, also to the end of its last answer: the dead lose their place in line."""
    while True:
        try:
            await store.beat()
        except StoreError as exc:
            log.error("life_not_shown", error=str(exc))
        await anyio.sleep(BEAT_EVERY)
