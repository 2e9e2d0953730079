"""The commands. What they do is elsewhere; here is only how it looks in a terminal."""

import io
import sys
from typing import Annotated

import typer

from cardbot import __version__
from cardbot.cli.asking import ask
from cardbot.cli.counting import usage
from cardbot.cli.playing import playground
from cardbot.cli.running import run, serve
from cardbot.cli.sending import send

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (run, ask, playground, serve, send, usage):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a letter that it has no code for must not cost the rest
        sys.stdout.reconfigure(errors="backslashreplace")
    app(prog_name="cardbot")


@app.callback(invoke_without_command=True)
def _cardbot(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    """Types the answers of a Dify app into DingTalk AI cards, as they are generated."""
    if version:
        print(__version__)
        raise typer.Exit
