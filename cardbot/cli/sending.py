"""`cardbot send`: messages on our own account."""

import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer
from rich.markup import escape

from cardbot.cli.options import DEFAULT_CONFIG, DEFAULT_ENV_FILE, ConfigFile, EnvFile, settings_of
from cardbot.cli.terminal import print_lines, run_async, say
from cardbot.errors import SettingsError

if TYPE_CHECKING:
    from cardbot.robots import Configuration
    from cardbot.settings import DingTalkSettings


def send(
    markdown: Annotated[str, typer.Argument(help="The text; - reads it from standard input.")],
    user: Annotated[
        list[str] | None, typer.Option(help="Staff ids of people, with commas between them. May be repeated.")
    ] = None,
    chat: Annotated[
        list[str] | None, typer.Option(help="Open conversation id of a group with the robot in it. May be repeated.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="What the list of chats shows; otherwise the text's start.")] = None,
    robot: Annotated[str, typer.Option(help="As which robot: a name in the configuration file.")] = "",
    env_file: EnvFile = DEFAULT_ENV_FILE,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Send a message to people and groups; a line for each tells what became of it. Exits 1 unless all were reached."""
    from cardbot.counting import counted
    from cardbot.dingtalk.deliveries import Delivery, Outcome, Report, distinct, table
    from cardbot.dingtalk.outbox import Sender
    from cardbot.logs import set_up
    from cardbot.store import open_store

    users = distinct(id_ for ids in user or () for id_ in ids.split(","))
    chats = distinct(chat or ())
    if not users and not chats:
        raise typer.BadParameter("name at least one recipient, with --user or --chat.")
    text = _standard_input() if markdown == "-" else markdown
    if not text.strip():
        raise typer.BadParameter("the text is empty.")
    settings = _robot_of(robot, config, env_file)
    opening = partial(open_store, _store(env_file))
    set_up("WARNING")
    settled: dict[tuple[str, str], Delivery] = {}

    async def deliver() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_on_sigterm, tasks.cancel_scope)
            async with counted(opening) as billed, Sender(settings, billed=billed) as sender:
                await sender.send(
                    text,
                    users=users,
                    chats=chats,
                    title=title,
                    settled=lambda delivery: settled.update({(delivery.kind, delivery.id): delivery}),
                )
            tasks.cancel_scope.cancel()

    try:
        run_async(deliver)
    finally:  # after Ctrl-C and SIGTERM too: whoever sends it again has to know who has it
        recipients = [("user", id_) for id_ in users] + [("chat", id_) for id_ in chats]
        report = Report(tuple(settled[key] for key in recipients if key in settled))
        print_lines(table(report.deliveries))
        say(f"{report.reached} of {len(recipients)} reached.")
        if any(delivery.outcome is Outcome.UNKNOWN for delivery in report.deliveries):
            say("Unknown: it may have arrived, so it was not sent again.")
    if report.reached < len(recipients):
        raise typer.Exit(1)


def _robot_of(robot: str, config: Path, env_file: Path) -> "DingTalkSettings":
    """The robot of this name, or the only one."""
    from cardbot.settings import DingTalkSettings

    def robots(found: "Configuration") -> "dict[str, DingTalkSettings]":
        return {one.name: one.settings for one in found.robots}

    return settings_of(robot, DingTalkSettings, robots, what="as which robot", config=config, env_file=env_file)


def _store(env_file: Path) -> str:
    """Where the calls are counted. What is wrong with it keeps no message from being sent."""
    from cardbot.settings import StoreSettings

    try:
        return StoreSettings.load(env_file).store
    except SettingsError as exc:
        for problem in exc.problems:
            say(f"[yellow]note:[/] {escape(problem)} The calls of this message are not counted.")
        return "memory:"


async def _cancel_on_sigterm(scope: anyio.CancelScope) -> None:
    """The supervisor of a job may have less patience than DingTalk takes."""
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise typer.BadParameter("standard input is not UTF-8 text.") from None
