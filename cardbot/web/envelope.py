"""What chat clients put before a person's words, taken off again. Pure.

OpenClaw tells the model who wrote, and when, at the beginning of the message itself (seen:
github.com/openclaw/openclaw/issues/34153, read 2026-11)::

    Sender (untrusted metadata):
    ```json
    {"label": "openclaw-control-ui", "id": "openclaw-control-ui"}
    ```

    [Wed 2026-03-04 15:56 GMT+8] the person's words

Dify would take it for the question, and search its knowledge for it. Only this very form is taken off, and only at the
beginning: what a person has written stays as it is.
"""

import json
import re

_BLOCK = re.compile(
    r"(?:Conversation info|Sender|Forwarded message context) \(untrusted metadata\):\r?\n"
    r"```json\r?\n(?P<json>.*?)\r?\n```[ \t]*(?:\r?\n|\Z)\s*",
    re.DOTALL,
)
"""Blocks `(untrusted, for context)` stay: they hold the message that is replied to, which the question may be about."""

_TIME = re.compile(
    r"\[(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?"
    r" (?:UTC|GMT|[A-Z]{2,5})(?:[+-]\d{1,2}(?::?\d\d)?)?\] ?",
    re.ASCII,
)


def without_envelope(text: str) -> str:
    """The person's words. Where there would be none, the text as it is."""
    begin = at = len(text) - len(text.lstrip())
    # From a position on, and not of what is left: a copy for each block would take minutes for some MB of them.
    while (block := _BLOCK.match(text, at)) and _is_object(block["json"]):
        at = block.end()
    if time := _TIME.match(text, at):
        at = time.end()
    return text if at == begin or not text[at:].strip() else text[at:]


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
