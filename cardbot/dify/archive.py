"""What Dify keeps of one app's answers: messages of conversations, and runs."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

import structlog

from cardbot import events
from cardbot.dify.connection import Connection
from cardbot.dify.kept import StoredMessage, finished_run, stored_messages
from cardbot.dify.recall import recalled
from cardbot.dify.wire import Outputs
from cardbot.errors import DifyError

log = structlog.get_logger(__name__)


class Archive:
    """Asked when a stream did not bring everything.

    Args:
        connection: Asks Dify.
        outputs: Chooses those of a run that are its answer.
        patience: Seconds to wait for a run that goes on.
        is_over: Whether nobody waits any more.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        outputs: Callable[[], Awaitable[Outputs]],
        patience: float,
        is_over: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._outputs = outputs
        self._patience = patience
        self._is_over = is_over

    async def messages(self, conversation_id: str, user: str) -> tuple[StoredMessage, ...]:
        """The newest turns of a conversation, oldest first. Raises `ConversationGone` for an unknown one."""
        params = {"conversation_id": conversation_id, "user": user, "limit": "5"}
        return stored_messages((await self._connection.request("GET", "messages", params=params)).content)

    async def run(self, run_id: str) -> events.RunFinished | events.RunPaused | None:
        """How a chatflow's or workflow's run ended, or that it waits; None as long as it goes on."""
        response = await self._connection.request("GET", f"workflows/run/{run_id}")
        return finished_run(response.content, await self._outputs())

    async def answer(self, ids: events.Identified, user: str) -> str:
        """The answer as it is kept now; nothing where no messages are kept, or Dify does not tell."""
        try:
            message = await self.message(ids, user)
        except DifyError as exc:
            log.warning("dify_answer_not_looked_up", error=str(exc))
            return ""
        return message.answer if message else ""

    async def message(self, ids: events.Identified, user: str) -> StoredMessage | None:
        """The message that these ids name; None where no messages are kept. Raises `DifyError`."""
        if not (ids.conversation_id and ids.message_id):
            return None
        kept = await self.messages(ids.conversation_id, user)
        return next((message for message in kept if message.id == ids.message_id), None)

    def recall(self, ids: events.Identified, user: str) -> AsyncGenerator[events.Event]:
        """Look for an answer that broke off; see `dify.recall`."""
        return recalled(ids, _Kept(self, ids, user), patience=self._patience, is_over=self._is_over)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What there is to ask about one answer. Implements `recall.Kept`."""

    archive: Archive
    ids: events.Identified
    user: str

    async def messages(self) -> tuple[StoredMessage, ...]:
        return await self.archive.messages(self.ids.conversation_id, self.user)

    async def run(self) -> events.RunFinished | events.RunPaused | None:
        return await self.archive.run(self.ids.workflow_run_id)
