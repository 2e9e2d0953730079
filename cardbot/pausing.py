"""A run that waits for a person: its form is shown in the card, and what people press and type is put into it."""

import time

import anyio
import structlog

from cardbot.answer import Answer
from cardbot.desk import Desk, speaker
from cardbot.errors import StoreError
from cardbot.events import FormRequested
from cardbot.form_reply import FormReply, Wanted, kept_of, waiting_in
from cardbot.messages import Incoming
from cardbot.ports import STOP, Card, stop_button
from cardbot.promise import Promise
from cardbot.saying import say
from cardbot.words import NOTHING, Ear

PATIENCE = 3 * 24 * 3600.0
"""Seconds to wait for a form that names no end. Our choice: over a weekend."""

log = structlog.get_logger(__name__)


async def filled_in(
    form: FormRequested, incoming: Incoming, desk: Desk, card: Card, promise: Promise, answer: Answer, ear: Ear
) -> FormReply:
    """Show the form until somebody has filled it in; its `action` is empty if nobody did, or they want no more of it.

    Only the person who asked is heard. Raises `Leaving` when the program ends: whoever takes over shows it again.
    """
    reply = FormReply(form, desk.texts)
    until = form.expires_at or time.time() + PATIENCE
    await promise.wait(form)
    await _keep(reply.wanted(speaker(incoming), until=until, reply_id=promise.reply_id), incoming, desk)
    card.offer((*reply.buttons, stop_button(desk.texts)))
    card.show(_shown(answer, reply))
    promise.on_hidden = ear.wake
    said = ""
    with anyio.move_on_after(max(0.0, until - time.time())) as patience:
        while not reply.action:
            if promise.is_hidden and said != reply.markdown:  # no card shows the form, or how far it is
                said = reply.markdown
                await say(incoming, said, desk)
            word = await ear.next()
            if word is NOTHING:
                continue
            if word.action == STOP:
                answer.stop()
                break
            if word.action:
                reply.press(word.action)
            else:
                reply.type(word.text)
            card.show(_shown(answer, reply))
    if patience.cancelled_caught:
        answer.expire(reply.content)
    await _forget(promise.reply_id, incoming, desk)
    return reply


def _shown(answer: Answer, reply: FormReply) -> str:
    return f"{answer.so_far.rstrip()}\n\n{reply.markdown}".lstrip()


async def _keep(wanted: Wanted, incoming: Incoming, desk: Desk) -> None:
    """Where the next message looks, whichever process it comes to. Other forms of this person wait beside it."""
    try:
        others = [one for one in await _waiting(incoming, desk) if one.reply_id != wanted.reply_id]
        await desk.store.keep_conversation(desk.form_key(incoming), kept_of([*others, wanted]))
    except StoreError as exc:  # the buttons still work
        log.error("form_not_kept", error=str(exc))


async def _forget(reply_id: str, incoming: Incoming, desk: Desk) -> None:
    try:
        if others := [one for one in await _waiting(incoming, desk) if one.reply_id != reply_id]:
            await desk.store.keep_conversation(desk.form_key(incoming), kept_of(others))
        else:
            await desk.store.forget_conversation(desk.form_key(incoming))
    except StoreError as exc:  # it ends by its time
        log.error("form_not_forgotten", error=str(exc))


async def _waiting(incoming: Incoming, desk: Desk) -> list[Wanted]:
    kept = await desk.store.conversation(desk.form_key(incoming))
    try:
        return [one for one in waiting_in(kept) if one.until > time.time()]
    except StoreError as exc:  # of another version: its form still has its buttons
        log.error("form_not_read", error=str(exc))
        return []
