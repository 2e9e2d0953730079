"""The story of one message: a card appears, Dify's answer is typed into it, and it ends in one visible final state."""

import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext, suppress
from dataclasses import dataclass, field, replace

import anyio
import structlog

from cardbot.admission import TOO_OLD
from cardbot.answer import Answer, Outcome
from cardbot.asking import asked
from cardbot.beside import beside
from cardbot.desk import Desk, speaker
from cardbot.errors import (
    CardLost,
    DifyBusy,
    DifyError,
    DifyRejected,
    DifyUnauthorized,
    DifyWrongApp,
    FileNeeded,
    FormClosed,
    LineFull,
    QuestionTooLong,
    ReplyAdopted,
)
from cardbot.events import Event, Remark, TextDelta
from cardbot.messages import Incoming
from cardbot.open_reply import Ending, OpenReply
from cardbot.pausing import filled_in, found_again, gone_on
from cardbot.ports import STOP, Card, NoCard
from cardbot.promise import Promise, promised
from cardbot.saying import LAST_WORD_WHEN_LEAVING, say
from cardbot.texts import Texts
from cardbot.words import Ear, Leaving

STOPPING = 5.0
"""Seconds that Dify gets to end an answer that somebody stopped, while what it still sends is read: it keeps the part
that was shown only then. Seen: a stream ends 0.1 to 1 s after the stop; a chat app tells how to stop it no sooner than
with its first word."""

log = structlog.get_logger(__name__)


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
        await Story(opened, desk, card, promise, Answer(desk.texts, base=desk.base)).tell()


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
                await Story(found, desk, card, promise, Answer(desk.texts, base=desk.base)).tell()


def _found_card(reply_id: str, found: OpenReply, desk: Desk, promise: Promise) -> AbstractAsyncContextManager[Card]:
    if found.unseen:
        return nullcontext(NoCard("It was never in the chat."))
    return desk.cards.resume(found.incoming, reply_id, found.text, promise, known=found.carriers)


