"""AI cards as the platform keeps them: which call is accepted, and what the card then shows.

Pure: no socket, no clock. `now` is in seconds on any steady clock. A function either changes the card or raises
`Refused` and changes nothing. What is accepted and still wrong goes to `Card.violations`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from cardbot.playground.platform import buttons
from cardbot.playground.platform.buttons import SHARED_KEY, Button
from cardbot.playground.platform.endpoint import Json, Refused

CONTENT_LIMIT = 20_000
"""Characters of one streamed text. seen: public bots cap at 18,000 to 20,000; the documented 1 K is not enforced."""

FRAME_GAP = 0.5
"""Seconds between delivery and first frame, and between two frames of one card. seen: public connectors; frames
that follow faster draw 403s or show "content load failed"."""

JITTER = 0.02
"""Seconds by which a gap may look shorter here than it was at the sender. Our choice: one busy event loop."""

TRACK_ID_LENGTH = 64
"""Characters of an `outTrackId` known to work. seen: the official SDK sends a sha256 in hex; no limit is published."""

PUBLIC_TEMPLATE_ID = "02fcf2f4-5e02-4a85-b672-46d1f715543e.schema"
"""The shared AI card template. seen: hard-coded in the official connector, usable by any app."""


class State(StrEnum):
    """What the card shows. documented: AI card template, read 2026-11: `flowStatus` "1" to "5"."""

    PENDING = "pending"
    WRITING = "writing"
    DONE = "done"
    DOING = "doing"
    FAILED = "failed"


FLOW_STATUS = {str(number): state for number, state in enumerate(State, start=1)}


@dataclass(frozen=True, slots=True)
class TemplateSpec:
    """A published card template.

    `own`: built from the AI preset, the streaming calls drive its state. `public`: the shared one, whose state is
    the variable `flowStatus`, set by `PUT /v1.0/card/instances`; a last frame alone does not finish it.
    """

    content_key: str = "content"
    family: Literal["own", "public"] = "own"
    has_failed_state: bool = True
    published: bool = True
    buttons_key: str = "buttons"
    """The variable that its row of buttons shows while it is written; empty where it has no such row. `own` only."""


PUBLIC_TEMPLATE = TemplateSpec(content_key="msgContent", family="public")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the platform does where sources disagree. The defaults are the strict reading."""

    content_limit: int = CONTENT_LIMIT
    frame_gap: float = FRAME_GAP
    empty_content: Literal["reject", "accept"] = "reject"
    duplicate_create: Literal["reject", "accept"] = "reject"


@dataclass(frozen=True, slots=True)
class Frame:
    """One accepted streaming update. `time` is when it arrived."""

    time: float
    guid: str
    content: str
    finalize: bool
    error: bool


@dataclass(slots=True, eq=False)
class Card:
    """One card and everything that happened to it."""

    out_track_id: str
    template: str
    spec: TemplateSpec
    created: Json
    params: dict[str, str]
    private: dict[str, dict[str, str]] = field(default_factory=dict)
    space: str = ""
    delivered: bool = False
    delivered_at: float | None = None
    frames: list[Frame] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    streamed: State = State.PENDING
    offered: tuple[Button, ...] = ()
    """What its variables say, seen or not."""

    @property
    def state(self) -> State:
        """The state that people see."""
        if self.spec.family == "own":
            return self.streamed
        return FLOW_STATUS.get(self.params.get("flowStatus", "1"), State.FAILED)

    @property
    def carrier(self) -> str:
        """Names the message that the card is in, for quotes of it; empty before the card is in any."""
        return f"pqk-{self.out_track_id}" if self.delivered else ""

    @property
    def content(self) -> str:
        """The text of the streamed variable."""
        return self.params.get(self.spec.content_key, "")

    @property
    def buttons(self) -> tuple[Button, ...]:
        """What people see now. seen: the SDK sends buttons of the shared template along with its last state too."""
        if self.spec.family == "own":
            return self.offered if self.state is State.WRITING else ()
        return self.offered if self.state is not State.PENDING else ()


def create(body: Json, templates: Mapping[str, TemplateSpec]) -> Card:
    """A card from the body of `POST /v1.0/card/instances` or `…/createAndDeliver`, not yet delivered."""
    out_track_id = _text(body, "outTrackId", "param.outTrackIdEmpty")
    template = _text(body, "cardTemplateId", "param.cardTemplateIdEmpty")
    spec = templates.get(template)
    if spec is None:
        raise Refused(400, "param.templateNotExist", f"no template {template}")
    if not spec.published:
        raise Refused(400, "param.templateUnpublished", f"template {template} is not published")
    callback = body.get("callbackType", "STREAM")
    if callback not in ("STREAM", "HTTP") or (callback == "HTTP" and not body.get("callbackRouteKey")):
        raise Refused(400, "param.invalid", "callbackType is STREAM, or HTTP with a callbackRouteKey")
    if body.get("userIdType", 1) not in (1, 2):
        raise Refused(400, "param.invalid", "userIdType is 1 or 2")
    if "cardData" not in body:
        raise Refused(400, "param.cardPublicDataEmpty", "cardData is missing")
    params = _param_map(body["cardData"])
    card = Card(out_track_id, template, spec, body, params, _private_maps(body))
    if len(out_track_id) > TRACK_ID_LENGTH:
        card.violations.append(f"outTrackId is longer than {TRACK_ID_LENGTH} characters")
    _check_flow_status(card, params)
    _read_buttons(card, params)
    return card


