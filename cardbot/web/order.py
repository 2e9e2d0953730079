"""What a request asks for: its JSON to a question, or to the one sentence that says what is wrong with it. Pure."""

import base64
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from pydantic import ValidationError

from cardbot.web.envelope import without_envelope
from cardbot.web.refusals import Refusal, Refused, bad_request
from cardbot.web.requests import (
    NO_CONTROLS,
    USER_LIMIT,
    ChatRequest,
    ImagePart,
    InstructionMessage,
    Message,
    Question,
    TextPart,
    UserMessage,
)
from cardbot.web.thread import said

USER_HEADER = "X-User"
"""Whose conversation it is. Goes before the body's `user`: a gateway that knows who asks can set it for everybody."""

ONLY_WITHIN = (
    "must be a picture within the request, as data:image/png;base64,… (PNG, JPEG, GIF or WebP, 10 MB at most)."
    " Addresses are not fetched"
)
"""What is said of all other addresses of pictures."""

MARKS = {"image_url": "[picture]", "input_audio": "[audio]", "file": "[file]"}
"""What stands in a transcript for what is no text. The kinds of parts: documented, as in `requests`."""

BEFORE = "The conversation so far:"
"""Stands before what was said."""

NOW = "The user's new message:"
"""Stands between that and the question."""

SINCE = "What was said since, to go on from where it ends:"
"""Stands between the question and the beginning of an answer to it. Clients send one to have it finished."""

PICTURE_ONLY = "Please look at the picture."
"""The question of a message without words: Dify refuses an empty one."""

TIME_OF_DAY = re.compile(r"(?<![\d:])\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?![\d:])")
"""What may differ in the instructions of one chat: many clients put the time there, which the app is told as of its
beginning. Nothing else may: a number can be whose chat it is."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that came within a request."""

    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Order:
    """One question, and how its answer is to be told."""

    model: str
    user: str
    """Empty for a question without memory."""
    query: str
    before: str = ""
    """What was said before, for where Dify does not know it."""
    heard: str = ""
    """What names the thread of a chat without a user, before the question; empty at its beginning."""
    thread: str = ""
    """The same with the question."""
    system: str = ""
    pictures: tuple[Picture, ...] = ()
    stream: bool = False
    include_usage: bool = False


def order_of(body: bytes, user_headers: Collection[str] = (), *, caller: str = "") -> Order:
    """Read a request. Raises `Refused`. `caller`: what tells callers apart: none goes on with another's chat."""
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as exc:
        raise Refused(_complaint(exc)) from None
    user = _of_headers(user_headers) or request.user or ""
    at = max(number for number, message in enumerate(request.messages) if isinstance(message, UserMessage))
    question = _question(request.messages[at], at)
    query = without_envelope(_words(question))
    if not query.strip():
        query = PICTURE_ONLY
    before, since = _transcript(request.messages[:at]), _transcript(request.messages[at + 1 :])
    unnamed = not (user or since)
    system = "\n\n".join(filter(None, map(_instruction, request.messages)))
    chat = said(said("", "", caller), "system", TIME_OF_DAY.sub("", system))
    options = request.stream_options
    return Order(
        model=request.model,
        user=user,
        query="\n\n".join([query, SINCE, since]) if since else query,
        before="\n\n".join([BEFORE, before, NOW]) if before else "",
        heard=_thread(chat, request.messages[:at]) if unnamed and before else "",
        thread=_thread(chat, request.messages[: at + 1]) if unnamed else "",
        system=system,
        pictures=tuple(_pictures(question)),
        stream=bool(request.stream),
        include_usage=bool(options and options.include_usage),
    )


def _of_headers(values: Collection[str]) -> str:
    """The name in the header. HTTP has no letters but those of ASCII: who sends others mostly means UTF-8.

    Of two names one may be a gateway's and the other a caller's, who would like to be somebody else.
    """
    if len(set(values)) > 1:
        raise Refused(_wrong(USER_HEADER, "is given more than once"))
    value = next(iter(values), "")
    try:
        name = value.encode("latin-1").decode()
    except UnicodeError:
        name = value
    return name_of(name, USER_HEADER) if name else ""


def name_of(user: str, param: str) -> str:
    """A user's name, given as this parameter and besides the body. Raises `Refused`."""
    if not user:
        raise Refused(_missing(param))
    if len(user) > USER_LIMIT:
        raise Refused(_wrong(param, f"must be of {USER_LIMIT} characters at most"))
    if not re.fullmatch(NO_CONTROLS, user):
        raise Refused(_wrong(param, "has control characters"))
    return user


def _question(message: Message, at: int) -> Question:
    """The last message of the user's, which alone is held to what can be asked."""
    given = {name: value for name, value in message if value is not None}  # null is as good as nothing
    try:
        return Question.model_validate(given)
    except ValidationError as exc:
        raise Refused(_complaint(exc, "messages", at, "user")) from None


