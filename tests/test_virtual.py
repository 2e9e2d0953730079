"""Tests of virtual time over real sockets: what the fault tables go by."""

import time
import weakref
from collections.abc import Callable

import anyio
import pytest

from tests.virtual import run_with_sockets

HOUR = 3600.0


def _wall(*, wall: Callable[[], float] = time.time) -> float:
    return wall()


def _timer(*, timer: Callable[[], float] = time.monotonic) -> float:
    return timer()


def test_all_clocks_move_together() -> None:
    async def main() -> list[float]:
        clocks: list[Callable[[], float]] = [
            anyio.current_time,
            time.time,
            time.monotonic,
            lambda: time.time_ns() / 1e9,
            _wall,
            _timer,
        ]
        before = [clock() for clock in clocks]
        await anyio.sleep(HOUR)
        return [round(clock() - then) for clock, then in zip(clocks, before, strict=True)]

    assert run_with_sockets(main) == [HOUR] * 6


def test_work_takes_no_time_by_any_clock() -> None:
    """Or the bot would believe on a busy machine that it had slept, and connect anew."""

    async def main() -> list[float]:
        clocks: list[Callable[[], float]] = [anyio.current_time, time.time, time.monotonic, _wall, _timer]
        before = [clock() for clock in clocks]
        end = time.perf_counter() + 0.1
        while time.perf_counter() < end:
            pass
        return [clock() - then for clock, then in zip(clocks, before, strict=True)]

    assert run_with_sockets(main) == [0.0] * 5


def test_what_is_left_of_objects_that_are_gone_does_no_harm() -> None:
    gone = weakref.proxy(type("Gone", (), {})())

    async def main() -> None:
        await anyio.sleep(HOUR)

    run_with_sockets(main)
    with pytest.raises(ReferenceError):
        gone.anything  # noqa: B018 - to look is the point


def test_clocks_are_real_again_afterwards() -> None:
    before = time.time

    async def main() -> None:
        await anyio.sleep(HOUR)

    run_with_sockets(main)
    assert time.time is before
    assert abs(_wall() - before()) < HOUR / 2
