"""Another program of the same app: it uses up the calls that the bot would make."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import NoReturn

from cardbot.playground.platform.endpoint import Refused
from cardbot.playground.platform.quota import Quota


async def burn(quota: Quota, endpoints: Iterable[str], path: str, *, calls_per_second: float) -> NoReturn:
    """Call `path` at an even pace that does not drift: one endpoint ("PUT /v1.0/card/streaming"), or all of a path.

    A refusal stops nothing. Raises ValueError if there is no such endpoint.
    """
    names = [name for name in endpoints if name == path or name.endswith(f" {path}")]
    if not names:
        raise ValueError(f"no endpoint {path!r}")
    next_at = time.monotonic()
    while True:
        for name in names:
            with suppress(Refused):
                quota.spend(name, now=time.monotonic())
        next_at += 1 / calls_per_second
        await asyncio.sleep(next_at - time.monotonic())
