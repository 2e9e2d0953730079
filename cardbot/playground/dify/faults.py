"""What a Dify does in place of what it was asked for: errors, silence, broken connections, recorded answers."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cardbot.playground.dify.answers import play_again, silence
from cardbot.playground.dify.checks import Refused
from cardbot.playground.dify.replay import Replay, load
from cardbot.playground.dify.script import Drop, Hang, Html, Refuse, Script
from cardbot.playground.http import Cut, Request, Reset, Response, Stream

Fault = Refuse | Html | Hang | Drop

Answer = Script | Replay | Fault
"""What a question gets."""


@dataclass(slots=True)
class Trouble:
    """What becomes of requests that are no questions, such as an upload or a stop.

    Args:
        path: A regular expression for `METHOD path`, found at its beginning.
        answer: What is answered instead.
        times: So many requests meet it.
        done: Whether the request has its effect all the same.
    """

    path: str
    answer: Fault
    times: float = 1
    done: bool = False


def take(troubles: Iterable[Trouble], request: Request) -> Trouble | None:
    """The first trouble that fits this request and has times left; one of them is used up."""
    line = f"{request.method} {request.path}"
    for trouble in troubles:
        if trouble.times > 0 and re.match(trouble.path, line):
            trouble.times -= 1
            return trouble
    return None


async def suffer(answer: Fault | Replay) -> Response | Stream:
    """Do that instead. Raises Refused, Cut or Reset where there is no response of its own."""
    match answer:
        case Refuse(status, code, message):
            raise Refused(status, code, message)
        case Html(status):
            page = f"<html>\r\n<head><title>{status}</title></head>\r\n<body>nginx</body>\r\n</html>\r\n"
            return Response(status, page.encode(), (("Content-Type", "text/html"),))
        case Drop(how):
            raise Cut if how == "cut" else Reset
        case Replay():
            return await play_again(await asyncio.to_thread(load, answer))
        case Hang():
            return await silence()
