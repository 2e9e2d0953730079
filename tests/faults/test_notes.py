"""Kills as soon as what is seen is noted: a note that never comes, or comes with the end only, would show."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
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
from tests.faults.judge import Sight, sights
from tests.faults.killing import SPEED
from tests.faults.processes import START, cardbot_run, kill, settings

pytestmark = pytest.mark.anyio


def noted(folder: Path) -> dict[str, Any]:
    """What is written down of the open reply; nothing if there is none."""
    with closing(sqlite3.connect(f"file:{_store(folder)}?mode=ro", uri=True)) as db:
        (record,) = db.execute("SELECT record FROM replies").fetchone() or ("{}",)
    note: dict[str, Any] = json.loads(record)
    return note


def _store(folder: Path) -> Path:
    return folder / "cardbot.db"


async def killed_and_restarted(
    platform: Platform, dify: FakeDify, folder: Path, amid: Callable[[], Any], *, done: Callable[[], Any] = lambda: True
) -> Sight:
    """What Ann sees in the end, when the bot is killed as soon as this holds, which it must before the answer ends.

    `done`: what the next one has to do besides, before it may leave.
    """
    dify.default = lambda question: script(question, cps=SPEED)
    environment = settings(platform, dify, f"sqlite:///{_store(folder)}", CARDBOT_DIFY_IDLE_SECONDS="6")
    async with cardbot_run(environment, folder) as process:
        await platform.wait_for(lambda: platform.connections, timeout=START)
        await platform.say("ann", user="ann")
        with anyio.fail_after(START):
            while not amid():  # noqa: ASYNC110 - neither a file nor the simulators announce everything
                await anyio.sleep(0.01)
        await kill(process)
    async with cardbot_run(environment, folder) as process:
        await platform.wait_for(lambda: platform.connections, timeout=START)
        await platform.wait_for(lambda: sights(platform, ["ann"])["ann"].settled and done(), timeout=START)
        process.terminate()
        assert await process.wait() == 0
    return sights(platform, ["ann"])["ann"]


def _noted_frame(platform: Platform, folder: Path) -> bool:
    """Whether a card shows text, and all of that is written down."""
    shown = [frame.content for card in platform.cards.values() for frame in card.frames[:1]]
    return bool(shown) and noted(folder).get("text", "").startswith(shown[0])


async def test_text_that_was_seen_is_still_there_after_a_kill(tmp_path: Path) -> None:
    async with Platform() as platform, FakeDify(linger=0) as dify:
        sight = await killed_and_restarted(platform, dify, tmp_path, lambda: _noted_frame(platform, tmp_path))
        (first, *_) = next(card.frames for card in platform.cards.values())
        assert sight.answers[0].startswith(first.content)
        assert sight.answers[0].endswith(EN.interrupted)


async def test_an_answer_that_dify_keeps_is_found_after_a_kill_amid_it(tmp_path: Path) -> None:
    async with Platform() as platform, FakeDify("advanced-chat", linger=0) as dify:
        sight = await killed_and_restarted(platform, dify, tmp_path, lambda: _noted_frame(platform, tmp_path))
        assert sight.answers == [answer_to("ann")]


async def test_a_plain_reply_under_way_at_a_kill_is_read_once(tmp_path: Path) -> None:
    async with Platform() as platform, FakeDify(linger=0) as dify:

        def tries() -> int:
            return sum(call.path == "/robot/sendBySession" for call in platform.calls)

        platform.faults.add(CREATE, Reject(400, "param.templateNotExist"))
        platform.faults.add(WEBHOOK, SlowAnswer(START))  # the bot is gone by then, however busy the machine
        # It is in the chat before the next bot tries, which could leave before it has.
        sight = await killed_and_restarted(
            platform, dify, tmp_path, lambda: platform.replies, done=lambda: tries() == 2
        )
        assert sight.replies == (answer_to("ann"),)
        assert tries() == 2, "it was not tried again"


async def test_an_answer_whose_card_nobody_sees_is_not_lost_at_a_kill(tmp_path: Path) -> None:
    async with Platform() as platform, FakeDify("advanced-chat", linger=0) as dify:
        platform.faults.add(CREATE, NotDelivered())
        sight = await killed_and_restarted(
            platform, dify, tmp_path, lambda: (note := noted(tmp_path)) and note["unseen"] and note["ids"]["message_id"]
        )
        assert sight.replies == (answer_to("ann"),)
