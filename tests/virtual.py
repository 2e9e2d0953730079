"""Runs a coroutine function in virtual time: hours pass in milliseconds, and waits are exact."""

import asyncio
import gc
import selectors
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from types import FunctionType
from typing import Any, TypeVar

import anyio
import pytest
import trio
from trio.testing import MockClock

T = TypeVar("T")


def in_virtual_time(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Makes an async test a plain one, run by trio with a clock that jumps when everybody waits."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        trio.run(main, clock=MockClock(autojump_threshold=0))

    return run


GRACE = 0.001
"""Seconds for which no socket says anything before the clock jumps. Our choice: both ends are in this process, and the
kernel hands over at once; should it be late, the answer is late by one timer, which nobody minds."""


class _Jumping(selectors.DefaultSelector):
    """Waits for no timer: when nothing is to be read, it is that time already."""

    def __init__(self) -> None:
        super().__init__()
        self.now = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(GRACE)
        if not ready:
            self.now += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that works at full speed and never waits for a timer."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def _show_by_default(patch: pytest.MonkeyPatch, clock: Callable[[], float], shown: Callable[[], float]) -> None:
    """Let functions whose parameters have the clock as their default go by what is shown."""
    # Not `isinstance`, which asks a weak proxy for what may be gone.
    functions = [found for found in gc.get_objects() if type(found) is FunctionType and found.__kwdefaults__]
    for function in functions:
        defaults = function.__kwdefaults__ or {}
        if any(value is clock for value in defaults.values()):
            shows = {name: shown if value is clock else value for name, value in defaults.items()}
            patch.setattr(function, "__kwdefaults__", shows)


def run_with_sockets(main: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
    """Run it on asyncio, with real sockets between tasks of this process, in virtual time; every clock shows it.

    Time passes only while everybody waits, so that a busy machine is not a slow one. Threads are not waited for.
    """
    loops: list[_Loop] = []

    def loop() -> _Loop:
        loops.append(_Loop())
        return loops[-1]

    began, epoch = time.monotonic(), time.time()

    def now() -> float:
        return loops[-1].time() if loops else began

    def wall() -> float:
        return epoch + now() - began

    with pytest.MonkeyPatch.context() as patch:
        _show_by_default(patch, time.monotonic, now)
        _show_by_default(patch, time.time, wall)
        patch.setattr(time, "monotonic", now)
        patch.setattr(time, "time", wall)
        patch.setattr(time, "time_ns", lambda: round(wall() * 1e9))
        return anyio.run(main, *args, backend_options={"loop_factory": loop})
