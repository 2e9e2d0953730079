"""A question as the body of a request, by the kind of app and the inputs that it declares. Pure."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from cardbot.dify.app import FILE_KINDS, TEXT_KINDS, App, AppInput
from cardbot.dify.kinds import Kind
from cardbot.errors import FileNeeded, InputMissing, NoQuestionInput, QuestionTooLong
from cardbot.messages import Question, Upload

SYSTEM_INPUT = "system_prompt"
"""The input that takes how the app is to behave. Our choice: the name that authors of apps use."""

QUERY_INPUT = "query"
"""The input that most workflows take their question in. Our choice: it is what Dify's own examples call it."""

SILENT_MODES = frozenset(["advanced-chat", "workflow"])
"""Apps that give no answer to a question without what they require: no refusal, and an open stream. Seen: 1.14.1.
Read in Dify's source: 1.13 and 1.14. All others refuse it at once and in so many words."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Form:
    """How the settings fill in an app's inputs."""

    inputs: Mapping[str, object] = field(default_factory=dict)
    """Values that are the same for all questions."""
    query_input: str = ""
    """The input that takes the question; empty: chosen by what the app declares."""


def body_of(question: Question, kind: Kind, app: App, form: Form) -> dict[str, Any]:
    """The body, all but its `response_mode`.

    Raises `NoQuestionInput`, `QuestionTooLong`, `InputMissing` or `FileNeeded`.
    """
    begins = not (kind.converses and question.conversation_id)
    if question.before and begins:
        try:
            return body_of(
                replace(question, query=f"{question.before}\n\n{question.query}", before=""), kind, app, form
            )
        except QuestionTooLong as exc:
            log.warning("dify_history_left_out", characters=exc.limit)
    query = question.query
    inputs: dict[str, object] = {**form.inputs, **question.inputs}
    if question.system and app.declared(SYSTEM_INPUT):
        inputs[SYSTEM_INPUT] = question.system
    elif question.system and begins:
        query = f"{question.system}\n\n{query}"
    inputs = {name: _cut(value, app.declared(name)) for name, value in inputs.items()}
    if not kind.converses:
        inputs |= _asked(query, kind, app, query_input(app, kind, given=inputs, wanted=form.query_input))
    for declared in app.inputs:  # Dify looks for a required value before it looks at the default. Read in 1.15's source
        if declared.required and declared.default is not None:
            inputs.setdefault(declared.name, declared.default)
    body: dict[str, Any] = {"user": question.user}
    if kind.has_query:
        body["query"] = query
    if kind.converses:
        body["auto_generate_name"] = False  # nobody sees the title; saves a call of the model per conversation
        if question.conversation_id:  # an empty string is refused by some 1.11 builds
            body["conversation_id"] = question.conversation_id
    if question.files:
        _take_along([_file(one) for one in question.files], body, inputs, kind, app)
    if app.mode in SILENT_MODES and begins:  # a conversation may keep them
        _ensure_complete(inputs, app)
    return {"inputs": inputs, **body}


def query_input(app: App, kind: Kind, *, given: Collection[str] = (), wanted: str = "") -> str:
    """The input that takes the question; empty where a completion app has none and needs none.

    Args:
        app: What it declares.
        kind: Its kind.
        given: Inputs that have a value already.
        wanted: The name in the settings, which goes first.

    Raises:
        NoQuestionInput: if a workflow declares none, or none that is clearly the one.
    """
    names = [one.name for one in app.texts if one.name not in given and one.name != SYSTEM_INPUT]
    if wanted:
        if app.declared(wanted):
            return wanted
        raise NoQuestionInput(wanted, declared=names)
    required = [name for name in names if (one := app.declared(name)) and one.required]
    for candidates in ([QUERY_INPUT] if QUERY_INPUT in names else [], required, names):
        if len(candidates) == 1:
            return candidates[0]
    if kind.has_query:
        return ""
    raise NoQuestionInput(declared=names)


def missing(app: App, form: Form, kind: Kind, *, filled: Collection[str] = ()) -> tuple[str, ...]:
    """Required inputs that no question will have a value for: Dify refuses each of them.

    `filled` are the inputs that each question brings. An input for files is the sender's to fill.
    """
    given = {name for name, value in form.inputs.items() if value is not None}.union(filled)
    if not kind.converses:
        with suppress(NoQuestionInput):  # that is told in its own words
            given.add(query_input(app, kind, given=given, wanted=form.query_input))
    return tuple(
        one.name
        for one in app.inputs
        if one.required and one.default is None and one.name not in given and one.kind not in FILE_KINDS
    )


def _asked(query: str, kind: Kind, app: App, name: str) -> dict[str, object]:
    declared = app.declared(name)
    if declared is None:
        return {}
    if declared.kind in TEXT_KINDS and declared.max_length and len(query) > declared.max_length:
        raise QuestionTooLong(limit=declared.max_length)
    return {name: query}


def _cut(value: object, declared: AppInput | None) -> object:
    """Dify refuses a question for a text that is too long, such as a chat's title."""
    if not isinstance(value, str) or not declared or declared.kind not in TEXT_KINDS:
        return value
    if declared.max_length and len(value) > declared.max_length:
        log.warning("dify_input_cut", input=declared.name, characters=declared.max_length)
        return value[: declared.max_length]
    return value


def _ensure_complete(inputs: Mapping[str, object], app: App) -> None:
    """Raises `InputMissing` or `FileNeeded`."""
    lacking = [one for one in app.inputs if one.required and inputs.get(one.name) is None]
    if names := [one.name for one in lacking if one.kind not in FILE_KINDS]:
        raise InputMissing(names)
    if lacking:
        raise FileNeeded(lacking[0].name)


def _take_along(
    files: list[dict[str, str]], body: dict[str, Any], inputs: dict[str, object], kind: Kind, app: App
) -> None:
    """Where the app looks for files: a conversation's are the message's own, a workflow's those of an input."""
    if app.has_uploads:
        body["files"] = files
        if kind.has_query:
            return
    places = [one for one in app.inputs if one.kind in FILE_KINDS and one.name not in inputs]
    lists = [one for one in places if one.kind == "file-list"]
    match (lists if len(files) > 1 and lists else places)[:1]:
        case [AppInput(kind="file-list") as place]:
            inputs[place.name] = files
        case [place]:
            inputs[place.name] = files[0]
            if len(files) > 1:
                log.warning("dify_files_left_out", input=place.name, files=len(files) - 1)
        case _ if not app.has_uploads:
            log.warning("dify_files_left_out", files=len(files))


def _file(upload: Upload) -> dict[str, str]:
    return {"type": upload.kind, "transfer_method": "local_file", "upload_file_id": upload.id}
