"""The promise that a reply will end: in the store before the card call, kept up to date, gone after the final state."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import structlog

from cardbot.answer import Answer
from cardbot.errors import ReplyAdopted, StoreError
from cardbot.open_reply import Ending, OpenReply
from cardbot.ports import Store

NOTE_EVERY = 5.0
"""Seconds after which an answer that grows is noted although no card shows more of it. Our choice: what kill -9 may
cost of a text that nobody has seen."""

log = structlog.get_logger(__name__)


class Promise:
    """One open reply. What is told to it is in the store soon, or at once where somebody waits for that."""

    def __init__(self, reply_id: str, reply: OpenReply, store: Store) -> None:
        self.reply_id = reply_id
        self.kept = False
        """Whether the final state is reached: then nobody need take over."""
        self.adopted = False
        """Whether another process has taken over. Its card must not be touched any more."""
        self.scope = anyio.CancelScope()
        self._reply = reply
        self._answer: Answer | None = None
        self._store = store
        self._written: OpenReply | None = None
        self._news = anyio.Event()
        self._pen = anyio.Lock()  # or an older note might overtake a newer one

    def note(self, answer: Answer) -> None:
        """How far the answer is. Never waits: written when its ids are new, or more of it is shown."""
        self._answer = answer
        if answer.ids is not self._reply.ids:
            self.shown()

    def lost(self) -> None:
        """Nobody sees a card, nor ever will: whoever takes over must not try to finish one. Never waits."""
        self._reply = replace(self._reply, unseen=True)
        self._news.set()

    def shown(self) -> None:
        """More of the answer is about to be seen: whoever takes over must not show less. Never waits."""
        self._news.set()

    async def ask(self) -> None:
        """Dify is about to be asked: from now on it is not to be asked again."""
        self._reply = replace(self._reply, asked=True)
        await self._write()

    async def end(self, ending: Ending) -> None:
        """This text is about to be shown as the last one."""
        self._reply = replace(self._reply, ending=ending)
        await self._write()

    async def hand_over(self, plain: str) -> None:
        """This text is about to be said in a plain reply."""
        self._reply = replace(self._reply, plain=plain)
        await self._write()

    async def keep_up(self) -> None:
        """Write down what is new, until cancelled."""
        while True:
            self._news = anyio.Event()
            with anyio.move_on_after(NOTE_EVERY):
                await self._news.wait()
            await self._write()

    async def close(self) -> None:
        """Remove the record if the promise was kept; otherwise it is for whoever takes over."""
        if not self.kept or self.adopted:
            return
        try:
            await self._store.drop_reply(self.reply_id)
        except StoreError as exc:  # at worst the same last frame is sent again at the next start
            log.error("reply_not_dropped", reply=self.reply_id, error=str(exc))

    async def _write(self) -> None:
        async with self._pen:
            if self._answer is not None:
                self._reply = replace(self._reply, ids=self._answer.ids, text=self._answer.text)
            reply = self._reply
            if reply == self._written or self.adopted:
                return
            try:
                await self._store.keep_reply(self.reply_id, reply.to_json())
                self._written = reply
            except ReplyAdopted:
                log.warning("reply_adopted", reply=self.reply_id, message=reply.incoming.message_id)
                self.adopted = True
                self.scope.cancel()
            except StoreError as exc:  # an answer that cannot be taken over is better than none
                log.error("reply_not_written", reply=self.reply_id, error=str(exc))


@asynccontextmanager
async def promised(reply_id: str, reply: OpenReply, store: Store) -> AsyncGenerator[Promise]:
    """The reply is in the store when the block begins. The block is left at once if another process takes over."""
    promise = Promise(reply_id, reply, store)
    with promise.scope:
        try:
            async with anyio.create_task_group() as tasks:
                await promise._write()
                tasks.start_soon(promise.keep_up)
                yield promise
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await promise.close()
