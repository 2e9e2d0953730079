"""Everything that may go wrong with one message: how it is brought about, and what may stay at the end."""

import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import anyio

from cardbot.playground.dify.faults import Answer
from cardbot.playground.dify.script import Drop, Hang, Html, Refuse, Script
from cardbot.playground.platform import Platform
from cardbot.playground.platform.endpoint import Json
from cardbot.playground.platform.faults import (
    Fault,
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
from cardbot.playground.platform.pushes import Message
from cardbot.texts import EN
from tests.desk import CREATE, STREAM, UPDATE, WEBHOOK
from tests.faults.judge import Ends, failure, owner, part, parts, whole

App = Literal["chat", "advanced-chat", "workflow"]

SPEED = 60.0
"""Characters per second at which the scripted Dify speaks. Our choice: an answer of two seconds has some frames."""

AT = 61
"""Characters after which an answer breaks off. Our choice: in the middle, and inside a word."""

SOON = 3.0
"""Seconds until a gateway gives up. Seen: DingTalk's."""


def answer_to(user: str) -> str:
    """What Dify says to this person, if nothing goes wrong: words that nobody else gets."""
    return " ".join(f"{user}.{number}" for number in range(18)) + "."


def script(user: str, **changes: Any) -> Script:
    """Dify's answer to this person."""
    return Script(answer_to(user), **{"cps": SPEED, **changes})


@dataclass(frozen=True, slots=True)
class OfDify:
    """What Dify does instead of answering. Each question gets the next of `answers`, the last one again and again."""

    name: str
    answers: Callable[[str], Sequence[Answer]]
    ends: Callable[[str], Ends]
    kept: bool = False
    """Whether a chatflow's run goes on without its stream, so that the whole answer is found."""
    slot: str = "dify"

    def ends_of(self, user: str, app: App) -> Ends:
        """What may stay at the end of the answer to this person."""
        return whole(answer_to(user)) if self.kept and app == "advanced-chat" else self.ends(answer_to(user))


@dataclass(frozen=True, slots=True)
class OfCalls:
    """What becomes of some calls to DingTalk."""

    name: str
    slot: str
    """Which calls: `create`, `begin`, `frame`, `final`, `close` or `webhook`."""
    fault: Fault
    times: float
    way: str
    """How the answer comes if nothing else goes wrong."""

    def order(self, platform: Platform, user: str) -> None:
        """Let it befall the calls for this person."""
        endpoint, concerns = CALLS[self.slot]
        platform.faults.add(endpoint, self.fault, times=self.times, when=partial(concerns, platform, user))


@dataclass(frozen=True, slots=True)
class Blow:
    """What happens in the middle, to everybody."""

    name: str
    slot: str
    strike: Callable[[Platform, Message], Coroutine[Any, Any, None]]
    at_once: bool = False
    """Whether it strikes as the message is pushed, not amid its answer."""
    may_spin: bool = False
    way: str = "card"


Trouble = OfDify | OfCalls | Blow


def _create_for(platform: Platform, user: str, body: Json) -> bool:
    return str(body.get("openSpaceId", "")).endswith(f".{user}")


def _is_card_of(platform: Platform, user: str, body: Json) -> bool:
    card = platform.cards.get(body.get("outTrackId", ""))
    return card is not None and owner(card) == user


def _is_last(body: Json) -> bool:
    return bool(body.get("isFinalize") or body.get("isError"))


def _closes(body: Json) -> bool:
    return str(body["cardData"]["cardParamMap"].get("flowStatus")) != "2"


CALLS: Mapping[str, tuple[str, Callable[[Platform, str, Json], bool]]] = {
    "create": (CREATE, _create_for),
    "frame": (STREAM, lambda platform, user, body: not _is_last(body) and _is_card_of(platform, user, body)),
    "final": (STREAM, lambda platform, user, body: _is_last(body) and _is_card_of(platform, user, body)),
    # Updates take cards of the shared template to their writing and last states; other cards only if all else fails.
    "begin": (UPDATE, lambda platform, user, body: not _closes(body) and _is_card_of(platform, user, body)),
    "close": (UPDATE, lambda platform, user, body: _closes(body) and _is_card_of(platform, user, body)),
    "webhook": (WEBHOOK, lambda platform, user, body: user in str(body)),
}
"""The endpoint of each slot, and whether one of its calls concerns a person."""

_NO_KEY = Refuse(401, "unauthorized", "Access token is invalid")
_NO_INPUT = Refuse(400, "invalid_param", "name is required in input form")
_TOO_MANY = Refuse(400, "invalid_param", "Too many requests. Please try again later. The maximum is 1.")

OF_DIFY = [
    OfDify("refuses the key", lambda user: [_NO_KEY], lambda text: failure(EN.misconfigured)),
    OfDify(
        "refuses the question",
        lambda user: [_NO_INPUT],
        lambda text: failure(_failed("name is required in input form")),
    ),
    OfDify("is busy at first", lambda user: [_TOO_MANY, script(user)], whole),
    OfDify("sends 502 and HTML", lambda user: [Html(502)], lambda text: failure(EN.unavailable)),
    OfDify("hangs up", lambda user: [Drop("cut")], lambda text: failure(EN.unavailable)),
    OfDify("resets", lambda user: [Drop("reset")], lambda text: failure(EN.unavailable)),
    OfDify("never answers", lambda user: [Hang()], lambda text: failure(EN.lost)),
    OfDify(
        "fails before text",
        lambda user: [script(user, end="error", at=0, error="no credit")],
        lambda text: failure(_failed("no credit")),
    ),
    OfDify(
        "fails amid text",
        lambda user: [script(user, end="error", at=AT, error="no credit")],
        lambda text: failure(_failed("no credit"), text[:AT]),
    ),
    OfDify("cuts amid text", lambda user: [script(user, end="cut", at=AT)], lambda text: part(text, AT), kept=True),
    # A reset destroys what has arrived and is not read yet.
    OfDify("resets amid text", lambda user: [script(user, end="reset", at=AT)], parts, kept=True),
    OfDify(
        "ends without an end", lambda user: [script(user, end="eof", at=AT)], lambda text: part(text, AT), kept=True
    ),
    OfDify("falls silent amid text", lambda user: [script(user, end="hang", at=AT)], lambda text: part(text, AT)),
    OfDify(
        "forgets to say the end",
        lambda user: [script(user, end="eof", at=10_000)],
        lambda text: part(text, 10_000),
        kept=True,
    ),
]


def _failed(reason: str) -> str:
    return EN.failed.format(reason=reason)


_QUOTA = Reject(403, "Forbidden.AccessDenied.ApiCountLimitForOrg")
_DENIED = Reject(403, "Forbidden.AccessDenied.AccessTokenPermissionDenied")

_PASSING: Mapping[str, Fault] = {
    "throttled": Reject(403, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"),
    "system busy": Reject(500, "system.busy"),
    "502 and HTML": HtmlError(502),
    "a list": OddJson(),
    "504, done": GatewayTimeout(applied=True, after=SOON),
    "504, not done": GatewayTimeout(applied=False, after=SOON),
    "reset, done": ResetConnection(applied=True),
    "reset, not done": ResetConnection(applied=False),
    "hangs": HangUp(),
    "bad token": Reject(400, "InvalidAuthentication"),
}
"""What is gone a moment later, or may have been done though nobody says so."""

_LASTING: Mapping[str, Fault] = {
    "refused": Reject(400, "param.stream.content"),
    "success: false": SuccessFalse(),
    "no permission": _DENIED,
}
"""What DingTalk means."""

OF_CALLS = [
    *(
        OfCalls(f"{slot}: {name}, {times} times", slot, fault, times, "card")
        for slot, times in (("create", 2), ("begin", 2), ("frame", 1), ("final", 2), ("close", 2))
        for name, fault in _PASSING.items()
    ),
    *(OfCalls(f"{slot}: slow", slot, SlowAnswer(0.7), 1, "card") for slot in ("create", "frame", "final")),
    *(
        OfCalls(f"{slot}: {name}, always", slot, fault, math.inf, "reply")
        for slot in ("create", "final")
        for name, fault in [*_PASSING.items(), *_LASTING.items()]
        if (slot, name) not in [("create", "504, done"), ("create", "reset, done")]
    ),
    # These put the card into the chat, whatever they say.
    *(
        OfCalls(f"create: {name}, always", "create", _PASSING[name], math.inf, "card")
        for name in ("504, done", "reset, done")
    ),
    *(OfCalls(f"frame: {name}, always", "frame", fault, math.inf, "card") for name, fault in _LASTING.items()),
    OfCalls("frame: 504, done, always", "frame", _PASSING["504, done"], math.inf, "card"),
    OfCalls("create: not delivered", "create", NotDelivered(), math.inf, "reply"),
    *(OfCalls(f"{slot}: quota", slot, _QUOTA, math.inf, "reply") for slot in ("create", "frame", "final")),
]

OF_WEBHOOKS = [
    OfCalls("webhook: too fast", "webhook", Reject(200, "130101"), math.inf, "reply"),
    OfCalls("webhook: busy once", "webhook", Reject(200, "-1"), 1, "reply"),
    OfCalls("webhook: reset, done", "webhook", ResetConnection(applied=True), 1, "reply"),
    # Nobody can say that it arrived, so it is sent no other way.
    OfCalls("webhook: reset, done, always", "webhook", ResetConnection(applied=True), math.inf, "reply"),
    OfCalls("webhook: reset, not done", "webhook", ResetConnection(applied=False), 1, "reply"),
    OfCalls("webhook: 502 and HTML", "webhook", HtmlError(502), 1, "reply"),
]
"""These are met by answers that no card can show."""


async def _expire(platform: Platform, message: Message) -> None:
    platform.expire_webhooks()


async def _revoke(platform: Platform, message: Message) -> None:
    platform.revoke_tokens()


async def _use_up(platform: Platform, message: Message) -> None:
    platform.calls_left = 0


async def _abort(platform: Platform, message: Message) -> None:
    await platform.drop_connections()


async def _disconnect(platform: Platform, message: Message) -> None:
    await platform.disconnect()


async def _zombie(platform: Platform, message: Message) -> None:
    await platform.zombie()


async def _again(platform: Platform, message: Message) -> None:
    for pause in (0.0, 0.7):
        await anyio.sleep(pause)
        await platform.push_again(message)


EXPIRED = Blow("webhooks expire", "webhook", _expire, way="reply")
"""Met by answers that no card can show."""

BLOWS = [
    Blow("the token is revoked", "token", _revoke),
    Blow("the month is used up", "quota", _use_up, may_spin=True, way="reply"),
    Blow("the websocket is cut as the message comes", "socket", _abort, at_once=True),
    Blow("the websocket is cut", "socket", _abort),
    Blow("the websocket is to be left", "socket", _disconnect),
    Blow("the websocket is to be left as the message comes", "socket", _disconnect, at_once=True),
    Blow("the websocket is dead but open", "socket", _zombie),
    Blow("the message comes again", "push", _again, at_once=True),
]

ALL: list[Trouble] = [*OF_DIFY, *OF_CALLS, *OF_WEBHOOKS, EXPIRED, *BLOWS]

NO_CARD = OfCalls("create: not delivered", "create", NotDelivered(), math.inf, "reply")
"""What leads to the webhook."""
