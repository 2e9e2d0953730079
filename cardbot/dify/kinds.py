"""What differs by the kind of a Dify app: where it is asked and stopped, and what it keeps. Pure.

Paths: https://docs.dify.ai/api-reference (read 2026-11); who answers where: seen on Dify 0.15.8 and 1.14.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of app, to its client."""

    asked_at: str
    """The path that takes its questions."""
    stopped_at: str
    """The path that stops an answer, with `{task}` for the id of its task."""
    converses: bool = False
    """Whether questions are asked in conversations, whose messages Dify keeps."""
    has_query: bool = True
    """Whether the body has a field for the question, besides the app's inputs."""
    blocks: bool = True
    """Whether it can give its answer in one piece."""


_CHAT = Kind("chat-messages", "chat-messages/{task}/stop", converses=True)
_AGENT = Kind("chat-messages", "chat-messages/{task}/stop", converses=True, blocks=False)

KINDS: Mapping[str, Kind] = {
    "chat": _CHAT,
    "agent-chat": _AGENT,
    "agent": _AGENT,
    "advanced-chat": _CHAT,
    "workflow": Kind("workflows/run", "workflows/tasks/{task}/stop", has_query=False),
    "completion": Kind("completion-messages", "completion-messages/{task}/stop"),
}
"""By Dify's own word for it. Documented: `mode` of `GET /info`."""


def kind_of(mode: str) -> Kind:
    """How an app of this mode is asked. None, as before Dify 1.4, or a new one: as a chat app."""
    return KINDS.get(mode, _CHAT)
