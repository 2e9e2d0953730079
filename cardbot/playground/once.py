"""One question through the unchanged bot, between a simulated DingTalk and a scripted or real Dify."""

from collections.abc import Callable
from dataclasses import dataclass

import anyio

from cardbot.playground.platform import Platform
from cardbot.playground.world import world
from cardbot.settings import DifySettings
from cardbot.texts import Language

PATIENCE = 1300.0
"""Seconds until an answer is given up here: longer than the bot itself would wait for a real Dify."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a person sees at one moment. `state` is the card's, or `reply` for a plain reply."""

    seconds: float
    state: str
    text: str
    calls: int
    """Calls that the card has cost so far."""

    @property
    def final(self) -> bool:
        """Whether this stays."""
        return self.state in ("done", "failed", "reply")


async def ask_once(
    question: str, dify: DifySettings | None, language: Language, watch: Callable[[Sight], None]
) -> Sight:
    """Ask, call `watch` whenever what is seen changes, and return what stays.

    `dify` names a real app to ask; None asks the scripted one.
    """
    async with world(dify, language) as here:
        platform = here.platform
        began = anyio.current_time()
        await platform.say(question, name="You")
        last = Sight(0.0, "", "", 0)
        while not last.final:
            await platform.wait_for(lambda last=last: _look(platform) != (last.state, last.text), timeout=PATIENCE)  # type: ignore[misc]  # a default argument binds the loop's variable
            state, text = _look(platform)
            last = Sight(anyio.current_time() - began, state, text, _card_calls(platform))
            watch(last)
        return last


def _look(platform: Platform) -> tuple[str, str]:
    """The state and the text on the screen."""
    if platform.replies:
        return "reply", "\n\n".join(reply.text for reply in platform.replies)
    cards = [card for card in platform.cards.values() if card.delivered]
    if not cards:
        return "", ""
    return str(cards[-1].state), "\n\n".join(card.content for card in cards)


def _card_calls(platform: Platform) -> int:
    return sum(call.path.startswith("/v1.0/card/") for call in platform.calls)
