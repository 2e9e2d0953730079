"""Bots that are killed amid answers and started again, and what became of each message."""

import json
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from cardbot.playground.dify import FakeDify
from cardbot.playground.dify.faults import Answer
from cardbot.playground.platform import Platform
from cardbot.playground.platform.faults import SlowAnswer
from cardbot.playground.platform.pushes import Message
from tests.desk import CREATE, STREAM
from tests.faults.catalogue import App, answer_to, script
from tests.faults.judge import Ends, objections, owner, part, parts, questions, sights, whole
from tests.faults.processes import START, cardbot_run, kill, settings

SPEED = 60.0
"""Characters per second at which Dify speaks. Our choice: an answer takes some three seconds."""

LATEST = 4.0
"""Seconds between a message and the kill, at most. Our choice: until after an answer's last frame."""

MESSAGES = 4
"""Messages under way at each kill, each at an instant of its own. Our choice: a start costs a second of a core."""

PATIENCE = 30.0
"""Seconds until what is not settled after a start counts as never settled."""

SLACK = 0.3
"""Seconds by which the notes of a bot may be late. Our choice: a machine with few cores that starts several bots."""


@dataclass(slots=True)
class Fate:
    """One message and the kill that it met."""

    message: Message
    after: float
    """Seconds from the message to the kill."""
    acked: float | None = None
    """Seconds from its acknowledgement to the kill; None: there was none by then."""
    asked: float | None = None
    """Seconds from Dify's being asked to the kill; None: it was not asked by then."""
    about_to_ask: bool = False
    """Whether it was written down that Dify may have been asked, which is not asked again then, and it was not yet."""
    shown: str = ""
    """What its card had shown for a moment by then."""
    written: bool = False
    """Whether anything about the message was in the store when the bot died."""


@dataclass(slots=True)
class Report:
    """What a chain of kills came to."""

    fates: list[Fate] = field(default_factory=list)
    objections: list[str] = field(default_factory=list)
    unwritten: list[float] = field(default_factory=list)
    """For each message that was acknowledged, and of which the bot had written nothing: seconds from then to the kill.
    Known to be lost."""

    def object(self, fate: Fate, what: str) -> None:
        """Note an objection, with the instant that led to it."""
        asked = "not asked" if fate.asked is None else f"asked {fate.asked:.3f} s before"
        self.objections.append(f"killed {fate.after:.3f} s after the message of {fate.message.user}, {asked}: {what}")


async def chain(seed: str, app: App, folder: Path, *, kills: int) -> Report:
    """Start a bot, kill it amid answers, start it again and see what becomes of them, so many times."""
    chance, report = random.Random(seed), Report()
    async with (
        Platform(latency=lambda: chance.uniform(0.0, 0.12)) as platform,
        FakeDify(app, linger=0) as dify,
    ):
        dify.default = _answer
        for endpoint in (CREATE, STREAM):  # many calls are done, and the bot dies before it hears of it
            platform.faults.add(endpoint, SlowAnswer(0.3), times=1e9, when=lambda body: chance.random() < 0.3)
        environment = settings(platform, dify, f"sqlite:///{folder / 'cardbot.db'}", CARDBOT_DIFY_IDLE_SECONDS="6")
        fates: list[Fate] = []
        for number in range(kills + 1):
            async with cardbot_run(environment, folder) as process:
                await platform.wait_for(lambda: platform.connections, timeout=START)
                await _finished(platform, fates, chance)
                _judge(platform, fates, app, report)
                if number == kills:
                    process.terminate()
                    with anyio.fail_after(PATIENCE):
                        if (code := await process.wait()) != 0:
                            report.objections.append(f"SIGTERM ended it with {code}")
                    break
                fates = await _messages(platform, chance, f"{number}", lambda: kill(process))
            _look_up(fates, platform, dify, folder / "cardbot.db")
            await platform.wait_for(lambda: not platform.sockets)
        report.objections += [f"violation: {what}" for what in platform.violations]
        times = Counter(query for query, _ in questions(dify))
        report.objections += [f"{user}: Dify was asked {count} times" for user, count in times.items() if count > 1]
    return report


def _answer(question: str) -> Answer:
    return script(question, cps=SPEED)


async def _messages(platform: Platform, chance: random.Random, number: str, strike: Callable[[], object]) -> list[Fate]:
    """Send some messages so that each is at another instant of its answer when the blow falls."""
    fates = []
    began = time.monotonic()
    for index, before in enumerate(sorted((chance.uniform(0.0, LATEST) for _ in range(MESSAGES)), reverse=True)):
        await anyio.sleep(max(0.0, began + LATEST - before - time.monotonic()))
        user = f"p{number}m{index}"
        fates.append(Fate(await platform.say(user, user=user), before))
    await anyio.sleep(max(0.0, began + LATEST - time.monotonic()))
    await strike()  # type: ignore[misc]  # a coroutine function
    return fates


def _look_up(fates: list[Fate], platform: Platform, dify: FakeDify, database: Path) -> None:
    """What the bot had done for each message when it died."""
    killed = time.monotonic()  # the clock of the event loop, too
    asked = dict(reversed(questions(dify)))
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        records = [json.loads(record) for (record,) in db.execute("SELECT record FROM replies")]
    noted = {record["incoming"]["message_id"]: record["asked"] for record in records}
    shown = {
        owner(card): frame.content
        for card in platform.cards.values()
        for frame in card.frames
        if frame.time < killed - SLACK
    }
    for fate in fates:
        user = fate.message.user
        if fate.message.acked_at is not None:
            fate.acked = killed - fate.message.acked_at
        fate.shown = shown.get(user, "")
        fate.asked = killed - asked[user] if user in asked else None
        fate.written = fate.asked is not None or fate.message.id in noted
        fate.about_to_ask = fate.asked is None and noted.get(fate.message.id, False)


async def _finished(platform: Platform, fates: list[Fate], chance: random.Random) -> None:
    """Until every message has its final state; some are pushed again in between, as DingTalk does."""
    for fate in fates:
        if chance.random() < 0.3 and fate.message.ack is not None and fate.written:
            await platform.push_again(fate.message)
    users = [fate.message.user for fate in fates if fate.message.ack is not None and fate.written]
    with suppress(TimeoutError):
        await platform.wait_for(lambda: all(s.settled for s in sights(platform, users).values()), timeout=PATIENCE)


def _judge(platform: Platform, fates: list[Fate], app: App, report: Report) -> None:
    seen = sights(platform, [fate.message.user for fate in fates])
    for fate in fates:
        report.fates.append(fate)
        sight = seen[fate.message.user]
        if not fate.written and not sight.cards and not sight.replies:
            if fate.acked is not None:
                report.unwritten.append(fate.acked)
            continue
        for what in objections(sight, _ends(fate, app)):
            report.object(fate, what)


def _ends(fate: Fate, app: App) -> Ends:
    """What may stay: all of it; or no less than was shown, where Dify has forgotten it or its ids came too late."""
    text = answer_to(fate.message.user)
    if fate.about_to_ask:
        return part(text, 0)
    if fate.asked is None or (app == "advanced-chat" and fate.asked > SLACK):
        return whole(text)
    return {**whole(text), **{end: state for end, state in parts(text).items() if end.startswith(fate.shown)}}
