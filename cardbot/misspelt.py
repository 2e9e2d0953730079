"""What to say of variables that are set and are no settings: slips of the pen, and names of older guides."""

import difflib
from pathlib import Path

from cardbot.errors import SettingsError
from cardbot.reading import OLDER_NAMES, present_in, variables
from cardbot.settings import ServeSettings, Settings

PREFIXES = ("CARDBOT_", "DINGTALK_", "DING_CLIENT_", "DIFY_")
"""A variable that begins like this and is not known is most likely a slip of the pen."""

ADDRESSES = frozenset(["DIFY_BASE_URL", "DINGTALK_OPENAPI_ENDPOINT"])
"""Variables whose default would be another organisation's server: a slip of the pen would send it a key."""


def slips(env_file: Path | None = None) -> list[str]:
    """Problems that `load` cannot see: a variable that is not known, and was meant for an address."""
    present = present_in(env_file)
    meant = {name: _meant_by(name) for name in sorted(present) if _is_unknown(name)}
    return [
        f"{name} is not a setting: rename it to {near}." for name, near in meant.items() if near in ADDRESSES - present
    ]


def advice(env_file: Path | None = None) -> list[str]:
    """Sentences about variables that are set and do nothing. Of a file that cannot be read, `load` speaks."""
    try:
        present = present_in(env_file)
    except SettingsError:
        present = present_in(None)
    advice = []
    for name in sorted(present):
        if name in OLDER_NAMES:
            advice.append(_renamed(name, present))
        elif _is_unknown(name):
            near = _meant_by(name)
            advice.append(f"{name} is not a setting{f'; did you mean {near}?' if near else '.'}")
    return advice


def _known() -> set[str]:
    return {*variables(Settings), *variables(ServeSettings)}


def _is_unknown(name: str) -> bool:
    return name.startswith(PREFIXES) and name not in OLDER_NAMES and name not in _known()


def _meant_by(name: str) -> str:
    """The setting whose name is nearest; empty if none is near."""
    return next(iter(difflib.get_close_matches(name, _known(), n=1)), "")


def _renamed(name: str, present: set[str]) -> str:
    if not (new := OLDER_NAMES[name]):
        return f"{name} is not needed any more: remove it."
    if new in present:
        return f"{name} is a name of older guides and does nothing: {new} is set, so remove it."
    return f"{name} is a name of older guides and does nothing: set {new} instead."
