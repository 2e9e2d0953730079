"""An answer in one piece, for scripts: from the JSON of a blocking call, or from a stream's events. Pure.

Seen in 1.14.1: a workflow that failed answers a blocking call with HTTP 200.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cardbot.answer import Answer, Outcome
from cardbot.dify.fields import mapping, parsed, text
from cardbot.dify.refusal import reason
from cardbot.dify.wire import Outputs, message_ended
from cardbot.errors import AnswerFailed, DifyUnreachable
from cardbot.events import Identified, RunFinished, TextDelta, Usage
from cardbot.texts import EN


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """A good answer. `str()` of it is its text."""

    text: str
    """Without the model's thinking."""
    conversation_id: str = ""
    """To go on with: `Question(…, conversation_id=…)`. Empty for workflows and completion apps."""
    message_id: str = ""
    workflow_run_id: str = ""
    usage: Usage | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """All outputs of a workflow, with the types that they have."""
    reasoning: str = ""

    def __str__(self) -> str:
        return self.text


def whole_answer(body: bytes, outputs: Outputs) -> WholeAnswer:
    """The answer to a blocking call; `outputs` chooses those of a workflow that are its text. Raises `AnswerFailed`."""
    told = parsed(body)
    if not isinstance(told, dict):
        raise DifyUnreachable("Dify's answer to a blocking question is not a JSON object.", sent=True)
    answer, data = Answer(EN), mapping(told, "data")
    ids = Identified(*(text(told, name) for name in ("conversation_id", "message_id", "task_id", "workflow_run_id")))
    answer.apply(ids)
    if text(told, "event") == "workflow_paused" or text(data, "status") == "paused":
        raise AnswerFailed("The run waits for a person: ask for a stream to be able to hand in its form.")
    if isinstance(told.get("answer"), str):
        answer.apply(TextDelta(told["answer"]))
        answer.apply(message_ended(mapping(told, "metadata")))
    else:
        chosen = outputs(mapping(data, "outputs"))
        answer.apply(RunFinished(text(data, "status"), reason(text(data, "error")), chosen))
    return folded(answer, mapping(data, "outputs"))


def folded(answer: Answer, outputs: Mapping[str, Any]) -> WholeAnswer:
    """The answer to which events added up. Raises `AnswerFailed`."""
    answer.close()
    if answer.outcome not in (Outcome.SUCCEEDED, Outcome.STOPPED):
        why = answer.reason or "no reason was given"
        raise AnswerFailed(f"The answer {answer.outcome}: {why}", detail=answer.reason)
    ids = answer.ids
    return WholeAnswer(
        answer.text,
        ids.conversation_id,
        ids.message_id,
        ids.workflow_run_id,
        answer.usage,
        outputs,
        answer.reasoning,
    )
