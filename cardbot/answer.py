"""Events so far, in whatever order they came, to the text and the state to show. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, assert_never

from cardbot import events
from cardbot.links import identity, link, with_hosts
from cardbot.render import whole
from cardbot.texts import Texts
from cardbot.thinking import ThinkingSplitter

ANSWER_OUTPUTS = ("answer", "text", "result", "output")
"""Names under which a workflow app's only text is looked for when it has several outputs. Our choice."""

STOPPED_AS_FAILED = "User requested stop"
"""What a stopped run gives as the error of its failure, when the engine's abort overtakes the stop. Read in Dify's
source (1.13: `graph_engine/manager.py`)."""


class Outcome(StrEnum):
    """How an answer ended."""

    SUCCEEDED = "succeeded"
    STOPPED = "stopped"
    PAUSED = "paused"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Answer:
    """One answer as it grows. `markdown` is what a person should see now; after the end, what stays.

    `base` is Dify's address, for links to its own files.
    """

    def __init__(self, texts: Texts, *, base: str = "") -> None:
        self.ids = events.Identified()
        self.outcome: Outcome | None = None
        """None until an event said how it ended. A good end is final: no later failure changes it."""
        self.usage: events.Usage | None = None
        self.sources: tuple[events.Source, ...] = ()
        self.thoughts: dict[str, events.Thought] = {}
        self.files: dict[str, events.FileProduced] = {}
        self.form: events.FormRequested | None = None
        self.reason = ""
        """Why it failed, in one short sentence of Dify's or ours."""
        self._texts = texts
        self._base = base
        self._refusal = ""
        self._raw: list[str] = []  # as Dify sent it, thinking included: what `outputs.answer` is compared with
        self._text = ThinkingSplitter()
        self._reasoning: list[str] = []
        self._from_agent = False
        self._replaced = False
        self._reasons_now = False
        self._waits = False
        self._remarks: list[str] = []
        self._chosen = ""
        self._told_to_stop = False
        self._expired = ""
        self._text_in_time = ""

    @property
    def text(self) -> str:
        """The answer so far, without thinking."""
        return with_hosts(self._text.answer, self._base)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be known of it."""
        return tuple(self._remarks)

    @property
    def links(self) -> str:
        """The files of the answer that its text does not link itself."""
        text = self.text
        files = {identity(file.url): file for file in self.files.values() if file.url and file.belongs_to != "user"}
        return "\n\n".join(link(file) for name, file in files.items() if name not in text)

    @property
    def so_far(self) -> str:
        """The remarks and the text, without a word on how it stands. Something can follow."""
        return "\n\n".join([*self._remarks, whole(self.text)])

    @property
    def reasoning(self) -> str:
        """The model's thinking so far."""
        return "".join(self._reasoning) + self._text.reasoning

    @property
    def waits_for(self) -> events.FormRequested | None:
        """The form that somebody here is to fill in before the run goes on."""
        return self.form if self.outcome is Outcome.PAUSED and self.form and self.form.token else None

    @property
    def failed(self) -> bool:
        """Whether it ended in a failure, which the card is to look like."""
        if self.outcome is Outcome.INTERRUPTED:
            return not (self.text.strip() or self._is_late)
        return self.outcome is Outcome.FAILED

    @property
    def markdown(self) -> str:
        """The text, between what is to be known of it and what else there is to say.

        Empty at first: the card has its own sign of waiting.
        """
        text, links = self.text, "" if self.outcome in (None, Outcome.PAUSED) else self.links
        if after := "\n\n".join(filter(None, [links, self._notice()])):
            text = f"{whole(text).rstrip()}\n\n{after}" if text.strip() else after
        return "\n\n".join(filter(None, [*self._remarks, text])) if self._remarks else text

    def apply(self, event: events.Event) -> None:
        """Take the next event in. After `stop`, only the names by which Dify can be told to stop are of interest."""
        self._waits = False
        match event:
            case events.Identified():
                self.ids = event
            case _ if self._told_to_stop:
                pass
            case events.TextDelta(""):
                pass  # many answers close with one; it begins nothing anew
            case events.TextDelta():
                if self._from_agent and not self._replaced:
                    self._restart()  # New Agent: text of the rounds came before, this is the answer
                self._from_agent = False
                self._append(event.text)
            case events.AgentDelta():
                self._from_agent = True
                self._append(event.text)
            case events.TextReplaced():
                self._restart()
                self._replaced = True
                self._append(event.text)
            case events.ReasoningDelta():
                self._reasons_now = True
                self._reasoning.append(event.text)
            case events.MessageEnded():
                self.usage, self.sources = event.usage, event.sources
                self._end(Outcome.SUCCEEDED)
            case events.RunFinished():
                self._run_finished(event)
            case events.RunPaused():
                self._end(Outcome.PAUSED)
            case events.Failed():
                self._end(Outcome.FAILED, event.message or event.code)
            case events.Interrupted():
                self._end(Outcome.INTERRUPTED, event.reason)
            case events.Remark():
                self._remarks.append(event.text)
            case events.Waiting():
                self._waits = True
            case events.Thought():
                if self._from_agent and event.position > 1 and event.id not in self.thoughts:
                    self._append("\n")  # a new round: Dify keeps the text of rounds on lines of their own
                self.thoughts[event.id] = event
            case events.FileProduced():
                self.files[event.id] = event
            case events.FormRequested():
                self.form = event
            case events.StepStarted() | events.StepFinished():
                pass  # titles and errors of nodes are the flow author's, not for the reader of the answer
            case _:
                assert_never(event)

    def refuse(self, sentence: str) -> None:
        """It failed for a reason of ours: say this instead of an error of Dify's."""
        self._refusal = sentence
        self._end(Outcome.FAILED, sentence)

    def stop(self) -> None:
        """Somebody wants no more of it: it stays as it is, whatever still comes."""
        if self.outcome in (None, Outcome.PAUSED):
            self._told_to_stop, self.outcome = True, Outcome.STOPPED

    def go_on(self, chosen: str) -> None:
        """The form that the run waited for is handed in: `chosen` says how."""
        self.outcome, self.form, self._chosen, self._expired = None, None, chosen, ""

    def expire(self, form: str) -> None:
        """Nobody handed the form in by its time: `form` is its text with what was filled in. The run may go on."""
        self.go_on("")
        self._expired, self._text_in_time = f"{form}\n\n{self._texts.expired}".lstrip(), _words(self.text)

    def close(self) -> None:
        """No more events will come: what was held back as a possible tag is text after all."""
        self._waits = False
        self._text.close()
        self._end(Outcome.INTERRUPTED)

    def _append(self, text: str) -> None:
        if text:
            self._reasons_now = False
            self._chosen = ""
            self._raw.append(text)
            self._text.feed(text)

    def _restart(self) -> None:
        self._raw.clear()
        self._text = ThinkingSplitter()

    def _end(self, outcome: Outcome, reason: str = "") -> None:
        if self.outcome is None:
            self.outcome, self.reason = outcome, reason

    def _run_finished(self, event: events.RunFinished) -> None:
        match event.status:
            case "succeeded" | "partial-succeeded":
                self._reconcile(event.outputs)
                self._end(Outcome.SUCCEEDED)
            case "stopped" if self._replaced:
                self._end(Outcome.SUCCEEDED)  # cut short by the moderation whose text is shown
            case "stopped":
                self._end(Outcome.STOPPED)
            case "failed" if event.error == STOPPED_AS_FAILED:
                self._end(Outcome.STOPPED)
            case _:
                self._end(Outcome.FAILED, event.error or event.status)

    def _reconcile(self, outputs: Mapping[str, Any]) -> None:
        """Prefer the whole text that the run ended with: a relay of Dify's may lose deltas under load."""
        if self._replaced:
            return
        # `outputs` lacks the thinking that a model was told to keep apart; the stream and the kept answer have it.
        final = outputs.get("answer") if self.ids.conversation_id else self._workflow_text(outputs)
        if not isinstance(final, str) or _words(final) == _words("".join(self._raw)):
            return
        # What was lost is not in there; what is in there was not lost.
        if _words(final) not in _words(self._text.answer):
            self._restart()
            self._append(final)

    def _workflow_text(self, outputs: Mapping[str, Any]) -> str:
        """A workflow app's answer, if nothing was streamed: its outputs may have any name and type."""
        if self._raw:
            return ""
        strings = {name: value for name, value in outputs.items() if isinstance(value, str)}
        named = [strings[name] for name in ANSWER_OUTPUTS if name in strings]
        return named[0] if named else "\n\n".join(strings.values())

    @property
    def _is_late(self) -> bool:
        """Whether a form's time is over, and nothing was said since."""
        return bool(self._expired) and _words(self.text) == self._text_in_time

    def _notice(self) -> str:
        texts = self._texts
        if self._is_late and self.outcome is not Outcome.FAILED and not self._told_to_stop:
            return self._expired
        match self.outcome:
            case None if self._waits:
                return texts.waiting
            case None if self._chosen:
                return texts.chosen.format(action=self._chosen)
            case None if not self._text.answer.strip():
                return texts.thinking if self._reasons_now or self._text.thinking else self._tool()
            case None:
                return ""
            case Outcome.SUCCEEDED:
                return "" if self._text.answer.strip() or self._remarks or self.links else texts.no_answer
            case Outcome.STOPPED:
                return texts.stopped
            case Outcome.PAUSED:
                return f"{self.form.content}\n\n{texts.paused}" if self.form else texts.paused
            case Outcome.FAILED:
                return self._refusal or texts.failed.format(reason=self.reason or "?")
            case Outcome.INTERRUPTED:
                return texts.interrupted if self._text.answer.strip() else texts.lost
            case _:
                assert_never(self.outcome)

    def _tool(self) -> str:
        """What an agent is busy with, while it has said nothing yet."""
        running = [thought.tool for thought in self.thoughts.values() if thought.tool and not thought.observation]
        return self._texts.working.format(step=running[-1]) if running else ""


def _words(text: str) -> str:
    """The text without white space: 0.15 counts the empty lines between two answers differently in `outputs`."""
    return "".join(text.split())
