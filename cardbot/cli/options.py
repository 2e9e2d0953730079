"""The options that commands share, and the settings that they name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.markup import escape

from cardbot.cli.terminal import say, stop
from cardbot.errors import (
    SettingsError,
)

if TYPE_CHECKING:
    from cardbot.reading import Values
    from cardbot.robots import Configuration

_T = TypeVar("_T")
_V = TypeVar("_V", bound="Values")

EnvFile = Annotated[Path, typer.Option("--env-file", help="File of the settings that are not in the environment.")]
DEFAULT_ENV_FILE = Path(".env")
ConfigFile = Annotated[Path, typer.Option("--config", help="File of several robots, each with its settings.")]
DEFAULT_CONFIG = Path("cardbot.toml")


def is_given(config: Path) -> bool:
    """Whether there is a configuration file, or one was named that is missing."""
    return config != DEFAULT_CONFIG or config.exists()


def configuration(config: Path, env_file: Path) -> "Configuration":
    """The robots and models of the configuration file, or the environment's one robot."""
    from cardbot.reading import environment
    from cardbot.robots import load

    if config != DEFAULT_CONFIG and not config.exists():
        stop(f"There is no file {config}.")
    path = config if config.exists() else None
    return _checked(lambda: load(path, environment(env_file)), env_file)


def settings_of(
    robot: str,
    kind: "type[_V]",
    named: "Callable[[Configuration], Mapping[str, _V]]",
    *,
    what: str,
    config: Path,
    env_file: Path,
) -> "_V":
    """The settings of the robot of this name, or of the only one; without a configuration file, the environment's."""
    if is_given(config):
        return _chosen(named(configuration(config, env_file)), robot, what=what)
    if robot:
        stop(f"There is no {config}, so there is no robot {robot}.")
    return load(kind, env_file)


def _chosen(named: Mapping[str, _T], name: str, *, what: str) -> _T:
    """The one of this name, or the only one there is."""
    name = name or (next(iter(named)) if len(named) == 1 else "")
    if name not in named:
        unknown = f"There is no robot {name}. " if name else ""
        stop(f"{unknown}Say {what}, with --robot and one of these: {', '.join(named)}.")
    return named[name]


def is_set(name: str, env_file: Path) -> bool:
    """Whether a variable has a value, or the end of the program if the env file cannot be read."""
    from cardbot.reading import environment

    try:
        return name in environment(env_file)
    except SettingsError as exc:
        stop(str(exc))


def load(kind: "type[_V]", env_file: Path) -> "_V":
    """The settings, or the end of the program with a line for each problem."""
    return _checked(lambda: kind.load(env_file), env_file)


def _checked(load: Callable[[], _T], env_file: Path) -> _T:
    from cardbot.misspelt import advice, slips

    if env_file != DEFAULT_ENV_FILE and not env_file.exists():
        stop(f"There is no file {env_file}.")
    problems: list[str] = []
    settings: _T | None = None
    try:
        settings = load()
        problems = slips(env_file)
    except SettingsError as exc:
        problems = exc.problems
    for sentence in advice(env_file):
        name, _, _ = sentence.partition(" ")
        if not any(name in problem for problem in problems):
            say(f"[yellow]note:[/] {sentence}")
    for problem in problems:
        say(f"[red]error:[/] {escape(problem)}")
    if settings is None or problems:
        say("All settings are listed in .env.example and in the README.")
        raise typer.Exit(1)
    return settings
