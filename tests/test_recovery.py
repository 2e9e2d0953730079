"""Who adopts what, in virtual time; that it is finished then is in `test_reply`, over real processes in `faults`."""

import anyio
import pytest
from structlog.testing import capture_logs

from cardbot.errors import StoreError, UnreadableReply
from cardbot.events import Identified
from cardbot.open_reply import Ending, OpenReply
from cardbot.recovery import BEAT_EVERY, watch
from cardbot.store.memory import MemoryStore
from tests.values import DIRECT, GROUP
from tests.virtual import in_virtual_time


class Shared(MemoryStore):
    """A store in which others have left something."""

    def __init__(self, left: dict[str, str]) -> None:
        super().__init__()
        self.left = left
        self.living = 1
        self.beats = 0
        self.dropped: list[str] = []
        self.broken = False

    async def beat(self) -> int:
        self.beats += 1
        if self.broken:
            raise StoreError("no network")
        return self.living

    async def adopt_replies(self) -> dict[str, str]:
        left, self.left = self.left, {}
        return left

    async def drop_reply(self, reply_id: str) -> None:
        self.dropped.append(reply_id)


async def watched(store: Shared, seconds: float, *, leaving: bool = False) -> tuple[dict[str, OpenReply], list[int]]:
    found: dict[str, OpenReply] = {}
    shares: list[int] = []
    with anyio.move_on_after(seconds):
        await watch(store, shares.append, found.__setitem__, leaving=lambda: leaving)
    return found, shares


@in_virtual_time
async def test_what_was_left_open_is_adopted_at_once() -> None:
    left = OpenReply(GROUP, asked=True, ids=Identified("c", "m", "t", "w"), text="so far", ending=Ending("all", True))
    found, _ = await watched(Shared({"r1": left.to_json(), "r2": OpenReply(DIRECT).to_json()}), 0.1)
    assert found == {"r1": left, "r2": OpenReply(DIRECT)}


@in_virtual_time
async def test_a_sign_of_life_is_given_every_few_seconds() -> None:
    store = Shared({})
    await watched(store, BEAT_EVERY * 10 + 0.1)
    assert store.beats == 11


@in_virtual_time
async def test_the_calls_are_shared_with_those_that_live() -> None:
    store = Shared({})

    async def join() -> None:
        await anyio.sleep(BEAT_EVERY / 2)
        store.living = 3

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(join)
        _, shares = await watched(store, BEAT_EVERY + 0.1)
    assert shares == [1, 3]


@in_virtual_time
async def test_a_store_that_fails_for_a_while_does_not_end_the_watch() -> None:
    store = Shared({"r1": OpenReply(DIRECT).to_json()})
    store.broken = True

    async def mend() -> None:
        await anyio.sleep(BEAT_EVERY * 2.5)
        store.broken = False

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mend)
        found, _ = await watched(store, BEAT_EVERY * 4)
    assert list(found) == ["r1"]


@in_virtual_time
async def test_a_record_of_another_version_is_left_alone_and_the_others_are_adopted() -> None:
    store = Shared({"r1": '{"incoming": "?"}', "r2": OpenReply(DIRECT).to_json()})
    with capture_logs() as logs:
        found, _ = await watched(store, 0.1)
    assert (list(found), store.dropped) == (["r2"], [])
    assert "open_reply_unreadable" in [entry["event"] for entry in logs]


@in_virtual_time
async def test_who_leaves_adopts_nothing_and_still_gives_signs_of_life() -> None:
    store = Shared({"r1": OpenReply(DIRECT).to_json()})
    found, _ = await watched(store, BEAT_EVERY + 0.1, leaving=True)
    assert found == {}
    assert store.beats == 2


def test_a_record_says_what_is_wrong_with_it_and_not_what_it_holds() -> None:
    record = OpenReply(DIRECT, text="secret words").to_json().replace('"asked":false', '"asked":"secret words"')
    with pytest.raises(UnreadableReply, match="asked") as refused:
        OpenReply.from_json(record)
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_half_a_character_does_not_keep_a_reply_from_being_written_down() -> None:
    assert OpenReply.from_json(OpenReply(DIRECT, text="half \ud83d").to_json()).text == "half ?"
