"""Buttons as a card's variables describe them: the text of a variable in, buttons and objections out. Pure.

Own templates: a variable of type `buttonGroup`. seen: the exported AI cards of soimy/openclaw-channel-dingtalk and the
template of langbot-app/LangBot, their declarations and sample data, read 2026-11.
The shared template: `msgButtons` in `sys_full_json_obj`. seen: the official Python SDK 0.24.3, `card_instance.py`.
What cannot be shown is left out, as a client that finds nothing to show would.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

COLOURS = ("blue", "gray", "red")
STATUSES = ("normal", "disabled")
"""seen: blue, gray and normal in those files. red and disabled are reported; no file read for this shows them."""

SHARED_KEY = "sys_full_json_obj"
"""The variable of the shared template that holds everything but its texts."""


@dataclass(frozen=True, slots=True)
class Button:
    """One that people see. `action` and `params` are what the bot is told of a press; a link has no action."""

    action: str
    label: str
    color: str = "gray"
    disabled: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def works(self) -> bool:
        """Whether a press reaches the bot."""
        return bool(self.action) and not self.disabled


def grouped(text: str) -> tuple[tuple[Button, ...], list[str]]:
    """What a variable of type `buttonGroup` holds, and what is wrong with it."""
    try:
        items = json.loads(text)
    except ValueError:
        return (), ["buttons are not JSON"]
    if not isinstance(items, list):
        return (), ["buttons are not a list"]
    return _each(items, known=("text", "color", "status", "event"), read=_of_group)


def shared(text: str) -> tuple[tuple[Button, ...], list[str]]:
    """The buttons in `sys_full_json_obj`, which shows what its `order` names; and what is wrong with them."""
    try:
        whole = json.loads(text)
    except ValueError:
        return (), [f"{SHARED_KEY} is not JSON"]
    if not isinstance(whole, dict):
        return (), [f"{SHARED_KEY} is not an object"]
    order, items = whole.get("order"), whole.get("msgButtons", [])
    if not isinstance(order, list) or not all(isinstance(name, str) for name in order):
        return (), [f"{SHARED_KEY}.order is not a list of names"]
    if not isinstance(items, list):
        return (), ["msgButtons are not a list"]
    buttons, found = _each(items, known=("text", "color", "id", "request", "url", "iosUrl"), read=_of_shared)
    if "msgButtons" in order:
        return buttons, found
    return (), [*found, *(["msgButtons that the order does not name"] if items else [])]


class _Wrong(Exception):
    """Raised for a button that cannot be shown. The text says why."""


def _each(
    items: list[Any], *, known: tuple[str, ...], read: Callable[[Mapping[str, Any]], Button]
) -> tuple[tuple[Button, ...], list[str]]:
    buttons: list[Button] = []
    found: list[str] = []
    for number, item in enumerate(items, start=1):
        if not isinstance(item, dict):
            found.append(f"button {number} is not an object")
            continue
        try:
            buttons.append(read(item))
        except _Wrong as wrong:
            found.append(f"button {number} {wrong}")
        found += [f"button {number} has a {name!r}, which means nothing" for name in item if name not in known]
    actions = Counter(button.action for button in buttons if button.action)
    found += [f"{number} buttons with the action {action!r}" for action, number in actions.items() if number > 1]
    return tuple(buttons), found


def _of_group(item: Mapping[str, Any]) -> Button:
    label, color = _text(item, "text"), _one_of(item, "color", COLOURS)
    status = _one_of(item, "status", STATUSES)
    event = _object(item, "event")
    params = _object(event, "params", "event.params")
    match event.get("type"):
        case "sendCardRequest":
            action = _text(params, "actionId", "event.params.actionId")
            sent = _object(params, "params", "event.params.params") if "params" in params else {}
            return Button(action, label, color, status == "disabled", sent)
        case "openLink":
            if not isinstance(params.get("url"), str | dict) or not params["url"]:
                raise _Wrong("has no event.params.url")
            return Button("", label, color, status == "disabled")
        case other:
            raise _Wrong(f"has an event of type {other!r}")


def _of_shared(item: Mapping[str, Any]) -> Button:
    label, color = _text(item, "text"), _one_of(item, "color", COLOURS)
    if item.get("request") is True:
        return Button(_text(item, "id"), label, color)
    _text(item, "url")
    return Button("", label, color)


def _text(holder: Mapping[str, Any], name: str, path: str = "") -> str:
    value = holder.get(name)
    if not isinstance(value, str) or not value.strip():
        raise _Wrong(f"has no {path or name}")
    return value


def _object(holder: Mapping[str, Any], name: str, path: str = "") -> Mapping[str, Any]:
    value = holder.get(name)
    if not isinstance(value, dict):
        raise _Wrong(f"has no {path or name}")
    return value


def _one_of(item: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    value = item.get(name)
    if value not in allowed:
        raise _Wrong(f"has the {name} {value!r}, not one of {', '.join(allowed)}")
    return str(value)
