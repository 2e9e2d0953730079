"""A run that waits for a person: its form is shown in the card, filled in there, and handed in; or its time is over."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext
from dataclasses import replace
from functools import partial
from uuid import uuid4

import anyio
import structlog

from cardbot.answer import Answer, Outcome
from cardbot.beside import beside
from cardbot.desk import Desk, speaker
from cardbot.errors import (
    DifyBroken,
    DifyBusy,
    DifyError,
    DifyUnreachable,
    FormExpired,
    FormRefused,
    FormTaken,
    FormWaits,
    StoreError,
)
from cardbot.events import Event, FormRequested, Identified, Remark, RunPaused, Waiting
from cardbot.form_reply import FormReply, Wanted, kept_of, waiting_in
from cardbot.messages import Incoming
from cardbot.open_reply import OpenReply
from cardbot.ports import STOP, Card, stop_button
from cardbot.promise import Promise
from cardbot.saying import say
from cardbot.words import NOTHING, Ear

PATIENCE = 3 * 24 * 3600.0
"""Seconds to wait for a form that names no end. Our choice: over a weekend."""

UNCERTAIN = (DifyUnreachable, DifyBroken, DifyBusy)
"""What leaves a form open, as far as anybody knows: it may be handed in again, for Dify takes each form once."""

LOOK_EVERY = 10.0
"""Seconds between two looks for a form of which nobody knows whether Dify has it. Our choice: as long as Dify may take
to answer a form that is handed in."""

log = structlog.get_logger(__name__)


async def filled_in(
    form: FormRequested, incoming: Incoming, desk: Desk, card: Card, promise: Promise, answer: Answer, ear: Ear
) -> FormReply:
    """Show the form until somebody has filled it in; its `action` is empty if nobody did in time, or the answer stops.

    Only the person who asked is heard. Raises `Leaving` when the program ends: whoever takes over shows it again.
    """
    reply = FormReply(form, desk.texts)
    until = form.expires_at or time.time() + PATIENCE
    await promise.wait(form)
    carriers = promise.carriers
    wanted = partial(reply.wanted, speaker(incoming), until=until, reply_id=promise.reply_id)
    await _keep(wanted(carriers=carriers), incoming, desk)
    card.offer((*reply.buttons, stop_button(desk.texts)))
    card.show(_shown(answer, reply))
    promise.on_hidden = promise.on_carried = ear.wake
    said = ""
    with anyio.move_on_after(max(0.0, until - time.time())) as waiting:
        async with beside(_look, form, desk, waiting) if form.uncertain else nullcontext():
            while not reply.action:
                if promise.is_hidden and said != reply.markdown:  # no card shows the form, or how far it is
                    text = reply.markdown if said or form.remark else _shown(answer, reply)  # what it is about, once
                    said = reply.markdown
                    # The first may be a repetition, by whoever has taken over; those after it are not.
                    await say(incoming, text, desk, occasion=uuid4().hex if promise.sayings else "")
                    promise.sayings += 1
                if promise.carriers != carriers:
                    carriers = promise.carriers
                    await _keep(wanted(carriers=carriers), incoming, desk)
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
                await promise.wait(reply.form)
    if not (reply.action or answer.outcome is Outcome.STOPPED) and anyio.current_time() >= waiting.deadline:
        answer.expire(reply.content)
    await _forget(promise.reply_id, incoming, desk)
    return reply


async def gone_on(
    filled: FormReply, incoming: Incoming, desk: Desk, card: Card, promise: Promise, answer: Answer
) -> AsyncGenerator[Event]:
    """Hand the form in, or see what Dify does because nobody has; yields what happens from then on.

    A form that stays open is asked for again, with what was filled in. Raises a `DifyError` if that were in vain.
    """
    form, ids, user, texts = filled.form, answer.ids, desk.user(incoming), desk.texts
    if filled.action:
        answer.go_on(filled.title)
        events = _noted(desk.source.go_on(form, filled.action, filled.values, ids, user), promise)
    elif answer.waits_for:  # it has turned out that Dify has it
        answer.go_on("")
        events = _noted(desk.source.catch_up(form, ids, user), promise)
    else:
        events = _late(form, ids, user, desk, promise)
    card.offer([stop_button(texts)])
    card.show(answer.markdown)
    await promise.hand_in(form)
    try:
        async with aclosing(events):
            async for event in events:
                yield event
    except FormRefused as exc:
        yield replace(form, remark=texts.form_refused.format(reason=exc.detail))
        yield RunPaused()
    except (FormWaits, *UNCERTAIN) as exc:
        log.warning("form_not_handed_in", message=incoming.message_id, error=str(exc))
        yield replace(form, remark=texts.form_kept, uncertain=True)
        yield RunPaused()
    except FormExpired:
        answer.expire(filled.content)
        card.show(answer.markdown)
        async with aclosing(_late(form, ids, user, desk, promise)) as events:
            async for event in events:
                yield event
    except FormTaken as taken:
        answer.go_on("")
        async with aclosing(_taken(taken, form, ids, user, desk, promise)) as events:
            async for event in events:
                yield event


async def found_again(form: FormRequested, found: OpenReply, desk: Desk, promise: Promise) -> AsyncGenerator[Event]:
    """What became of the form of an earlier process; if it waits, it is asked for again."""
    if not found.form_gone:
        yield form
        yield RunPaused()
        return
    caught_up = _noted(desk.source.catch_up(form, found.ids, desk.user(found.incoming)), promise)
    try:
        async with aclosing(caught_up) as events:
            async for event in events:
                yield event
    except (FormWaits, *UNCERTAIN) as exc:
        log.info("form_found_open", message=found.incoming.message_id, error=str(exc))
        yield replace(form, remark=desk.texts.form_kept, uncertain=True)
        yield RunPaused()


async def _late(form: FormRequested, ids: Identified, user: str, desk: Desk, promise: Promise) -> AsyncGenerator[Event]:
    """What Dify does when a form's time is over: it goes on along a branch of its own, or ends the run, or nothing."""
    try:
        async with aclosing(_noted(desk.source.catch_up(form, ids, user), promise)) as events:
            async for event in events:
                yield event
    except DifyError as exc:  # the card says by now that nobody answered in time
        log.info("form_expired", error=str(exc))
        yield RunPaused()


