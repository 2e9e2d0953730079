"""The world of a soak: people who ask at a steady rate, calls that fail at random, and a judge at the end."""

import math
import os
import random
import re
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

import anyio
from anyio.abc import Process

from benchmarks.soak_acts import Deed, own
from benchmarks.soak_troubles import CUT, ELSE, EVERYBODY, ONE_MESSAGE, SQUEEZE, of_what, takes
from cardbot.playground.dify import FakeDify
from cardbot.playground.dify.faults import Answer
from cardbot.playground.platform import Platform
from cardbot.playground.platform.cards import Card
from cardbot.playground.platform.endpoint import Json
from cardbot.playground.platform.incoming import direct_conversation
from cardbot.playground.platform.ledger import Reply
from cardbot.playground.platform.pushes import Message
from cardbot.texts import EN
from tests.desk import WEBHOOK
from tests.faults.catalogue import CALLS, EXPIRED, NO_CARD, App, Blow, OfCalls, OfDify, Trouble, answer_to
from tests.faults.doors import UPLOADS, stock
from tests.faults.judge import Ends, Sight, objections, owner, sights, whole
from tests.faults.processes import START, cardbot_run, settings

APP: App = "advanced-chat"
"""What answers. Our choice: of the apps it says most, and keeps what a broken stream lost."""

CALLS_PER_SECOND = 1000
"""What the simulated DingTalk lets through, and the bot makes use of: the soak is about faults, not about pacing."""

SPEED = 400.0
"""Characters per second of an answer. Our choice: ten thousand answers are to fit into ten minutes."""

LOOK = 0.25
"""Seconds between two looks at what people see."""

PATIENCE = 180.0
"""Seconds until what is not settled counts as never settled. Our choice: twice the longest way to give a card up."""

APART = 70.0
"""Seconds between two blows after which the bot goes slow for a while, at least: more than it takes to forget one."""


@dataclass(slots=True)
class Person:
    """One who asks, and what is to go wrong."""

    name: str
    troubles: tuple[Trouble, ...]
    answers: list[Answer]
    left: dict[OfCalls, float]
    """Calls for this person that are still to fail."""
    deed: Deed
    message: Message | None = None

    @property
    def ends(self) -> Ends:
        """What may stay at the end."""
        of_dify = [trouble for trouble in self.troubles if isinstance(trouble, OfDify)]
        ends = of_dify[0].ends_of(self.name, APP) if of_dify else whole(answer_to(self.name))
        return self.deed.ends(self.name, ends)


