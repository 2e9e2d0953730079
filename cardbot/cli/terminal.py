"""How commands begin, speak and end."""

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import NoReturn, TypeVar

import anyio
import typer
from rich.console import Console
from rich.markup import escape

from cardbot.errors import (
    CardbotError,
    DifyError,
)

_console = Console(stderr=True, highlight=False)
_E = TypeVar("_E", bound=Exception)


async def _on_signals(leave: anyio.Event) -> None:
    """The first signal asks to leave; a second one means at once."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if leave.is_set():
                os._exit(128 + number)
            leave.set()


def check_question(question: str) -> None:
    if not question.strip():
        stop("The question is empty.")


def say(line: str) -> None:
    _console.print(line, soft_wrap=True)


def run_async(main: Callable[[], object], *, explain: Callable[[DifyError], str] | None = None) -> None:
    try:
        anyio.run(main)  # type: ignore[arg-type]  # anyio's own type wants the awaitable spelled out
    except* CardbotError as group:
        error = first(group)
        stop(explain(error) if explain and isinstance(error, DifyError) else str(error))
    except* KeyboardInterrupt:
        raise typer.Exit(130) from None
    except* BrokenPipeError:
        _reader_left()


def run_until_told(work: Callable[[anyio.Event], Awaitable[object]]) -> None:
    """Run what ends after its event is set, as SIGTERM and Ctrl-C do."""

    async def main() -> None:
        leave = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_on_signals, leave)
            await work(leave)
            tasks.cancel_scope.cancel()

    run_async(main)


def print_lines(lines: Iterable[str]) -> None:
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        _reader_left()


def _reader_left() -> NoReturn:
    """Whoever read the output has seen enough, as `head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(1) from None


def first(group: BaseExceptionGroup[_E]) -> _E:
    """What went wrong; task groups wrap it once each."""
    error: _E | BaseExceptionGroup[_E] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def stop(sentence: str) -> NoReturn:
    say(f"[red]error:[/] {escape(sentence)}")
    raise typer.Exit(1)
