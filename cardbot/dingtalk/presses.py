"""A press of a button on a card, as DingTalk pushes it. Pure.

Documented: https://open.dingtalk.com/document/orgapp/event-callback-card (read 2026-11): `content` is JSON in a string,
and holds `cardPrivateData` with `actionIds` and `params`. Where else the action was seen is said below.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cardbot.errors import UnreadableMessage

CARD_TOPIC = "/v1.0/card/instances/callback"
"""Presses on cards that were created with `callbackType` STREAM. Documented: as above."""


@dataclass(frozen=True, slots=True)
class Press:
    """Somebody pressed a button. Whoever sees the card can: `person` need not be the one who asked."""

    out_track_id: str
    """Names the card; chosen by the bot that created it."""
    person: str
    """The staff id of whoever pressed, as of `userIdType` 1, which cards have unless they are created otherwise."""
    action: str
    params: Mapping[str, str]
    """What the button carries, and what was entered beside it. What was no text is JSON."""


def press(data: Mapping[str, Any]) -> Press:
    """The press in the data of a pushed frame.

    Raises `UnreadableMessage` for one that names no card, no person or no action.
    """
    card, person = _text(data, "outTrackId"), _text(data, "userId")
    try:
        params = _params(data)
        action = next(_actions(data, params), "")
    except RecursionError as exc:
        raise UnreadableMessage("A press on a card came with data nested too deep to read.") from exc
    found = {"outTrackId": card, "userId": person, "an action": action}
    missing = ", ".join(name for name, value in found.items() if not value)
    if missing:
        raise UnreadableMessage(f"A press on a card came without {missing}; it has {', '.join(sorted(data))}.")
    return Press(card, person, action, params)


def _actions(data: Mapping[str, Any], params: Mapping[str, str]) -> Iterator[str]:
    """Names of the action, the surest first: what the button itself carries, then what DingTalk adds.

    Seen: langbot-app/LangBot, `card_callback.py`, finds `actionId` beside `content` for a `ButtonGroup`, or in
    `actionData`. `actionIds` comes last, since it is documented to name the component, which may be the whole group.
    """
    beside = _object(data.get("actionData"))
    yield from filter(None, (params.get("action", ""), _text(data, "actionId"), _text(beside, "actionId")))
    for holder in _holders(data):
        ids = holder.get("actionIds")
        yield from (each for each in (ids if isinstance(ids, list) else [ids]) if isinstance(each, str) and each)


def _params(data: Mapping[str, Any]) -> dict[str, str]:
    for holder in _holders(data):
        params = _object(holder.get("params"))
        if params:
            return {name: _as_text(value) for name, value in params.items()}
    return {}


def _holders(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Where the action and its parameters may be, the documented place first.

    Seen: `value` repeats `content`; LangBot also looks in `userPrivateData` and in `content` itself.
    """
    for name in ("content", "value", "actionData"):
        whole = _object(data.get(name))
        yield _object(whole.get("cardPrivateData"))
        yield _object(whole.get("userPrivateData"))
        yield whole


def _object(value: object) -> Mapping[str, Any]:
    """A JSON object, which may have come as a string that holds one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    return value if isinstance(value, dict) else {}


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""
