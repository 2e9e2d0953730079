"""The platform's HTTP front: records a call, lets it in or not, lets ordered faults happen, then serves it."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress

from cardbot.playground.http import Request, Reset, Response, Stream
from cardbot.playground.platform.access import TOKEN_HEADER, Access
from cardbot.playground.platform.endpoint import Endpoint, Incoming, Json, Refused
from cardbot.playground.platform.faults import (
    Fault,
    Faults,
    GatewayTimeout,
    HangUp,
    HtmlError,
    NotDelivered,
    OddJson,
    Reject,
    ResetConnection,
    SlowAnswer,
    SuccessFalse,
)
from cardbot.playground.platform.ledger import Call, Ledger
from cardbot.playground.platform.quota import Quota

Latency = float | Callable[[], float]

_SECRETS = frozenset({"appSecret", "clientSecret", "accessToken", "ticket", "downloadCode", "downloadUrl"})


class Front:
    """The handler of the HTTP server."""

    def __init__(
        self,
        endpoints: dict[str, Endpoint],
        *,
        ledger: Ledger,
        access: Access,
        quota: Quota,
        latency: Latency,
        errcode: Callable[[int], int | str],
    ) -> None:
        self.faults = Faults(endpoints)
        self.latency = latency
        self._endpoints = endpoints
        self._ledger = ledger
        self._access = access
        self._quota = quota
        self._errcode = errcode

    async def __call__(self, request: Request) -> Response | Stream:
        """Answer one request."""
        body = _read_object(request)
        call = Call(time.monotonic(), request.method, request.path, _masked(body), size=len(request.body))
        self._ledger.calls.append(call)
        self._ledger.changed()
        card = body.get("outTrackId") if request.path.startswith("/v1.0/card/") else None
        with self._ledger.one_at_a_time(card) if isinstance(card, str) else nullcontext():
            try:
                response = await self._answer(request, body, call)
            except Refused as refused:
                response = refused.response
                if refused.code == "MissingStringValue":
                    self._ledger.objection(f"{call.method} {call.path}: {refused.message}")
            except Reset:
                call.code, call.answered = "reset", time.monotonic()
                self._ledger.changed()
                raise
            except asyncio.CancelledError:
                call.code, call.answered = "abandoned", time.monotonic()
                self._ledger.changed()
                raise
        call.status, call.answered = response.status, time.monotonic()
        call.reply = {} if isinstance(response, Stream) else _masked(_read_object(response))
        errcode = str(call.reply.get("errcode", 0))
        call.code = call.reply.get("code", "" if errcode == "0" else errcode)
        self._ledger.changed()
        return response

    async def _answer(self, request: Request, body: Json, call: Call) -> Response | Stream:
        name = f"{request.method} {request.path}"
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise Refused(404, "InvalidAction.NotFound", f"no API {name}")
        fault = self.faults.take(name, body)
        self._object_to(name, request, endpoint, now=call.time)
        # The gateway counts a call when it arrives; one that never gets past the fault is not counted.
        refusal = self._gate(name, request, endpoint, now=call.time) if _gets_in(fault) else None
        await asyncio.sleep(self.latency() if callable(self.latency) else self.latency)

        def serve() -> Response | Stream:
            if refusal is not None:
                raise refusal
            undeliverable = fault.error_msg if isinstance(fault, NotDelivered) else ""
            arrived, now, size = call.time, time.monotonic(), len(request.body)
            return endpoint.serve(
                Incoming(request.method, request.query, request.headers, body, size, arrived, now, undeliverable)
            )

        return serve() if fault is None else await self._suffer(fault, endpoint, serve)

    def _gate(self, name: str, request: Request, endpoint: Endpoint, *, now: float) -> Refused | None:
        if endpoint.access == "legacy":
            return None
        try:
            if endpoint.access == "token":
                self._access.check(request.headers)
            # documented: the token call is free of charge. Opening a connection is taken to be.
            self._quota.spend(name, now=now, cost=1 if endpoint.access == "token" else 0)
        except Refused as refusal:
            return refusal
        return None

    def _object_to(self, name: str, request: Request, endpoint: Endpoint, *, now: float) -> None:
        if endpoint.access == "legacy":
            if TOKEN_HEADER in request.headers or "access_token" in request.query:
                self._ledger.objection(f"{name}: carries an access token")
            return
        if not request.headers.get("content-type", "").startswith("application/json"):
            self._ledger.objection(f"{name}: no `Content-Type: application/json`")
        if not self._quota.is_within_own_share(name, now=now):
            self._ledger.objection(f"{name}: more calls per second than allowed")

    async def _suffer(
        self, fault: Fault, endpoint: Endpoint, serve: Callable[[], Response | Stream]
    ) -> Response | Stream:
        match fault:
            case Reject(200, code, message) if endpoint.access == "legacy":
                return Response.json({"errcode": self._errcode(int(code)), "errmsg": message or code})
            case Reject(status, code, message):
                raise Refused(status, code, message)
            case NotDelivered():
                return serve()
            case GatewayTimeout(applied=applied, after=after):
                _apply(serve, applied)
                await asyncio.sleep(after)
                return Response(504)
            case HtmlError(status):
                page = b"<!DOCTYPE html><html><body><h1>Blocked</h1></body></html>"
                return Response(status, page, (("Content-Type", "text/html"),))
            case ResetConnection(applied=applied):
                _apply(serve, applied)
                raise Reset
            case HangUp():
                # The server cancels this when the client leaves.
                await asyncio.Event().wait()
                raise AssertionError("nobody sets this event")
            case SlowAnswer(after):
                response = serve()
                await asyncio.sleep(after)
                return response
            case OddJson():
                return Response.json([])
            case SuccessFalse():
                return Response.json({"success": False})


def _gets_in(fault: Fault | None) -> bool:
    return fault is None or isinstance(fault, NotDelivered | SlowAnswer) or getattr(fault, "applied", False)


def _apply(serve: Callable[[], Response | Stream], applied: bool) -> None:
    if applied:
        # Nobody gets to see a refusal here either.
        with suppress(Refused):
            serve()


def _read_object(message: Request | Response) -> Json:
    try:
        value = json.loads(message.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _masked(body: Json) -> Json:
    return {name: "***" if name in _SECRETS else value for name, value in body.items()}
