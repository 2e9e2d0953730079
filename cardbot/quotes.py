"""What cards show in the end: kept for a while, so that whoever quotes a card need not repeat what it says.

DingTalk mostly sends no text of a quoted card, only a key. Forgetting a conversation leaves the texts alone: who quotes
a card points at what everybody in the chat still sees.
"""

from collections.abc import Mapping
from dataclasses import replace

import anyio
import structlog

from cardbot.errors import StoreError
from cardbot.messages import Incoming
from cardbot.ports import CardKey, Store
from cardbot.surrogates import mended

KEPT_CHARACTERS = 8_000
"""Characters of a card's text that are kept. Our choice: about as many tokens at worst, a quarter of what a small model
reads at once, and the question, its conversation and the answer need room too; few answers are longer."""

CUT = "…"
"""Stands at the end of a text of which not all was kept."""

KEEPING = 1.5
"""Seconds for the texts of one answer. Our choice: a store that hangs must not hold up a program that leaves."""

LOOKS = (0.0, 0.5, 1.0, 2.0)
"""Seconds before each look for a text that is not known. Our choice: who quotes a card while it is typed stands in line
behind it, and has their turn when Dify has ended, which is a moment before the card has its last text."""

log = structlog.get_logger(__name__)


async def keep(shown: Mapping[str, str], incoming: Incoming, store: Store) -> None:
    """Keep what the cards of the answer to this message show, by what quotes of them refer to. Raises nothing."""
    try:
        with anyio.move_on_after(KEEPING) as patience:
            for carrier, text in shown.items():
                await store.keep_shown(_key(carrier, incoming), _kept(text))
    except StoreError as exc:  # a quote of it will say nothing, as of a card that is too old
        log.warning("shown_text_not_kept", message=incoming.message_id, error=str(exc))
    else:
        if patience.cancelled_caught:
            log.warning("shown_text_not_kept", message=incoming.message_id, error=f"not within {KEEPING} s")


async def with_quote(incoming: Incoming, store: Store) -> Incoming:
    """The message with the text of the card that it quotes; as it is, where DingTalk sent that or nobody knows it."""
    if not incoming.quoted_card:
        return incoming
    try:
        for pause in LOOKS:
            await anyio.sleep(pause)
            if text := await store.shown(_key(incoming.quoted_card, incoming)):
                return replace(incoming, quoted=text)
    except StoreError as exc:
        log.error("shown_text_not_read", message=incoming.message_id, error=str(exc))
    else:
        log.info("quote_unknown", message=incoming.message_id)
    return incoming


def _key(carrier: str, incoming: Incoming) -> CardKey:
    """Of this robot and this chat: a card is for those who see it there."""
    return CardKey(incoming.robot_code, incoming.chat.id, carrier)


def _kept(text: str) -> str:
    whole = mended(text)
    return whole if len(whole) <= KEPT_CHARACTERS else whole[: KEPT_CHARACTERS - len(CUT)] + CUT
