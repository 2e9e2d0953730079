"""What people do besides asking: they send files, stop answers and fill in forms, while one thing goes wrong."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from cardbot.playground.dify import Pause, Script
from cardbot.playground.dify.faults import Trouble
from cardbot.playground.dify.script import Drop, Hang, Html, Refuse
from cardbot.playground.platform import TEMPLATE_ID, Platform, contents
from cardbot.playground.platform.cards import Card, State
from cardbot.playground.platform.downloads import Delivery
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
)
from cardbot.playground.platform.incoming import direct_conversation
from cardbot.texts import EN
from tests.desk import CREATE, UPDATE, Desk, desk
from tests.faults.catalogue import SOON, App, answer_to, script
from tests.faults.judge import Ends, Sight, failure, objections, questions, sights, whole
from tests.faults.scene import ASKER, PATIENCE

DOWNLOAD = "POST /v1.0/robot/messageFiles/download"

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(200_000)
VOICE = b"#!AMR\n" + bytes(2_000)
UPLOADS: Json = {"enabled": True, "allowed_file_types": ["image", "document"], "number_limits": 3}

FORM = "Buy it?"
"""What the form asks."""

SAID = "The boat costs 9."
"""What was said before the form."""

PRESS, APPROVE = "form:approve", "approve"
"""The button that hands the form in, and what is typed instead of it."""

BUTTONS_WITHIN = 120.0
"""Seconds for the buttons of a form to appear. After that its answer is typed."""

Act = Literal["picture", "voice", "stop", "form", "late"]
"""A picture among words; a voice message alone; an answer that is stopped; a run that waits for a person, who comes or
is late.
"""


def bought(user: str, **changes: Any) -> Script:
    """What follows the form. Nobody else gets these words."""
    return Script(f" {answer_to(user)}", **{"cps": 400.0, **changes})


def asks(user: str, *, then: Script | None = None, **changes: Any) -> Script:
    """An answer that waits for the form, and goes on with `then`."""
    return Script(SAID, pause=Pause(then=then or bought(user), content=FORM, **changes))


def approved(user: str) -> Ends:
    """What stays when the form was handed in and everything after it was heard."""
    return whole(f"{SAID} {answer_to(user)}")


def stopped(text: str) -> Ends:
    """Any beginning of what Dify says, and a line that says why; or all of it, where the stop came too late."""
    told = {f"{text[:at].rstrip()}\n\n{EN.stopped}".lstrip(): State.DONE for at in range(len(text) + 1)}
    return {**told, **whole(text)}


def remarked(remark: str, text: str = "") -> Ends:
    """What is said of a file that did not go along, before the answer to the rest."""
    return {f"{remark}\n\n{text}".strip(): State.DONE}


@dataclass(frozen=True, slots=True)
class Door:
    """One thing that somebody does, and what goes wrong with it."""

    name: str
    act: Act
    ends: Ends
    dify: tuple[Trouble, ...] = ()
    faults: tuple[tuple[str, Fault, float], ...] = ()
    """Calls to DingTalk that fail: the endpoint, how, and how often."""
    delivery: Delivery | None = None
    """How the object store gives the file out."""
    says: Script | None = None
    """What Dify says, if not the usual."""
    app: App = "advanced-chat"
    asked: int = 1
    """Questions that Dify gets."""
    way: str = "card"
    typed: bool = False
    """Whether the form has no button that can be pressed."""
    template: Literal["own", "public"] = "own"
    again: str = ""
    """What is said below a form that is shown once more, and pressed once more."""

    def __str__(self) -> str:
        return " + ".join([self.act, self.name] + ["public template"] * (self.template == "public"))


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of it."""

    objections: list[str]
    sight: Sight
    unmet: list[str]
    asked: int
    typed: bool


def stock(platform: Platform) -> None:
    """Keep the files that messages name."""
    platform.files.update(picture=PNG, voice=VOICE)


def message(act: Act, user: str) -> Json:
    """What somebody sends."""
    what = contents.text(user)
    if act == "picture":
        what = contents.rich_text(user, contents.picture("picture"))
    if act == "voice":
        what = contents.audio("voice")
    who = {"senderStaffId": user, "senderId": f"$:LWCP_v1:${user}==", "conversationId": direct_conversation(user)}
    return {**what, **who}


