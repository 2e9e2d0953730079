"""How settings are read: from the environment and an env file, with a sentence for every problem, by variable name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, SettingsConfigDict

from cardbot.errors import SettingsError

OLDER_NAMES: Mapping[str, str] = {
    "DINGTALK_APP_KEY": "DINGTALK_CLIENT_ID",
    "DINGTALK_APP_SECRET": "DINGTALK_CLIENT_SECRET",
    "DING_CLIENT_ID": "DINGTALK_CLIENT_ID",
    "DING_CLIENT_SECRET": "DINGTALK_CLIENT_SECRET",
    "DIFY_URL": "DIFY_BASE_URL",
    "DINGTALK_AGENT_ID": "",
}
"""Variables of older guides, and what they are called now; an empty name is one that nothing needs any more."""


class Values(BaseSettings):
    """How settings are read; what they are, the classes below say."""

    model_config = SettingsConfigDict(
        case_sensitive=True, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    @classmethod
    def load(cls, env_file: Path | None = None) -> Self:
        """From the environment, and an env file for what is not in the environment.

        Raises `SettingsError` with a sentence for each problem.
        """
        try:
            settings = cls(_env_file=env_file, _env_file_encoding="utf-8")
            _refuse_older_names(present_in(env_file), settings)
            return settings
        except ValidationError as exc:
            raise SettingsError(_problems(exc, present_in(env_file))) from None
        except (OSError, UnicodeDecodeError) as exc:
            raise SettingsError([_unreadable(env_file, exc)]) from None

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Self:
        """From these values alone, by variable name, whatever the environment says. Raises `SettingsError`."""
        settings = cls.__new__(cls)
        try:
            BaseModel.__init__(settings, **dict(values))  # not BaseSettings', which reads the environment
        except ValidationError as exc:
            raise SettingsError(_problems(exc, set(values))) from None
        _refuse_older_names(set(values), settings)
        return settings


def variables(kind: type[BaseSettings]) -> dict[str, Any]:
    """Each environment variable, with its field."""
    return {str(field.alias): field for field in kind.model_fields.values()}


def environment(env_file: Path | None = None) -> dict[str, str]:
    """What the environment says, and an env file for what is not there; what is empty is not set, as in `Values.load`.

    Raises `SettingsError` if the file cannot be read.
    """
    try:
        file = DotEnvSettingsSource(Values, env_file=env_file, env_file_encoding="utf-8", case_sensitive=True)
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError([_unreadable(env_file, exc)]) from None
    sources = (file, EnvSettingsSource(Values, case_sensitive=True))
    return {name: value for source in sources for name, value in source.env_vars.items() if value}


def present_in(env_file: Path | None) -> set[str]:
    """The names that are set, whether known or not. Raises `SettingsError` as `environment`."""
    return set(environment(env_file))


def _unreadable(env_file: Path | None, error: Exception) -> str:
    return f"{env_file} cannot be read as UTF-8 text ({type(error).__name__})."


def _refuse_older_names(present: set[str], settings: BaseSettings) -> None:
    """A default must not be used where an older name says otherwise: a key could go to a wrong host."""
    fields = type(settings).model_fields
    defaulted = {str(field.alias) for name, field in fields.items() if name not in settings.model_fields_set}
    older = [
        f"{new} is missing. {old} is its name in older guides: rename it to {new}."
        for old, new in OLDER_NAMES.items()
        if old in present and new in defaulted
    ]
    if older:
        raise SettingsError(older)


def _problems(error: ValidationError, present: set[str]) -> list[str]:
    """One sentence a variable. The value is left out: it may be a secret."""
    problems = []
    for detail in error.errors(include_input=False, include_url=False):
        name = str(detail["loc"][0])
        if detail["type"] == "missing":
            older = [old for old, new in OLDER_NAMES.items() if new == name and old in present]
            hint = f" {older[0]} is its name in older guides: rename it to {name}." if older else ""
            problems.append(f"{name} is missing.{hint}")
        else:
            problems.append(f"{name} {_reason(detail)}.")
    return problems


def _reason(detail: ErrorDetails) -> str:
    match detail["type"]:
        case "value_error":
            return detail["msg"].removeprefix("Value error, ")
        case "int_parsing" | "int_from_float" | "int_type":
            return "must be a whole number"
        case "float_parsing" | "float_type":
            return "must be a number"
        case "literal_error":
            return f"must be {detail['ctx']['expected'].removeprefix(repr('') + ', ')}"
        case _:
            return f"is wrong: {detail['msg']}"
