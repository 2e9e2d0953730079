"""The page's server, on the loopback interface only: files, state as server-sent events, actions by POST.

Every request is checked by `guard` before anything else: its `Host` must be this address, and whatever does something
must carry the page's own `Origin`. Nobody logs in: whoever sits at this machine may use it.
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any

import anyio
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from cardbot.playground.web.actions import PICTURES, Actions, BadAction
from cardbot.playground.web.feed import Changes, Feed
from cardbot.playground.web.guard import Guard, policy
from cardbot.playground.web.markdown import Renderer

TOGETHER = 0.04
"""Seconds of changes that reach the page together. Our choice: 25 times a second looks immediate."""

UPLOAD_LIMIT = 20 * 1024 * 1024
"""Bytes of a file. Our choice: what Dify takes at most by default is 15 MB."""

Do = Callable[[str, dict[str, Any]], Awaitable[None]]

_STATIC = Path(str(files(__package__))) / "static"


def live(feed: Feed, actions: Actions, *, port: int, pictures_from: frozenset[str]) -> Starlette:
    """The page of a running playground. `pictures_from`: origins whose pictures it shows, besides its own."""

    async def upload(request: Request) -> Response:
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > UPLOAD_LIMIT:
                return _refused("the file is too large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        query = request.query_params
        kind = request.headers.get("content-type", "").partition(";")[0]
        name = query.get("name", "").rpartition("/")[2] or "file"
        try:
            await actions.upload(
                chat=query.get("chat", ""),
                speaker=query.get("speaker", ""),
                name=name,
                kind=kind,
                content=bytes(content),
            )
        except BadAction as bad:
            return _refused(str(bad))
        return JSONResponse({})

    async def attachment(request: Request) -> Response:
        found = actions.attachments.get(request.path_params["code"])
        if found is None or found.type not in PICTURES:
            return Response(status_code=HTTPStatus.NOT_FOUND)
        return Response(found.content, media_type=found.type)

    more = [
        Route("/upload", upload, methods=["POST"]),
        Route("/attachments/{code}", attachment),
    ]
    return _app(feed, actions.do, port=port, pictures_from=pictures_from, more=more)


def replayed(feed: Feed, restart: Callable[[], None], *, port: int) -> Starlette:
    """The page of a recording: to be looked at, and started again."""

    async def do(name: str, body: dict[str, Any]) -> None:
        if name != "restart":
            raise BadAction("a recording only starts again")
        restart()

    return _app(feed, do, port=port, pictures_from=frozenset(), more=[])


def _app(feed: Feed, do: Do, *, port: int, pictures_from: frozenset[str], more: list[Route]) -> Starlette:
    origins = pictures_from | {f"http://127.0.0.1:{port}"}
    renderer = Renderer(origins)

    async def page(_: Request) -> Response:
        return FileResponse(_STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    async def events(_: Request) -> Response:
        return EventSourceResponse(_events(feed, renderer), sep="\n")

    async def act(request: Request) -> Response:
        try:
            body = await request.json()
        except ValueError:
            return _refused("not JSON")
        try:
            await do(request.path_params["name"], body if isinstance(body, dict) else {})
        except BadAction as bad:
            return _refused(str(bad))
        return JSONResponse({})

    routes = [
        Route("/", page),
        Route("/events", events),
        Route("/do/{name}", act, methods=["POST"]),
        *more,
        Mount("/static", _Fresh(directory=_STATIC)),
    ]
    guard = Middleware(Guard, port=port, policy=policy(sorted(origins)))
    return Starlette(routes=routes, middleware=[guard])


class _Fresh(StaticFiles):
    """Files that a browser asks about each time: after an upgrade the page must not be half the old one."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


async def _events(feed: Feed, renderer: Renderer) -> AsyncGenerator[ServerSentEvent]:
    """Everything there is, then whatever changes."""
    version = 0
    while not feed.closed:
        changes = feed.since(version)
        version = changes.version
        yield ServerSentEvent(_encoded(changes, feed.now(), renderer), event="state")
        await anyio.sleep(TOGETHER)
        await feed.wait(version)


def _encoded(changes: Changes, now: float, renderer: Renderer) -> str:
    things = []
    for thing in changes.things:
        shown = {"kind": thing.kind, "id": thing.id, **thing.fields}
        if thing.kind in ("card", "reply"):
            shown["html"] = renderer.html(str(thing.fields.get("text", "")))
        things.append(shown)
    return json.dumps({"now": round(now, 3), "whole": changes.whole, "put": things}, ensure_ascii=False)


def _refused(reason: str, status: int = HTTPStatus.BAD_REQUEST) -> Response:
    return JSONResponse({"error": reason}, status)
