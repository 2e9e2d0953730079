"""Whose turn it is, which conversation to go on with, and how to begin anew."""

from dataclasses import replace

import anyio
import pytest

from cardbot.conversations import begin_anew, go_on_with, place, to_go_on_with, turn
from cardbot.errors import StoreError
from cardbot.ports import ConversationKey
from cardbot.store.memory import MemoryStore
from tests.virtual import in_virtual_time

ADA = ConversationKey("app", "robot", "chat", "ada")
BOB = ConversationKey("app", "robot", "chat", "bob")


class Broken(MemoryStore):
    """Fails whatever it is asked."""

    async def conversation(self, key: ConversationKey) -> str:
        raise StoreError("away")

    async def keep_conversation(self, key: ConversationKey, conversation_id: str) -> None:
        raise StoreError("away")


@in_virtual_time
async def test_a_conversation_goes_on_until_somebody_begins_anew() -> None:
    store = MemoryStore()
    await go_on_with("c-1", ADA, store, asked_at=100.0)
    assert await to_go_on_with(ADA, store) == "c-1"
    await begin_anew(ADA, store, at=101.0)
    assert await to_go_on_with(ADA, store) == ""


@in_virtual_time
async def test_an_answer_asked_for_before_does_not_bring_the_old_conversation_back() -> None:
    store = MemoryStore()
    await begin_anew(ADA, store, at=101.0)
    await go_on_with("c-1", ADA, store, asked_at=100.0)
    assert await to_go_on_with(ADA, store) == ""


@in_virtual_time
async def test_a_question_asked_afterwards_begins_one_that_goes_on() -> None:
    store = MemoryStore()
    await begin_anew(ADA, store, at=101.0)
    await go_on_with("c-2", ADA, store, asked_at=102.0)
    assert await to_go_on_with(ADA, store) == "c-2"


@in_virtual_time
async def test_who_begins_anew_does_so_alone() -> None:
    store = MemoryStore()
    await go_on_with("c-1", BOB, store, asked_at=100.0)
    await begin_anew(ADA, store, at=101.0)
    assert await to_go_on_with(BOB, store) == "c-1"


@in_virtual_time
async def test_what_is_noted_of_beginning_anew_is_nobodys_conversation() -> None:
    """Whatever they are called: callers of `cardbot serve` name themselves."""
    kept: list[ConversationKey] = []

    class Watched(MemoryStore):
        async def keep_conversation(self, key: ConversationKey, conversation_id: str) -> None:
            kept.append(key)
            await super().keep_conversation(key, conversation_id)

    store = Watched()
    await begin_anew(ADA, store, at=101.0)
    (note,) = kept
    assert await to_go_on_with(replace(ADA, person=note.person), store) == ""


@in_virtual_time
async def test_a_store_that_fails_costs_the_memory_and_not_the_answer() -> None:
    store = Broken()
    await go_on_with("c-1", ADA, store, asked_at=100.0)
    assert await to_go_on_with(ADA, store) == ""


@in_virtual_time
async def test_who_begins_anew_learns_that_the_store_fails() -> None:
    with pytest.raises(StoreError):
        await begin_anew(ADA, Broken(), at=101.0)


@in_virtual_time
async def test_who_waits_for_a_place_or_a_turn_is_told() -> None:
    store, places, told = MemoryStore(), anyio.CapacityLimiter(1), list[str]()

    async def take() -> None:
        async with (
            turn(ADA, store, lambda: told.append("turn")),
            place(places, lambda: told.append("place")),
        ):
            await anyio.sleep(1)

    async with anyio.create_task_group() as tasks, place(places):
        tasks.start_soon(take)
        tasks.start_soon(take)
        await anyio.sleep(1)
    assert sorted(told) == ["place", "turn"]
    assert places.available_tokens == 1
