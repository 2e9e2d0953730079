"""Dify's errors to a sentence that may be shown, and to the error of ours that it stands for. Pure."""

import json
import re
from collections.abc import Mapping
from itertools import islice

from cardbot.dify.fields import parsed, text
from cardbot.errors import (
    ConversationGone,
    DifyBroken,
    DifyBusy,
    DifyError,
    DifyRejected,
    DifyUnauthorized,
    DifyUnreachable,
    DifyWrongApp,
    FormClosed,
    FormExpired,
    FormRefused,
    FormTaken,
)

REASON_LIMIT = 300
"""Characters of an error's reason. Our choice: a sentence; tracebacks of plugins run to many kilobytes."""

_WRAPPED = re.compile(r'\{\s*"')
_TRIES = 8
"""Braces that are looked behind for a plugin's error. Our choice: seen is the first; a whole prompt has thousands."""

_SECRET = re.compile(
    r"""(?ix)
    (?P<label> \b bearer\s+ | \b (?: api[-_]?key|token|key|secret|password|signature ) ["']? \s*[=:]\s* ["']? )
    (?=[^\s"'&,;)}]*\d) [^\s"'&,;)}]{8,}
    | \b (?: sk | pk | rk | app | gsk | xai | hf | dataset ) [-_] (?=[\w-]*\d) [\w-]{12,}
    | \b AIza [\w-]{20,}
    | \b eyJ [\w-]{10,} \. [\w.-]+
    | (?<=://) [^\s/@]+ (?=@)
    """
)
"""What looks like a credential. Providers repeat them in errors: in the address of a failed call, in a refused key."""

_WRONG_APP_CODES = frozenset(["not_chat_app", "not_workflow_app", "not_completion_app", "app_unavailable"])

_CLOSED: Mapping[str, type[FormClosed]] = {
    "human_input_form_submitted": FormTaken,
    "human_input_form_expired": FormExpired,
}
"""Seen: the first, recorded from Dify 1.14.1. The second and `invalid_form_data` are read in its source."""


def reason(message: str) -> str:
    """The sentence inside an error text, without the traceback that Dify 1.x wraps around it, and without keys.

    Seen: `req_id: … PluginInvokeError: {"args": {…traceback…}, "error_type": …, "message": "[models] Error: …"}`,
    also after `Run failed: `; the plain sentence in 0.15.8; and pydantic's report, which repeats the input.
    """
    message = _unwrapped(message).partition("Traceback (most recent call last)")[0]
    message = re.split(r" \[type=\w+, input_value=", message, maxsplit=1)[0]
    line = " ".join(message.split())[: 2 * REASON_LIMIT]
    line = _SECRET.sub(lambda found: f"{found['label'] or ''}***", line)
    return line if len(line) <= REASON_LIMIT else line[: REASON_LIMIT - 1] + "…"


def _unwrapped(message: str) -> str:
    for brace in islice(_WRAPPED.finditer(message), _TRIES):
        try:
            inner, _ = json.JSONDecoder().raw_decode(message, brace.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(inner, dict) and "error_type" in inner and (words := text(inner, "message")):
            return words
    return message


def rejection(status: int, body: bytes) -> DifyError:
    """The error that an HTTP answer other than 2xx stands for."""
    error = parsed(body)
    if not isinstance(error, dict) or "code" not in error:
        return _foreign(status)
    # 1.x appends the address to a 404, "You have requested this URI …": it misleads, and may hold a form's token.
    told = text(error, "message").partition(" You have requested this URI")[0]
    code, message = str(error["code"]), reason(told)
    sentence = f"Dify answered {status} {code}: {message}"
    kind: type[DifyRejected] = DifyRejected
    if status == 401 or (status == 403 and code == "forbidden"):
        kind = DifyUnauthorized
    elif message.startswith("Conversation Not Exists"):
        kind = ConversationGone
    elif code in _WRONG_APP_CODES or message.startswith("Workflow not published"):
        kind = DifyWrongApp
    elif status == 412 and code.startswith("human_input_form_"):
        kind = _CLOSED.get(code, FormClosed)
    elif code == "invalid_form_data":
        kind = FormRefused
    elif code == "too_many_requests" or message.startswith("Too many requests"):  # 400 invalid_param in all versions
        kind = DifyBusy
    elif status >= 500:
        kind = DifyBroken
    return kind(sentence, status=status, code=code, detail=message)


def _foreign(status: int) -> DifyUnreachable:
    """An answer without Dify's error form: a gateway's page, or another server altogether."""
    if status == 429:
        return DifyUnreachable("A gateway before Dify answered 429: too many requests from this address.", sent=True)
    if status >= 500:
        return DifyUnreachable(f"The gateway before Dify answered {status}.", sent=True)
    return DifyUnreachable(f"What answers there is not Dify's service API (HTTP {status}).", sent=True)
