"""The story of one message: a card appears, Dify's answer is typed into it, and it ends in one visible final state."""

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import anyio
import structlog

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
    StoreError,
)
from cardbot.events import Event, Identified
from cardbot.messages import Incoming, Question
from cardbot.ports import Card, Cards, ConversationKey, Source, Store, Webhook
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


async def reply(incoming: Incoming, desk: Desk) -> None:
    """Answer one message. Whatever fails, the person sees one final state; nothing is raised but cancellation."""
    if sentence := _why_not(incoming, desk.texts):
        await _send(incoming, sentence, desk)
        return
    async with desk.cards.open(incoming) as card:  # the card appears while Dify is being asked
        answer = Answer(desk.texts)
        try:
            await _listen(incoming, desk, card, answer)
            await _finish(incoming, desk, card, answer)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(LAST_WORD_WHEN_LEAVING, shield=True):
                await _finish(incoming, desk, card, answer)
            raise


async def _listen(incoming: Incoming, desk: Desk, card: Card, answer: Answer) -> None:
    """Show the answer as it grows, to its end or its failure."""
    try:
        async with aclosing(_answers(incoming, desk)) as events:
            async for event in events:
                answer.apply(event)
                card.show(answer.markdown)  # never waits; the newest text wins
    except DifyError as exc:
        log.error("dify_refused", message=incoming.message_id, error=str(exc))
        answer.refuse(_excuse(exc, desk.texts))
    except Exception:  # one message's failure must not stop the bot, nor leave its card without an end
        reference = uuid.uuid4().hex[:8]
        log.exception("reply_failed", message=incoming.message_id, reference=reference)
        answer.refuse(desk.texts.internal.format(reference=reference))


async def _answers(incoming: Incoming, desk: Desk) -> AsyncGenerator[Event]:
    """What happens while Dify answers, when it is this message's turn; keeps the conversation to go on with."""
    sender = incoming.sender
    person = sender.staff_id or sender.id
    key = ConversationKey(desk.app, incoming.robot_code, incoming.chat.id, person)
    user = f"dingtalk:{sender.corp_id}:{person}"[:USER_LIMIT]
    async with desk.store.turn(key):
        conversation = await _conversation(key, desk.store)
        async with aclosing(desk.source.ask(Question(incoming.text, user, conversation))) as events:
            async for event in events:
                if isinstance(event, Identified) and event.conversation_id not in ("", conversation):
                    conversation = event.conversation_id
                    await _keep(key, conversation, desk.store)
                yield event


async def _finish(incoming: Incoming, desk: Desk, card: Card, answer: Answer) -> None:
    """Bring the card to its end, or the same text to the person another way. May be called again if cancelled."""
    answer.close()
    markdown = answer.markdown
    try:
        if answer.failed:
            await card.fail(markdown)
        else:
            await card.finish(markdown)
        log.info("answered", message=incoming.message_id, outcome=answer.outcome, by="card")
    except CardLost as lost:  # as much of the text as no card shows, as a plain reply
        log.warning("card_lost", message=incoming.message_id, error=str(lost))
        await _send(incoming, lost.unseen, desk)
    except Exception:  # a fault of ours in the card must not cost the answer
        log.exception("card_broke", message=incoming.message_id)
        await _send(incoming, markdown, desk)


async def _send(incoming: Incoming, markdown: str, desk: Desk) -> None:
    """Deliver a plain reply; not to be interrupted half-way, for nobody could say how much of it arrived."""
    with anyio.move_on_after(PLAIN_REPLY, shield=True) as patience:
        try:
            try:
                await desk.webhook.send(incoming, markdown)
            except ContentRefused as exc:
                log.warning("content_refused", message=incoming.message_id, error=str(exc))
                await desk.webhook.send(incoming, desk.texts.withheld)
            log.info("answered", message=incoming.message_id, by="webhook")
        except DingTalkError as exc:
            log.error("reply_lost", message=incoming.message_id, error=str(exc))
        except Exception:  # one message's failure must not stop the bot
            log.exception("reply_lost", message=incoming.message_id)
    if patience.cancelled_caught:
        log.error("reply_lost", message=incoming.message_id, error=f"not delivered within {PLAIN_REPLY:.0f} s")


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
