"""What Dify makes of a question's inputs: undeclared ones are dropped, the others checked. Pure.

Words: recorded from 0.15.8 and 1.14.1; what was not recorded, read in the source of 1.15
(langgenius/dify: `base_app_generator.py`, read 2026-11).
"""

from collections.abc import Iterator, Mapping, Sequence

from cardbot.playground.dify.checks import Refused
from cardbot.playground.dify.release import Json


def declared(form: Sequence[Json]) -> Iterator[tuple[str, Json]]:
    """Kind and definition of each input of a `user_input_form`."""
    for item in form:
        yield from item.items()


def taken(inputs: Mapping[str, object], form: Sequence[Json]) -> Json:
    """The declared inputs with their values. Raises Refused."""
    return {str(one["variable"]): _value(inputs.get(str(one["variable"])), kind, one) for kind, one in declared(form)}


def _value(value: object, kind: str, one: Json) -> object:
    name = one["variable"]
    if value is None:
        if one.get("required"):  # Looked at before the default is.
            raise _invalid(f"{name} is required in input form")
        value = one.get("default")
    if value is None or (value == "" and kind in ("file", "file-list", "select")):
        return None
    match kind:
        case "text-input" | "paragraph" | "select" if not isinstance(value, str):
            raise _invalid(f"(type '{kind}') {name} in input form must be a string")
        case "text-input" | "paragraph" if one.get("max_length") and len(str(value)) > one["max_length"]:
            raise _invalid(f"{name} in input form must be less than {one['max_length']} characters")
        case "select" if value not in one.get("options", ()):
            raise _invalid(f"{name} in input form must be one of the following: {one.get('options')}")
        case "number":
            return _number(value, name)
        case "file" if not isinstance(value, dict):
            raise _invalid(f"{name} in input form must be a file")
        case "file-list" if not (isinstance(value, list) and all(isinstance(item, dict) for item in value)):
            raise _invalid(f"{name} in input form must be a list of files")
        case "file-list" if isinstance(value, list) and one.get("max_length") and len(value) > one["max_length"]:
            raise _invalid(f"{name} in input form must be less than {one['max_length']} files")
    if isinstance(value, dict) and kind not in ("file", "json_object"):
        raise _invalid(f"Invalid input type for ['{name}']")
    return value.replace("\0", "") if isinstance(value, str) else value


def _number(value: object, name: object) -> object:
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str):  # A TypeError, which nobody there expects.
        raise Refused(500, "internal_server_error", "Internal Server Error, please contact support.")
    if not value.strip():
        return None
    try:
        return float(value) if "." in value else int(value)
    except ValueError:
        raise _invalid(f"{name} in input form must be a valid number") from None


def _invalid(words: str) -> Refused:
    return Refused(400, "invalid_param", words)
