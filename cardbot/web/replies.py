"""The replies that are sent, as OpenAI documents them.

Documented: platform.openai.com/docs/api-reference/chat, read 2026-11; `reasoning_content` is what most servers besides
OpenAI's own call the thinking of a model.
"""

from typing import Annotated, Literal

from pydantic import Field

from cardbot.web.shapes import Sendable, Shape, Sparse


class Usage(Shape):
    """Tokens, as Dify counts them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


FinishReason = Literal["stop", "content_filter"]
"""`content_filter`: a moderation of Dify's has replaced text that was told already; what counts follows after it."""


class AnswerMessage(Sparse):
    """A whole answer."""

    role: Literal["assistant"]
    content: Sendable
    reasoning_content: Annotated[Sendable, Field(description="The model's thinking, where there is any.")] = ""


class Choice(Shape):
    """The one answer that there is."""

    index: Literal[0] = 0
    message: AnswerMessage
    finish_reason: FinishReason
    logprobs: None = None


class Completion(Shape):
    """The reply to a request without `stream`."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: Annotated[int, Field(description="Unix time in seconds.")]
    model: str
    choices: Annotated[list[Choice], Field(min_length=1, max_length=1)]
    usage: Annotated[Usage | None, Field(description="Null where Dify does not count.")]


class Delta(Sparse):
    """More of an answer. Only what is new is there."""

    role: Literal["assistant"] = "assistant"
    content: Sendable = ""
    reasoning_content: Sendable = ""


class ChunkChoice(Shape):
    """More of the one answer that there is."""

    index: Literal[0] = 0
    delta: Delta
    finish_reason: FinishReason | None = None
    logprobs: None = None


class Chunk(Shape):
    """One event of a stream, after `data: `. The last one is followed by `data: [DONE]`."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: Annotated[int, Field(description="Unix time in seconds.")]
    model: str
    choices: Annotated[list[ChunkChoice], Field(max_length=1)]
    usage: Annotated[
        Usage | None, Field(description="With `include_usage`: null but in the last event, which has no choices.")
    ] = None


class Error(Shape):
    """What went wrong. `code` is for programs: one of ours, or Dify's own."""

    message: Sendable
    type: str
    param: str | None
    code: Sendable | None


class ErrorReply(Shape):
    """An error: the reply to a request, or the last event of a stream that broke off."""

    error: Error


class ModelCard(Shape):
    """A Dify app."""

    id: str
    object: Literal["model"] = "model"
    created: Annotated[int, Field(description="Unix time in seconds of the server's start.")]
    owned_by: Literal["dify"] = "dify"


class ModelList(Shape):
    """All Dify apps."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class Forgotten(Shape):
    """A conversation that begins anew next time."""

    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: Literal[True] = True


class Health(Shape):
    """The server takes requests. Says nothing about Dify."""

    status: Literal["ok"] = "ok"
