"""Which of a workflow's outputs is its answer, as text. Pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cardbot.answer import ANSWER_OUTPUTS
from cardbot.dify.fields import text
from cardbot.events import FileProduced
from cardbot.links import absolute, identity, link

FILE_MARK = "dify_model_identity"
"""The field by which Dify marks a file in its JSON. Seen: 0.15.8."""


def answering(outputs: Mapping[str, Any], wanted: str, base: str = "") -> Mapping[str, Any]:
    """The outputs that are the answer, each as text.

    Args:
        outputs: What the run ended with: any names, any types.
        wanted: The one that is the answer. Empty: all texts and files, of which `answer.Answer` takes the likeliest;
            where there is no text at all, whatever there is.
        base: Dify's address, for those of its files.
    """
    if wanted:
        return {wanted: as_text(outputs[wanted], base)} if wanted in outputs else {}
    has_text = any(isinstance(value, str) and value.strip() for value in outputs.values())
    return {
        name: as_text(value, base)
        for name, value in outputs.items()
        if (isinstance(value, str) or any(files_in(value, base)) if has_text else value not in (None, "", [], {}))
    }


def likeliest(outputs: Mapping[str, Any]) -> str:
    """The one text among those of `answering`, as `answer.Answer` chooses it; all of them if none is named so."""
    texts = {name: value for name, value in outputs.items() if isinstance(value, str)}
    named = [texts[name] for name in ANSWER_OUTPUTS if name in texts]
    return named[0] if named else "\n\n".join(texts.values())


def as_text(value: object, base: str = "") -> str:
    """Text as it is, files as links, anything else as a block of JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    files = [link(file) for file in files_in(value, base)]
    if files and len(files) == (len(value) if isinstance(value, list) else 1):
        return "\n\n".join(files)
    return f"```json\n{json.dumps(value, ensure_ascii=False, indent=2)}\n```"


def files_in(value: object, base: str) -> Iterator[FileProduced]:
    """The files in an output: it may be one, or a list of some."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict) and FILE_MARK in item:
            yield _file(item, base)


def _file(file: Mapping[str, Any], base: str) -> FileProduced:
    url = absolute(text(file, "remote_url") or text(file, "url"), base)
    return FileProduced(identity(url), text(file, "type"), url, "assistant", name=text(file, "filename"))
