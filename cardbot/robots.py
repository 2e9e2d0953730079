"""Several robots and models: the tables of `cardbot.toml` over the environment, as the settings of each.

A setting's key is its variable's name in lower case, without `DINGTALK_` or `CARDBOT_` before it: `client_id`,
`session`, `dify_base_url`. Secrets are not in the file: `…_env` names the variable that holds one, `…_file` the file.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, get_args

from pydantic import SecretStr

from cardbot.errors import SettingsError
from cardbot.reading import OLDER_NAMES, Values, variables
from cardbot.settings import DifySettings, Settings

TABLES = ("defaults", "robot", "model")

FOR_ALL = ("CARDBOT_STORE", "CARDBOT_MONTHLY_CALLS", "CARDBOT_LOG_LEVEL")
"""Settings of the whole process. They are the environment's, where the commands find them that need no robot."""

BELONG_TOGETHER: Mapping[str, tuple[str, ...]] = {
    "DINGTALK_CLIENT_ID": ("DINGTALK_CLIENT_SECRET", "DINGTALK_ROBOT_CODE"),
    "DIFY_BASE_URL": ("DIFY_API_KEY",),
}
"""Who names the first has to name the rest, or one app's secret would be shown to another's server."""

NAME_OF_VARIABLE = re.compile("[A-Z][A-Z0-9_]*")
"""What may be repeated in a sentence about a variable: whoever confuses its name and its value has put a secret there,
and these hold small letters (seen: DingTalk's and Dify's)."""

T = TypeVar("T", bound=Values)


@dataclass(frozen=True, slots=True)
class Robot:
    """A DingTalk app and the Dify app that answers there. `name` finds it in the log."""

    name: str
    settings: Settings


@dataclass(frozen=True, slots=True)
class Model:
    """A Dify app under the name that clients of the OpenAI-compatible front ask for."""

    name: str
    settings: DifySettings


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that the file and the environment name."""

    robots: tuple[Robot, ...]
    models: tuple[Model, ...]


@dataclass(frozen=True, slots=True)
class _Value:
    """A setting as the text that its variable would hold, and how a sentence about it begins."""

    text: str = field(repr=False)
    label: str


def load(path: Path | None, env: Mapping[str, str]) -> Configuration:
    """Read the file, if there is one; what it does not say comes from the environment.

    A file without robots leaves the one that the environment names, and so does no file.

    Args:
        path: the TOML file.
        env: values by variable, as `settings.environment` finds them.

    Raises:
        SettingsError: with a sentence for each problem, which names its table.
    """
    return parse(_content(path), env, folder=path.parent) if path else parse({}, env)


def parse(content: Mapping[str, object], env: Mapping[str, str], *, folder: Path = Path()) -> Configuration:
    """The same for a file's content; relative names of files in it begin in `folder`. Raises `SettingsError`."""
    return _Reading(env, folder).configuration(content)


def key_of(variable: str) -> str:
    """A variable's key in the file."""
    return variable.removeprefix("DINGTALK_").removeprefix("CARDBOT_").lower()


def _content(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))  # some editors begin a file with a mark
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError([f"{path} cannot be read as UTF-8 text ({type(exc).__name__})."]) from None
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError([f"{path} is not written in TOML: {exc}."]) from None
    except RecursionError:
        raise SettingsError([f"{path} cannot be read: lists in it are in lists in lists, and so on."]) from None


