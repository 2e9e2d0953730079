"""Asks Dify what a message asks: when it is its turn, with its files, in the conversation to go on with."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial

import structlog

from cardbot.desk import Desk
from cardbot.errors import StoreError
from cardbot.events import Event, Identified, MessageEnded, Remark
from cardbot.gathering import gather
from cardbot.inputs import fill
from cardbot.messages import Incoming, Question
from cardbot.ports import Card
from cardbot.promise import Promise

log = structlog.get_logger(__name__)


async def asked(incoming: Incoming, desk: Desk, card: Card, promise: Promise) -> AsyncGenerator[Event]:
    """What happens while Dify answers; close the generator when done.

    Raises `LineFull` if too many messages of the conversation wait already, `DifyError` if Dify refuses the question.
    """
    user = desk.user(incoming)
    async with _turn(incoming, desk, card), _place(desk, card):
        gathered = await gather(incoming, user, source=desk.source, files=desk.files, texts=desk.texts)
        for remark in gathered.remarks:
            yield Remark(remark)
        if not gathered.query:
            yield MessageEnded()  # the remarks say why there is nothing to ask
            return
        conversation = await _conversation(incoming, desk)
        inputs = fill(desk.inputs, incoming)
        question = Question(gathered.query, user, conversation, gathered.uploads, inputs, desk.system)
        await promise.ask()
        async with aclosing(desk.source.ask(question)) as events:
            async for event in events:
                if isinstance(event, Identified) and event.conversation_id not in ("", conversation):
                    conversation = event.conversation_id
                    await _keep(conversation, incoming, desk)
                yield event


@asynccontextmanager
async def _turn(incoming: Incoming, desk: Desk, card: Card) -> AsyncGenerator[None]:
    """Answers of one conversation come one after the other; who waits sees so."""
    async with AsyncExitStack() as stack:
        try:
            in_line = partial(card.show, desk.texts.in_line)
            await stack.enter_async_context(desk.store.turn(desk.key(incoming), in_line))
        except StoreError as exc:  # an answer out of turn is better than none
            log.error("turn_not_kept", error=str(exc))
        yield


@asynccontextmanager
async def _place(desk: Desk, card: Card) -> AsyncGenerator[None]:
    """One of the places for answers that stream at once; who waits for one sees so."""
    if desk.places.available_tokens < 1:
        card.show(desk.texts.crowded)
    borrower = object()
    await desk.places.acquire_on_behalf_of(borrower)
    try:
        yield
    finally:
        desk.places.release_on_behalf_of(borrower)


async def _conversation(incoming: Incoming, desk: Desk) -> str:
    try:
        return await desk.store.conversation(desk.key(incoming))
    except StoreError as exc:  # an answer without memory is better than none
        log.error("conversation_not_read", error=str(exc))
        return ""


async def _keep(conversation: str, incoming: Incoming, desk: Desk) -> None:
    """Go on with it from now on, unless somebody has asked for a new one since the question was written."""
    try:
        await desk.store.keep_conversation(desk.key(incoming), conversation)
        renewed = await desk.store.conversation(desk.renewal_key(incoming))
        if renewed and 0 < incoming.created_at < float(renewed):
            await desk.store.forget_conversation(desk.key(incoming))  # nobody else's: it is this answer's turn
    except StoreError as exc:
        log.error("conversation_not_kept", error=str(exc))
