"""What is known of an app, in virtual time: asked once, kept for a while, good enough when Dify is away."""

import anyio
import pytest

from cardbot.dify.acquaintance import FRESH, Acquaintance
from cardbot.dify.app import App
from cardbot.errors import DifyError, DifyUnreachable
from tests.virtual import in_virtual_time


class Dify:
    """Takes a second to tell what the app is, under a new name each time."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False

    async def __call__(self) -> App:
        self.asked += 1
        await anyio.sleep(1)
        if self.away:
            raise DifyUnreachable("away")
        return App(f"App {self.asked}", "chat", "1.14.1")


@in_virtual_time
async def test_many_at_once_ask_once() -> None:
    dify = Dify()
    known, names = Acquaintance(dify), []

    async def one() -> None:
        names.append((await known.app()).name)

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(one)
    assert (names, dify.asked) == (["App 1"] * 10, 1)


@in_virtual_time
async def test_a_change_is_seen_after_a_while() -> None:
    dify = Dify()
    known = Acquaintance(dify)
    await known.app()
    await anyio.sleep(FRESH - 1)
    assert (await known.app()).name == "App 1"
    await anyio.sleep(1)
    assert (await known.app()).name == "App 2"


@in_virtual_time
async def test_many_at_once_fail_at_once() -> None:
    dify = Dify()
    dify.away = True
    known, failures = Acquaintance(dify), []

    async def one() -> None:
        with pytest.raises(DifyError):
            await known.app()
        failures.append(anyio.current_time())

    start = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(one)
    assert failures == [start + 1] * 10


@in_virtual_time
async def test_a_failure_is_not_remembered() -> None:
    dify = Dify()
    dify.away = True
    known = Acquaintance(dify)
    with pytest.raises(DifyError):
        await known.app()
    dify.away = False
    assert (await known.app()).name == "App 2"


@in_virtual_time
async def test_what_was_once_known_is_good_enough_while_dify_is_away() -> None:
    dify = Dify()
    known = Acquaintance(dify)
    await known.app()
    dify.away = True
    await anyio.sleep(FRESH)
    assert (await known.app()).name == "App 1"
    asked = dify.asked
    await known.app()
    assert dify.asked == asked, "each question waits for Dify again"


@in_virtual_time
async def test_who_gives_up_asking_leaves_it_to_the_next() -> None:
    dify = Dify()
    known, names = Acquaintance(dify), []

    async def hurried() -> None:
        with anyio.move_on_after(0.5):
            await known.app()

    async def patient() -> None:
        names.append((await known.app()).name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hurried)
        await anyio.sleep(0.1)
        tasks.start_soon(patient)
    assert names == ["App 2"]
