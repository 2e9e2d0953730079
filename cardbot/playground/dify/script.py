"""What a scripted Dify is told to answer, and when each piece of it is due. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

End = Literal["normal", "error", "cut", "reset", "eof", "hang", "stall"]

THINK_CHUNK = 4
"""Characters per event of a thinking block, at most. Our choice: shorter than a tag, so each is split."""


@dataclass(frozen=True, slots=True)
class Script:
    """One answer.

    Args:
        text: The answer. A sequence gives the deltas themselves, a string is cut into pieces of `chunk`.
        chunk: Characters per event.
        cps: Characters per second on a schedule that does not drift. 0: as fast as the client reads.
        first: Seconds before the first token.
        think: Streamed before the answer as a `<think>` block.
        tools: What an `agent-chat` app uses before the first token, one after the other; no other app has tools.
        files: Addresses of pictures that these tools make, told when they were used.
        end: How the stream ends. `normal`; `error`: as this release reports a failed model; `cut`: FIN in
            the middle of the body; `reset`: RST; `eof`: a proper end of the body, but no terminal event;
            `hang`: silence; `stall`: pings for ever.
        at: Characters, thinking included, after which an `end` other than `normal` strikes. None: half way.
        replace: Text of a `message_replace` before the end. Workflow apps know no such event and ignore it.
        error: The provider's words for the end `error`.
        stored: What the history keeps as the answer. None: what a real server would have kept.
        outputs: What a workflow ends with, of any names and types. None: `{"result": text}`. Other apps have none.
        pause: What a chatflow or workflow waits for after the text; 1.14 and later. Other apps do not wait.
    """

    text: str | Sequence[str] = "Hello from the playground."
    chunk: int = 4
    cps: float = 0.0
    first: float = 0.0
    think: str = ""
    tools: Sequence[str] = ()
    files: Sequence[str] = ()
    end: End = "normal"
    at: int | None = None
    replace: str = ""
    error: str = "[models] Error: API request failed with status code 500: The server had an error"
    stored: str | None = None
    outputs: Mapping[str, Any] | None = None
    pause: "Pause | None" = None

    @property
    def whole(self) -> str:
        """Everything that is streamed if nothing goes wrong, thinking included."""
        return "".join(_deltas(self))

    @property
    def told(self) -> str:
        """What is streamed before the end strikes."""
        return "".join(delta for _, delta in cues(self))

    @property
    def over(self) -> float:
        """Seconds after the start at which the last told character has been spoken."""
        return self._spoken(len(self.told))

    @property
    def duration(self) -> float:
        """Seconds the model would take for the whole answer, however the stream ends."""
        return self._spoken(len(self.whole))

    def _spoken(self, characters: int) -> float:
        return self.first + (characters / self.cps if self.cps else 0.0)


@dataclass(frozen=True, slots=True)
class Pause:
    """A form that a run waits for.

    Args:
        then: What is said when it was handed in; a function is given the action and the inputs.
        content: Its text; `{{#$output.NAME#}}` stands where an input is.
        inputs: Its fields, as Dify names them.
        actions: Ids of its buttons; a mapping gives each its title.
        resolved: Defaults that are variables of the run, by the name of their input.
        title: Of the node.
        expires_in: Seconds in which it may be handed in.
        picked_up: Seconds until a worker goes on with the run.
        late: What becomes of the run if nobody has handed it in by then: it goes on with this script, along the node's
            branch for that; `stopped`, as when the time limit of the whole server comes first; `waits` for ever.
        looked_for: Seconds until Dify looks for forms whose time is over. Once a minute, read in its source.
        here: Whether it can be handed in through the service API, not by e-mail only.
    """

    then: Script | Callable[[str, Mapping[str, str]], Script] = field(default_factory=lambda: Script("Approved."))
    content: str = "Please approve."
    inputs: Sequence[Mapping[str, Any]] = ()
    actions: Sequence[str] | Mapping[str, str] = ("approve", "reject")
    resolved: Mapping[str, str] = field(default_factory=dict)
    title: str = "Human Input"
    expires_in: float = 10_800.0
    picked_up: float = 0.05
    late: Script | Literal["stopped", "waits"] = field(default_factory=lambda: Script(""))
    looked_for: float = 0.05
    here: bool = True


@dataclass(frozen=True, slots=True)
class Refuse:
    """An HTTP error in Dify's own JSON."""

    status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Html:
    """An HTTP error page of a gateway in front of Dify."""

    status: int = 502


@dataclass(frozen=True, slots=True)
class Hang:
    """No response at all, not even headers, until the client leaves."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection ends before any response."""

    how: Literal["cut", "reset"] = "cut"


def cues(script: Script) -> Iterator[tuple[float, str]]:
    """Each delta that is streamed, with its moment in seconds after the start."""
    limit = _limit(script)
    spoken = 0
    for delta in _deltas(script):
        piece = delta[: limit - spoken]
        if not piece:
            return
        yield script._spoken(spoken), piece
        spoken += len(piece)


def _limit(script: Script) -> int:
    total = len(script.whole)
    if script.end == "normal":
        return total
    return min(total, total // 2 if script.at is None else script.at)


def _deltas(script: Script) -> Iterator[str]:
    if script.think:
        yield from _pieces(f"<think>\n{script.think}\n</think>\n\n", min(script.chunk, THINK_CHUNK))
    if isinstance(script.text, str):
        yield from _pieces(script.text, script.chunk)
    else:
        yield from (delta for delta in script.text if delta)


def _pieces(text: str, size: int) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]
