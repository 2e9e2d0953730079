"""What a Dify app says of itself: its kind, its inputs, the files it takes. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cardbot.dify.fields import mapping, mappings, number, text
from cardbot.dify.file_rules import FileRules

TEXT_KINDS = frozenset(["text-input", "paragraph"])
"""Inputs that take any text. Documented: `user_input_form` of `GET /parameters`."""

FILE_KINDS = frozenset(["file", "file-list"])
"""Inputs that take one file or several. Documented: as above."""


@dataclass(frozen=True, slots=True)
class AppInput:
    """One input that the app declares."""

    name: str
    label: str
    kind: str
    """Dify's word: `text-input`, `paragraph`, `select`, `number`, `checkbox`, `file`, `file-list` or a newer one."""
    required: bool = False
    default: object = None
    """None where there is none; an empty text is none either."""
    max_length: int = 0
    """Characters that a text may have, or files a list; 0: as many as one likes."""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class App:
    """A Dify app. `mode` is empty before Dify 1.4; `version` is the server's."""

    name: str
    mode: str
    version: str
    file_upload: FileRules = field(default_factory=FileRules)
    """Which files can be asked about, as a question's own or in an input."""
    has_uploads: bool = False
    """Whether a question has files of its own, besides those of inputs."""
    listens: bool = False
    """Whether it writes down what is said in a recording."""
    inputs: tuple[AppInput, ...] = ()

    def declared(self, name: str) -> AppInput | None:
        """The input of this name, if the app declares it."""
        return next((one for one in self.inputs if one.name == name), None)

    @property
    def texts(self) -> tuple[AppInput, ...]:
        """The inputs that take any text."""
        return tuple(one for one in self.inputs if one.kind in TEXT_KINDS)


def app_of(info: Mapping[str, Any], parameters: Mapping[str, Any], version: str) -> App:
    """The app, from its answers to `GET /info` and `GET /parameters`."""
    upload = mapping(parameters, "file_upload")
    return App(
        text(info, "name"),
        text(info, "mode"),
        version,
        FileRules.from_parameters(parameters),
        # Before 0.15 there were pictures only, and nothing but their own switch.
        upload.get("enabled", mapping(upload, "image").get("enabled")) is True,
        mapping(parameters, "speech_to_text").get("enabled") is True,
        tuple(_inputs(parameters)),
    )


def _inputs(parameters: Mapping[str, Any]) -> Iterator[AppInput]:
    """Each item of the form is an object with one key, the kind of the input."""
    for item in mappings(parameters, "user_input_form"):
        for kind in item:
            if name := text(mapping(item, kind), "variable"):
                yield _input(name, kind, mapping(item, kind))


def _input(name: str, kind: str, body: Mapping[str, Any]) -> AppInput:
    options = body.get("options")
    return AppInput(
        name,
        text(body, "label") or name,
        kind,
        required=body.get("required") is True,
        default=None if body.get("default") == "" else body.get("default"),
        max_length=number(body, "max_length"),
        options=tuple(str(option) for option in options) if isinstance(options, list) else (),
    )
