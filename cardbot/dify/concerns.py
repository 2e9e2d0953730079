"""What an app and the settings do not agree on: told before the first person asks. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cardbot.dify.app import TEXT_KINDS, App, AppInput
from cardbot.dify.body import SYSTEM_INPUT, Form, missing, query_input
from cardbot.dify.kinds import KINDS, kind_of
from cardbot.errors import NoQuestionInput


@dataclass(frozen=True, slots=True)
class Concern:
    """One of them, for the log. `fatal` if Dify would refuse every question."""

    event: str
    sentence: str
    fatal: bool = True


def concerns(app: App, form: Form, *, template: Mapping[str, object], system: str = "") -> Iterator[Concern]:
    """All of them.

    Args:
        app: What the app says of itself.
        form: What the client fills in.
        template: The values of `DIFY_INPUTS`, those included that differ from message to message.
        system: How the app is to behave.
    """
    kind = kind_of(app.mode)
    if app.mode and app.mode not in KINDS:
        sentence = f"Dify calls the app {app.mode}, which is not known here: it is asked as a chat app."
        yield Concern("dify_app_unknown", sentence, fatal=False)
    if not kind.converses:
        try:
            query_input(app, kind, given=template, wanted=form.query_input)
        except NoQuestionInput as exc:
            yield Concern("dify_no_question_input", str(exc))
    for name in missing(app, form, kind, filled=[name for name, value in template.items() if value is not None]):
        sentence = f"The app requires the input {name}, and nothing gives it a value: set DIFY_INPUTS, such as "
        yield Concern("dify_input_missing", f'{sentence}{{"{name}": "…"}}, or make it optional.')
    for name, value in template.items():
        declared = app.declared(name)
        if declared is None:
            known = ", ".join(one.name for one in app.inputs) or "none"
            sentence = f"DIFY_INPUTS has {name}, which the app does not declare: Dify drops it. Its inputs: {known}."
            yield Concern("dify_input_unknown", sentence, fatal=False)
        elif why := _unfit(value, declared, constant=name in form.inputs):
            yield Concern("dify_input_unfit", f"DIFY_INPUTS has for {name} {why}.")
    taker = app.declared(SYSTEM_INPUT)
    if system and taker and 0 < taker.max_length < len(system):
        sentence = f"DIFY_SYSTEM_PROMPT is cut at the {taker.max_length} characters that the app's input takes."
        yield Concern("dify_input_cut", sentence, fatal=False)


def _unfit(value: object, declared: AppInput, *, constant: bool) -> str:
    """Why Dify refuses a value, in a few words. What is too long is cut, and needs no word."""
    if value is None:
        return ""  # as if it were not there
    if declared.kind in TEXT_KINDS | {"select"} and not isinstance(value, str):
        return "what is not a text, as the app wants it"
    if declared.kind == "select" and constant and value not in declared.options:
        return f"none of its options: {', '.join(declared.options)}"
    return ""
