"""What happens while Dify answers: the one vocabulary that cards, terminals and other fronts translate from.

The order in which these arrive differs between Dify versions; `answer.Answer` folds them in any order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Identified:
    """Dify named what it is working on. Each id is empty until a first event carried it.

    Sent again when an id becomes known or changes; `task_id` is what the stop call needs, the others are what
    an answer is recovered with.
    """

    conversation_id: str = ""
    message_id: str = ""
    task_id: str = ""
    workflow_run_id: str = ""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More answer text, to append. From `message`, `text_chunk`, and a `message_file` that carries text."""

    text: str


@dataclass(frozen=True, slots=True)
class AgentDelta:
    """More text of an agent's rounds. It is the answer, unless `TextDelta`s follow: then those are."""

    text: str


@dataclass(frozen=True, slots=True)
class TextReplaced:
    """The whole answer so far is to be replaced, most often by a moderation's preset reply."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of the model's thinking, told apart from the answer by Dify itself (1.15 and later)."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """The state of one round of an agent; sent several times with growing content under the same `id`."""

    id: str
    position: int
    thought: str
    tool: str
    tool_input: str
    observation: str


@dataclass(frozen=True, slots=True)
class FileProduced:
    """A file that belongs to the answer, or echoes the question's (then it belongs to `user`)."""

    id: str
    type: str
    url: str
    belongs_to: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A node of a workflow began; for a person who waits, its title is a hint of progress."""

    node_id: str
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A node of a workflow ended, with `status` `succeeded`, `failed`, `exception` or `retry`."""

    node_id: str
    kind: str
    status: str
    error: str


@dataclass(frozen=True, slots=True)
class FormRequested:
    """A workflow waits for a person: what to show, what to fill in, which actions to offer.

    `token` is empty when the form is delivered by e-mail only and cannot be answered here. `expires_at` is Unix time
    in seconds, 0.0 where Dify names none.
    """

    node_title: str
    content: str
    inputs: tuple[Mapping[str, Any], ...]
    actions: tuple[Mapping[str, Any], ...]
    token: str = field(repr=False)
    expires_at: float = 0.0
    remark: str = ""
    """Something of ours that stands below it, as why it is shown once more."""
    uncertain: bool = False
    """Whether it may be handed in although nobody heard so."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer cost, as Dify counts it. `total_price` is a decimal string, in `currency`."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    total_price: str
    currency: str


@dataclass(frozen=True, slots=True)
class Source:
    """A piece of a knowledge base that the answer draws on."""

    position: int
    dataset_name: str
    document_name: str
    score: float


@dataclass(frozen=True, slots=True)
class MessageEnded:
    """The answer is complete and good. Whatever failure is reported after it does not concern the answer."""

    usage: Usage | None = None
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True)
class RunFinished:
    """A workflow or chatflow run ended: `succeeded`, `partial-succeeded`, `failed` or `stopped`.

    `outputs` is the answer of a workflow app; a chatflow repeats its answer there under `answer`.
    """

    status: str
    error: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunPaused:
    """The run waits for somebody (`FormRequested` came before) and the stream ends here."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Dify reported an error inside the stream. `message` may be a long machine text; see `dify.wire`."""

    code: str
    message: str
    status: int = 0


@dataclass(frozen=True, slots=True)
class Remark:
    """Something of ours that the reader is to know about this answer, such as a file that could not be read."""

    text: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing came from Dify for `seconds`, not even a ping, and the run is not known to be dead."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The stream ended without an end and Dify keeps no more of the answer than what was received."""

    reason: str


Event = (
    Identified
    | TextDelta
    | AgentDelta
    | TextReplaced
    | ReasoningDelta
    | Thought
    | FileProduced
    | StepStarted
    | StepFinished
    | FormRequested
    | MessageEnded
    | RunFinished
    | RunPaused
    | Failed
    | Remark
    | Waiting
    | Interrupted
)
