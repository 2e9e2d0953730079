"""Two bots on one Redis: presses and typed words come to the wrong one, and the one whose form waits dies."""

from collections import Counter
from pathlib import Path

import pytest

from cardbot.playground.dify import FakeDify
from cardbot.playground.platform import Platform
from cardbot.playground.platform.cards import Card
from tests.faults.doors import PRESS, approved, asks, bought, form_shown
from tests.faults.judge import objections, owner, questions, sights
from tests.faults.processes import kill
from tests.faults.test_replicas import PATIENCE, replicas

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

PEOPLE = [f"person{number}" for number in range(12)]
"""A form of each. DingTalk chooses a connection at random: that none misses its bot happens once in thousands."""


async def _forms(platform: Platform, dify: FakeDify) -> dict[str, Card]:
    """Everybody's card, with the form in it."""
    dify.default = lambda question: asks(question, then=bought(question))
    for user in PEOPLE:
        await platform.say(user, user=user)
    await platform.wait_for(
        lambda: len(platform.cards) == len(PEOPLE) and all(map(form_shown, platform.cards.values())), timeout=PATIENCE
    )
    return {owner(card): card for card in platform.cards.values()}


async def _answer_all(platform: Platform, cards: dict[str, Card]) -> None:
    """Half of them press, half of them type."""
    for number, user in enumerate(PEOPLE):
        if number % 2:
            await platform.click(cards[user], PRESS, user=user)
        else:
            await platform.say("approve", user=user)
    await platform.wait_for(
        lambda: all(sight.settled for sight in sights(platform, PEOPLE).values()), timeout=PATIENCE + 10
    )


def _judge(platform: Platform, dify: FakeDify) -> None:
    seen = sights(platform, PEOPLE)
    assert [what for user in PEOPLE for what in objections(seen[user], approved(user))] == []
    assert len(platform.cards) == len(PEOPLE)
    assert sorted(query for query, _ in questions(dify)) == sorted(PEOPLE), "somebody's word was taken for a question"
    handed_in = Counter(one.path for one in dify.requests if one.method == "POST" and "/form/" in one.path)
    assert set(handed_in.values()) == {1}
    assert platform.violations == []


async def test_a_press_or_a_word_reaches_the_bot_whose_form_it_is(redis_url: str, tmp_path: Path) -> None:
    async with Platform(latency=0.02) as platform, FakeDify("advanced-chat", linger=0) as dify:
        async with replicas(platform, dify, redis_url, tmp_path) as (one, two):
            cards = await _forms(platform, dify)
            await _answer_all(platform, cards)
            one.terminate()
            two.terminate()
            assert (await one.wait(), await two.wait()) == (0, 0)
        _judge(platform, dify)


async def test_a_press_or_a_word_waits_for_whoever_takes_a_dead_bots_form_over(redis_url: str, tmp_path: Path) -> None:
    async with Platform(latency=0.02) as platform, FakeDify("advanced-chat", linger=0) as dify:
        async with replicas(platform, dify, redis_url, tmp_path) as (one, two):
            cards = await _forms(platform, dify)
            await kill(one)
            await platform.wait_for(lambda: platform.connections == 1)
            await _answer_all(platform, cards)
            two.terminate()
            assert await two.wait() == 0
        _judge(platform, dify)
