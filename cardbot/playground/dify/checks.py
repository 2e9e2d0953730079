"""What Dify checks before it answers, and the words in which it refuses. Pure."""

import json
import uuid
from collections.abc import Mapping

from cardbot.playground.dify.release import App, Json, Release
from cardbot.playground.dify.script import Refuse
from cardbot.playground.http import Request

CHAT_APPS: tuple[App, ...] = ("chat", "agent-chat", "agent", "advanced-chat")

_MODELS = {
    "chat-messages": "ChatRequestPayload",
    "completion-messages": "CompletionRequestPayload",
    "run": "WorkflowRunPayload",
}
"""Names that the validation texts of 1.x show, by the last part of the path."""


class Refused(Exception):
    """Raised when a request gets an HTTP error instead of an answer."""

    def __init__(self, status: int, code: str, message: str, *, params: str | None = None) -> None:
        super().__init__(message)
        self.refuse = Refuse(status, code, message)
        self.params = params

    def body(self) -> Json:
        """The JSON of the error. A parameter error of 0.15.8 names the parameter instead of the status."""
        told: Json = {"code": self.refuse.code, "message": self.refuse.message}
        return {**told, "params": self.params} if self.params else {**told, "status": self.refuse.status}


def authorize(request: Request, api_key: str) -> None:
    """Raise Refused unless the request carries the key. The scheme's case does not matter."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not token:
        text = "Authorization header must be provided and start with 'Bearer'"
        raise Refused(401, "unauthorized", text)
    if scheme.lower() != "bearer":
        raise Refused(401, "unauthorized", "Authorization scheme must be 'Bearer'")
    if token.strip() != api_key:
        raise Refused(401, "unauthorized", "Access token is invalid")


def require_app(app: App, allowed: tuple[App, ...]) -> None:
    """Raise Refused if this endpoint belongs to other kinds of app."""
    if app in allowed:
        return
    if "completion" in allowed:
        raise Refused(400, "app_unavailable", "App unavailable, please check your app configurations.")
    code = "not_chat_app" if "chat" in allowed else "not_workflow_app"
    raise Refused(400, code, "Please check if your app mode matches the right API route.")


def json_body(request: Request) -> Json:
    """The body as a JSON object. Raises Refused."""
    if "json" not in request.headers.get("content-type", ""):
        text = "Did not attempt to load JSON data because the request Content-Type was not 'application/json'."
        raise Refused(415, "unsupported_media_type", text)
    try:
        body = request.json()
        json.dumps(body, ensure_ascii=False).encode()  # Half of a surrogate pair is refused. seen: 1.14.1
    except ValueError:
        body = None
    if not isinstance(body, dict):
        text = "The browser (or proxy) sent a request that this server could not understand."
        raise Refused(400, "bad_request", text)
    return body


def user_of(fields: Mapping[str, object]) -> str:
    """The required user, as a string: a number is accepted. Raises Refused."""
    user = fields.get("user")
    if user is None or user == "":
        raise Refused(400, "invalid_param", "Arg user must be provided.")
    return str(user)


def check_question(body: Json, path: str, release: Release) -> None:
    """Raise Refused unless the fields of a question have the right types."""
    last = path.rpartition("/")[2]
    _field(body, "inputs", dict, "dictionary", _MODELS[last], release)
    if last == "chat-messages":
        _field(body, "query", str, "string", _MODELS[last], release)
        _conversation_id(body, release)
    mode = body.get("response_mode")
    if mode not in (None, "streaming", "blocking"):
        text = f"response_mode\n  Input should be 'blocking' or 'streaming' [input_value={mode!r}]"
        old = f"{mode} is not a valid choice"
        raise _invalid("response_mode", _MODELS[last], text, old, release)


def is_streaming(body: Json, app: App) -> bool:
    """Whether the answer is streamed: only if asked for. Raises Refused where an app cannot do as asked."""
    mode = body.get("response_mode")
    if app == "agent-chat" and mode != "streaming":
        raise Refused(400, "invalid_param", "Agent Chat App does not support blocking mode")
    if app == "agent" and mode == "blocking":
        raise Refused(400, "bad_request", "Agent App only supports streaming response mode.")
    return mode == "streaming" or app == "agent"


def _field(body: Json, name: str, kind: type, word: str, model: str, release: Release) -> None:
    if name not in body:
        text = f"{name}\n  Field required [type=missing]"
        raise _invalid(name, model, text, "Missing required parameter in the JSON body", release)
    # 0.15.8 took any value here. seen: null and a list as inputs, a number as query.
    if not release.old_json and not isinstance(body[name], kind):
        text = f"{name}\n  Input should be a valid {word} [input_value={body[name]!r}]"
        raise _invalid(name, model, text, "", release)


def _conversation_id(body: Json, release: Release) -> None:
    value = body.get("conversation_id")
    if not value:
        return
    try:
        uuid.UUID(str(value))
    except ValueError:
        text = f"conversation_id\n  Value error, conversation_id must be a valid UUID [input_value={value!r}]"
        old = f"{value} is not a valid uuid."
        raise _invalid("conversation_id", "ChatRequestPayload", text, old, release) from None


def _invalid(name: str, model: str, text: str, old: str, release: Release) -> Refused:
    if release.old_json:
        return Refused(400, "invalid_param", old, params=name)
    return Refused(400, "invalid_param", f"1 validation error for {model}\n{text}")


def not_found(what: str, path: str, release: Release) -> Refused:
    """A thing that is not there. Since 1.x the framework adds a hint about the address, which is misleading."""
    if release.old_json:
        return Refused(404, "not_found", what)
    return Refused(404, "not_found", f"{what} You have requested this URI [{path}] but did you mean {path} ?")


def limit_of(query: Mapping[str, str], release: Release) -> int:
    """The page size: 20 unless asked for, 1 to 100. Raises Refused."""
    text = query.get("limit", "20")
    if text.isdecimal() and 1 <= int(text) <= 100:
        return int(text)
    old = f"Invalid argument: {text}. argument must be within the range 1 - 100"
    raise _invalid("limit", "Query", f"limit\n  Input should be 1 to 100 [input_value={text!r}]", old, release)
