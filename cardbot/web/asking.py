"""One question on its way to Dify: its turn, its conversation, its pictures, and what happens while Dify answers."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field

import anyio

from cardbot.conversations import go_on_with, place, to_go_on_with, turn
from cardbot.errors import FileRefused
from cardbot.events import Event, Identified
from cardbot.messages import FileKind, Question, Upload
from cardbot.ports import ConversationKey, Download, Source, Store
from cardbot.web.order import Order, Picture
from cardbot.web.thread import borrowed, thread_key

ROBOT = "openai"
"""What stands for the robot in the key of a conversation: these are none of DingTalk's."""

ANONYMOUS = "openai"
"""Dify's `user` of those who ask without a name. They share no conversation, only the name."""

_ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A Dify app, under the name that callers know it by."""

    name: str
    source: Source
    app: str
    """Fingerprint of the Dify app, whose conversations these are."""
    address: str = ""
    """Of Dify, for its files."""
    system: str = field(default="", repr=False)
    """How the app is to behave, whoever asks; what the caller says about it comes after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What all questions share."""

    store: Store
    places: anyio.CapacityLimiter
    """How many answers Dify may be giving at once."""


def conversation_key(model: Model, user: str) -> ConversationKey:
    """Whose conversation it is."""
    return ConversationKey(model.app, ROBOT, model.name, user)


def dify_user(order: Order) -> str:
    """Dify's `user`, to whom it ties conversations and files."""
    return f"{ANONYMOUS}:{order.user}" if order.user else ANONYMOUS


async def asked(order: Order, model: Model, desk: Desk, on_ask: Callable[[], None]) -> AsyncGenerator[Event]:
    """What happens while Dify answers, when it is this question's turn; keeps the conversation to go on with.

    `on_ask` is called when the question is about to be sent. Must not wait.

    Raises:
        CardbotError: before the first event, when the question was not taken.
    """
    user, key, asked_at = dify_user(order), conversation_key(model, order.user), time.time()
    async with AsyncExitStack() as stack:
        conversation = ""
        if order.user:
            await stack.enter_async_context(turn(key, desk.store))
        await stack.enter_async_context(place(desk.places))
        if order.user:
            conversation = await to_go_on_with(key, desk.store)
        elif order.heard:
            thread = thread_key(model.app, model.name, order.heard)
            conversation = await stack.enter_async_context(borrowed(thread, desk.store))
        files = await _files(order.pictures, model, user)
        system = "\n\n".join(filter(None, (model.system, order.system)))
        question = Question(order.query, user, conversation, files, system=system, before=order.before)
        on_ask()
        events = await stack.enter_async_context(aclosing(model.source.ask(question)))
        async for event in events:
            if order.user and isinstance(event, Identified) and event.conversation_id not in ("", conversation):
                conversation = event.conversation_id
                await go_on_with(conversation, key, desk.store, asked_at=asked_at)
            yield event


async def _files(pictures: Sequence[Picture], model: Model, user: str) -> tuple[Upload, ...]:
    """The pictures as files of Dify's. Raises `FileRefused`; of too many, none is sent: Dify would refuse them all."""
    limit = await model.source.file_limit() if pictures else 0  # 0: it takes none, and that has words of its own
    if 0 < limit < len(pictures):
        raise FileRefused(f"A question may carry at most {limit} files.", why="too_many", limit=limit)
    return tuple([await _uploaded(picture, number, model, user) for number, picture in enumerate(pictures, 1)])


async def _uploaded(picture: Picture, number: int, model: Model, user: str) -> Upload:
    file = Download(
        name=f"picture-{number}.{_ENDINGS[picture.content_type]}",
        kind=FileKind.IMAGE,
        content_type=picture.content_type,
        size=len(picture.content),
        chunks=_once(picture.content),
    )
    return await model.source.upload(file, user)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