class _Reading:
    """One reading of a file: what is wrong is gathered, so that all of it is told at once."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self._env = env
        self._folder = folder
        self._problems: dict[str, None] = {}  # what is wrong with a shared value is told once
        self._told: set[str] = set()
        self._defaults: dict[str, _Value] = {}

    def configuration(self, content: Mapping[str, object]) -> Configuration:
        for table in content.keys() - TABLES:
            self._object(f"{table} is not a table of this file{_did_you_mean(table, TABLES)}")
        self._defaults = self._values(self._table(content.get("defaults", {}), "defaults"), "defaults", Settings)
        robots = [Robot(name, one) for name, one in self._each(content, "robot", Settings)]
        models = [Model(name, one) for name, one in self._each(content, "model", DifySettings)]
        environment_names_one = not models or "DINGTALK_CLIENT_ID" in self._env
        if "robot" not in content and environment_names_one and (alone := self._settings(Settings, "", {})):
            robots = [Robot(alone.client_id, alone)]
        self._refuse_twins(robots)
        if self._problems:
            raise SettingsError(list(self._problems))
        return Configuration(tuple(robots), tuple(models))

    def _each(self, content: Mapping[str, object], kind: str, settings: type[T]) -> list[tuple[str, T]]:
        """The tables of one kind, by their names."""
        tables = content.get(kind, [])
        if not isinstance(tables, list):
            self._object(f"[{kind}] has to be written [[{kind}]], once for each {kind}.")
            return []
        found: dict[str, T | None] = {}
        for number, table in enumerate(tables, 1):
            own = self._table(table, kind)
            name = own.pop("name", "")
            name = name.strip() if isinstance(name, str) else ""
            if not name:
                self._object(f"{kind} {number}: name is missing.")
                name = str(number)
            elif name in found:
                self._object(f"{kind} {name}: there are two of this name.")
            where = f"{kind} {name}"
            found[name] = self._settings(settings, where, self._values(own, where, settings))
        return [(name, one) for name, one in found.items() if one is not None]

    def _table(self, table: object, kind: str) -> dict[str, object]:
        if isinstance(table, dict):
            return dict(table)
        self._object(f"{kind} has to be a table.")
        return {}

    def _values(self, table: Mapping[str, object], where: str, kind: type[Values]) -> dict[str, _Value]:
        """What a table says, by variable."""
        fields = {key_of(variable): variable for variable in variables(kind)}
        secrets = {key_of(variable) for variable, one in variables(kind).items() if _is_secret(one.annotation)}
        known = (fields.keys() - secrets - {key_of(variable) for variable in FOR_ALL}) | {
            f"{key}_{place}" for key in secrets for place in ("env", "file")
        }
        values: dict[str, _Value] = {}
        for written, value in table.items():
            label = f"{where}: {written}"
            key = written.removesuffix("_env").removesuffix("_file") if written in known else written
            if key in secrets and key == written:
                self._object(
                    f"{label} is a secret, which has no place in this file: put it into a variable and name that in"
                    f" {key}_env, or into a file and name that in {key}_file."
                )
                self._told.add(label)
                values[fields[key]] = _Value("", label)
            elif written not in known and fields.get(key) in FOR_ALL:
                self._object(f"{label} is one for all: set {fields[key]} in the environment.")
            elif written not in known:
                self._object(f"{label} is not a setting{_did_you_mean(key_of(written.upper()), known)}")
            elif fields[key] in values:
                self._object(f"{label} is said twice: {key}_env and {key}_file exclude each other.")
            else:
                try:
                    text = self._secret(_text(value), written) if key in secrets else _text(value)
                except ValueError as exc:
                    self._object(f"{label} {exc}.")
                    self._told.add(label)
                    text = ""
                values[fields[key]] = _Value(text, label)
        return values

    def _secret(self, name: str, written: str) -> str:
        """What the variable or the file of this name holds. Raises `ValueError` with what is wrong."""
        if written.endswith("_env"):
            if secret := self._env.get(name, "").strip():
                return secret
            known = f"{name}, which" if NAME_OF_VARIABLE.fullmatch(name) else "a variable that"
            raise ValueError(f"names {known} is empty or not set")
        try:
            secret = (self._folder / name).read_text("utf-8").strip()
        except (OSError, ValueError) as exc:  # ValueError: no text, or no name that a file can have
            raise ValueError(f"names a file that cannot be read ({type(exc).__name__})") from None
        if not secret:
            raise ValueError("names a file that is empty")
        return secret

    def _settings(self, kind: type[T], where: str, own: Mapping[str, _Value]) -> T | None:
        """The settings of one table over the defaults over the environment; `None` if something is wrong with them."""
        fields = variables(kind)
        found = {name: _Value(text, name) for name, text in self._env.items() if name in fields or name in OLDER_NAMES}
        for layer in (self._defaults, own):
            for first, others in BELONG_TOGETHER.items():
                for name in others if first in layer else ():
                    found.pop(name, None)
            found |= {name: value for name, value in layer.items() if name in fields}
        try:
            return kind.of({name: value.text for name, value in found.items() if value.text})
        except SettingsError as exc:
            for problem in exc.problems:
                variable, _, rest = problem.partition(" ")
                key = key_of(variable)
                if value := found.get(variable):
                    label = value.label
                elif not where:
                    label = variable
                elif _is_secret(fields[variable].annotation):
                    label = f"{where}: {key}_env or {key}_file"
                else:
                    label = f"{where}: {key}"
                if label not in self._told:
                    self._object(f"{label} {rest}")
            return None

    def _refuse_twins(self, robots: list[Robot]) -> None:
        """Two robots of one app would take each other's messages."""
        first: dict[str, str] = {}
        for robot in robots:
            other = first.setdefault(robot.settings.client_id, robot.name)
            if other != robot.name:
                self._object(f"robot {robot.name}: client_id is that of robot {other} already.")

    def _object(self, sentence: str) -> None:
        self._problems[sentence] = None


def _is_secret(annotation: object) -> bool:
    return SecretStr in (annotation, *get_args(annotation))


def _text(value: object) -> str:
    """A value as its variable would hold it. Raises `ValueError` with what is wrong."""
    match value:
        case str():
            return value
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case [_, *_] if (texts := [part for part in value if isinstance(part, str)]) == value:
            return ",".join(texts)
        case dict():
            try:
                return json.dumps(value, ensure_ascii=False)
            except TypeError:  # a date is in it
                raise ValueError("must hold texts and numbers only") from None
        case _:
            raise ValueError("must be a text, a number, a list of texts that is not empty, or a table")


def _did_you_mean(word: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f"; did you mean {near[0]}?" if near else "."
