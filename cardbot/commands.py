"""Messages that are no questions: a few words that the bot itself understands. Pure."""

from collections.abc import Collection
from enum import Enum

NEW_WORDS = ("/new", "新会话", "清除", "reset")
"""What begins a new conversation, unless settings say otherwise."""


class Command(Enum):
    """What is to be done instead of asking Dify."""

    NONE = "none"
    """A question."""
    NEW = "new"
    HELP = "help"
    STOP = "stop"


def command_in(text: str, new_words: Collection[str]) -> Command:
    """What the whole text asks for. Everything else that begins with a slash is Dify's business."""
    said = text.strip().casefold()
    if said in {word.casefold() for word in new_words}:
        return Command.NEW
    match said:
        case "/help":
            return Command.HELP
        case "/stop":
            return Command.STOP
        case _:
            return Command.NONE