@dataclass(frozen=True, slots=True)
class Story:
    """One reply under way."""

    opened: OpenReply
    desk: Desk
    card: Card
    promise: Promise
    answer: Answer
    named: anyio.Event = field(default_factory=anyio.Event)
    """Dify has said by which name the answer can be stopped."""

    async def tell(self) -> None:
        """From where it is to its end."""
        try:
            if self.opened.ending is None:
                incoming = self.opened.incoming
                addresses = self.promise.reply_id, self.desk.address(incoming)
                with self.desk.words.heard_at(*addresses, since=incoming.created_at, person=speaker(incoming)) as ear:
                    await self._listen(ear)
            await self._finish()
        except Leaving:
            await self._leave()
        except anyio.get_cancelled_exc_class():
            await self._leave()
            raise

    async def _leave(self) -> None:
        """The program ends. A form is left for the next process to wait for; everything else ends now."""
        if self.promise.waits and self.desk.store.lasts:
            log.info("form_left", message=self.opened.incoming.message_id)
        elif not self.promise.adopted:
            with anyio.move_on_after(LAST_WORD_WHEN_LEAVING, shield=True):
                await self._finish()

    async def _listen(self, ear: Ear) -> None:
        """Show the answer as it grows, to its end or its failure. A run that waits for a person goes on here."""
        answer, desk, incoming = self.answer, self.desk, self.opened.incoming
        try:
            begun = self.opened.asked
            await self._follow(self._known() if begun else asked(incoming, desk, self.card, self.promise), ear)
            while form := answer.waits_for:
                filled = await filled_in(form, incoming, desk, self.card, self.promise, answer, ear)
                if answer.outcome is Outcome.STOPPED:
                    await self._stop_at_dify()
                    return
                await self._follow(gone_on(filled, incoming, desk, self.card, self.promise, answer), ear)
        except (ReplyAdopted, Leaving):
            raise
        except LineFull as exc:
            log.warning("line_full", message=incoming.message_id, error=str(exc))
            answer.refuse(desk.texts.line_full)
        except DifyError as exc:
            log.error("dify_refused", message=incoming.message_id, error=str(exc))
            answer.refuse(_excuse(exc, desk.texts))
        except Exception:  # one message's failure must not stop the bot, nor leave its card without an end
            reference = uuid.uuid4().hex[:8]
            log.exception("reply_failed", message=incoming.message_id, reference=reference)
            answer.refuse(desk.texts.internal.format(reference=reference))

    async def _follow(self, events: AsyncGenerator[Event], ear: Ear) -> None:
        """Show what happens until nothing more does, or somebody has stopped it."""
        with anyio.CancelScope() as following:
            async with beside(self._heed, ear, following), aclosing(events):
                async for event in events:
                    self.answer.apply(event)
                    self.card.show(self.answer.markdown)  # never waits; the newest text wins
                    self.promise.note(self.answer)
                    if self.answer.ids.task_id:
                        self.named.set()

    async def _heed(self, ear: Ear, following: anyio.CancelScope) -> None:
        """Stop the answer when whoever asked says so: at once to look at, and at Dify as soon as it can be told."""
        incoming, answer = self.opened.incoming, self.answer
        try:
            while (await ear.next()).action != STOP:
                pass
        except Leaving:
            return  # it may come to its end yet
        log.info("stopped", message=incoming.message_id)
        answer.stop()
        self.card.show(answer.markdown)
        with anyio.move_on_after(STOPPING if self.promise.asked else 0):
            await self.named.wait()
            await self._stop_at_dify()
            await anyio.sleep_forever()
        following.cancel()

    async def _stop_at_dify(self) -> None:
        incoming = self.opened.incoming
        try:
            await self.desk.source.stop(self.answer.ids.task_id, self.desk.user(incoming))
        except DifyError as exc:
            log.warning("dify_not_stopped", message=incoming.message_id, error=str(exc))

    async def _known(self) -> AsyncGenerator[Event]:
        """What was known of an answer, then what it waits for, or what Dify has kept of it."""
        found, desk = self.opened, self.desk
        yield found.ids
        for remark in found.remarks:
            yield Remark(remark)
        for file in found.files:
            yield file
        yield TextDelta(found.text)
        if found.form is not None:
            kept = found_again(found.form, found, desk, self.promise)
        else:
            kept = desk.source.recall(found.ids, desk.user(found.incoming))
        async with aclosing(kept) as events:
            async for event in events:
                yield event

    async def _finish(self) -> None:
        """Bring the card to its end, or the same text to the person another way. May be called again if cancelled."""
        self.answer.close()
        incoming, desk, promise = self.opened.incoming, self.desk, self.promise
        ending = self.opened.ending or Ending(self.answer.markdown, self.answer.failed)
        await promise.end(ending)
        try:
            if ending.failed:
                await self.card.fail(ending.markdown)
            else:
                await self.card.finish(ending.markdown)
            log.info("answered", message=incoming.message_id, outcome=self.answer.outcome, by="card")
        except CardLost as lost:  # as much of the text as no card shows, as a plain reply
            tell = log.info if isinstance(self.card, NoCard) else log.warning  # nobody expected that one
            tell("card_lost", message=incoming.message_id, error=str(lost))
            await promise.hand_over(lost.unseen)
            promise.kept = await say(incoming, lost.unseen, desk)
        except Exception:  # a fault of ours in the card must not cost the answer
            log.exception("card_broke", message=incoming.message_id)
            await promise.hand_over(ending.markdown)
            promise.kept = await say(incoming, ending.markdown, desk)
        else:
            promise.kept = True


def _why_not(incoming: Incoming, texts: Texts) -> str:
    """What to say to a message that asks nothing which can be answered."""
    if incoming.text or incoming.attachments or incoming.quoted or incoming.quoted_card:
        return ""
    return texts.empty if incoming.kind in ("text", "assistant") else texts.unreadable


def _excuse(error: DifyError, texts: Texts) -> str:
    """What the person is told. What the admin has to do is in the log."""
    match error:
        case DifyBusy():
            return texts.busy
        case QuestionTooLong():
            return texts.too_long.format(limit=error.limit)
        case FileNeeded():
            return texts.file_needed
        case FormClosed():
            return texts.form_closed
        case DifyUnauthorized() | DifyWrongApp():
            return texts.misconfigured
        case DifyRejected():
            return texts.failed.format(reason=error.detail or error.code)
        case _:
            return texts.unavailable
