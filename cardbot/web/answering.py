"""One answer as it comes: listens to Dify, lets others look at any time, and stops Dify when nobody does any more."""

import uuid
from contextlib import aclosing

import anyio
import structlog

from cardbot.errors import CardbotError, DifyError
from cardbot.web.account import Account
from cardbot.web.asking import Desk, Model, asked, dify_user
from cardbot.web.order import Order
from cardbot.web.refusals import Refusal, internal, refusal_of
from cardbot.web.thread import kept, said, thread_key

FAREWELL = 5.0
"""Seconds to stop an answer at Dify that nobody wants any more. Our choice: its first event, which names what to stop,
mostly comes within one."""

log = structlog.get_logger(__name__)


class Answering:
    """One answer. `listen` runs in a task of its own; however slow the reader is, Dify is read at full speed."""

    def __init__(self, order: Order, model: Model, desk: Desk) -> None:
        self.account = Account(model.address)
        self.refusal: Refusal | None = None
        """Why it is no good answer, once that is known."""
        self.begun = anyio.Event()
        """There is something to tell: the answer's first word, or that there is none."""
        self._order = order
        self._model = model
        self._desk = desk
        self._sent = anyio.Event()
        self._named = anyio.Event()
        self._over = anyio.Event()
        self._stirred = anyio.Event()

    @property
    def asked(self) -> bool:
        """Whether Dify may have begun."""
        return self._sent.is_set()

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be told."""
        return self._over.is_set() or self.refusal is not None

    async def listen(self) -> None:
        """Ask, and take in what happens to the end. Raises nothing but cancellation."""
        try:
            async with aclosing(asked(self._order, self._model, self._desk, self._sent.set)) as events:
                async for event in events:
                    self.account.take(event)
                    if self.account.task_id:
                        self._named.set()
                    if not self.begun.is_set() and (self.account.text or self.account.reasoning):
                        self.begun.set()
                    self._stirred.set()
            self._end(self.account.close())
        except CardbotError as exc:
            log.warning("not_answered", model=self._model.name, error=str(exc))
            self._end(refusal_of(exc))
        except Exception:  # one question's failure must not stop the others, and its asker is told
            reference = uuid.uuid4().hex[:8]
            log.exception("answer_failed", model=self._model.name, reference=reference)
            self._end(internal(reference))
        finally:
            self._over.set()
            self._stirred.set()

    def refuse(self, refusal: Refusal) -> None:
        """Nothing more is to be told, for this reason; `part` sees to Dify."""
        if not self.ended:
            self._end(refusal)

    async def stir(self) -> None:
        """Wait until there is more to tell, or the end. For one reader."""
        await self._stirred.wait()
        self._stirred = anyio.Event()

    async def wait(self) -> None:
        """Wait until there is no more to tell."""
        while not self.ended:
            await self.stir()

    async def keep(self, told: str) -> None:
        """Let the chat go on with this conversation, of which its client keeps what it was `told`."""
        conversation, asked = self.account.conversation_id, self._order.thread
        if conversation and asked:
            key = thread_key(self._model.app, self._model.name, said(asked, "assistant", told))
            await kept(conversation, key, self._desk.store)

    async def part(self) -> None:
        """Leave it: what Dify still says is wanted by nobody. Returns at once if it has ended, or was not asked yet."""
        if not self.asked:
            return
        with anyio.move_on_after(FAREWELL):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._stop)
                await self._over.wait()  # read to its end, Dify keeps what was said, for the next question's sake
                tasks.cancel_scope.cancel()

    async def _stop(self) -> None:
        await self._named.wait()
        if self._over.is_set():
            return
        try:
            await self._model.source.stop(self.account.task_id, dify_user(self._order))
        except DifyError as exc:
            log.warning("not_stopped", model=self._model.name, error=str(exc))

    def _end(self, refusal: Refusal | None) -> None:
        self.refusal = self.refusal or refusal
        self.begun.set()
        self._stirred.set()