async def play(door: Door) -> Seen:
    """Everything of one case, in a world of its own."""
    async with desk(
        platform={"latency": 0.02},
        dify={"app": door.app, "file_upload": UPLOADS, "speech_to_text": True},
        DINGTALK_CARD_TEMPLATE_ID={"own": TEMPLATE_ID, "public": "public"}[door.template],
        CARDBOT_DRAIN_SECONDS=str(PATIENCE),
    ) as world:
        stock(world.platform)
        world.dify.transcript = ASKER
        world.dify.default = door.says or (asks(ASKER) if door.act == "form" else script(ASKER))
        world.dify.troubles = [replace(trouble) for trouble in door.dify]
        for endpoint, fault, times in door.faults:
            world.platform.faults.add(endpoint, fault, times=times, when=_not_closing)
        if door.delivery:
            world.platform.deliveries.update(picture=door.delivery, voice=door.delivery)
        await world.platform.push(message(door.act, ASKER))
        if door.act == "stop":
            await _stop(world)
        typed = door.act == "form" and await _fill_in(world)
        if door.again:
            await _press_again(world, door.again)
        with suppress(TimeoutError):  # the judge says what is missing
            await world.platform.wait_for(lambda: _sight(world, door).settled, timeout=PATIENCE)
    sight = _sight(world, door)
    unmet = [f"{endpoint} {fault}" for endpoint, fault in world.platform.faults.unused]
    unmet += [trouble.path for trouble in world.dify.troubles if 0 < trouble.times < math.inf]
    found = objections(sight, door.ends) + [f"violation: {what}" for what in world.platform.violations]
    return Seen(found, sight, unmet, len(questions(world.dify)), typed)


def form_shown(card: Card) -> bool:
    """Whether the card shows the form, and the button that hands it in."""
    return FORM in card.content and any(button.action == PRESS for button in card.buttons)


async def _stop(world: Desk) -> None:
    await world.platform.wait_for(lambda: any(card.frames and card.buttons for card in world.platform.cards.values()))
    (card,) = world.platform.cards.values()
    await world.platform.click(card, "stop", user=ASKER)


async def _fill_in(world: Desk) -> bool:
    """By the button, or where none is to be seen, by its name; returns whether that was so."""
    platform = world.platform
    with suppress(TimeoutError):
        await platform.wait_for(
            lambda: any(map(form_shown, platform.cards.values())) or _forms(platform), timeout=BUTTONS_WITHIN
        )
    cards = [card for card in platform.cards.values() if card.delivered and form_shown(card)]
    if cards and not _forms(platform):
        await platform.click(cards[0], PRESS, user=ASKER)
        return False
    with suppress(TimeoutError):
        await platform.wait_for(
            lambda: _forms(platform) or any(FORM in card.content for card in platform.cards.values()), timeout=PATIENCE
        )
        await platform.say(APPROVE, user=ASKER)
    return True


async def _press_again(world: Desk, why: str) -> None:
    platform = world.platform
    with suppress(TimeoutError):  # the judge says what is missing
        await platform.wait_for(
            lambda: any(form_shown(card) and why in card.content for card in platform.cards.values()), timeout=PATIENCE
        )
        await platform.click(next(iter(platform.cards.values())), PRESS, user=ASKER)


def _forms(platform: Platform) -> list[str]:
    """Plain replies that show the form."""
    return [reply.text for reply in platform.replies if FORM in reply.text]


def _sight(world: Desk, door: Door) -> Sight:
    """What the asker sees; a plain reply with the form is no answer."""
    sight = sights(world.platform, [ASKER])[ASKER]
    return replace(sight, replies=tuple(text for text in sight.replies if FORM not in text or text in door.ends))


def _not_closing(body: Json) -> bool:
    """Every call but an update to a card's last state."""
    params: Mapping[str, str] = (body.get("cardData") or {}).get("cardParamMap") or {}
    return params.get("flowStatus") not in ("3", "5")


_UPLOAD, _HEAR = r"POST /v1/files/upload$", r"POST /v1/audio-to-text$"
_STOP, _FORM, _EVENTS = r"POST /v1/\S+/stop$", r"POST /v1/form/human_input/", r"GET /v1/workflow/\S+/events$"
_Instead = Refuse | Html | Hang | Drop
_BROKEN = Refuse(500, "internal_server_error", "Internal Server Error")

PICTURE, VOICE_NAME = "picture", "voice message"
NOT_FETCHED, NOT_HANDED_ON = EN.file_not_fetched.format(name=PICTURE), EN.file_not_handed_on.format(name=PICTURE)

_ANSWER = answer_to(ASKER)

