"""One bot, one question, some trouble: played to the end over real sockets in virtual time, then judged."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import anyio

from cardbot.playground.dify.faults import Answer
from cardbot.playground.platform import TEMPLATE_ID, Platform
from tests.desk import Desk, desk
from tests.faults.catalogue import NO_CARD, App, Blow, OfCalls, OfDify, Trouble, answer_to, script
from tests.faults.judge import Ends, Sight, objections, sights, whole

ASKER, NEXT = "asker", "next"
"""Who asks amid the trouble, and who asks when a connection was lost and is there again."""

AMID = 0.8
"""Seconds after the message at which a blow strikes. Our choice: the card is there and has its first text."""

PATIENCE = 600.0
"""Seconds until what is not settled counts as never settled. Our choice: they cost nothing, and no way to give up is so
long."""

REDELIVERY = 60.0
"""Seconds after which a message that nobody acknowledged comes again. Seen: public connectors; sources disagree."""


@dataclass(frozen=True, slots=True)
class Case:
    """What goes wrong, together."""

    troubles: tuple[Trouble, ...]
    app: App = "chat"
    template: Literal["own", "public"] = "own"

    def __str__(self) -> str:
        return " + ".join([*(trouble.name for trouble in self.troubles), *self._base()])

    def _base(self) -> list[str]:
        return ["chatflow"] * (self.app == "advanced-chat") + ["public template"] * (self.template == "public")

    @property
    def ends(self) -> Ends:
        """What may stay at the end of the asker's answer."""
        of_dify = [trouble for trouble in self.troubles if isinstance(trouble, OfDify)]
        return of_dify[0].ends_of(ASKER, self.app) if of_dify else whole(answer_to(ASKER))

    @property
    def may_spin(self) -> bool:
        """Whether DingTalk takes no call at all any more."""
        return any(isinstance(trouble, Blow) and trouble.may_spin for trouble in self.troubles)

    @property
    def blows(self) -> list[Blow]:
        """What strikes in the middle."""
        return [trouble for trouble in self.troubles if isinstance(trouble, Blow)]

    @property
    def way(self) -> str:
        """How the answer comes."""
        ways = {"card" if isinstance(trouble, OfDify) else trouble.way for trouble in self.troubles}
        return "reply" if "reply" in ways else "card"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a case."""

    objections: list[str]
    sight: Sight
    unmet: list[str]
    """Faults that were to happen a number of times and did not."""


async def play(case: Case) -> Verdict:
    """Everything of one case, in a world of its own."""
    async with desk(
        platform={"latency": 0.02, "redelivery": REDELIVERY},
        dify={"app": case.app},
        DINGTALK_CARD_TEMPLATE_ID={"own": TEMPLATE_ID, "public": "public"}[case.template],
        CARDBOT_DRAIN_SECONDS=str(PATIENCE),
    ) as world:
        world.dify.default = _answers(case)
        asked = {ASKER}
        for trouble in case.troubles:
            if isinstance(trouble, OfCalls):
                trouble.order(world.platform, ASKER)
        await _ask(world, case)
        if any(blow.slot == "socket" for blow in case.blows):
            await world.platform.wait_for(lambda: world.platform.connections, timeout=PATIENCE)
            await world.platform.say(NEXT, user=NEXT)
            asked.add(NEXT)
        await _settled(world.platform, asked, case)
        if any(blow.slot == "push" for blow in case.blows):
            message = world.platform.pushes[0]
            before = message.acked_at
            await world.platform.push_again(message)
            await world.platform.wait_for(lambda: message.acked_at != before)
    # The bot has left in its own time: nothing is under way any more.
    return _judged(world, asked, case)


async def _ask(world: Desk, case: Case) -> None:
    blows = case.blows
    message = await world.platform.say(ASKER, user=ASKER)
    for blow in blows:
        if blow.at_once:
            await blow.strike(world.platform, message)
    if any(not blow.at_once for blow in blows):
        await anyio.sleep(AMID)
    for blow in blows:
        if not blow.at_once:
            await blow.strike(world.platform, message)


async def _settled(platform: Platform, asked: set[str], case: Case) -> None:
    """Until everybody has an answer and all that was pushed is acknowledged, or never will be."""

    def settled() -> bool:
        seen = sights(platform, asked).values()
        return all(message.ack for message in platform.pushes) and all(
            sight.settled or (case.may_spin and bool(sight.answers)) for sight in seen
        )

    with suppress(TimeoutError):  # the judge says what is missing
        await platform.wait_for(settled, timeout=PATIENCE)


def _judged(world: Desk, asked: set[str], case: Case) -> Verdict:
    platform = world.platform
    seen = sights(platform, asked)
    found = objections(seen[ASKER], case.ends, may_spin=case.may_spin)
    if NEXT in asked:
        found += [f"{NEXT}: {what}" for what in objections(seen[NEXT], whole(answer_to(NEXT)), may_spin=case.may_spin)]
    found += [f"violation: {what}" for what in platform.violations]
    found += [f"never acknowledged: {message.user}" for message in platform.pushes if message.ack is None]
    return Verdict(found, seen[ASKER], [f"{endpoint} {fault}" for endpoint, fault in platform.faults.unused])


def _answers(case: Case) -> Callable[[str], Answer]:
    """Whoever asks is told their own answer, and the asker what the trouble says."""
    of_dify = [trouble for trouble in case.troubles if isinstance(trouble, OfDify)]
    left = list(of_dify[0].answers(ASKER)) if of_dify else [script(ASKER)]

    def answer(question: str) -> Answer:
        if question != ASKER:
            return script(question)
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


def alone(trouble: Trouble) -> Case:
    """One trouble, with what leads to it."""
    match trouble.slot:
        case "webhook":
            return Case((NO_CARD, trouble))
        case "begin" | "close":
            return Case((trouble,), template="public")
        case _:
            return Case((trouble,))
