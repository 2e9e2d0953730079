"""Stop, commands and buttons, through the whole bot: a simulated DingTalk, a scripted Dify, real sockets."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from cardbot.bot import Bot
from cardbot.playground.dify.script import Script
from cardbot.playground.platform.cards import Card, State
from cardbot.texts import EN
from tests.desk import Desk, desk
from tests.faults.processes import START

pytestmark = pytest.mark.anyio

LONG = Script(text="word " * 400, chunk=5, cps=40)
ENDLESS = Script(text="word " * 5000, chunk=5, cps=40)
"""Ends within no test, however slow the machine is."""


async def growing(there: Desk) -> Card:
    """The card of the only message, once it shows text."""
    await there.platform.wait_for(lambda: [card for card in there.platform.cards.values() if card.content])
    return next(iter(there.platform.cards.values()))


@asynccontextmanager
async def two_processes(store: str) -> AsyncGenerator[Desk]:
    """A desk with a second bot that shares the store, both connected; they leave when the block ends well."""
    async with desk(CARDBOT_STORE=store) as there, anyio.create_task_group() as tasks:
        tasks.start_soon(Bot(there.settings).run, there.leave)
        await there.platform.wait_for(lambda: there.platform.connections == 2, timeout=START)
        yield there
        there.leave.set()


async def test_the_stop_button_ends_the_answer_at_dify_and_in_the_chat() -> None:
    async with desk() as there:
        there.dify.default = LONG
        await there.platform.say("tell me")
        card = await growing(there)
        assert [button.label for button in card.buttons] == [EN.stop]
        await there.platform.click(card, "stop")
        await there.ended()
        assert card.state is State.DONE
        assert card.content.endswith(EN.stopped)
        assert card.content.startswith("word ")
        assert [request.path for request in there.dify.requests].count(
            next(request.path for request in there.dify.requests if request.path.endswith("/stop"))
        ) == 1
        assert there.platform.violations == []


async def test_a_button_whose_id_comes_at_the_top_works_too() -> None:
    async with desk(platform={"click_ids": "on top"}) as there:
        there.dify.default = LONG
        await there.platform.say("tell me")
        card = await growing(there)
        await there.platform.click(card, "stop")
        await there.ended()
        assert card.content.endswith(EN.stopped)


async def test_somebody_else_does_not_stop_it() -> None:
    async with desk() as there:
        there.dify.default = Script(text="word " * 30, chunk=5, cps=60)
        await there.platform.say("tell me", group="cidGROUP==")
        card = await growing(there)
        await there.platform.click(card, "stop", user="user0002")
        await there.ended()
        assert EN.stopped not in card.content


async def test_a_stop_that_is_typed_works_as_the_button_does() -> None:
    async with desk() as there:
        there.dify.default = LONG
        await there.platform.say("tell me")
        card = await growing(there)
        await there.platform.say("/stop")
        await there.ended()
        assert card.content.endswith(EN.stopped)
        assert there.platform.replies == []


async def test_a_late_press_on_a_finished_card_does_nothing() -> None:
    async with desk() as there:
        await there.platform.say("hello")
        await there.ended()
        card = next(iter(there.platform.cards.values()))
        before = card.content
        await there.platform.click_late(card, "stop")
        await there.platform.say("again")
        await there.ended(2)
        assert card.content == before
        assert there.platform.violations == []


async def test_new_begins_anew_and_other_slashes_are_questions() -> None:
    async with desk() as there:
        await there.platform.say("hello")
        await there.ended()
        await there.platform.say("/new")
        await there.platform.wait_for(lambda: there.platform.replies)
        await there.platform.say("/weather")
        await there.ended(3)
        asked = [request.body for request in there.dify.requests if request.path == "/v1/chat-messages"]
        assert [(body or {}).get("query") for body in asked] == ["hello", "/weather"]
        assert all("conversation_id" not in (body or {}) for body in asked)
        assert [reply.text for reply in there.platform.replies] == [EN.renewed]


async def test_help_is_told_without_asking_dify() -> None:
    async with desk(CARDBOT_NEW_WORDS="neu") as there:
        await there.platform.say("/help")
        await there.platform.wait_for(lambda: there.platform.replies)
        assert "neu" in there.platform.replies[0].text
        assert there.platform.cards == {}
        assert not [request for request in there.dify.requests if request.path == "/v1/chat-messages"]


async def test_stop_in_one_chat_leaves_another_alone() -> None:
    async with desk() as there:
        there.dify.default = Script(text="word " * 40, chunk=5, cps=60)
        await there.platform.say("tell me")
        await there.platform.say("tell me too", user="user0002", name="Bob")
        await there.platform.wait_for(
            lambda: len([card for card in there.platform.cards.values() if card.content]) == 2
        )
        await there.platform.say("/stop", user="user0002", name="Bob")
        await there.ended(2)
        assert sorted(card.content.endswith(EN.stopped) for card in there.platform.cards.values()) == [False, True]


async def test_a_press_that_comes_to_another_process_stops_the_answer_too(tmp_path: Path) -> None:
    """DingTalk chooses a connection at random, so eight presses miss their process but for one time in 256."""
    store = f"sqlite:///{tmp_path / 'cardbot.db'}"
    async with desk(CARDBOT_STORE=store) as there, anyio.create_task_group() as tasks:
        tasks.start_soon(Bot(there.settings).run, there.leave)
        await there.platform.connected(2)
        there.dify.default = LONG
        people = [f"user{number:04}" for number in range(8)]
        for person in people:
            await there.platform.say("tell me", user=person)
        await there.platform.wait_for(
            lambda: len([card for card in there.platform.cards.values() if card.content]) == len(people)
        )
        for card in there.platform.cards.values():
            await there.platform.click(card, "stop", user=card.space.rpartition(".")[2])
        await there.ended(len(people))
        assert all(card.content.endswith(EN.stopped) for card in there.platform.cards.values())
        there.leave.set()


async def test_a_stop_that_is_typed_reaches_an_answer_of_another_process(shared_store: str) -> None:
    """As above, eight stops miss their process but for one time in 256."""
    async with two_processes(shared_store) as there:
        there.dify.default = ENDLESS
        people = [f"user{number:04}" for number in range(8)]
        for person in people:
            await there.platform.say("tell me", user=person)
        await there.platform.wait_for(
            lambda: len([card for card in there.platform.cards.values() if card.content]) == len(people), timeout=START
        )
        for person in people:
            await there.platform.say("/stop", user=person)
        await there.ended(len(people), within=START)
        assert all(card.content.endswith(EN.stopped) for card in there.platform.cards.values())
        assert there.platform.replies == [], "nobody needs to be told what the card shows"


async def test_who_has_nothing_to_stop_is_told_so_by_either_of_two_processes(shared_store: str) -> None:
    async with two_processes(shared_store) as there:
        there.dify.default = ENDLESS
        await there.platform.say("tell me")
        await there.platform.wait_for(lambda: there.platform.cards, timeout=START)
        people = [f"other{number:04}" for number in range(8)]
        for person in people:
            await there.platform.say("/stop", user=person)
        await there.platform.wait_for(lambda: len(there.platform.replies) == len(people), timeout=START)
        assert {reply.text for reply in there.platform.replies} == {EN.nothing_to_stop}
        assert there.spinning, "somebody else's answer goes on"


async def test_whoever_writes_too_fast_may_stop_all_the_same() -> None:
    async with desk(CARDBOT_USER_RATE="1") as there:
        there.dify.default = LONG
        await there.platform.say("tell me")
        card = await growing(there)
        await there.platform.say("/stop")
        await there.ended()
        assert card.content.endswith(EN.stopped)
        assert there.platform.replies == []
