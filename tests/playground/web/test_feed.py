"""The things on the page, and who has seen which of their forms."""

import anyio
import pytest

from cardbot.playground.web.feed import KEPT, Feed


def feed() -> Feed:
    return Feed(lambda: 0.0)


def test_a_new_reader_gets_everything_whole() -> None:
    here = feed()
    here.put("card", "a", text="x")
    changes = here.since(0)
    assert changes.whole
    assert [(thing.kind, thing.id, thing.fields) for thing in changes.things] == [("card", "a", {"text": "x"})]


def test_a_reader_gets_what_changed_since_and_only_the_newest_form() -> None:
    here = feed()
    here.put("card", "old", text="o")
    here.put("card", "a", text="x")
    version = here.since(0).version
    here.put("card", "b", text="y")
    here.put("card", "a", text="xx")
    here.put("card", "a", text="xxx")
    changes = here.since(version)
    assert not changes.whole
    assert [(thing.id, thing.fields["text"]) for thing in changes.things] == [("b", "y"), ("a", "xxx")]


def test_fields_that_are_left_out_keep_their_value() -> None:
    here = feed()
    here.put("call", "1", path="/x", good=None)
    here.put("call", "1", good=True)
    assert here.get("call", "1") == {"path": "/x", "good": True}


def test_after_clearing_a_reader_begins_again() -> None:
    here = feed()
    here.put("card", "a")
    version = here.since(0).version
    here.clear()
    here.put("card", "b")
    changes = here.since(version)
    assert changes.whole
    assert [thing.id for thing in changes.things] == ["b"]
    assert not here.since(changes.version).whole


def test_the_oldest_things_go_when_there_are_too_many() -> None:
    here = feed()
    here.put("setup", "setup")
    for number in range(KEPT["card"] + 2):
        here.put("card", str(number))
    kept = [thing.id for thing in here.since(0).things if thing.kind == "card"]
    assert (len(kept), kept[0]) == (KEPT["card"], "2")
    assert here.get("setup", "setup") == {}


@pytest.mark.anyio
async def test_a_reader_waits_for_the_next_change() -> None:
    here = feed()
    version = here.since(0).version
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(here.wait, version)
        await anyio.wait_all_tasks_blocked()
        here.put("card", "a")


@pytest.mark.anyio
async def test_closing_lets_everybody_go() -> None:
    here = feed()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(here.wait, 0)
        await anyio.wait_all_tasks_blocked()
        here.close()
