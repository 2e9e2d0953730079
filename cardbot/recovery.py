"""Finishes what was left open: at the start by the process before, later by replicas that live no more."""

from collections.abc import Callable

import anyio
import structlog

from cardbot.errors import StoreError, UnreadableReply
from cardbot.open_reply import OpenReply
from cardbot.ports import Cards, Store

BEAT_EVERY = 5.0
"""Seconds between two life signs, as the store asks for."""

log = structlog.get_logger(__name__)


async def watch(store: Store, cards: Cards, resume: Callable[[str, OpenReply], None]) -> None:
    """Show that this process lives, share the calls with those that do, and adopt what others left. Never returns.

    `resume` is handed each open reply, and must not wait.
    """
    while True:
        try:
            cards.share(await store.beat())
            for reply_id, record in (await store.adopt_replies()).items():
                await _hand_over(reply_id, record, store, resume)
        except StoreError as exc:
            log.error("replicas_not_seen", error=str(exc))
        await anyio.sleep(BEAT_EVERY)


async def _hand_over(reply_id: str, record: str, store: Store, resume: Callable[[str, OpenReply], None]) -> None:
    try:
        reply = OpenReply.from_json(record)
    except UnreadableReply as exc:  # as another version may have left it; nobody will ever read it
        log.error("open_reply_unreadable", reply=reply_id, error=str(exc))
        await store.drop_reply(reply_id)
        return
    log.info("reply_resumed", reply=reply_id, message=reply.incoming.message_id)
    resume(reply_id, reply)
