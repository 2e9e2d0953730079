"""A task that runs as long as a block does."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import anyio


@asynccontextmanager
async def beside(work: Callable[..., Coroutine[Any, Any, object]], *args: Any) -> AsyncGenerator[None]:
    """Run `work` beside the block, and cancel it at the block's end.

    What the block raises comes out as it is: a task group alone would wrap it in an `ExceptionGroup`.
    """
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work, *args)
        try:
            yield
        except Exception as exc:  # raised below, where no task group wraps it
            failure = exc
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
