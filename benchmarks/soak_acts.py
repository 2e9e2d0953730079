"""What people of a soak do besides asking: they send pictures, stop answers and fill in forms."""

import math
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import anyio

from cardbot.playground.dify.faults import Answer
from cardbot.playground.platform import Platform
from cardbot.playground.platform.cards import Card
from cardbot.playground.platform.endpoint import Json
from cardbot.texts import EN
from tests.faults.catalogue import OfCalls, OfDify, Trouble, answer_to, script
from tests.faults.doors import APPROVE, FORM, NOT_FETCHED, PRESS, approved, asks, bought, form_shown, message, stopped
from tests.faults.judge import Ends, Sight

Doing = Literal["question", "picture", "lost picture", "stop button", "/stop", "form"]

SHARE = 0.3
"""Share of the people who do more than ask. Our choice."""

AFTER = 2.0
"""Seconds after which somebody stops an answer or fills in a form, at most. Our choice: some come too late."""

SLOWLY = 60.0
"""Characters per second of an answer that somebody stops. Our choice: most are stopped amid their text."""

AGAIN = 8.0
"""Seconds after which somebody who sees no effect tries again. Our choice: more than a bot takes to connect anew."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What one person does, and when."""

    doing: Doing
    after: float
    """Seconds after the message, or after the form is seen."""

    @classmethod
    def drawn(cls, chance: random.Random, troubles: Sequence[Trouble]) -> "Deed":
        """One that makes sense beside these troubles."""
        after = chance.uniform(0.0, AFTER)
        if chance.random() >= SHARE:
            return cls("question", after)
        doing: Doing = chance.choice(("picture", "picture", "lost picture", "stop button", "/stop", "form", "form"))
        # Dify says something else than a form then; and a card that refuses all text shows none.
        no_form = any(isinstance(one, OfDify) or _is_mute(one) for one in troubles)
        return cls("question" if doing == "form" and no_form else doing, after)

    def message(self, name: str) -> Json:
        """What this person sends."""
        what = message("picture" if "picture" in self.doing else "stop", name)
        if self.doing == "lost picture":
            items = what["content"]["richText"]
            items[-1] = {**items[-1], "downloadCode": "gone", "pictureDownloadCode": "gone"}
        return what

    def answers(self, name: str, *, cps: float) -> list[Answer]:
        """What Dify says, if nothing goes wrong with it."""
        match self.doing:
            case "form":
                return [asks(name, then=bought(name, cps=cps))]
            case "stop button" | "/stop":
                return [script(name, cps=SLOWLY)]
            case _:
                return [script(name, cps=cps)]

    def ends(self, name: str, ends: Ends) -> Ends:
        """What may stay, where `ends` may for somebody who only asks."""
        match self.doing:
            case "lost picture":
                return {f"{NOT_FETCHED}\n\n{end}": state for end, state in ends.items()}
            case "stop button" | "/stop":
                return {**stopped(answer_to(name)), **ends}
            case "form":
                return approved(name)
            case _:
                return ends

    async def do(
        self, platform: Platform, name: str, *, cards: Callable[[], list[Card]], sight: Callable[[], Sight]
    ) -> None:
        """Do it, until it is done or there is nothing left to do."""
        match self.doing:
            case "stop button":
                await anyio.sleep(self.after)
                await _press(platform, name, cards(), "stop")
            case "/stop":
                await anyio.sleep(self.after)
                await platform.say("/stop", user=name)
            case "form":
                await self._fill_in(platform, name, cards=cards, sight=sight)
            case _:
                pass

    async def _fill_in(
        self, platform: Platform, name: str, *, cards: Callable[[], list[Card]], sight: Callable[[], Sight]
    ) -> None:
        def replied() -> bool:
            return any(FORM in text for text in sight().replies)

        def settled() -> bool:
            return own(sight()).settled

        while not (any(map(form_shown, cards())) or replied() or settled()):  # noqa: ASYNC110 - one look for many people
            await anyio.sleep(AFTER / 4)
        await anyio.sleep(self.after)
        while not settled():
            if replied():
                word = await platform.say(APPROVE, user=name)
                with anyio.move_on_after(AGAIN):
                    while word.ack is None:  # noqa: ASYNC110 - as above
                        await anyio.sleep(AFTER / 4)
                if word.ack is not None:
                    return
            else:
                await _press(platform, name, cards(), PRESS)
                await anyio.sleep(AGAIN)


def own(sight: Sight) -> Sight:
    """Without the plain replies that are no answers: a form, or that there was nothing to stop."""
    replies = [text for text in sight.replies if FORM not in text and text != EN.nothing_to_stop]
    return replace(sight, replies=tuple(replies))


async def _press(platform: Platform, name: str, cards: Sequence[Card], action: str) -> None:
    for card in cards:
        with suppress(ValueError, TimeoutError):  # the button is gone, or the bot just then is not there
            await platform.click(card, action, user=name)


def _is_mute(trouble: Trouble) -> bool:
    return isinstance(trouble, OfCalls) and trouble.slot == "frame" and trouble.times == math.inf
