"""Where the releases of Dify differ on the wire. Pure.

Recorded from Dify 0.15.8, 1.12.1 and 1.14.1 servers in 2026-11. What 1.15 and 1.16 add is documented only:
docs.dify.ai (streaming) and the source of langgenius/dify, read 2026-11.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

App = Literal["chat", "agent-chat", "agent", "advanced-chat", "workflow", "completion"]
Json = dict[str, Any]

PING = b"event: ping\n\n"
"""A ping in full: an event without a data line. seen: all releases."""

_spaced = json.JSONEncoder().encode
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_escaped = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Release:
    """Where the releases differ on the wire."""

    version: str
    """What the `X-Version` header says."""
    old_json: bool = False
    """Jsons as ASCII with spaces after separators. seen: 0.15.8; raw UTF-8 since 1.9."""
    queued: bool = False
    """Chatflows and workflows run in a worker and are relayed: an early ping, late checks. Since 1.13."""
    reports_early_failures: bool = False
    """A failed check ends the stream with made-up events instead of silence. Since 1.15."""
    closes_agent: bool = False
    """A New Agent repeats its whole answer in one closing `message`. documented: 1.16."""

    def event(self, event: Json) -> bytes:
        """One server-sent event."""
        encoded = _spaced(event) if self.old_json else _compact(event)
        return f"data: {encoded}\n\n".encode()

    def body(self, value: object) -> bytes:
        """The body of a GET or of an error: ASCII, since 1.x with `/` escaped, and a line end."""
        encoded = _spaced(value) if self.old_json else _escaped(value).replace("/", "\\/")
        return f"{encoded}\n".encode()

    def plugin_error(self, words: str) -> str:
        """A model error in this release's words: plain text once, since 1.x the JSON of the plugin."""
        if self.old_json:
            return words.replace("[models]", "[openai_api_compatible]")
        args = {"description": words, "traceback": "Traceback (most recent call last):\n  …\n"}
        return _compact({"args": args, "error_type": "InvokeError", "message": words})

    def blocking(self, value: object) -> bytes:
        """The body of a blocking answer: ASCII with spaces in all releases, no line end."""
        return _spaced(value).encode()


RELEASES = {
    release.version: release
    for release in (
        Release("0.15.8", old_json=True),
        Release("1.12.1"),
        Release("1.14.1", queued=True),
        Release("1.15.0", queued=True, reports_early_failures=True),
        Release("1.16.0", queued=True, reports_early_failures=True, closes_agent=True),
    )
}
