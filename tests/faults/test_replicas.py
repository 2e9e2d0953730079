"""Two bots on one Redis: what one leaves, the other finishes; together they keep the rules that hold for one."""

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process

from cardbot.playground.dify import FakeDify
from cardbot.playground.platform import Platform
from cardbot.recovery import BEAT_EVERY
from cardbot.texts import EN
from tests.faults.catalogue import answer_to, script
from tests.faults.judge import objections, parts, questions, sights, whole
from tests.faults.killing import SPEED
from tests.faults.processes import START, cardbot_run, kill, settings

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

LEASE = 15.0
"""Seconds after its last life sign at which a bot counts as dead. Documented in the README's settings."""

PATIENCE = LEASE + 2 * BEAT_EVERY + 15.0
"""Seconds until everything a dead bot left is to be finished: the lease, a look, and the two looks at Dify."""

PEOPLE = [f"person{number}" for number in range(30)]


@asynccontextmanager
async def replicas(
    platform: Platform, dify: FakeDify, redis: str, folder: Path, **more: str
) -> AsyncGenerator[tuple[Process, Process]]:
    """Both running, connected, and known to each other."""
    environment = settings(platform, dify, redis, **more)
    async with cardbot_run(environment, folder) as one, cardbot_run(environment, folder) as two:
        await platform.wait_for(lambda: platform.connections == 2, timeout=START)
        await anyio.sleep(BEAT_EVERY + 0.5)  # the first one learns with its next beat that it is not alone
        yield one, two


async def test_the_survivor_finishes_what_a_killed_replica_left(redis_url: str, tmp_path: Path) -> None:
    chance = random.Random(4)
    async with Platform(latency=0.05) as platform, FakeDify("advanced-chat", linger=0) as dify:
        dify.default = lambda question: script(question, cps=SPEED)
        async with replicas(platform, dify, redis_url, tmp_path, CARDBOT_DIFY_IDLE_SECONDS="6") as (one, two):
            for user in PEOPLE:
                await platform.say(user, user=user)
                await anyio.sleep(chance.uniform(0.0, 0.2))
            await platform.wait_for(lambda: len(platform.cards) == len(PEOPLE))  # so each of them is written down
            await kill(one)
            acked = [message.user for message in platform.pushes if message.ack is not None]
            open_ones = [user for user, sight in sights(platform, PEOPLE).items() if not sight.settled]
            assert open_ones, "nothing was under way"
            await platform.wait_for(
                lambda: all(sight.settled for sight in sights(platform, acked).values()), timeout=PATIENCE
            )
            two.terminate()
            assert await two.wait() == 0
        seen = sights(platform, acked)
        ends = {user: {**whole(answer_to(user)), **parts(answer_to(user))} for user in acked}
        assert [what for user, sight in seen.items() for what in objections(sight, ends[user])] == []
        recovered = [user for user, sight in seen.items() if sight.answers == [answer_to(user)]]
        assert len(recovered) >= len(PEOPLE) * 2 / 3, "Dify has kept them, and nobody has found them"
        asked = [query for query, _ in questions(dify)]
        assert len(asked) == len(set(asked)), "a question was asked twice"
        assert platform.violations == []


async def test_two_replicas_together_keep_the_call_ceiling(redis_url: str, tmp_path: Path) -> None:
    async with Platform(latency=0.05) as platform, FakeDify(linger=0) as dify:
        dify.default = lambda question: script(question, cps=SPEED)
        async with replicas(platform, dify, redis_url, tmp_path) as (one, two):
            for user in PEOPLE:
                await platform.say(user, user=user)
            await platform.wait_for(
                lambda: all(sight.settled for sight in sights(platform, PEOPLE).values()), timeout=PATIENCE
            )
            one.terminate()
            two.terminate()
            assert (await one.wait(), await two.wait()) == (0, 0)
        seen = sights(platform, PEOPLE)
        assert [what for user in PEOPLE for what in objections(seen[user], whole(answer_to(user)))] == []
        assert [call for call in platform.calls if call.status == 403] == []
        assert platform.violations == []


def _taken(platform: Platform, dify: FakeDify) -> int:
    """Messages that stand in line, as their cards say, or have had their turn."""
    return len(questions(dify)) + sum(card.content == EN.in_line for card in platform.cards.values())


async def test_a_persons_messages_are_answered_in_order_whoever_gets_them(redis_url: str, tmp_path: Path) -> None:
    people = PEOPLE[:6]
    async with Platform(latency=0.05) as platform, FakeDify(linger=0) as dify:
        dify.default = lambda question: script(question, cps=4 * SPEED)
        async with replicas(platform, dify, redis_url, tmp_path):
            sent = 0
            for turn in ("first", "second", "third"):
                for user in people:
                    await platform.say(f"{user}, {turn}", user=user)
                sent += len(people)
                await platform.wait_for(lambda sent=sent: _taken(platform, dify) >= sent, timeout=PATIENCE)  # type: ignore[misc]  # a default argument binds the loop's variable
            await platform.wait_for(
                lambda: all(len(sight.answers) == 3 for sight in sights(platform, people).values()), timeout=PATIENCE
            )
        for user in people:
            asked = [query for query, _ in questions(dify) if query.startswith(f"{user}, ")]
            assert asked == [f"{user}, {turn}" for turn in ("first", "second", "third")]
        assert len(dify.conversations) == len(people), "a turn began a conversation of its own"
        assert platform.violations == []
