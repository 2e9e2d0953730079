"""A process of its own for each side, spoken to in lines of JSON over its standard input and output."""

import json
import os
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import IO, Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

PATIENCE = 300.0
"""Seconds to wait for a line. Our choice: above the longest round, below the patience of whoever looks on."""

LINE_LIMIT = 256 * 1024 * 1024
"""Bytes of a line. Our choice: every frame of 500 long answers fits in, many times over."""

FAREWELL = 10.0
"""Seconds a child has to leave after its input ended, before it is killed. Our choice."""


class ChildFailed(Exception):
    """Raised when a child ended before its answer. The text is the end of what it wrote to standard error."""


class Child:
    """The other end of `told` and `say` in this module, as `run_child` starts it."""

    def __init__(self, module: str, process: Process, errors: IO[bytes]) -> None:
        assert process.stdin is not None, "run_child asks for pipes"
        assert process.stdout is not None, "run_child asks for pipes"
        self._module = module
        self._errors = errors
        self._input = process.stdin
        self._output = BufferedByteReceiveStream(process.stdout)

    async def send(self, value: object) -> None:
        """Say something to the child."""
        await self._input.send(json.dumps(value).encode() + b"\n")

    async def receive(self) -> Any:
        """The next thing that the child says."""
        try:
            with anyio.fail_after(PATIENCE):
                return json.loads(await self._output.receive_until(b"\n", LINE_LIMIT))
        except (anyio.IncompleteRead, anyio.EndOfStream) as exc:
            self._errors.seek(0)
            raise ChildFailed(f"{self._module} ended:\n{self._errors.read()[-3000:].decode(errors='replace')}") from exc


@asynccontextmanager
async def run_child(module: str, parameters: object, **environment: str) -> AsyncGenerator[Child]:
    """A child that runs `python -m module` with the parameters as JSON; it is gone when the block ends."""
    with tempfile.TemporaryFile() as errors:
        process = await anyio.open_process(
            [sys.executable, "-m", module, json.dumps(parameters)],
            stderr=errors,
            # Everything is on this machine: a proxy of the environment has no part in it.
            env={**os.environ, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost", **environment},
        )
        async with process:
            try:
                yield Child(module, process, errors)
            finally:
                with anyio.CancelScope(shield=True):
                    await process.stdin.aclose()  # type: ignore[union-attr]  # a pipe, as asked for by default
                    with anyio.move_on_after(FAREWELL):
                        await process.wait()
                    if process.returncode is None:
                        process.kill()


def parameters() -> Any:
    """In the child: what it was started with."""
    return json.loads(sys.argv[1])


def say(value: object) -> None:
    """In the child: a line for the parent."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def told() -> Any:
    """In the child: the parent's next line, None when the parent has gone. A thread waits, the event loop goes on."""
    line = await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
    return json.loads(line) if line else None
