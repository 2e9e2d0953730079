"""Kills at the moments at which a note that comes too late would show."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from cardbot.playground.dify import FakeDify
from cardbot.playground.platform import Platform
from cardbot.playground.platform.faults import NotDelivered, Reject, SlowAnswer
from cardbot.texts import EN
from tests.desk import CREATE, WEBHOOK
from tests.faults.catalogue import answer_to, script
from tests.faults.judge import Sight, questions, sights
from tests.faults.killing import SPEED
from tests.faults.processes import START, cardbot_run, kill, settings

pytestmark = pytest.mark.anyio


async def killed_and_restarted(platform: Platform, dify: FakeDify, folder: Path, amid: Callable[[], Any]) -> Sight:
    """What Ann sees in the end, when the bot is killed as soon as this holds."""
    dify.default = lambda question: script(question, cps=SPEED)
    environment = settings(platform, dify, f"sqlite:///{folder / 'cardbot.db'}", CARDBOT_DIFY_IDLE_SECONDS="6")
    async with cardbot_run(environment, folder) as process:
        await platform.wait_for(lambda: platform.connections, timeout=START)
        await platform.say("ann", user="ann")
        while not amid():  # noqa: ASYNC110 - the simulators do not announce everything
            await anyio.sleep(0.01)
        await kill(process)
    async with cardbot_run(environment, folder) as process:
        await platform.wait_for(lambda: platform.connections, timeout=START)
        await platform.wait_for(lambda: sights(platform, ["ann"])["ann"].settled, timeout=START)
        process.terminate()
        assert await process.wait() == 0
    return sights(platform, ["ann"])["ann"]


async def test_text_that_was_seen_is_still_there_after_a_kill(tmp_path: Path) -> None:
    async with Platform() as platform, FakeDify(linger=0) as dify:
        sight = await killed_and_restarted(
            platform, dify, tmp_path, lambda: any(card.frames for card in platform.cards.values())
        )
        (first, *_) = next(card.frames for card in platform.cards.values())
        assert sight.answers[0].startswith(first.content)
        assert sight.answers[0].endswith(EN.interrupted)


async def test_an_answer_that_dify_keeps_is_found_after_a_kill_in_its_first_second(tmp_path: Path) -> None:
    async with Platform() as platform, FakeDify("advanced-chat", linger=0) as dify:
        sight = await killed_and_restarted(
            platform, dify, tmp_path, lambda: any(card.frames for card in platform.cards.values())
        )
        assert sight.answers == [answer_to("ann")]


async def test_a_plain_reply_under_way_at_a_kill_is_read_once(tmp_path: Path) -> None:
    async with Platform() as platform, FakeDify(linger=0) as dify:
        platform.faults.add(CREATE, Reject(400, "param.templateNotExist"))
        platform.faults.add(WEBHOOK, SlowAnswer(START))  # the bot is gone by then, however busy the machine
        sight = await killed_and_restarted(platform, dify, tmp_path, lambda: platform.replies)
        assert sight.replies == (answer_to("ann"),)
        assert sum(call.path == "/robot/sendBySession" for call in platform.calls) == 2, "it was not tried again"


async def test_an_answer_whose_card_nobody_sees_is_not_lost_at_a_kill(tmp_path: Path) -> None:
    async with Platform() as platform, FakeDify("advanced-chat", linger=0) as dify:
        platform.faults.add(CREATE, NotDelivered())
        sight = await killed_and_restarted(
            platform, dify, tmp_path, lambda: any(anyio.current_time() - at > 1.5 for _, at in questions(dify))
        )
        assert sight.replies == (answer_to("ann"),)