async def _taken(
    taken: FormTaken, form: FormRequested, ids: Identified, user: str, desk: Desk, promise: Promise
) -> AsyncGenerator[Event]:
    """What follows a form that somebody had handed in before, here with no answer of Dify's or in another way."""
    remarks = [Remark(desk.texts.form_taken)]
    try:
        async with aclosing(_noted(desk.source.catch_up(form, ids, user), promise)) as events:
            async for event in events:
                if remarks and not isinstance(event, Waiting):
                    yield remarks.pop()
                yield event
    except (FormWaits, *UNCERTAIN) as exc:
        log.warning("form_taken_and_not_gone_on", error=str(exc))
        raise taken from exc


async def _noted(events: AsyncGenerator[Event], promise: Promise) -> AsyncGenerator[Event]:
    """The events of a run that goes on: whoever takes over need not look for its form any more."""
    async with aclosing(events):
        async for event in events:
            if not isinstance(event, Waiting):
                promise.went_on()
            yield event


async def _look(form: FormRequested, desk: Desk, waiting: anyio.CancelScope) -> None:
    """Wait no longer when it turns out that a form of which nobody knows it is with Dify after all."""
    while True:
        await anyio.sleep(LOOK_EVERY)
        try:
            if not await desk.source.waits_for(form):
                waiting.cancel()
            return
        except UNCERTAIN as exc:
            log.info("form_not_looked_up", error=str(exc))
        except DifyError as exc:  # whoever hands it in is told
            log.warning("form_not_looked_up", error=str(exc))
            return


async def set_aside(incoming: Incoming, desk: Desk) -> None:
    """What this person types in this chat from now on is no answer to the forms that wait. Raises `StoreError`."""
    if waiting := [replace(one, aside=True) for one in await _waiting(incoming, desk)]:
        await desk.store.keep_conversation(desk.form_key(incoming), kept_of(waiting))


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
