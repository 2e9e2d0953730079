"""Values for the inputs of a Dify app: constants, and texts that name what is known of a message. Pure."""

import json
from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

from cardbot.messages import Incoming

NAMES = ("sender_name", "sender_id", "chat_title", "chat_id")
"""What a text may name in braces."""


def parse(value: object) -> Mapping[str, object]:
    """A JSON object with a value for each input. Raises `ValueError` with a few words on what is wrong."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError('must be a JSON object, such as {"name": "{sender_name}"}') from None
    if not isinstance(value, Mapping):
        raise ValueError('must be a JSON object, such as {"name": "{sender_name}"}')
    for name, text in value.items():
        for known in _names(str(name), text):
            if known not in NAMES:
                known_names = ", ".join(f"{{{one}}}" for one in NAMES)
                raise ValueError(f"names {{{known}}} in {name}: what can be named is {known_names}")
    return value


def constants(template: Mapping[str, object]) -> dict[str, object]:
    """The values that are the same for all messages."""
    return {name: _plain(value) for name, value in template.items() if not any(_names(name, value))}


def fill(template: Mapping[str, object], incoming: Incoming) -> dict[str, object]:
    """The values for this message. Only texts name something; all else is what it is."""
    sender, chat = incoming.sender, incoming.chat
    known = {
        "sender_name": sender.name,
        "sender_id": sender.staff_id or sender.id,
        "chat_title": chat.title,
        "chat_id": chat.id,
    }
    return {name: _plain(value, known) for name, value in template.items()}


def _plain(value: object, known: Mapping[str, str] | None = None) -> object:
    return value.format_map(known or {}) if isinstance(value, str) else value


def _names(name: str, value: object) -> Iterator[str]:
    """What a value names. Raises `ValueError` for braces that name nothing."""
    if not isinstance(value, str):
        return
    try:
        parts = list(Formatter().parse(value))
    except ValueError:
        raise ValueError(f"has a single brace in {name}: write {{{{ or }}}} for one that is meant as such") from None
    for _, named, spec, conversion in parts:
        if named is None:
            continue
        if spec or conversion or not named.isidentifier():
            raise ValueError(f"has braces in {name} that name nothing: write {{{{ and }}}} for those that are meant")
        yield named


Inputs = Annotated[Mapping[str, object], NoDecode, BeforeValidator(parse)]
"""The form of the setting. NoDecode: the words on what is wrong are ours."""
