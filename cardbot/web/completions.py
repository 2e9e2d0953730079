"""`POST /v1/chat/completions`: tells an answer to whoever asked, in one piece or as it grows."""

import time
import uuid
from collections.abc import Callable
from functools import partial

import anyio
import structlog
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cardbot.beside import beside
from cardbot.web.answering import Answering
from cardbot.web.asking import Desk, Model
from cardbot.web.body import body_of
from cardbot.web.order import USER_HEADER, Order, order_of
from cardbot.web.refusals import GONE, LEAVING, LEAVING_UNASKED, Refused
from cardbot.web.replies import AnswerMessage, Choice, Chunk, ChunkChoice, Completion, Delta, FinishReason

HEADERS_WITHIN = 10.0
"""Seconds that a stream's status waits for the answer's first word, so that a refusal gets a status of its own. Our
choice: proxies give up on a silent server after 60 s, clients after some minutes."""

PING = 15.0
"""Seconds of silence in a stream before a comment that says it lives. Our choice: less than the 30 s of the most
impatient proxies."""

READ_AT_ONCE = 64 * 1024
"""Bytes of a body that is read at once. Measured: in some ms. A longer one is read in a thread, while others go on."""

DONE = b"data: [DONE]\n\n"
"""Documented: how a stream of OpenAI's ends, if it ends well."""

STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would keep the pieces until it has a page of them
]

log = structlog.get_logger(__name__)


class Completions:
    """Answers questions. An ASGI app: it needs to know when its client goes away.

    Args:
        find: the model of a name; raises `Refused`.
        desk: what all questions share.
        leaving: set when the server has no more time for the answers under way.
    """

    def __init__(self, find: Callable[[str], Model], desk: Desk, leaving: anyio.Event) -> None:
        self._find = find
        self._desk = desk
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one question. Raises `Refused` for one that cannot be asked."""
        request = Request(scope, receive)
        body = await self._body(request)
        read = partial(
            order_of,
            body,
            request.headers.getlist(USER_HEADER),
            caller=request.headers.get("Authorization", ""),
        )
        order = await to_thread.run_sync(read) if len(body) > READ_AT_ONCE else read()
        model = self._find(order.model)
        began = time.monotonic()
        answering = Answering(order, model, self._desk)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answering.listen)
            tasks.start_soon(_refuse_the_gone, answering, receive)
            tasks.start_soon(self._leave, answering)
            telling = _Telling(order, answering, send)
            response = await (telling.in_pieces() if order.stream else telling.whole())
            if response is not None:
                await response(scope, receive, send)
            await answering.part()
            tasks.cancel_scope.cancel()
        refusal = answering.refusal
        outcome = refusal.code if refusal else "answered"
        log.info("answer", model=model.name, outcome=outcome, seconds=round(time.monotonic() - began, 3))

    async def _body(self, request: Request) -> bytes:
        """The whole body, if it comes before the server has no more time. Raises `Refused`."""
        with anyio.CancelScope() as coming:
            async with beside(self._cancel_when_leaving, coming):
                return await body_of(request)
        raise Refused(LEAVING_UNASKED)

    async def _cancel_when_leaving(self, scope: anyio.CancelScope) -> None:
        await self._leaving.wait()
        scope.cancel()

    async def _leave(self, answering: Answering) -> None:
        await self._leaving.wait()
        answering.refuse(LEAVING if answering.asked else LEAVING_UNASKED)


async def _refuse_the_gone(answering: Answering, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    answering.refuse(GONE)


class _Telling:
    """How one answer is told."""

    def __init__(self, order: Order, answering: Answering, send: Send) -> None:
        self._order = order
        self._answering = answering
        self._send = send
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())

    async def whole(self) -> Response:
        """The reply, once there is one."""
        await self._answering.wait()
        if self._answering.refusal:
            return self._answering.refusal.response
        account = self._answering.account
        await self._answering.keep(account.text)
        message = AnswerMessage(role="assistant", content=account.text)
        if account.reasoning:
            message = AnswerMessage(role="assistant", content=account.text, reasoning_content=account.reasoning)
        completion = Completion(
            id=self._id,
            created=self._created,
            model=self._order.model,
            choices=[Choice(message=message, finish_reason="stop")],
            usage=account.usage,
        )
        return Response(completion.model_dump_json(), media_type="application/json")

    async def in_pieces(self) -> Response | None:
        """Tell the answer as it grows. Returns a reply instead if it ended badly before its first word."""
        answering = self._answering
        with anyio.move_on_after(HEADERS_WITHIN):
            await answering.begun.wait()
        if answering.refusal and not (answering.account.text or answering.account.reasoning):
            return answering.refusal.response
        await self._send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
        await self._delta(Delta(role="assistant", content=""))
        told: list[str] = []
        while True:
            ended = answering.ended  # looked at before the news: what comes in between is told in the next round
            reasoning, text = answering.account.news()
            if reasoning:
                await self._delta(Delta(reasoning_content=reasoning))
            if text:
                await self._delta(Delta(content=text))
                told.append(text)
            if ended:
                break
            with anyio.move_on_after(PING) as silence:
                await answering.stir()
            if silence.cancelled_caught:
                await self._write(b": the answer is on its way\n\n")
        if answering.refusal:
            await self._event(answering.refusal.body.model_dump_json())
        else:
            await self._answering.keep("".join(told))  # before the end is told: the next question may come at once
            await self._finish()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        return None

    async def _finish(self) -> None:
        account = self._answering.account
        await self._delta(Delta(), account.finish_reason)
        if self._order.include_usage:
            chunk = Chunk(id=self._id, created=self._created, model=self._order.model, choices=[], usage=account.usage)
            await self._event(chunk.model_dump_json())
        await self._write(DONE)

    async def _delta(self, delta: Delta, finish_reason: FinishReason | None = None) -> None:
        choices = [ChunkChoice(delta=delta, finish_reason=finish_reason)]
        chunk = Chunk(id=self._id, created=self._created, model=self._order.model, choices=choices)
        await self._event(chunk.model_dump_json(exclude=None if self._order.include_usage else {"usage"}))

    async def _event(self, data: str) -> None:
        await self._write(f"data: {data}\n\n".encode())

    async def _write(self, body: bytes) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
