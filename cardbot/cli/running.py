"""`cardbot run`, `cardbot serve`: what runs until it is told to end."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from cardbot.cli.options import DEFAULT_CONFIG, DEFAULT_ENV_FILE, ConfigFile, EnvFile, configuration, is_given, load
from cardbot.cli.terminal import run_until_told, stop

if TYPE_CHECKING:
    from cardbot.settings import DifySettings


def run(env_file: EnvFile = DEFAULT_ENV_FILE, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Run the robot, or several, until SIGTERM or Ctrl-C; open cards are finished first."""
    from cardbot import fleet  # the official SDKs take a while to import
    from cardbot.collector import settle
    from cardbot.logs import set_up

    robots = configuration(config, env_file).robots
    if not robots:
        stop(f"{config} names models only: a robot is a table [[robot]] there, or in the environment.")
    set_up(robots[0].settings.log_level)
    settle()

    run_until_told(partial(fleet.run, robots))


def serve(
    host: Annotated[str, typer.Option(help="Where to listen; without CARDBOT_API_KEYS, this machine only.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes a free one.")] = 8000,
    env_file: EnvFile = DEFAULT_ENV_FILE,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Offer the Dify app as a model of an OpenAI-compatible API, until SIGTERM or Ctrl-C."""
    from cardbot.collector import settle
    from cardbot.logs import set_up
    from cardbot.settings import ServeSettings

    try:
        from cardbot.web import serve as served
    except ModuleNotFoundError as exc:
        stop(f"The front needs the package {exc.name}: pip install '.[web]'.")
    settings = load(ServeSettings, env_file)
    models = _models(settings.model, config, env_file)
    set_up(next(iter(models.values())).log_level)
    settle()

    async def front(leave: anyio.Event) -> None:
        async with served(models, settings, host=host, port=port) as address:
            print(f"{address}/v1", flush=True)
            await leave.wait()

    run_until_told(front)


def _models(name: str, config: Path, env_file: Path) -> "dict[str, DifySettings]":
    """The models of the configuration file, or its robots' Dify apps, or the environment's one under this name."""
    from cardbot.settings import DifySettings

    if not is_given(config):
        return {name: load(DifySettings, env_file)}
    found = configuration(config, env_file)
    return {one.name: one.settings for one in found.models} or {one.name: one.settings for one in found.robots}
