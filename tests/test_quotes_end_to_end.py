"""People quote the robot's own cards: the whole bot over real sockets, and what Dify is asked then."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import pytest

from cardbot.playground.dify import FakeDify, Script
from cardbot.playground.platform import Platform, contents
from cardbot.playground.platform.cards import Card, State
from cardbot.playground.platform.incoming import text_message
from cardbot.quotes import KEPT_CHARACTERS
from cardbot.texts import EN
from tests.desk import Desk, desk
from tests.faults.judge import questions, sights
from tests.faults.processes import START, cardbot_run, kill, settings
from tests.virtual import run_with_sockets

pytestmark = pytest.mark.anyio

ANSWER = "1. Buy **flour**.\n2. Wait for a day.\n"
QUOTED = EN.quoted.format(quote="> 1. Buy **flour**.\n> 2. Wait for a day.")
ASKED = f"{QUOTED}\n\nwhat is the second?"
GROUP = "cidTEAM0000=="


async def until(database: Path, query: str, *values: object, count: int = 1) -> None:
    """Until this query counts so many rows in the store."""
    with anyio.fail_after(START), closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        while db.execute(query, values).fetchone()[0] < count:  # noqa: ASYNC110 - a file announces nothing
            await anyio.sleep(0.01)


async def kept(database: Path, count: int = 1) -> None:
    """Until so many texts are in the store, which is a moment after people see the end of a card."""
    await until(database, "SELECT count(*) FROM shown", count=count)


@asynccontextmanager
async def answered(
    folder: Path, answer: Script | None = None, *, group: str | None = None, texts: int = 1
) -> AsyncGenerator[tuple[Desk, Card]]:
    """A bot that has answered a question, and the card that can be quoted now."""
    database = folder / "cardbot.db"
    async with desk(CARDBOT_STORE=f"sqlite:///{database}") as there:
        there.dify.answers.append(answer or Script(ANSWER))
        await there.platform.say("how do I bake bread?", group=group)
        await kept(database, texts)
        yield there, next(iter(there.platform.cards.values()))
        assert there.platform.violations == []


async def asked(there: Desk, count: int = 2) -> str:
    """The newest question to Dify, once there are so many."""
    await there.ended(count)
    return questions(there.dify)[-1][0]


@pytest.mark.parametrize("tells", ["key", "only key"])
@pytest.mark.parametrize("group", [None, GROUP])
async def test_a_card_that_is_quoted_by_its_key_goes_along_as_it_was_shown(
    tells: contents.Tells, group: str | None, tmp_path: Path
) -> None:
    async with answered(tmp_path, group=group) as (there, card):
        await there.platform.quote(card, "what is the second?", tells=tells)
        assert await asked(there) == ASKED


async def test_in_a_group_everybody_may_quote_what_everybody_sees(tmp_path: Path) -> None:
    async with answered(tmp_path, group=GROUP) as (there, card):
        await there.platform.quote(card, "what is the second?", user="user0002")
        assert await asked(there) == ASKED


@pytest.mark.parametrize("tells", ["variables", "elements"])
async def test_a_text_that_dingtalk_sends_goes_before_the_one_that_was_kept(
    tells: contents.Tells, tmp_path: Path
) -> None:
    async with answered(tmp_path) as (there, card):
        card.params["content"] = "As DingTalk has it."
        await there.platform.quote(card, "and this?", tells=tells)
        assert await asked(there) == f"{EN.quoted.format(quote='> As DingTalk has it.')}\n\nand this?"


async def test_a_quote_that_nobody_can_resolve_leaves_the_rest_of_the_question(tmp_path: Path) -> None:
    async with answered(tmp_path) as (there, card):
        await there.platform.quote(card, "what is the second?", tells="id")
        assert await asked(there) == "what is the second?"


async def test_a_quote_alone_is_asked_about(tmp_path: Path) -> None:
    async with answered(tmp_path) as (there, card):
        await there.platform.quote(card, "")
        assert await asked(there) == f"{QUOTED}\n\n{EN.about_quote}"


async def test_a_quote_alone_that_nobody_can_resolve_is_answered_without_dify(tmp_path: Path) -> None:
    async with answered(tmp_path) as (there, card):
        await there.platform.push(
            {
                **contents.quoting_card(contents.text(""), card, tells="only key"),
                "originalProcessQueryKey": "pqk-of-long-ago",
            }
        )
        await there.ended(2)
        assert there.finals[1] == EN.empty
        assert len(questions(there.dify)) == 1


async def test_each_card_of_a_long_answer_is_quoted_with_its_own_text(tmp_path: Path) -> None:
    pages = "first " * 3_000, "second " * 1_000
    async with answered(tmp_path, Script("\n\n".join(pages)), texts=2) as (there, _):
        _, further = there.platform.cards.values()
        await there.platform.quote(further, "and this?")
        quote, _, words = (await asked(there, 3)).rpartition("\n\n")
        assert words == "and this?"
        assert quote == EN.quoted.format(quote=f"> {pages[1].rstrip()}")


async def test_of_a_long_text_the_beginning_goes_along(tmp_path: Path) -> None:
    async with answered(tmp_path, Script("word " * 3_000)) as (there, card):
        await there.platform.quote(card, "and this?")
        quote, _, words = (await asked(there)).rpartition("\n\n")
        assert words == "and this?"
        assert quote.endswith("word…")
        assert len(quote) == len(EN.quoted.format(quote="> ")) + KEPT_CHARACTERS


@pytest.mark.parametrize("robot", ["dingtest", "dingother"])
async def test_a_key_opens_nothing_in_another_chat(robot: str, tmp_path: Path) -> None:
    async with answered(tmp_path, group=GROUP) as (there, card):
        forged = contents.quoting_card(
            text_message("what is the second?", user="eve", name="Eve", group=None), card, tells="key"
        )
        await there.platform.push({**forged, "robotCode": robot})
        assert await asked(there) == "what is the second?"


async def test_thinking_is_not_kept(tmp_path: Path) -> None:
    async with answered(tmp_path, Script(ANSWER, think="Which bread is meant?")) as (there, card):
        await there.platform.quote(card, "what is the second?")
        assert await asked(there) == ASKED


async def test_an_answer_that_failed_midway_is_quoted_as_far_as_it_came(tmp_path: Path) -> None:
    script = Script(ANSWER, end="error", at=17, error="no credit")
    async with answered(tmp_path, script) as (there, card):
        assert card.state is State.FAILED
        await there.platform.quote(card, "and then?")
        quote = f"> 1. Buy **flour**.\n>\n> {EN.failed.format(reason='no credit')}"
        assert await asked(there) == f"{EN.quoted.format(quote=quote)}\n\nand then?"


async def test_an_answer_that_was_stopped_is_quoted_as_far_as_it_came(tmp_path: Path) -> None:
    database = tmp_path / "cardbot.db"
    async with desk(CARDBOT_STORE=f"sqlite:///{database}") as there:
        there.dify.answers.append(Script("One two three. " * 1_000, cps=40))
        await there.platform.say("count")
        await there.platform.wait_for(lambda: any(card.frames for card in there.platform.cards.values()))
        await there.platform.say("/stop")
        await kept(database)
        (card,) = there.platform.cards.values()
        await there.platform.quote(card, "and then?")
        quote = "\n".join(f"> {line}".rstrip() for line in card.content.splitlines())
        assert quote.endswith(EN.stopped)
        assert await asked(there) == f"{EN.quoted.format(quote=quote)}\n\nand then?"


async def test_a_card_can_be_quoted_after_its_conversation_was_forgotten(tmp_path: Path) -> None:
    async with answered(tmp_path) as (there, card):
        await there.platform.say("/new")
        await there.ended(2)
        await there.platform.quote(card, "what is the second?")
        assert await asked(there, 3) == ASKED
        assert len(there.dify.conversations) == 2


async def test_a_quote_costs_no_call_that_a_question_without_one_does_not(tmp_path: Path) -> None:
    async with answered(tmp_path) as (there, card):
        before = {(call.method, call.path) for call in there.platform.calls}
        await there.platform.quote(card, "what is the second?")
        await asked(there)
        assert {(call.method, call.path) for call in there.platform.calls} == before


# Restarts.


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where what is kept outlives a bot."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'cardbot.db'}"
    url: str = request.getfixturevalue("redis_url")
    return url


async def test_a_card_can_be_quoted_after_a_restart(store: str) -> None:
    async with desk(CARDBOT_STORE=store, CARDBOT_DRAIN_SECONDS="10") as first:
        first.dify.answers.append(Script(ANSWER))
        await first.platform.say("how do I bake bread?")
        await first.ended()
        (card,) = first.platform.cards.values()
    async with desk(CARDBOT_STORE=store) as second:
        await second.platform.push(contents.quoting_card(contents.text("what is the second?"), card, tells="key"))
        assert await asked(second, 1) == ASKED


async def test_a_card_that_another_process_has_finished_can_be_quoted(tmp_path: Path) -> None:
    """Only the process that made the card was told its key, and it was killed."""
    database = tmp_path / "cardbot.db"
    async with Platform() as platform, FakeDify(linger=0) as dify:
        dify.answers.append(Script(ANSWER, end="hang", at=17))  # under way until the kill, whenever that is
        environment = settings(platform, dify, f"sqlite:///{database}")
        async with cardbot_run(environment, tmp_path) as process:
            await platform.wait_for(lambda: platform.connections, timeout=START)
            await platform.say("how do I bake bread?", user="ann")
            await platform.wait_for(lambda: any(card.frames for card in platform.cards.values()), timeout=START)
            (card,) = platform.cards.values()
            await until(database, "SELECT count(*) FROM replies WHERE instr(record, ?)", card.carrier)
            await kill(process)
        async with cardbot_run({**environment, "CARDBOT_DIFY_IDLE_SECONDS": "3"}, tmp_path) as process:
            await kept(database)
            await platform.quote(card, "and then?", user="ann")
            await platform.wait_for(lambda: len(sights(platform, ["ann"])["ann"].answers) == 2, timeout=START)
            process.terminate()
            assert await process.wait() == 0
        quote = f"> 1. Buy **flour**.\n>\n> {EN.interrupted}"
        assert questions(dify)[-1][0] == f"{EN.quoted.format(quote=quote)}\n\nand then?"
        assert platform.violations == []


def test_a_card_that_is_quoted_while_it_is_typed_goes_along_as_it_ends() -> None:
    """The question stands in line behind it, and has its turn a moment before the card's last text is kept."""

    async def main() -> None:
        async with desk(platform={"latency": 0.3}, CARDBOT_STORE="memory:") as there:
            there.dify.answers.append(Script(ANSWER, cps=10))
            await there.platform.say("how do I bake bread?")
            await there.platform.wait_for(lambda: any(card.frames for card in there.platform.cards.values()))
            (card,) = there.platform.cards.values()
            await there.platform.quote(card, "what is the second?")
            assert await asked(there) == ASKED

    run_with_sockets(main)