def _words(message: Message | Question) -> str:
    """What a message says."""
    if isinstance(message.content, str):
        return message.content
    return "\n".join(filter(None, map(_text, message.content or ())))


def _text(part: TextPart | ImagePart | Mapping[str, Any]) -> str:
    match part:
        case TextPart(text=text) | {"text": str(text)}:
            return text
        case {"type": str(kind)}:
            return MARKS.get(kind, "")
        case _:
            return ""


def _instruction(message: Message) -> str:
    return _words(message).strip() if isinstance(message, InstructionMessage) else ""


def _pictures(question: Question) -> list[Picture]:
    if isinstance(question.content, str):
        return []
    return [_picture(part.image_url.url) for part in question.content if isinstance(part, ImagePart)]


def _picture(url: str) -> Picture:
    head, _, content = url.partition(",")
    kind = head.lower().removeprefix("data:image/").removesuffix(";base64")
    return Picture(f"image/{'jpeg' if kind == 'jpg' else kind}", base64.b64decode(content))


def _transcript(messages: Sequence[Message]) -> str:
    """All that was said, for an app that does not know it."""
    return "\n\n".join(f"{message.role.capitalize()}: {words}" for message, words in _spoken(messages))


def _spoken(messages: Sequence[Message]) -> Iterator[tuple[Message, str]]:
    """Whoever said something, and what; not how the app is to behave."""
    for message in messages:
        words = _words(message)
        if isinstance(message, UserMessage):
            words = without_envelope(words)
        if words.strip() and not isinstance(message, InstructionMessage):
            yield message, words.strip()


def _thread(chat: str, messages: Sequence[Message]) -> str:
    """What names a chat after these messages. `chat`: what names it by its caller and all instructions."""
    return reduce(lambda thread, message: said(thread, message.role, _held(message)), messages, chat)


def _held(message: Message) -> str:
    """All that a message holds and a conversation is told once, pictures too."""
    words = _words(message)
    match message:
        case InstructionMessage():
            return ""
        case UserMessage(content=[*parts]):
            return " ".join([without_envelope(words), *(str(part) for part in parts if _is_picture(part))])
        case UserMessage():
            return without_envelope(words)
        case _:
            return words


def _is_picture(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "image_url"


def _complaint(error: ValidationError, *within: int | str) -> Refusal:
    """The first thing that is wrong, with what was read `within` the body."""
    problem = error.errors(include_url=False, include_input=False)[0]
    if problem["type"] == "json_invalid":
        return bad_request(f"The body is not JSON that can be read: {problem['ctx']['error']}.")
    path = (*within, *problem["loc"])
    if not path:
        return bad_request("The body must be a JSON object.")
    param = _param(path)
    match problem["type"]:
        case "missing":
            return _missing(param)
        case "union_tag_not_found":
            return _missing(f"{param}.{problem['ctx']['discriminator'].strip(chr(39))}")
        case "union_tag_invalid":
            param = f"{param}.{problem['ctx']['discriminator'].strip(chr(39))}"
            return _wrong(param, f"must be one of {problem['ctx']['expected_tags']}")
        case "literal_error" if param == "n":
            return _wrong(param, "must be 1: Dify gives one answer")
        case "literal_error" if param in ("tool_choice", "function_call"):
            return _wrong(param, "must be auto or none: the Dify app calls its own tools, and none of the caller's")
        case "literal_error" if param == "response_format.type":
            return _wrong(param, "must be text or json_object: the Dify app is not told of a schema")
        case "too_long":
            return _wrong(param, f"must have {problem['ctx']['max_length']} entries at most")
        case "string_pattern_mismatch" | "string_too_long" if param.endswith(".url"):
            return _wrong(param, ONLY_WITHIN)
        case "string_pattern_mismatch" if param == "user":
            return _wrong(param, "has control characters")
        case "string_pattern_mismatch":
            return _wrong(param, "is empty: there is no question")
        case "model_type":
            return _wrong(param, "must be an object")
        case "value_error":
            return _wrong(param, problem["msg"].removeprefix("Value error, "))
        case _:
            return _wrong(param, f"is wrong: {problem['msg']}")


def _missing(param: str) -> Refusal:
    return bad_request(f"You must give the parameter {param}.", param=param, code="missing_required_parameter")


def _wrong(param: str, what: str) -> Refusal:
    return bad_request(f"{param} {what}.", param=param, code="invalid_value")


def _param(path: Sequence[int | str]) -> str:
    """The path as OpenAI writes it, `messages[0].content`, without the names of the forms between its parts."""
    name = ""
    before: int | str = ""
    for part in path:
        if isinstance(part, int):
            name += f"[{part}]"
        elif not (isinstance(before, int) or (before == "content" and part in ("words", "parts"))):
            name += f".{part}" if name else part
        before = part
    return name
