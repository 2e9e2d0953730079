"""What an endpoint of the simulated platform gets, gives, and raises to say no."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from cardbot.playground.http import Response, Stream

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Incoming:
    """One call that is let in. Times in seconds on the steady clock: `arrived`, then `now` when it takes effect.

    `size` is that of the body in bytes. `undeliverable` is the reason why no card reaches a chat, if one is ordered.
    """

    method: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Json
    size: int
    arrived: float
    now: float
    undeliverable: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Who serves a path. `token`: access token, calls per second and per month; `open`: calls per second only;
    `legacy`: none of them, and errors as `errcode` with HTTP 200."""

    serve: Callable[[Incoming], Response | Stream]
    access: Literal["token", "open", "legacy"] = "token"


class Refused(Exception):
    """Raised by an endpoint: the call has had no effect, and this is the answer.

    documented: open.dingtalk.com, error code pages, read 2026-11: a status other than 2xx and a JSON body with
    exactly these three keys, the last one in lower case.
    """

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message or code

    @property
    def response(self) -> Response:
        """The refusal as a new-style API writes it."""
        body = {"code": self.code, "message": self.message, "requestid": str(uuid.uuid4()).upper()}
        return Response.json(body, self.status)
