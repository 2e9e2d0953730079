"""The promise that a reply will end: in the store before the card call, kept up to date, gone after the final state."""

import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import anyio
import structlog

from cardbot.answer import Answer
from cardbot.errors import ReplyAdopted, StoreError
from cardbot.events import FormRequested
from cardbot.open_reply import Ending, OpenReply
from cardbot.ports import Store, tell_nobody
from cardbot.quotes import keep

NOTE_EVERY = 5.0
"""Seconds after which an answer that grows is noted although no card shows more of it. Our choice: what kill -9 may
cost of a text that nobody has seen."""

SURE_FOR = 5.0
"""Seconds since the last note for which the reply is certainly still ours. Our choice: a third of the time after which
a replica that gives no sign of life is taken for dead."""

WRITING = 1.5
"""Seconds to wait for a note before the story goes on without it. Our choice: a store that hangs must not cost the
last word of a program that leaves."""

DROP_PAUSES = (0.0, 0.5, 2.0)
"""Seconds before each try to remove a record. Our choice."""

log = structlog.get_logger(__name__)


class Promise:
    """One open reply. What is told to it is in the store soon, or at once where somebody waits for that.

    Implements `ports.Watcher`. Where another process has taken over, `ReplyAdopted` is raised to whoever waits: the
    card must not be touched any more.
    """

    def __init__(self, reply_id: str, reply: OpenReply, store: Store) -> None:
        self.reply_id = reply_id
        self.kept = False
        """Whether the final state is reached: then nobody need take over."""
        self.adopted = False
        self.scope = anyio.CancelScope()
        self.is_hidden = reply.unseen
        """Whether no card shows more of the text before its end, if any shows it then."""
        self.on_hidden: Callable[[], None] = tell_nobody
        """Called when that becomes so; must not wait."""
        self.on_carried: Callable[[], None] = tell_nobody
        """Called when `carriers` are more; must not wait."""
        self.sayings = 0
        """Plain replies in which it was said what there is to be seen before the end."""
        self._reply = reply
        self._answer: Answer | None = None
        self._ended: dict[str, str] = {}
        self._store = store
        self._written: OpenReply | None = None
        self._sure_until = (-math.inf, -math.inf)
        self._news = anyio.Event()
        self._pen = anyio.Lock()  # or an older note might overtake a newer one

    @property
    def asked(self) -> bool:
        """Whether Dify may have been asked."""
        return self._reply.asked

    @property
    def carriers(self) -> frozenset[str]:
        """What quotes of its cards refer to, as far as that is known."""
        return frozenset(self._reply.carriers.values())

    @property
    def waits(self) -> bool:
        """Whether the run waits for a form, as far as anybody here knows."""
        return self._reply.form is not None

    def note(self, answer: Answer) -> None:
        """How far the answer is. Never waits: written when its ids are new, or more of it is shown."""
        self._answer = answer
        if answer.ids is not self._reply.ids:
            self.shown()

    def lost(self) -> None:
        """Nobody sees a card, nor ever will: whoever takes over must not try to finish one. Never waits."""
        self._reply = replace(self._reply, unseen=True)
        self._news.set()
        self.hidden()

    def hidden(self) -> None:
        """What there is to be seen before the end has to reach the person another way. Never waits."""
        if not self.is_hidden:
            self.is_hidden = True
            self.on_hidden()

    def shown(self) -> None:
        """More of the answer is about to be seen: whoever takes over must not show less. Never waits."""
        self._news.set()

    def carried(self, card_id: str, carrier: str) -> None:
        """Whoever takes over has to know what quotes of this card will refer to. Never waits."""
        if carrier:
            self._reply = replace(self._reply, carriers={**self._reply.carriers, card_id: carrier})
            self._news.set()
            self.on_carried()

    def ended(self, card_id: str, markdown: str) -> None:
        """What this card shows in the end is for those who quote it. Never waits: written when the reply is closed."""
        self._ended[card_id] = markdown

    async def is_ours(self) -> bool:
        """Whether no other process has taken over, as one does when this one's machine was suspended."""
        monotonic, wall = self._sure_until
        if not self.adopted and (anyio.current_time() > monotonic or time.time() > wall):
            self._written = None
            with suppress(ReplyAdopted):
                await self._write()
        return not self.adopted

    async def ask(self) -> None:
        """Dify is about to be asked: from now on it is not to be asked again."""
        self._reply = replace(self._reply, asked=True)
        await self._write()

    async def wait(self, form: FormRequested) -> None:
        """The run waits for this form. Whoever takes over waits on."""
        self._reply = replace(self._reply, form=form, form_gone=False)
        await self._write()

    async def hand_in(self, form: FormRequested) -> None:
        """This form is about to be handed in, or its time is over. Whoever takes over asks Dify which it is."""
        self._reply = replace(self._reply, form=form, form_gone=True)
        await self._write()

    def went_on(self) -> None:
        """The run goes on: nobody need look for its form any more. Never waits."""
        if self._reply.form is not None:
            self._reply = replace(self._reply, form=None, form_gone=False)
            self._news.set()

    async def end(self, ending: Ending) -> None:
        """This text is about to be shown as the last one."""
        self._reply = replace(self._reply, ending=ending, form=None, form_gone=False)
        await self._write()

    async def hand_over(self, plain: str) -> None:
        """This text is about to be said in a plain reply."""
        self._reply = replace(self._reply, plain=plain)
        await self._write()

    async def keep_up(self) -> None:
        """Write down what is new, until cancelled."""
        with suppress(ReplyAdopted):
            while True:
                with anyio.move_on_after(NOTE_EVERY):
                    await self._news.wait()
                self._news = anyio.Event()
                await self._write()

    async def begin(self) -> None:
        """Write it down for the first time; not to be interrupted, for its message is acknowledged."""
        with anyio.CancelScope(shield=True):
            await self._write()

    async def close(self) -> None:
        """Remove the record if the promise was kept; otherwise it is for whoever takes over."""
        if not self.kept or self.adopted:
            return
        carriers = self._reply.carriers
        # First: who is killed in between has somebody to do it again.
        await keep(
            {carriers[card]: text for card, text in self._ended.items() if card in carriers},
            self._reply.incoming,
            self._store,
        )
        for pause in DROP_PAUSES:
            await anyio.sleep(pause)
            try:
                await self._store.drop_reply(self.reply_id)
            except StoreError as exc:  # at worst the same last frame is sent again at the next start
                log.error("reply_not_dropped", reply=self.reply_id, error=str(exc))
            else:
                return

    async def _write(self) -> None:
        with anyio.move_on_after(WRITING) as patience:
            async with self._pen:
                await self._write_now()
        if patience.cancelled_caught:
            log.error("reply_not_written", reply=self.reply_id, error=f"not within {WRITING} s")

    async def _write_now(self) -> None:
        if self._answer is not None:
            answer = self._answer
            files = tuple(answer.files.values())
            self._reply = replace(self._reply, ids=answer.ids, text=answer.text, remarks=answer.remarks, files=files)
        reply = self._reply
        if reply == self._written:
            return
        sure_until = anyio.current_time() + SURE_FOR, time.time() + SURE_FOR
        try:
            await self._store.keep_reply(self.reply_id, reply.to_json())
        except ReplyAdopted:
            log.warning("reply_adopted", reply=self.reply_id, message=reply.incoming.message_id)
            self.adopted = True
            self.scope.cancel()
            raise
        except StoreError as exc:  # an answer that cannot be taken over is better than none
            log.error("reply_not_written", reply=self.reply_id, error=str(exc))
        else:
            self._written, self._sure_until = reply, sure_until


@asynccontextmanager
async def promised(reply_id: str, reply: OpenReply, store: Store) -> AsyncGenerator[Promise]:
    """The reply is in the store when the block begins. The block is left at once if another process takes over.

    Raises `ReplyAdopted` if one has done so before.
    """
    promise = Promise(reply_id, reply, store)
    await promise.begin()
    with promise.scope:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(promise.keep_up)
                yield promise
                tasks.cancel_scope.cancel()
        except* ReplyAdopted:
            pass  # the card is another process's
        finally:
            with anyio.CancelScope(shield=True):
                await promise.close()
