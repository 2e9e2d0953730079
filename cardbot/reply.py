"""The story of one message: a card appears, Dify's answer is typed into it, and it ends in one visible final state."""

import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Literal

import anyio
import structlog

from cardbot.admission import TOO_OLD
from cardbot.answer import Answer
from cardbot.errors import (
    CardLost,
    ContentRefused,
    DifyBusy,
    DifyError,
    DifyRejected,
    DifyUnauthorized,
    DifyWrongApp,
    DingTalkError,
    DingTalkUnreachable,
    LineFull,
    ReplyAdopted,
    StoreError,
)
from cardbot.events import Event, Identified, TextDelta
from cardbot.messages import ChatKind, Incoming, Question
from cardbot.open_reply import Ending, OpenReply
from cardbot.ports import Card, Cards, ConversationKey, NoCard, Source, Store, Webhook
from cardbot.promise import Promise, promised
from cardbot.texts import Texts

PLAIN_REPLY = 60.0
"""Seconds for a plain reply, in however many messages, with its tries. Our choice."""

LAST_WORD_WHEN_LEAVING = 4.0
"""Seconds for a card's end when the program is being stopped; a card that cannot make it says so before they are over.
Our choice: with the drain before it, less than the 30 s that Kubernetes gives a process."""

USER_LIMIT = 255
"""Characters of Dify's `user`. Seen: a VARCHAR(255) in all versions."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Who takes part in a reply."""

    source: Source
    cards: Cards
    webhook: Webhook
    store: Store
    texts: Texts
    app: str
    """Fingerprint of the Dify app, whose conversations these are."""
    places: anyio.CapacityLimiter
    """How many answers Dify may be giving at once."""
    session: Literal["person", "chat"] = "person"
    """Whose conversation it is in a group: each person's own, or one of the whole chat."""


async def reply(incoming: Incoming, desk: Desk) -> None:
    """Answer one message. Whatever fails, the person sees one final state; nothing is raised but cancellation."""
    reply_id, opened = uuid.uuid4().hex, OpenReply(incoming)
    if sentence := _why_not(incoming, desk.texts):
        await resume(reply_id, replace(opened, plain=sentence), desk)
        return
    async with (
        promised(reply_id, opened, desk.store) as promise,  # written down before anybody can see it
        desk.cards.open(incoming, reply_id, promise) as card,  # the card appears while Dify is being asked
    ):
        await _tell(opened, desk, card, promise)


async def resume(reply_id: str, found: OpenReply, desk: Desk) -> None:
    """Bring to an end what a process that lives no more has left open. Raises nothing but cancellation."""
    if 0 < found.incoming.created_at < time.time() - TOO_OLD:
        found = replace(found, asked=True)  # nobody wants it asked now
    with suppress(ReplyAdopted):
        async with promised(reply_id, found, desk.store) as promise:
            if found.plain is not None:
                promise.kept = await say(found.incoming, found.plain, desk)
                return
            async with _found_card(reply_id, found, desk, promise) as card:
                await _tell(found, desk, card, promise)


def _found_card(reply_id: str, found: OpenReply, desk: Desk, promise: Promise) -> AbstractAsyncContextManager[Card]:
    if found.unseen:
        return nullcontext(NoCard("It was never in the chat."))
    return desk.cards.resume(found.incoming, reply_id, found.text, promise)


async def _tell(opened: OpenReply, desk: Desk, card: Card, promise: Promise) -> None:
    """The story from where it is to its end."""
    answer = Answer(desk.texts)
    try:
        if opened.ending is None:
            await _listen(opened, desk, card, promise, answer)
        await _finish(opened, desk, card, promise, answer)
    except anyio.get_cancelled_exc_class():
        if not promise.adopted:
            with anyio.move_on_after(LAST_WORD_WHEN_LEAVING, shield=True):
                await _finish(opened, desk, card, promise, answer)
        raise


async def _listen(opened: OpenReply, desk: Desk, card: Card, promise: Promise, answer: Answer) -> None:
    """Show the answer as it grows, to its end or its failure."""
    events = _recalled(opened, desk) if opened.asked else _asked(opened.incoming, desk, card, promise)
    try:
        async with aclosing(events):
            async for event in events:
                answer.apply(event)
                card.show(answer.markdown)  # never waits; the newest text wins
                promise.note(answer)
    except ReplyAdopted:
        raise
    except LineFull as exc:
        log.warning("line_full", message=opened.incoming.message_id, error=str(exc))
        answer.refuse(desk.texts.line_full)
    except DifyError as exc:
        log.error("dify_refused", message=opened.incoming.message_id, error=str(exc))
        answer.refuse(_excuse(exc, desk.texts))
    except Exception:  # one message's failure must not stop the bot, nor leave its card without an end
        reference = uuid.uuid4().hex[:8]
        log.exception("reply_failed", message=opened.incoming.message_id, reference=reference)
        answer.refuse(desk.texts.internal.format(reference=reference))


