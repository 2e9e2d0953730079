"""Finishes what was left open: at the start by the process before, later by replicas that live no more."""

from collections.abc import Callable

import anyio
import structlog

from cardbot.errors import StoreError, UnreadableReply
from cardbot.open_reply import OpenReply
from cardbot.ports import Store

BEAT_EVERY = 5.0
"""Seconds between two life signs, as the store asks for."""

log = structlog.get_logger(__name__)


async def watch(
    store: Store,
    share: Callable[[int], None],
    resume: Callable[[str, OpenReply], None],
    *,
    leaving: Callable[[], bool],
) -> None:
    """Show that this process lives, tell how many do, and adopt what others left. Never returns.

    `resume` is handed each open reply, and must not wait. Who is `leaving` adopts nothing more.
    """
    while True:
        try:
            share(await store.beat())
            found = {} if leaving() else await store.adopt_replies()
            for reply_id, record in found.items():
                _hand_over(reply_id, record, resume)
        except StoreError as exc:
            log.error("replicas_not_seen", error=str(exc))
        await anyio.sleep(BEAT_EVERY)


def _hand_over(reply_id: str, record: str, resume: Callable[[str, OpenReply], None]) -> None:
    try:
        reply = OpenReply.from_json(record)
    except UnreadableReply as exc:  # left alone: another version of cardbot, which wrote it, may adopt it from us
        log.error("open_reply_unreadable", reply=reply_id, error=str(exc))
        return
    log.info("reply_resumed", reply=reply_id, message=reply.incoming.message_id)
    resume(reply_id, reply)
