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

NOTE_EVERY = 1.0
"""Seconds between two notes of an answer that grows. Our choice: what kill -9 may cost of a text that Dify did not
keep; a note costs a fraction of a millisecond."""

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
        self._pen = anyio.Lock()  # or an older note might overtake a newer one

    def note(self, answer: Answer) -> None:
        """How far the answer is. Never waits: the newest is written within a second."""
        self._answer = answer

    async def ask(self) -> None:
        """Dify is about to be asked: from now on it is not to be asked again."""
        self._reply = replace(self._reply, asked=True)
        await self._write()

    async def end(self, ending: Ending) -> None:
        """This text is about to be shown as the last one."""
        self._reply = replace(self._reply, ending=ending)
        await self._write()

    async def keep_up(self) -> None:
        """Write down what is new, until cancelled."""
        while True:
            await self._write()
            await anyio.sleep(NOTE_EVERY)

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