@dataclass(slots=True)
class Soaked:
    """What a soak came to. Sizes in MB (10⁶ bytes)."""

    messages: int = 0
    unacknowledged: int = 0
    """Messages that never reached the bot: pushed into a connection that was being cut, three times."""
    faults: Counter[str] = field(default_factory=Counter)
    deeds: Counter[str] = field(default_factory=Counter)
    """What people did."""
    finals: Counter[str] = field(default_factory=Counter)
    objections: list[str] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds of CPU of the bot."""


class Soak:
    """One soak: `messages` people, a share of whom meets a fault, `rate` a second."""

    def __init__(self, platform: Platform, dify: FakeDify, *, messages: int, faults: float, rate: float, seed: int):
        self._platform = platform
        self._dify = dify
        self._chance = random.Random(seed)
        self._faults = faults
        self._rate = rate
        pool = [one for one in ONE_MESSAGE if takes(one) <= max(ELSE, messages / rate)]  # or the end is only waiting
        self._people = {f"u{number}": self._person(f"u{number}", pool) for number in range(messages)}
        self._open: dict[str, Person] = {}
        self._all_asked = False
        self._over = anyio.Event()
        self._cards: defaultdict[str, list[Card]] = defaultdict(list)
        self._replies: defaultdict[str, list[Reply]] = defaultdict(list)
        self._looked_at = [0, 0]  # so many cards and replies are in there
        dify.default = self._answer
        for trouble in {one for person in self._people.values() for one in person.left}:
            endpoint, _ = CALLS[trouble.slot]
            platform.faults.add(endpoint, trouble.fault, times=math.inf, when=partial(self._strikes, trouble))

    def _person(self, name: str, pool: list[Trouble]) -> Person:
        troubles: tuple[Trouble, ...] = ()
        if self._chance.random() < self._faults:
            # First what it befalls, then how: or the many kinds of failing calls would leave no room for others.
            slot = self._chance.choice(sorted({one.slot for one in pool}))
            troubles = (self._chance.choice([one for one in pool if one.slot == slot]),)
            if slot == "webhook":
                troubles = (NO_CARD, *troubles)
        of_dify = [one for one in troubles if isinstance(one, OfDify)]
        deed = Deed.drawn(self._chance, troubles)
        answers: list[Answer] = [*of_dify[0].answers(name)] if of_dify else deed.answers(name, cps=SPEED)
        return Person(name, troubles, answers, {one: one.times for one in troubles if isinstance(one, OfCalls)}, deed)

    async def play(self, process: Process, report: Soaked) -> None:
        """Ask everything, and wait until everybody has an answer or will not get one any more."""
        began = time.monotonic()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch)
            tasks.start_soon(self._blows, report)
            tasks.start_soon(_weigh, process.pid, report)
            for number, person in enumerate(self._people.values()):
                await anyio.sleep(max(0.0, began + number / self._rate - time.monotonic()))
                await self._platform.wait_for(lambda: self._platform.connections, timeout=START)
                message = await self._ask(person, report)
                tasks.start_soon(
                    partial(
                        person.deed.do,
                        self._platform,
                        person.name,
                        cards=partial(self._cards_of, person.name),
                        sight=partial(self._sight, person.name),
                    )
                )
                for one in person.troubles:
                    if isinstance(one, Blow):
                        tasks.start_soon(one.strike, self._platform, message)
            with anyio.move_on_after(PATIENCE):
                self._all_asked = True
                await self._over.wait()
            tasks.cancel_scope.cancel()
        report.seconds = time.monotonic() - began
        report.cpu = await _cpu(process.pid)

    def judge(self, report: Soaked) -> None:
        """Look at what everybody sees, once the bot has left."""
        report.messages = len(self._people)
        seen = sights(self._platform, self._people)
        for name, person in self._people.items():
            seen[name] = own(seen[name])
            if person.message is not None and person.message.ack is None and seen[name] == Sight():
                report.unacknowledged += 1
                continue
            report.finals[_kind(seen[name])] += 1
            troubles = ", ".join([person.deed.doing, *(one.name for one in person.troubles)])
            report.objections += [f"{name} ({troubles}): {what}" for what in objections(seen[name], person.ends)]
        report.objections += [f"violation: {what}" for what in self._platform.violations]

    async def _ask(self, person: Person, report: Soaked) -> Message:
        self._open[person.name] = person
        report.faults.update(of_what(one) for one in person.troubles)
        report.deeds[person.deed.doing] += 1
        person.message = await self._platform.push(person.deed.message(person.name))
        return person.message

    async def _blows(self, report: Soaked) -> None:
        """What befalls everybody: often, but for the cuts, after which the bot waits longer each time."""
        slow = dict.fromkeys((CUT, SQUEEZE), time.monotonic() - APART / 2)
        while True:
            await anyio.sleep(self._chance.expovariate(self._faults / 4) if self._faults else math.inf)
            blow = self._chance.choice(EVERYBODY)
            if blow in slow and time.monotonic() - slow[blow] < APART:
                continue
            if blow is EXPIRED and any(
                one.slot == "webhook" for person in self._open.values() for one in person.troubles
            ):
                continue  # a try without an answer, then no webhook: whether it arrived, nobody can say
            slow |= {blow: time.monotonic()} if blow in slow else {}
            report.faults[of_what(blow)] += 1
            await blow.strike(self._platform, self._platform.pushes[-1])

    async def _watch(self) -> None:
        """Notice who is settled. One look for all: the platform tells of each change, which is too often here."""
        while True:
            cards, replies = self._looked_at
            for card in islice(self._platform.cards.values(), cards, None):
                self._cards[direct_conversation(owner(card))].append(card)
            for reply in self._platform.replies[replies:]:
                self._replies[reply.conversation or direct_conversation(reply.users[0])].append(reply)
            self._looked_at = [len(self._platform.cards), len(self._platform.replies)]
            for name in [name for name in self._open if own(self._sight(name)).settled]:
                del self._open[name]
            if self._all_asked and not self._open:
                self._over.set()
            await anyio.sleep(LOOK)

    def _cards_of(self, name: str) -> list[Card]:
        return [card for card in self._cards[direct_conversation(name)] if card.delivered]

    def _sight(self, name: str) -> Sight:
        chat = direct_conversation(name)
        cards = [(card.state, card.content) for card in self._cards_of(name)]
        return Sight(tuple(cards), tuple(reply.text for reply in self._replies[chat]))

    def _answer(self, question: str) -> Answer:
        left = self._people[question].answers
        return left.pop(0) if len(left) > 1 else left[0]

    def _strikes(self, trouble: OfCalls, body: Json) -> bool:
        """Whether this call is to fail in this way; then it is counted."""
        person = self._people.get(self._user_of(trouble, body))
        if (
            person is None
            or person.left.get(trouble, 0) <= 0
            or not CALLS[trouble.slot][1](self._platform, person.name, body)
        ):
            return False
        person.left[trouble] -= 1
        return True

    def _user_of(self, trouble: OfCalls, body: Json) -> str:
        if CALLS[trouble.slot][0] == WEBHOOK:
            found = re.search(r"\b(u\d+)\.", str(body.get("markdown", "")))
            return found[1] if found else ""
        if trouble.slot == "create":
            return str(body.get("openSpaceId", "")).rpartition(".")[2]
        card = self._platform.cards.get(body.get("outTrackId", ""))
        return owner(card) if card else ""


async def soak(folder: Path, *, messages: int, faults: float, rate: float, seed: int) -> Soaked:
    """Let a bot in a process of its own answer so many messages, a share `faults` of which meet trouble."""
    report = Soaked()
    async with (
        Platform(latency=0.02, qps=CALLS_PER_SECOND, redelivery=2.0) as platform,
        FakeDify(APP, linger=0, file_upload=UPLOADS) as dify,
    ):
        stock(platform)
        environment = settings(
            platform,
            dify,
            f"sqlite:///{folder / 'cardbot.db'}",
            CARDBOT_USER_RATE="0",
            CARDBOT_CARD_QPS=str(CALLS_PER_SECOND),
            CARDBOT_DIFY_IDLE_SECONDS="4",
            CARDBOT_DRAIN_SECONDS=str(PATIENCE),
        )
        world = Soak(platform, dify, messages=messages, faults=faults, rate=rate, seed=seed)
        async with cardbot_run(environment, folder) as process:
            await platform.wait_for(lambda: platform.connections, timeout=START)
            await world.play(process, report)
            process.terminate()
            if (code := await process.wait()) != 0:
                report.objections.append(f"SIGTERM ended the bot with {code}")
        world.judge(report)
    return report


async def _weigh(process: int, report: Soaked) -> None:
    """Note the resident set of a process, each second. Linux only."""
    page = os.sysconf("SC_PAGE_SIZE")
    while True:
        fields = await anyio.Path(f"/proc/{process}/statm").read_text()
        report.rss.append(int(fields.split()[1]) * page / 1e6)
        await anyio.sleep(1.0)


async def _cpu(process: int) -> float:
    """Seconds of CPU that a process has spent. Linux only."""
    fields = (await anyio.Path(f"/proc/{process}/stat").read_text()).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _kind(sight: Sight) -> str:
    """One word or two for how an answer ended."""
    states = [state for state, text in sight.cards]
    if any(text.endswith(EN.stopped) for text in sight.answers):
        return f"{sight.way}, stopped"
    if sight.way != "card":
        return f"{sight.way}, beside a card that says so" if states and sight.replies else sight.way
    return f"card, {states[0]}"
