"""What people send and what is asked of Dify: values, free of either side's wire format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum


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


class FileKind(StrEnum):
    """What a file is, in Dify's words."""

    IMAGE = "image"
    DOCUMENT = "document"
    AUDIO = "audio"
    VIDEO = "video"
    CUSTOM = "custom"
    """Of a type that an app has named itself."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a message. It stays at DingTalk until it is fetched with its code, which soon expires."""

    kind: FileKind
    download_code: str = field(repr=False)
    name: str = ""
    """As the sender calls it; empty for pictures, voice and video."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that Dify keeps, for questions of the user who uploaded it."""

    id: str
    kind: FileKind


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
    """What the person wrote or said, without the leading mention of the robot; empty for kinds that carry no text."""
    webhook: SessionWebhook | None
    created_at: float
    """Unix time in seconds."""
    attachments: tuple[Attachment, ...] = ()
    """Its files, in their order, those of the message it quotes at the end."""
    quoted: str = ""
    """The text of the message that it quotes."""
    quoted_card: str = ""
    """DingTalk's key of the card that it quotes, if the card's text did not come along; `quoted` is its title then."""


@dataclass(frozen=True, slots=True)
class Question:
    """What Dify is asked. `user` is stable per person; Dify ties conversations and files to it."""

    query: str
    user: str
    conversation_id: str = ""
    files: tuple[Upload, ...] = ()
    inputs: Mapping[str, object] = field(default_factory=dict)
    """Values of the app's input variables. Dify drops those that the app does not declare."""
    system: str = ""
    """How the app is to behave: its input `system_prompt`, or put before a conversation's first question."""
    before: str = ""
    """What was said before, put before the question where Dify does not know it: an app that keeps no conversations, or
    one that begins."""
