"""Which of a workflow's outputs is its answer, as text. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from cardbot.answer import ANSWER_OUTPUTS

FILE_MARK = "dify_model_identity"
"""The field by which Dify marks a file in its JSON. Seen: 0.15.8."""


def answering(outputs: Mapping[str, Any], wanted: str) -> Mapping[str, Any]:
    """The outputs that are the answer, each as text.

    Args:
        outputs: What the run ended with: any names, any types.
        wanted: The one that is the answer. Empty: all texts, of which `answer.Answer` takes the likeliest; where
            there is no text at all, whatever there is.
    """
    if wanted:
        return {wanted: as_text(outputs[wanted])} if wanted in outputs else {}
    texts = {name: value for name, value in outputs.items() if isinstance(value, str)}
    if any(value.strip() for value in texts.values()):
        return texts
    return {name: as_text(value) for name, value in outputs.items() if value is not None and value not in ("", [], {})}


def likeliest(outputs: Mapping[str, Any]) -> str:
    """The one text among those of `answering`, as `answer.Answer` chooses it; all of them if none is named so."""
    texts = {name: value for name, value in outputs.items() if isinstance(value, str)}
    named = [texts[name] for name in ANSWER_OUTPUTS if name in texts]
    return named[0] if named else "\n\n".join(texts.values())


def as_text(value: object) -> str:
    """Text as it is, files as links, anything else as a block of JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    items: list[Any] = value if isinstance(value, list) else [value]
    files = [_link(item) for item in items if isinstance(item, dict) and FILE_MARK in item]
    if files and len(files) == len(items):
        return "\n\n".join(files)
    return f"```json\n{json.dumps(value, ensure_ascii=False, indent=2)}\n```"


def _link(file: Mapping[str, Any]) -> str:
    name, url = file.get("filename") or "file", file.get("remote_url") or file.get("url") or ""
    return f"![{name}]({url})" if file.get("type") == "image" else f"[{name}]({url})"