def deliver(card: Card, space: str, *, now: float) -> None:
    """Put the card into a chat."""
    card.space, card.delivered, card.delivered_at = space, True, now


def update(card: Card, body: Json) -> None:
    """Apply the body of `PUT /v1.0/card/instances`.

    documented: interactive-card-update-interface, read 2026-11: without `updateCardDataByKey` the variables are
    replaced as a whole, so those not sent are lost.
    """
    if not body.get("cardData") and not body.get("privateData"):
        raise Refused(400, "param.cardDataAndPrivateDataBothEmpty", "cardData and privateData are both empty")
    params = _param_map(body["cardData"]) if body.get("cardData") else None
    private = _private_maps(body)
    options = body.get("cardUpdateOptions") or {}
    if params is not None:
        card.params = {**card.params, **params} if options.get("updateCardDataByKey") is True else params
        _check_flow_status(card, params)
        _read_buttons(card, params)
        if "flowStatus" in params:
            # seen: the compiled markup of every exported AI template shows the state that this variable names.
            card.streamed = FLOW_STATUS.get(params["flowStatus"], State.FAILED)
    for user, own in private.items():
        kept = card.private.get(user, {}) if options.get("updatePrivateDataByKey") is True else {}
        card.private[user] = {**kept, **own}


def stream(card: Card, body: Json, *, rules: Rules, now: float) -> None:
    """Apply the body of `PUT /v1.0/card/streaming`. The same `guid` again succeeds without effect."""
    frame, key = _read_frame(body, rules, now)
    if key != card.spec.content_key or (frame.error and not card.spec.has_failed_state):
        # seen: both answer the same way, without saying which of the two it was.
        raise Refused(500, "unknownError", "未知错误")
    for seen in card.frames:
        if seen.guid == frame.guid:
            if (seen.content, seen.finalize, seen.error) != (frame.content, frame.finalize, frame.error):
                card.violations.append(f"guid {frame.guid} is used again for another frame")
            return
    card.violations += _objections(card, frame, rules)
    card.frames.append(frame)
    card.params[key] = frame.content
    # seen: a frame after the last one opens the card again for whoever looks at it.
    card.streamed = State.FAILED if frame.error else State.DONE if frame.finalize else State.WRITING


def _read_frame(body: Json, rules: Rules, now: float) -> tuple[Frame, str]:
    """Codes documented: api-streamingupdate, read 2026-11."""
    guid = _text(body, "guid", "param.stream.guidEmpty")
    key = _text(body, "key", "param.stream.keyEmpty")
    content = body.get("content")
    if content is None or (content == "" and rules.empty_content == "reject"):
        raise Refused(400, "param.stream.contentEmpty", "content is empty")
    if not isinstance(content, str):
        raise Refused(400, "param.invalid", "content is not a string")
    for flag in ("isFull", "isFinalize", "isError"):
        if not isinstance(body.get(flag), bool | None):
            raise Refused(400, "param.invalid", f"{flag} is not a boolean")
    if not body.get("isFull"):
        raise Refused(400, "param.stream.isFull", "a markdown variable needs isFull = true")
    if len(content) > rules.content_limit:
        raise Refused(400, "param.stream.content", "content is too large")
    return Frame(now, guid, content, bool(body.get("isFinalize")), bool(body.get("isError"))), key


def _objections(card: Card, frame: Frame, rules: Rules) -> list[str]:
    found = []
    if not card.delivered or card.delivered_at is None:
        found.append("frame before the card was delivered")
    elif not card.frames and frame.time - card.delivered_at < rules.frame_gap - JITTER:
        found.append(f"first frame {frame.time - card.delivered_at:.3f} s after delivery")
    if card.frames:
        gap = abs(frame.time - card.frames[-1].time)
        if gap < rules.frame_gap - JITTER:
            found.append(f"two frames within {gap:.3f} s")
        if any(earlier.finalize or earlier.error for earlier in card.frames):
            found.append("frame after the last one")
    if card.spec.family == "public" and card.state is not State.WRITING:
        found.append(f"frame while flowStatus says {card.state}")
    return found


def _check_flow_status(card: Card, params: Mapping[str, str]) -> None:
    if params.get("flowStatus", "1") not in FLOW_STATUS:
        card.violations.append(f"flowStatus {params['flowStatus']!r} is not one of 1 to 5")


def _read_buttons(card: Card, sent: Mapping[str, str]) -> None:
    """`sent` are the variables of this call; others were judged when they came."""
    own = card.spec.family == "own"
    key = card.spec.buttons_key if own else SHARED_KEY
    if key and key in sent:
        card.offered, found = buttons.grouped(sent[key]) if own else buttons.shared(sent[key])
        card.violations += found
    elif key not in card.params:
        card.offered = ()


def _text(body: Json, name: str, code: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(400, code, f"{name} is empty")
    return value


def _private_maps(body: Json) -> dict[str, dict[str, str]]:
    private = body.get("privateData") or {}
    if not isinstance(private, dict):
        raise Refused(400, "param.invalid", "privateData is not an object")
    return {user: _param_map(holder) for user, holder in private.items()}


def _param_map(holder: object) -> dict[str, str]:
    """documented: instructions for filling in card data, read 2026-11: numbers, objects and lists go as strings."""
    params = holder.get("cardParamMap") if isinstance(holder, dict) else None
    if not isinstance(params, dict):
        raise Refused(400, "param.invalid", "cardParamMap is not an object")
    for name, value in params.items():
        if not isinstance(value, str):
            raise Refused(400, "MissingStringValue", f"cardParamMap.{name} is not a string")
    return dict(params)
