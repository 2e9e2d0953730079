"""Asks Dify what a message asks: when it is its turn, with its files, in the conversation to go on with."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from cardbot.conversations import go_on_with, place, to_go_on_with, turn
from cardbot.desk import Desk
from cardbot.events import Event, Identified, MessageEnded, Remark
from cardbot.gathering import gather
from cardbot.inputs import fill
from cardbot.messages import Incoming, Question
from cardbot.ports import Card
from cardbot.promise import Promise


async def asked(incoming: Incoming, desk: Desk, card: Card, promise: Promise) -> AsyncGenerator[Event]:
    """What happens while Dify answers; close the generator when done.

    Raises `LineFull` if too many messages of the conversation wait already, `DifyError` if Dify refuses the question.
    """
    user, key = desk.user(incoming), desk.key(incoming)
    in_line, crowded = partial(card.show, desk.texts.in_line), partial(card.show, desk.texts.crowded)
    async with turn(key, desk.store, in_line), place(desk.places, crowded):
        gathered = await gather(incoming, user, source=desk.source, files=desk.files, texts=desk.texts)
        for remark in gathered.remarks:
            yield Remark(remark)
        if not gathered.query:
            yield MessageEnded()  # the remarks say why there is nothing to ask
            return
        conversation = await to_go_on_with(key, desk.store)
        inputs = fill(desk.inputs, incoming)
        question = Question(gathered.query, user, conversation, gathered.uploads, inputs, desk.system)
        await promise.ask()
        async with aclosing(desk.source.ask(question)) as events:
            async for event in events:
                if isinstance(event, Identified) and event.conversation_id not in ("", conversation):
                    conversation = event.conversation_id
                    await go_on_with(conversation, key, desk.store, asked_at=incoming.created_at)
                yield event