async def _asked(incoming: Incoming, desk: Desk, card: Card, promise: Promise) -> AsyncGenerator[Event]:
    """What happens while Dify answers, when it is this message's turn; keeps the conversation to go on with."""
    whose = _whose(incoming, desk)
    key = ConversationKey(desk.app, incoming.robot_code, incoming.chat.id, whose)
    async with _turn(key, desk, card), _place(desk, card):
        conversation = await _conversation(key, desk.store)
        await promise.ask()
        question = Question(incoming.text, _user(incoming, whose), conversation)
        async with aclosing(desk.source.ask(question)) as events:
            async for event in events:
                if isinstance(event, Identified) and event.conversation_id not in ("", conversation):
                    conversation = event.conversation_id
                    await _keep(key, conversation, desk.store)
                yield event


async def _recalled(found: OpenReply, desk: Desk) -> AsyncGenerator[Event]:
    """What was known of an answer, then what Dify has kept of it."""
    yield found.ids
    yield TextDelta(found.text)
    user = _user(found.incoming, _whose(found.incoming, desk))
    async with aclosing(desk.source.recall(found.ids, user)) as events:
        async for event in events:
            yield event


async def _finish(opened: OpenReply, desk: Desk, card: Card, promise: Promise, answer: Answer) -> None:
    """Bring the card to its end, or the same text to the person another way. May be called again if cancelled."""
    answer.close()
    incoming, ending = opened.incoming, opened.ending or Ending(answer.markdown, answer.failed)
    await promise.end(ending)
    try:
        if ending.failed:
            await card.fail(ending.markdown)
        else:
            await card.finish(ending.markdown)
        log.info("answered", message=incoming.message_id, outcome=answer.outcome, by="card")
    except CardLost as lost:  # as much of the text as no card shows, as a plain reply
        log.warning("card_lost", message=incoming.message_id, error=str(lost))
        await promise.hand_over(lost.unseen)
        promise.kept = await say(incoming, lost.unseen, desk)
    except Exception:  # a fault of ours in the card must not cost the answer
        log.exception("card_broke", message=incoming.message_id)
        await promise.hand_over(ending.markdown)
        promise.kept = await say(incoming, ending.markdown, desk)
    else:
        promise.kept = True


async def say(incoming: Incoming, markdown: str, desk: Desk) -> bool:
    """Deliver a plain reply; not to be interrupted half-way, for nobody could say how much of it arrived.

    Returns whether that is settled: false if DingTalk could not be reached, so that the next start tries again.
    """
    left = anyio.current_effective_deadline() - anyio.current_time()
    with anyio.move_on_after(min(PLAIN_REPLY, max(LAST_WORD_WHEN_LEAVING, left)), shield=True) as patience:
        try:
            try:
                await desk.webhook.send(incoming, markdown)
            except ContentRefused as exc:
                log.warning("content_refused", message=incoming.message_id, error=str(exc))
                await desk.webhook.send(incoming, desk.texts.withheld)
            log.info("answered", message=incoming.message_id, by="webhook")
        except DingTalkError as exc:
            log.error("reply_lost", message=incoming.message_id, error=str(exc))
            return not isinstance(exc, DingTalkUnreachable)
        except Exception:  # one message's failure must not stop the bot
            log.exception("reply_lost", message=incoming.message_id)
    if patience.cancelled_caught:
        log.error("reply_lost", message=incoming.message_id, error="not delivered in time")
    return not patience.cancelled_caught


@asynccontextmanager
async def _turn(key: ConversationKey, desk: Desk, card: Card) -> AsyncGenerator[None]:
    """Answers of one conversation come one after the other; who waits sees so."""
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(desk.store.turn(key, lambda: card.show(desk.texts.in_line)))
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


async def _conversation(key: ConversationKey, store: Store) -> str:
    try:
        return await store.conversation(key)
    except StoreError as exc:  # an answer without memory is better than none
        log.error("conversation_not_read", error=str(exc))
        return ""


async def _keep(key: ConversationKey, conversation: str, store: Store) -> None:
    try:
        await store.keep_conversation(key, conversation)
    except StoreError as exc:
        log.error("conversation_not_kept", error=str(exc))


def _whose(incoming: Incoming, desk: Desk) -> str:
    """Whose conversation with Dify it is: the person's, or in a group that shares one, the chat's."""
    if desk.session == "chat" and incoming.chat.kind is ChatKind.GROUP:
        return incoming.chat.id
    return incoming.sender.staff_id or incoming.sender.id


def _user(incoming: Incoming, whose: str) -> str:
    """Dify's `user`, to whom it ties a conversation."""
    return f"dingtalk:{incoming.sender.corp_id}:{whose}"[:USER_LIMIT]


def _why_not(incoming: Incoming, texts: Texts) -> str:
    """What to say to a message that asks nothing which can be answered."""
    if incoming.text:
        return ""
    return texts.empty if incoming.kind == "text" else texts.text_only


def _excuse(error: DifyError, texts: Texts) -> str:
    """What the person is told. What the admin has to do is in the log."""
    match error:
        case DifyBusy():
            return texts.busy
        case DifyUnauthorized() | DifyWrongApp():
            return texts.misconfigured
        case DifyRejected():
            return texts.failed.format(reason=error.detail or error.code)
        case _:
            return texts.unavailable
