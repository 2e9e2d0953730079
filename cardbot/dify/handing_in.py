"""A form on its way back to Dify, and what was missed of the run that goes on with it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from cardbot import events
from cardbot.dify.fields import mapping, text


def filled_in(form: events.FormRequested, inputs: Mapping[str, str]) -> dict[str, str]:
    """A value for every field: Dify refuses a form that lacks one, defaults or not. Read in 1.15's source."""
    values = {}
    for field in form.inputs:
        if name := text(field, "output_variable_name"):
            values[name] = inputs.get(name, text(mapping(field, "default"), "value"))
    return values


def submission(action: str, inputs: Mapping[str, str], user: str) -> dict[str, Any]:
    """The body that hands a form in."""
    return {"inputs": dict(inputs), "action": action, "user": user}


def lost(told: Sequence[events.Event], *, before: str, stored: str) -> str:
    """The whole answer, if the stream missed some of it; nothing if it did not, or nobody can say.

    Between the handing in and the listening Dify talks to nobody.

    Args:
        told: What the stream said.
        before: The answer as Dify kept it when the run was paused.
        stored: The answer as Dify keeps it now; a workflow has neither, its outputs are in the stream.
    """
    heard, outputs = "", [stored]
    for event in told:
        match event:
            case events.TextDelta():
                heard += event.text
            case events.TextReplaced():
                return ""
            case events.RunFinished(status="succeeded" | "partial-succeeded") if not stored:
                outputs = [value for value in event.outputs.values() if isinstance(value, str)]
            case _:
                pass
    said, wholes = _words(before + heard), [_words(output) for output in outputs]
    if stored and len(wholes[0]) <= len(said):
        return ""  # nothing more is kept than was heard, or it is not written down yet
    if said in wholes or said == "".join(wholes) or not (said or stored):
        return ""
    likeliest = [output for output, whole in zip(outputs, wholes, strict=True) if said in whole]
    return likeliest[0] if likeliest else outputs[0] if len(outputs) == 1 else ""


def _words(text: str) -> str:
    return "".join(text.split())
