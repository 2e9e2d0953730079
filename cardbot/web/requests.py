"""The requests that are taken, as OpenAI documents them.

Documented: platform.openai.com/docs/api-reference/chat, read 2026-11. Fields that are not here are ignored: a Dify app
brings its own model, temperature and tools. Where a caller could not go on with an answer that ignores them, the
request is refused.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from cardbot.web.shapes import Shape

USER_LIMIT = 240
"""Characters of a user's name. Seen: Dify keeps 255 characters, and ours begins with a few of its own."""

NO_CONTROLS = r"^[^\x00-\x1F\x7F]*$"
"""A text in one line. Seen: a database does not keep a NUL."""

WORD = r"[^\x00-\x20\x7F\u0085\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000]"
"""A character that says something. Spelt out, for each kind of regular expression has its own idea of blanks."""

MESSAGES_LIMIT = 10_000
"""Messages of one request. Our choice: more than anybody writes in one chat. Measured: as many as fit into a body held
up everybody else for 10 s."""

PARTS_LIMIT = 1_000
"""Parts of one message, for the same reason."""


def _many(limit: int, *, least: int | None = None, also: Mapping[str, Any] | None = None) -> Any:
    """A list of so many at most, of whose faults the first is told. The limit is not in its schema, which has what it
    `also` has: whoever makes tests of the document would send little else than lists of that length."""

    def described(schema: dict[str, Any]) -> None:
        del schema["maxItems"]
        schema.update(also or {})

    return Field(min_length=least, max_length=limit, fail_fast=True, json_schema_extra=described)


def _in_any_case(letters: str) -> str:
    """A pattern of these letters, small or large: JSON Schema has no other way to say it."""
    return re.sub(r"[a-z]", lambda letter: f"[{letter[0].upper()}{letter[0]}]", letters)


PICTURE_URL = (
    rf"^{_in_any_case('data:image')}/(?:{_in_any_case('png|jpe?g|gif|webp')});{_in_any_case('base64')},"
    r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$"
)
"""The one form of a picture that is taken. Kinds: those that Dify and OpenAI both take (documented by both), in letters
of any case (documented: RFC 2045, 5.1), and `jpg`, which is no kind but often said."""

PICTURE_URL_LIMIT = 14 * 1024 * 1024
"""Characters of a picture's URL: 10 MB in base64, which is as much as Dify takes by default."""


class TextPart(Shape):
    """Words."""

    type: Literal["text"]
    text: str


class ImageUrl(Shape):
    """A picture, within the request: an address is not fetched, for it could be one of the server's own network."""

    url: Annotated[str, Field(pattern=PICTURE_URL, max_length=PICTURE_URL_LIMIT)]


class ImagePart(Shape):
    """A picture."""

    type: Literal["image_url"]
    image_url: ImageUrl


def _form(content: object) -> str:
    """Content is words, or parts."""
    return "parts" if isinstance(content, list) else "words"


class InstructionMessage(Shape):
    """How the app is to behave. Goes to the app's input `system_prompt`, or before its first question."""

    role: Literal["system", "developer"]
    content: Annotated[
        Annotated[str, Tag("words")] | Annotated[list[TextPart], _many(PARTS_LIMIT), Tag("parts")],
        Discriminator(_form),
    ]


Whatever = Annotated[
    Annotated[str | None, Tag("words")] | Annotated[list[dict[str, Any]], _many(PARTS_LIMIT), Tag("parts")],
    Discriminator(_form),
]
"""What is taken from history as it is; of parts, the text. A chat goes on whatever it began with."""


class UserMessage(Shape):
    """What the user said. The last of them is the question, and must be a `Question`."""

    role: Literal["user"]
    content: Whatever = None


class AssistantMessage(Shape):
    """An earlier answer."""

    role: Literal["assistant"]
    content: Whatever = None


class ToolMessage(Shape):
    """What a tool of the client's said."""

    role: Literal["tool", "function"]
    content: Whatever = None


def _says_something(parts: list[TextPart | ImagePart]) -> list[TextPart | ImagePart]:
    if not any(isinstance(part, ImagePart) or re.search(WORD, part.text) for part in parts):
        raise ValueError("is empty: there is no question")
    return parts


_SAYS_SOMETHING = {
    "contains": {
        "anyOf": [
            {"properties": {"type": {"const": "text"}, "text": {"pattern": WORD}}, "required": ["type", "text"]},
            {"properties": {"type": {"const": "image_url"}}, "required": ["type"]},
        ]
    }
}


class Question(Shape):
    """The user's last message. It has a word or a picture: Dify refuses an empty one."""

    role: Literal["user"]
    content: Annotated[
        Annotated[str, Field(pattern=WORD), Tag("words")]
        | Annotated[
            list[Annotated[TextPart | ImagePart, Field(discriminator="type")]],
            _many(PARTS_LIMIT, least=1, also=_SAYS_SOMETHING),
            AfterValidator(_says_something),
            Tag("parts"),
        ],
        Discriminator(_form),
    ]


Message = InstructionMessage | UserMessage | AssistantMessage | ToolMessage


def _asks_something(messages: list[Message]) -> list[Message]:
    if not any(isinstance(message, UserMessage) for message in messages):
        raise ValueError("has no message of the user: there is no question")
    return messages


class StreamOptions(Shape):
    """What else a stream tells."""

    include_usage: bool | None = None


class Form(Shape):
    """The form of an answer. For JSON of any form, OpenAI has the messages ask too, and so the app knows of it; what
    would fit a schema could not be promised."""

    type: Literal["text", "json_object"]


ToolChoice = Annotated[
    Literal["none", "auto"] | None,
    Field(description="No call can be promised: the app calls tools of its own, and none of the caller's."),
]


class ChatRequest(Shape):
    """The body of `POST /v1/chat/completions`."""

    model: Annotated[str, Field(min_length=1)]
    messages: Annotated[
        list[Annotated[Message, Field(discriminator="role")]],
        _many(
            MESSAGES_LIMIT,
            least=1,
            also={"contains": {"$ref": "#/components/schemas/Question"}},  # JSON Schema knows no last one
        ),
        Field(
            description="The last of the user's is the question: it must be a `Question`, or the reply is a 400. Of all"
            f" others the text is taken, and what is no text is left out. {MESSAGES_LIMIT} at most, of {PARTS_LIMIT}"
            " parts each."
        ),
        AfterValidator(_asks_something),
    ]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None
    tool_choice: ToolChoice = None
    function_call: ToolChoice = None
    response_format: Form | None = None
    user: Annotated[
        str | None,
        Field(
            max_length=USER_LIMIT,
            pattern=NO_CONTROLS,
            description="Whose conversation it is, unless the header `X-User` says so. Dify remembers it: only the last"
            " message is asked. Without a user, a conversation is found again by the messages before; where none is,"
            " these go along in the question.",
        ),
    ] = None
