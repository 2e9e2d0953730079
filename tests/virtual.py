"""Runs a coroutine function in virtual time: hours pass in milliseconds, and waits are exact."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import trio
from trio.testing import MockClock


def in_virtual_time(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Makes an async test a plain one, run by trio with a clock that jumps when everybody waits."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        trio.run(main, clock=MockClock(autojump_threshold=0))

    return run
