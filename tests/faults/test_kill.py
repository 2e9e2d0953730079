"""`kill -9` at any instant of an answer: after the next start every message has its one final state.

CARDBOT_KILLS=100 CARDBOT_FAULT_SEED=7 python -m pytest tests/faults/test_kill.py -o timeout=600
"""

import os
import signal
from pathlib import Path

import anyio
import pytest

from cardbot.playground.dify import FakeDify
from cardbot.playground.platform import Platform
from tests.faults.catalogue import App, answer_to, script
from tests.faults.judge import Sight, objections, parts, sights, whole
from tests.faults.killing import SPEED, Report, chain
from tests.faults.processes import START, cardbot_run, settings
from tests.faults.seed import SEED

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

KILLS = int(os.environ.get("CARDBOT_KILLS", "12"))

BOTS: tuple[App, ...] = ("chat", "advanced-chat", "chat", "advanced-chat")
"""The apps of the bots that are killed side by side."""

USERS = ("one", "two", "three")

WRITTEN_WITHIN = 1.0
"""Seconds within which an acknowledged message is written down. It takes a millisecond or two where nothing else runs;
our choice: on a busy machine, where the bot's thread that writes has to wait for a core, a good deal more."""


@pytest.mark.timeout(120 + 20 * KILLS)
@pytest.mark.parametrize("seed", [SEED], ids=lambda seed: f"seed {seed}")
async def test_a_killed_bot_ends_every_answer_once_after_its_next_start(seed: int, tmp_path: Path) -> None:
    reports: list[Report] = []

    async def one(number: int, app: App) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        kills = len(range(number, KILLS, len(BOTS)))
        reports.append(await chain(f"{seed} {number}", app, folder, kills=kills))

    async with anyio.create_task_group() as tasks:
        for number, app in enumerate(BOTS):
            tasks.start_soon(one, number, app)
    assert [what for report in reports for what in report.objections] == []
    unwritten = [seconds for report in reports for seconds in report.unwritten]
    assert max(unwritten, default=0.0) < WRITTEN_WITHIN, "acknowledged, and not written down"
    assert len(unwritten) <= KILLS / 3, "known: a millisecond or two between ack and first note"
    assert sum(fate.asked is not None for report in reports for fate in report.fates) >= KILLS, "too few were amid it"


async def _amid_answers(platform: Platform, dify: FakeDify) -> None:
    """Until each has a card with some text in it."""
    dify.default = lambda question: script(question, cps=SPEED)
    await platform.wait_for(lambda: platform.connections, timeout=START)
    for user in USERS:
        await platform.say(user, user=user)
    await platform.wait_for(
        lambda: len(platform.cards) == len(USERS) and all(card.frames for card in platform.cards.values())
    )


def _wrong(seen: dict[str, Sight], *, finished: bool) -> list[str]:
    """What is wrong with these answers, which were left alone long enough to be `finished`, or were not."""
    return [
        what
        for user, sight in seen.items()
        for what in objections(sight, whole(answer_to(user)) if finished else parts(answer_to(user)))
    ]


@pytest.mark.parametrize("drain", ["20", "0.1"])
async def test_sigterm_closes_every_card_and_exits_0(drain: str, tmp_path: Path) -> None:
    async with Platform() as platform, FakeDify(linger=0) as dify:
        environment = settings(platform, dify, f"sqlite:///{tmp_path / 'cardbot.db'}", CARDBOT_DRAIN_SECONDS=drain)
        async with cardbot_run(environment, tmp_path) as process:
            await _amid_answers(platform, dify)
            process.terminate()
            assert await process.wait() == 0
        assert _wrong(sights(platform, USERS), finished=drain == "20") == []
        assert platform.violations == []


async def test_after_a_second_sigterm_the_next_start_closes_the_cards(tmp_path: Path) -> None:
    async with Platform() as platform, FakeDify(linger=0) as dify:
        environment = settings(platform, dify, f"sqlite:///{tmp_path / 'cardbot.db'}", CARDBOT_DIFY_IDLE_SECONDS="3")
        async with cardbot_run(environment, tmp_path) as process:
            await _amid_answers(platform, dify)
            process.terminate()
            await platform.wait_for(lambda: not platform.connections)
            process.terminate()
            assert await process.wait() == 128 + signal.SIGTERM
        assert all(sight.spinning for sight in sights(platform, USERS).values())
        async with cardbot_run(environment, tmp_path):
            await platform.wait_for(
                lambda: all(sight.settled for sight in sights(platform, USERS).values()), timeout=START
            )
        assert _wrong(sights(platform, USERS), finished=False) == []
        assert platform.violations == []
