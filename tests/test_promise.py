"""Tests of what is known of a promise between two notes: whether it is still this process's."""

import time

import anyio
import pytest

from cardbot.errors import StoreError
from cardbot.open_reply import OpenReply
from cardbot.promise import SURE_FOR, promised
from tests.story import Memory
from tests.values import DIRECT
from tests.virtual import in_virtual_time


@in_virtual_time
async def test_who_has_just_written_need_not_ask_whether_the_reply_is_still_theirs() -> None:
    store = Memory()
    async with promised("r1", OpenReply(DIRECT), store) as promise:
        store.adopted = True
        await anyio.sleep(SURE_FOR - 0.1)
        assert await promise.is_ours()
    assert len(store.records) == 1


@in_virtual_time
async def test_a_while_after_the_last_note_the_store_is_asked_whose_the_reply_is() -> None:
    store, ours = Memory(), True
    async with promised("r1", OpenReply(DIRECT), store) as promise:
        await anyio.sleep(SURE_FOR + 0.1)
        store.adopted = True
        ours = await promise.is_ours()
    assert not ours


@in_virtual_time
async def test_a_machine_that_slept_asks_though_its_clock_of_timeouts_stood_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, ours, now = Memory(), True, time.time()
    async with promised("r1", OpenReply(DIRECT), store) as promise:
        monkeypatch.setattr(time, "time", lambda: now + 3600)
        store.adopted = True
        ours = await promise.is_ours()
    assert not ours


@in_virtual_time
async def test_what_nobody_took_over_stays_ours_however_long_it_takes() -> None:
    store = Memory()
    async with promised("r1", OpenReply(DIRECT), store) as promise:
        await anyio.sleep(10 * SURE_FOR)
        assert await promise.is_ours()
    assert len(store.records) > 1, "the store was not asked"


@in_virtual_time
async def test_a_store_that_is_down_takes_nobodys_reply_away() -> None:
    store = Memory()
    async with promised("r1", OpenReply(DIRECT), store) as promise:
        await anyio.sleep(SURE_FOR + 0.1)
        store.error = StoreError("no network")
        assert await promise.is_ours()
