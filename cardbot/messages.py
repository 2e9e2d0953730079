"""What people send and what is asked of Dify: values, free of either side's wire format."""

from dataclasses import dataclass, field
from enum import Enum


class ChatKind(Enum):
    """Where a message was written."""

    DIRECT = "direct"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation in DingTalk. `id` is case-sensitive and, in a group, the `openConversationId` of the APIs."""

    id: str
    kind: ChatKind
    title: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """Who wrote. `staff_id` is empty for people outside the organisation and before the robot is published."""

    id: str
    staff_id: str
    name: str
    corp_id: str = ""


@dataclass(frozen=True, slots=True)
class SessionWebhook:
    """Where a plain reply to one message goes, without a token: whoever has the URL may write to the chat."""

    url: str = field(repr=False)
    expires_at: float
    """Unix time in seconds. Seen: 90 minutes after the message."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message to the robot."""

    message_id: str
    robot_code: str
    chat: Chat
    sender: Person
    kind: str
    """DingTalk's `msgtype`: `text`, `richText`, `picture`, `audio`, `video`, `file` or one nobody has told us of."""
    text: str
    """What the person wrote, without the leading mention of the robot; empty for kinds that carry no text."""
    webhook: SessionWebhook | None
    created_at: float
    """Unix time in seconds."""


@dataclass(frozen=True, slots=True)
class Question:
    """What Dify is asked. `user` is stable per person; Dify ties conversations and files to it."""

    query: str
    user: str
    conversation_id: str = ""
