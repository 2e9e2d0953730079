"""Plain replies: delivered, or known to be in nobody's hands."""

import anyio
import structlog

from cardbot.desk import Desk
from cardbot.errors import ContentRefused, DingTalkError, DingTalkUnreachable
from cardbot.messages import Incoming

PLAIN_REPLY = 60.0
"""Seconds for a plain reply, in however many messages, with its tries. Our choice."""

LAST_WORD_WHEN_LEAVING = 4.0
"""Seconds for a card's end when the program is being stopped; a card that cannot make it says so before they are over.
Our choice: with the drain before it, less than the 30 s that Kubernetes gives a process."""

log = structlog.get_logger(__name__)


async def say(incoming: Incoming, markdown: str, desk: Desk, *, occasion: str = "") -> bool:
    """Deliver a plain reply; not to be interrupted half-way, for nobody could say how much of it arrived.

    `occasion` sets it apart from the same text said before.

    Returns whether that is settled: false if DingTalk could not be reached, so that the next start tries again.
    """
    left = anyio.current_effective_deadline() - anyio.current_time()
    with anyio.move_on_after(min(PLAIN_REPLY, max(LAST_WORD_WHEN_LEAVING, left)), shield=True) as patience:
        try:
            try:
                await desk.webhook.send(incoming, markdown, occasion=occasion)
            except ContentRefused as exc:
                log.warning("content_refused", message=incoming.message_id, error=str(exc))
                await desk.webhook.send(incoming, desk.texts.withheld, occasion=occasion)
            log.info("answered", message=incoming.message_id, by="webhook")
        except DingTalkError as exc:
            log.error("reply_lost", message=incoming.message_id, error=str(exc))
            return not isinstance(exc, DingTalkUnreachable)
        except Exception:  # one message's failure must not stop the bot
            log.exception("reply_lost", message=incoming.message_id)
    if patience.cancelled_caught:
        log.error("reply_lost", message=incoming.message_id, error="not delivered in time")
    return not patience.cancelled_caught
