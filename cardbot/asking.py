"""Asks Dify what a message asks: when it is its turn, with its files, in the conversation to go on with."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from functools import partial

import structlog

from cardbot.conversations import go_on_with, place, to_go_on_with, turn
from cardbot.desk import Desk
from cardbot.errors import QuestionTooLong
from cardbot.events import Event, Identified, MessageEnded, Remark
from cardbot.gathering import gather
from cardbot.inputs import fill
from cardbot.messages import Incoming, Question
from cardbot.ports import Card, Source
from cardbot.promise import Promise
from cardbot.quotes import with_quote

log = structlog.get_logger(__name__)


async def asked(incoming: Incoming, desk: Desk, card: Card, promise: Promise) -> AsyncGenerator[Event]:
    """What happens while Dify answers; close the generator when done.

    Raises `LineFull` if too many messages of the conversation wait already, `DifyError` if Dify refuses the question.
    """
    user, key = desk.user(incoming), desk.key(incoming)
    in_line, crowded = partial(card.show, desk.texts.in_line), partial(card.show, desk.texts.crowded)
    async with turn(key, desk.store, in_line), place(desk.places, crowded):
        whole = await with_quote(incoming, desk.store)
        gathered = await gather(whole, user, source=desk.source, files=desk.files, texts=desk.texts)
        for remark in gathered.remarks:
            yield Remark(remark)
        if not gathered.query:
            yield MessageEnded()  # the remarks say why there is nothing to ask
            return
        conversation = await to_go_on_with(key, desk.store)
        inputs = fill(desk.inputs, incoming)
        question = Question(gathered.query, user, conversation, gathered.uploads, inputs, desk.system)
        await promise.ask()
        without = replace(question, query=gathered.unquoted) if whole is not incoming and gathered.unquoted else None
        async with aclosing(_ask(question, without, desk.source)) as events:
            async for event in events:
                if isinstance(event, Identified) and event.conversation_id not in ("", conversation):
                    conversation = event.conversation_id
                    await go_on_with(conversation, key, desk.store, asked_at=incoming.created_at)
                yield event


async def _ask(question: Question, without: Question | None, source: Source) -> AsyncGenerator[Event]:
    """Ask it; where it is too long for the app, `without` the text that we have added to it, if there was any."""
    try:
        async with aclosing(source.ask(question)) as events:
            async for event in events:
                yield event
        return
    except QuestionTooLong as exc:  # nothing was asked, and the person, who wrote little, could not shorten it
        if without is None:
            raise
        log.warning("quote_left_out", error=str(exc))
    async with aclosing(source.ask(without)) as events:
        async for event in events:
            yield event
