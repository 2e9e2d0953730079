"""Finds an answer again where Dify keeps it, after a stream that ended without an end, or a restart of ours."""

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

import anyio
import structlog

from cardbot import events
from cardbot.dify.kept import StoredMessage
from cardbot.dify.outputs import likeliest
from cardbot.errors import DifyError

PAUSES = (0.5, 2.0, 5.0, 10.0)
"""Seconds before each look for a stored answer; the last one repeats while a workflow's run may still go on."""

log = structlog.get_logger(__name__)


class Kept(Protocol):
    """What Dify is asked about one answer. Both raise `DifyError`."""

    async def messages(self) -> tuple[StoredMessage, ...]:
        """The newest messages of its conversation."""
        ...

    async def run(self) -> events.RunFinished | events.RunPaused | None:
        """How its run ended, or that it waits for a person; None if it goes on."""
        ...


async def recalled(
    ids: events.Identified,
    kept: Kept,
    *,
    patience: float,
    is_over: Callable[[], bool],
) -> AsyncGenerator[events.Event]:
    """Yield the answer that Dify has kept, or `Interrupted`.

    The run of a chatflow or workflow goes on without its reader from 1.13 on and is stored when it ends, so it is
    worth waiting for; from 1.10 on the run keeps its outputs even where the message is lost. Other apps keep what they
    have at once, or lose it for ever; a completion app shows nothing of what it keeps.

    Args:
        ids: what Dify called the answer. Without a message in a conversation or a run there is no way back to it.
        kept: asks Dify.
        patience: seconds to wait for a run that goes on.
        is_over: whether nobody waits any more.
    """
    waited = 0.0
    tries = 0
    while ids.workflow_run_id or (ids.conversation_id and ids.message_id):
        pause = PAUSES[min(tries, len(PAUSES) - 1)]
        if waited + pause > patience or (tries > 1 and not ids.workflow_run_id):
            break
        await anyio.sleep(pause)
        if is_over():
            break
        waited += pause
        tries += 1
        try:
            found = await _look(ids, kept)
        except DifyError as exc:
            log.warning("dify_recall_failed", error=str(exc))
            continue
        for event in found:
            yield event
        if found:
            return
        if ids.workflow_run_id:
            yield events.Waiting(waited)
    yield events.Interrupted("the stream ended without an end")


async def _look(ids: events.Identified, kept: Kept) -> list[events.Event]:
    """The answer and its end; nothing as long as there is none."""
    message = await _message(ids, kept)
    if message and message.status != "paused" and (message.answer or message.status != "normal"):
        return _as_events(message)
    ending = await kept.run() if ids.workflow_run_id else events.RunPaused()
    if isinstance(ending, events.RunPaused) and ids.conversation_id:
        if message and message.status == "paused" and not message.resumed:
            return _as_events(message)
        return []  # either its message is about to say so, with the form, or it was handed in and is about to go on
    if isinstance(ending, events.RunFinished) and not ids.conversation_id and (whole := likeliest(ending.outputs)):
        return [events.TextReplaced(whole), ending]  # of a workflow, whose text may have been told in part
    return [ending] if ending is not None else []


async def _message(ids: events.Identified, kept: Kept) -> StoredMessage | None:
    if not (ids.conversation_id and ids.message_id):
        return None
    return next((message for message in await kept.messages() if message.id == ids.message_id), None)


def _as_events(message: StoredMessage) -> list[events.Event]:
    endings: list[events.Event]
    match message.status:
        case "error":
            endings = [events.Failed("", message.error)]
        case "paused":
            endings = [*message.forms, events.RunPaused()]
        case _:
            endings = [events.MessageEnded()]
    return [events.TextReplaced(message.answer), *endings] if message.answer else endings