NOT_UPLOADED: Mapping[str, _Instead] = {"500": _BROKEN, "502": Html(502), "cut": Drop(), "reset": Drop("reset")}
NOT_HEARD: Mapping[str, _Instead] = {"500": _BROKEN, "502": Html(502), "reset": Drop("reset"), "hangs": Hang()}
NOT_STOPPED: Mapping[str, tuple[_Instead, bool]] = {
    "500": (_BROKEN, False),
    "reset": (Drop("reset"), False),
    "hangs": (Hang(), False),
    "lost": (Drop("reset"), True),
}
NOT_FOLLOWED: Mapping[str, _Instead] = {
    "404": Refuse(404, "not_found", "Workflow run not found"),
    "502": Html(502),
    "reset": Drop("reset"),
}
NO_CARD: Mapping[str, Fault] = {
    "not delivered": NotDelivered(),
    "refused": Reject(400, "param.templateNotExist"),
    "hangs": HangUp(),
    "502": HtmlError(502),
}

NO_ADDRESS: Mapping[str, Fault] = {
    "refused": Reject(400, "invalidParameter.downloadCode"),
    "no permission": Reject(403, "Forbidden.AccessDenied.AccessTokenPermissionDenied"),
    "hangs": HangUp(),
    "reset": ResetConnection(applied=False),
    "502 and HTML": HtmlError(502),
    "a list": OddJson(),
}

NO_FILE: Mapping[str, Delivery] = {
    "refused": Delivery(status=403),
    "dies in the middle": Delivery(dies_after=40_000),
    "leads nowhere": Delivery(redirect="http://192.0.2.1/file"),
}

