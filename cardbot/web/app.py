"""The front as an ASGI app: its routes, who may use them, and a log line for each request."""

import time
import uuid
from collections.abc import Mapping
from typing import cast

import anyio
import structlog
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cardbot.conversations import begin_anew
from cardbot.errors import StoreError
from cardbot.web.asking import Desk, Model, conversation_key
from cardbot.web.completions import Completions
from cardbot.web.gate import Gate
from cardbot.web.openapi import document
from cardbot.web.order import name_of
from cardbot.web.refusals import Refused, bad_request, internal, refusal_of
from cardbot.web.replies import Forgotten, Health, ModelCard, ModelList

REQUEST_ID = "x-request-id"
"""Documented: OpenAI's clients show this header of a reply as its `_request_id`. It is in the log."""

NOTHING_HERE = (
    "There is nothing at this path. A client's base URL ends in /v1, and behind it are chat completions"
    " (POST /v1/chat/completions), which some clients have to be told to use in place of the Responses API, and models"
    " (GET /v1/models)."
)
"""Whoever comes to another path mostly has a base URL without `/v1`, or a client that asks the Responses API first, as
OpenAI's agents SDK does."""

log = structlog.get_logger(__name__)


def front(models: Mapping[str, Model], desk: Desk, gate: Gate, leaving: anyio.Event) -> Starlette:
    """The front.

    Args:
        models: the Dify apps, by the names that callers know them by.
        desk: what all questions share.
        gate: who may ask.
        leaving: set when the server has no more time for the answers under way.
    """
    started = int(time.time())
    described = document(wants_key=gate.wants_key)

    def find(name: str) -> Model:
        if (model := models.get(name)) is None:
            there = ", ".join(f"`{one}`" for one in models)
            sentence = f"There is no model `{name}` here, but {there}."
            raise Refused(bad_request(sentence, code="model_not_found", status=404))
        return model

    def card(model: Model) -> ModelCard:
        return ModelCard(id=model.name, created=started)

    async def listed(_: Request) -> Response:
        return _json(ModelList(data=[card(model) for model in models.values()]))

    async def shown(request: Request) -> Response:
        return _json(card(find(request.path_params["model"])))

    async def forget(request: Request) -> Response:
        user = name_of(request.path_params["user"], "user")
        name = request.query_params.get("model")
        try:
            for model in [find(name)] if name is not None else models.values():
                await begin_anew(conversation_key(model, user), desk.store, at=time.time())
        except StoreError as exc:
            log.error("conversation_not_forgotten", error=str(exc))
            raise Refused(refusal_of(exc)) from exc
        return _json(Forgotten(id=user))

    async def health(_: Request) -> Response:
        return _json(Health())

    async def openapi(_: Request) -> Response:
        return JSONResponse(described)

    guarded = [Middleware(_Gated, gate=gate)]
    pages = Middleware(
        CORSMiddleware,
        allow_origins=gate.origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=[REQUEST_ID, "Retry-After", "x-should-retry"],
    )
    completions = Completions(find, desk, leaving)
    app = Starlette(
        routes=[
            # With a slash at its end a path is the same: sent elsewhere, a client may not follow, or without its key.
            Route("/v1/chat/completions", completions, methods=["POST"], middleware=guarded),
            Route("/v1/chat/completions/", completions, methods=["POST"], middleware=guarded),
            Route("/v1/models", listed, methods=["GET"], middleware=guarded),
            Route("/v1/models/", listed, methods=["GET"], middleware=guarded),
            Route("/v1/models/{model:path}", shown, methods=["GET"], middleware=guarded),
            Route("/v1/conversations/{user:path}", forget, methods=["DELETE"], middleware=guarded),
            Route("/openapi.json", openapi, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
        ],
        middleware=[*([pages] if gate.origins else []), Middleware(_Logged)],  # pages are to read refusals too
        exception_handlers={Refused: _refused, HTTPException: _not_so},
    )
    app.router.redirect_slashes = False
    return app


def _json(value: BaseModel) -> Response:
    return Response(value.model_dump_json(), media_type="application/json")


async def _refused(_: Request, exc: Exception) -> Response:
    return cast(Refused, exc).refusal.response


async def _not_so(_: Request, exc: Exception) -> Response:
    """Starlette's own refusals, of a path or a method, in OpenAI's form."""
    error = cast(HTTPException, exc)
    if error.status_code == 404:
        refusal = bad_request(NOTHING_HERE, code="unknown_url", status=404)
    else:
        refusal = bad_request(f"{error.detail}.", code="method_not_allowed", status=error.status_code)
    response = refusal.response
    response.headers.update(error.headers or {})
    return response


class _Gated:
    """Lets a request pass if it may."""

    def __init__(self, app: ASGIApp, *, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._gate.check(Headers(scope=scope))
        await self._app(scope, receive, send)


class _Logged:
    """Gives each request an id and a line in the log, which has neither its words nor its user."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, request, status = time.monotonic(), uuid.uuid4().hex, 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request
            await send(message)

        with structlog.contextvars.bound_contextvars(request=request):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception:  # one request's failure must not stop the server
                reference = uuid.uuid4().hex[:8]
                log.exception("request_failed", reference=reference)
                if not status:
                    await internal(reference).response(scope, receive, send_with_id)
            finally:
                seconds = round(time.monotonic() - began, 3)
                log.info("request", method=scope["method"], route=_route(scope), status=status, seconds=seconds)


def _route(scope: Scope) -> str:
    """What was asked for, as a pattern: a path may hold a user's name, or whatever was pasted there by mistake."""
    routes: list[Route] = scope["app"].routes
    return next((route.path for route in routes if route.matches(scope)[0] is not Match.NONE), "unknown")
