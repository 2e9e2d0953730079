"""Why a request is not answered, in OpenAI's words and with the status that its clients act on. Pure.

Documented: platform.openai.com/docs/guides/error-codes, read 2026-11. OpenAI's own clients ask again after 409, 429 and
5xx unless `x-should-retry` says otherwise (read in openai-python 3.54: `_base_client.py`). To ask again is right only
where Dify has not begun, or the question would be asked twice.
"""

from dataclasses import dataclass, replace
from typing import assert_never

from starlette.responses import JSONResponse, Response

from cardbot.answer import Answer, Outcome
from cardbot.errors import (
    CardbotError,
    DifyBusy,
    DifyRejected,
    DifyUnauthorized,
    DifyUnreachable,
    DifyWrongApp,
    FileRefused,
    LineFull,
    StoreError,
)
from cardbot.web.replies import Error, ErrorReply

BAD_REQUEST = "invalid_request_error"
RATE_LIMIT = "rate_limit_error"
SERVER = "server_error"

RETRY_AFTER = 5
"""Seconds after which to ask again where that helps. Our choice: answers take some tens of them."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is none. `message` is read by people, `code` by programs."""

    status: int
    message: str
    code: str | None = None
    type: str = SERVER
    param: str | None = None
    again: bool = False
    """Whether it helps, and does no harm, to ask again."""

    @property
    def body(self) -> ErrorReply:
        """As it is told amid a stream."""
        return ErrorReply(error=Error(message=self.message, type=self.type, param=self.param, code=self.code))

    @property
    def response(self) -> Response:
        """As it is told before anything else was."""
        headers: dict[str, str] = {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.status >= 429:
            headers["x-should-retry"] = "true" if self.again else "false"
        if self.again:
            headers["Retry-After"] = str(RETRY_AFTER)
        return JSONResponse(self.body.model_dump(), self.status, headers)


class Refused(Exception):
    """Raised when a request is not answered."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.message)


def bad_request(message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> Refusal:
    """The caller has to change the request."""
    return Refusal(status, message, code, BAD_REQUEST, param)


GONE = Refusal(499, "The client has gone.", "client_gone")
"""Nobody reads it; the status is for the log. It is the one that nginx uses."""

LEAVING = Refusal(503, "The server is being stopped. Please ask again in a moment.", "server_stopping")
"""Not to be asked again by itself: Dify has begun."""

LEAVING_UNASKED = replace(LEAVING, again=True)
"""For who was still in line."""


def internal(reference: str) -> Refusal:
    """Our own fault; `reference` finds it in the log."""
    message = f"Something went wrong inside. Please tell the administrator (reference {reference})."
    return Refusal(500, message, "internal_error")


def refusal_of(error: CardbotError) -> Refusal:
    """What a caller is told. What the administrator has to do is in the log."""
    match error:
        case DifyBusy():
            message = "The Dify app gives as many answers as it may at the moment. Please ask again later."
            return Refusal(429, message, "rate_limit_exceeded", RATE_LIMIT, again=True)
        case LineFull():
            message = f"{error.waiting} questions of this user wait already. Please ask again when one is answered."
            return Refusal(429, message, "rate_limit_exceeded", RATE_LIMIT, again=True)
        case FileRefused():
            return bad_request(f"A picture cannot be taken along: {error}", param="messages", code=error.why)
        case DifyUnauthorized() | DifyWrongApp():
            message = "The Dify app of this model is not set up correctly. Please tell the administrator."
            return Refusal(502, message, "dify_misconfigured")
        case DifyRejected(code="question_too_long"):
            return bad_request(error.detail, param="messages", code=error.code)
        case DifyRejected():
            message = f"Dify refused the question: {error.detail or error.code}"
            return Refusal(502, message, error.code or "dify_refused")
        case DifyUnreachable(sent=False):
            return Refusal(503, "Dify cannot be reached at the moment.", "dify_unavailable", again=True)
        case DifyUnreachable():
            return Refusal(502, "Dify did not answer as it should.", "dify_failed")
        case StoreError():
            return Refusal(503, "The store of conversations cannot be used at the moment.", "store_unavailable")
        case _:
            return Refusal(502, "The question could not be asked.", "dify_failed")


def refusal_of_end(answer: Answer, *, code: str, silent: bool) -> Refusal | None:
    """Why an answer that has ended is none, or not whole; None for a good one.

    Args:
        answer: closed.
        code: Dify's own for its failure, if it gave one.
        silent: whether the last that was heard of Dify was silence.
    """
    match answer.outcome:
        case Outcome.SUCCEEDED:
            return None
        case Outcome.FAILED:
            return Refusal(502, f"The answer failed: {answer.reason or 'Dify does not say why'}", code or "dify_failed")
        case Outcome.INTERRUPTED | None if silent:
            return Refusal(504, "Dify has been silent for too long.", "dify_timeout")
        case Outcome.INTERRUPTED | None:
            return Refusal(502, "The answer broke off, and Dify has kept no more of it.", "answer_interrupted")
        case Outcome.STOPPED:
            return Refusal(502, "The answer was stopped before its end.", "answer_stopped")
        case Outcome.PAUSED:
            return Refusal(501, "The app waits for a person's decision, which cannot be given here.", "answer_paused")
        case _:
            assert_never(answer.outcome)