OF_PICTURES = [
    *(
        Door(f"address: {name}", "picture", remarked(NOT_FETCHED, _ANSWER), faults=((DOWNLOAD, fault, math.inf),))
        for name, fault in NO_ADDRESS.items()
    ),
    Door(
        "address: throttled once",
        "picture",
        whole(_ANSWER),
        faults=((DOWNLOAD, Reject(403, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"), 1),),
    ),
    *(
        Door(f"file: {name}", "picture", remarked(NOT_FETCHED, _ANSWER), delivery=delivery)
        for name, delivery in NO_FILE.items()
    ),
    Door(
        "file: drips",
        "picture",
        remarked(EN.file_too_slow.format(name=PICTURE), _ANSWER),
        delivery=Delivery(pause=12.0),  # never so long that the next piece is given up
    ),
    Door(
        "upload: 413 and HTML",
        "picture",
        remarked(EN.file_too_large_there.format(name=PICTURE), _ANSWER),
        (Trouble(_UPLOAD, Html(413)),),
    ),
    *(
        Door(f"upload: {name}", "picture", remarked(NOT_HANDED_ON, _ANSWER), (Trouble(_UPLOAD, answer),))
        for name, answer in NOT_UPLOADED.items()
    ),
    Door("upload: hangs", "picture", remarked(NOT_HANDED_ON, _ANSWER), (Trouble(_UPLOAD, Hang()),)),
    Door("upload: lost", "picture", remarked(NOT_HANDED_ON, _ANSWER), (Trouble(_UPLOAD, Drop("reset"), done=True),)),
]

OF_VOICES = [
    Door("works", "voice", whole(_ANSWER)),
    *(
        Door(
            name,
            "voice",
            remarked(EN.file_not_handed_on.format(name=VOICE_NAME)),
            (Trouble(_HEAR, answer, times=math.inf),),
            asked=0,
        )
        for name, answer in NOT_HEARD.items()
    ),
    Door(
        "no model listens",
        "voice",
        remarked(EN.voice_not_heard.format(name=VOICE_NAME)),
        (Trouble(_HEAR, Refuse(400, "provider_not_support_speech_to_text", "Provider not support")),),
        asked=0,
    ),
]

OF_STOPS = [
    Door("works", "stop", stopped(_ANSWER)),
    Door("works", "stop", stopped(_ANSWER), app="chat"),
    *(
        Door(name, "stop", stopped(_ANSWER), (Trouble(_STOP, answer, done=done),), app=app)
        for name, (answer, done) in NOT_STOPPED.items()
        for app in ("chat", "advanced-chat")
    ),
]

_CLOSED = Refuse(412, "human_input_form_submitted", "This form has already been submitted by another user")

_REFUSED, _GONE = Refuse(400, "invalid_form_data", "Too long"), Refuse(404, "not_found", "Form not found.")

_LATE: Mapping[str, tuple[Script | Literal["stopped", "waits"], Ends]] = {
    "goes on": (bought(ASKER), approved(ASKER)),
    "says nothing": (Script(""), whole(f"{SAID}\n\n{FORM}\n\n{EN.expired}")),
    "stopped": ("stopped", whole(f"{SAID}\n\n{FORM}\n\n{EN.expired}")),
    "waits": ("waits", whole(f"{SAID}\n\n{FORM}\n\n{EN.expired}")),
}
"""What becomes of a run whose form is late, and of its card."""

_OFFERS: Mapping[str, tuple[Fault, float]] = {
    "throttled twice": (Reject(403, "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"), 2),
    "refused": (Reject(400, "param.invalid"), 1),
    "refused, always": (Reject(400, "param.invalid"), math.inf),
    "no permission": (Reject(403, "Forbidden.AccessDenied.AccessTokenPermissionDenied"), math.inf),
    "504, done": (GatewayTimeout(applied=True, after=SOON), 1),
    "504, not done": (GatewayTimeout(applied=False, after=SOON), 1),
    "reset, done": (ResetConnection(applied=True), 1),
    "reset, not done": (ResetConnection(applied=False), 1),
    "hangs": (HangUp(), 1),
    "hangs, always": (HangUp(), math.inf),
    "502, always": (HtmlError(502), math.inf),
    "slow": (SlowAnswer(0.7), 1),
}

OF_FORMS = [
    Door("works", "form", approved(ASKER)),
    Door("works", "form", approved(ASKER), template="public"),
    Door("412", "form", failure(EN.form_closed, SAID), (Trouble(_FORM, _CLOSED),)),
    Door(
        "412, by somebody else",
        "form",
        remarked(EN.form_taken, f"{SAID} {_ANSWER}"),
        (Trouble(_FORM, _CLOSED, done=True),),
    ),
    Door("400", "form", approved(ASKER), (Trouble(_FORM, _REFUSED),), again=EN.form_refused.format(reason="Too long")),
    Door("404", "form", failure(EN.failed.format(reason="Form not found."), SAID), (Trouble(_FORM, _GONE),)),
    Door("500", "form", approved(ASKER), (Trouble(_FORM, _BROKEN),)),
    Door("500, lost", "form", approved(ASKER), (Trouble(_FORM, _BROKEN, done=True),)),
    Door("500, twice", "form", approved(ASKER), (Trouble(_FORM, _BROKEN, times=2),), again=EN.form_kept),
    Door("502", "form", approved(ASKER), (Trouble(_FORM, Html(502)),)),
    Door("502, twice", "form", approved(ASKER), (Trouble(_FORM, Html(502), times=2),), again=EN.form_kept),
    Door("hangs", "form", approved(ASKER), (Trouble(_FORM, Hang(), times=2),), again=EN.form_kept),
    Door("hangs, done", "form", approved(ASKER), (Trouble(_FORM, Hang(), done=True),)),
    *(Door(name, "late", ends, says=asks(ASKER, expires_in=-1, late=late)) for name, (late, ends) in _LATE.items()),
    Door("lost", "form", approved(ASKER), (Trouble(_FORM, Drop("reset"), done=True),)),
    *(
        Door(f"events: {name}", "form", approved(ASKER), (Trouble(_EVENTS, answer, times=math.inf),))
        for name, answer in NOT_FOLLOWED.items()
    ),
    Door("events: cut", "form", approved(ASKER), says=asks(ASKER, then=bought(ASKER, end="cut"))),
    Door("events: reset", "form", approved(ASKER), says=asks(ASKER, then=bought(ASKER, end="reset"))),
    Door("events: eof", "form", approved(ASKER), says=asks(ASKER, then=bought(ASKER, end="eof"))),
    *(
        Door(
            f"buttons: {name}",
            "form",
            approved(ASKER),
            faults=((UPDATE, fault, times),),
            typed=times == math.inf or name == "refused",
        )
        for name, (fault, times) in _OFFERS.items()
    ),
    *(
        Door(f"create: {name}", "form", approved(ASKER), faults=((CREATE, fault, math.inf),), way="reply", typed=True)
        for name, fault in NO_CARD.items()
    ),
    # The card is there with the buttons of the first try, though the form has come since.
    Door("create: 504, done", "form", approved(ASKER), faults=((CREATE, GatewayTimeout(applied=True, after=SOON), 2),)),
]

DOORS = [*OF_PICTURES, *OF_VOICES, *OF_STOPS, *OF_FORMS]
