"""What goes wrong in a soak: with one message, and with everybody at once."""

import math

import anyio

from cardbot.playground.platform import Platform
from cardbot.playground.platform.pushes import Message
from tests.faults.catalogue import BLOWS, EXPIRED, OF_CALLS, OF_DIFY, OF_WEBHOOKS, Blow, OfCalls, OfDify, Trouble

SQUEEZED = 5.0
"""Calls per second and API that another program leaves, for a second."""

NOT_MET = ("begin", "close")
"""Calls that only the shared template needs."""

NOT_ONES_OWN = ("quota", "throttled", "system busy")
"""What befalls an app, not one message: a used-up month ends all cards, and a refused call slows all of them down."""

OF_EVERYBODY = ("the token is revoked", "the websocket is cut", "the websocket is to be left")
"""Not the connection that is dead but open: it takes the bot 75 s to see that."""

FOR_GOOD, HANGING, ELSE = 80.0, 25.0, 5.0
"""Seconds until an answer ends whose card has to be given up, meets calls that hang, or meets anything else: about the
bot's own patience."""

ONE_MESSAGE: list[Trouble] = [
    *OF_DIFY,
    *(
        one
        for one in [*OF_CALLS, *OF_WEBHOOKS]
        if one.slot not in NOT_MET and not any(name in one.name for name in NOT_ONES_OWN)
    ),
    *(blow for blow in BLOWS if blow.slot == "push"),
]


async def _squeeze(platform: Platform, message: Message) -> None:
    usual, platform.qps = platform.qps, SQUEEZED
    await anyio.sleep(1.0)
    platform.qps = usual


SQUEEZE = Blow("another program takes nearly all calls of a second", "qps", _squeeze)
CUT = next(blow for blow in BLOWS if blow.name == "the websocket is cut")
EVERYBODY = [EXPIRED, SQUEEZE, *(blow for blow in BLOWS if blow.name in OF_EVERYBODY)]


def takes(trouble: Trouble) -> float:
    """Seconds until an answer that meets it has its end, at most."""
    if isinstance(trouble, OfCalls) and trouble.times == math.inf and trouble.way == "reply":
        return FOR_GOOD
    return HANGING if "hangs" in trouble.name else ELSE


def of_what(trouble: Trouble) -> str:
    """What kind of trouble it is, in a word or two."""
    match trouble:
        case OfDify():
            return "Dify"
        case OfCalls(slot=slot):
            return f"calls: {slot}"
        case Blow(name=name):
            return name
