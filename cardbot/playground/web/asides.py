"""What people say to an answer that is under way: it gets no answer of its own. Pure."""

from collections.abc import Mapping
from typing import Any

from cardbot.texts import EN, ZH

STOP = "/stop"
"""What stops an answer that is under way, in any case. documented: the bot's own /help."""

FIELDS = [sentence for words in (ZH, EN) for sentence in (words.fill_in, words.filled_in)]
"""Below a form that has a field stands one of these."""

CHOICES = [words.choose for words in (ZH, EN)]
"""Below every form stands one of these."""


def stops(text: str) -> bool:
    """Whether this ends an answer that is under way."""
    return text.strip().casefold() == STOP


def fills_in(text: str, card: Mapping[str, Any]) -> bool:
    """Whether the card shows a form that this text is for: one with a field, or with an action of this name."""
    actions = [button for button in card["buttons"] if button["action"] != "stop"]
    # Its buttons may be there a moment before its text, and then what it has is not known yet.
    has_field = _says(card, FIELDS) or not _says(card, CHOICES)
    return bool(actions) and (has_field or text.strip().casefold() in [each["label"].casefold() for each in actions])


def _says(card: Mapping[str, Any], sentences: list[str]) -> bool:
    return any(sentence.partition("{")[0] in card["text"] for sentence in sentences)
