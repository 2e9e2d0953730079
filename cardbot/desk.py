"""Who takes part in a reply, and what they call the person and the conversation."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import anyio

from cardbot.messages import ChatKind, Incoming
from cardbot.ports import Cards, ConversationKey, Files, Source, Store, Webhook
from cardbot.texts import Texts
from cardbot.words import Words

USER_LIMIT = 255
"""Characters of Dify's `user`. Seen: a VARCHAR(255) in all versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Who takes part in a reply."""

    source: Source
    cards: Cards
    webhook: Webhook
    files: Files
    store: Store
    words: Words
    texts: Texts
    app: str
    """Fingerprint of the Dify app, whose conversations these are."""
    places: anyio.CapacityLimiter
    """How many answers Dify may be giving at once."""
    session: Literal["person", "chat"] = "person"
    """Whose conversation it is in a group: each person's own, or one of the whole chat."""
    inputs: Mapping[str, object] = field(default_factory=dict)
    """What the app's inputs are filled with; see `cardbot.inputs`."""
    system: str = field(default="", repr=False)
    """How the app is to behave, if not as its author said."""
    base: str = ""
    """Dify's address, for links to its own files."""

    def key(self, incoming: Incoming) -> ConversationKey:
        """Whose conversation with Dify it is."""
        return ConversationKey(self.app, incoming.robot_code, incoming.chat.id, self._whose(incoming))

    def form_key(self, incoming: Incoming) -> ConversationKey:
        """Where it is kept which forms wait in this chat to be filled in by whoever wrote."""
        return replace(self.key(incoming), person=f"form of {speaker(incoming)}")

    def address(self, incoming: Incoming) -> str:
        """Where words reach whatever is under way in this conversation."""
        key = self.key(incoming)
        return "\n".join((key.app, key.robot, key.chat, key.person))

    def user(self, incoming: Incoming) -> str:
        """Dify's `user`, to whom it ties a conversation and its files."""
        return f"dingtalk:{incoming.sender.corp_id}:{self._whose(incoming)}"[:USER_LIMIT]

    def _whose(self, incoming: Incoming) -> str:
        """The person, or in a group that shares one conversation, the chat."""
        if self.session == "chat" and incoming.chat.kind is ChatKind.GROUP:
            return incoming.chat.id
        return speaker(incoming)


def speaker(incoming: Incoming) -> str:
    """Who wrote: the staff id, which card callbacks name too, or for people from outside what DingTalk gives."""
    return incoming.sender.staff_id or incoming.sender.id
