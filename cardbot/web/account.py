"""One answer as a caller of the API sees it: what is new of it, and how it ended. Pure.

A stream cannot take back what it has told. Where Dify does (a moderation replaces the text, an agent's answer follows
the words of its rounds, a thinking that began without a tag), the text that counts follows after a blank line. The
files of an answer are links at its end, for a chat client shows markdown, and OpenAI's API knows no other place.
"""

from cardbot import events
from cardbot.answer import Answer
from cardbot.links import settled
from cardbot.render import whole
from cardbot.texts import EN
from cardbot.web.refusals import Refusal, refusal_of_end
from cardbot.web.replies import FinishReason, Usage


class Growth:
    """A text that grows, and mostly at its end."""

    def __init__(self) -> None:
        self._told = ""
        self._broken = False

    def news(self, text: str) -> str:
        """What to tell now that it is `text`."""
        if self._told.startswith(text):
            return ""  # perhaps it will be the same again: an agent says at its end what it has said before
        if text.startswith(self._told):
            new = text[len(self._told) :]
        else:
            self._broken = True
            new = f"\n\n{text}"
        self._told = text
        return new

    def differs(self, text: str) -> bool:
        """Whether more was told than `text`, which it is at its end."""
        return self._broken or self._told != text


class Account:
    """Takes in what happens; tells what is new since it was last asked. `base` is Dify's address, for its files."""

    def __init__(self, base: str = "") -> None:
        self._answer = Answer(EN, base=base)  # its own sentences are not told, only what Dify says
        self._closed = False
        self._text = Growth()
        self._reasoning = Growth()
        self._files = ""
        self._replaced = False
        self._silent = False
        self._code = ""

    @property
    def text(self) -> str:
        """The whole answer so far, without thinking; at its end with its files."""
        return self._answer.text + self._files

    @property
    def reasoning(self) -> str:
        """The whole thinking so far."""
        return self._answer.reasoning

    @property
    def task_id(self) -> str:
        """What the answer is stopped by; empty until Dify said so."""
        return self._answer.ids.task_id

    @property
    def conversation_id(self) -> str:
        """Dify's id of the conversation; empty where it keeps none."""
        return self._answer.ids.conversation_id

    def take(self, event: events.Event) -> None:
        """Take the next event in."""
        self._answer.apply(event)
        match event:
            case events.TextReplaced():
                self._replaced = True
            case events.Failed(code=code):
                self._code = self._code or code
        if not isinstance(event, events.Interrupted):
            self._silent = isinstance(event, events.Waiting)

    def close(self) -> Refusal | None:
        """No more will happen. Returns why the answer is no good one, or None."""
        self._answer.close()
        self._files = _files(self._answer)
        self._closed = True
        return refusal_of_end(self._answer, code=self._code, silent=self._silent)

    def news(self) -> tuple[str, str]:
        """More thinking, and more of the answer."""
        text = self.text if self._closed else settled(self.text)
        return self._reasoning.news(self.reasoning), self._text.news(text)

    @property
    def finish_reason(self) -> FinishReason:
        """Whether the answer that was told piece by piece is the answer."""
        return "content_filter" if self._replaced and self._text.differs(self.text) else "stop"

    @property
    def usage(self) -> Usage | None:
        """What it cost, where Dify says so."""
        usage = self._answer.usage
        if usage is None:
            return None
        return Usage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
        )


def _files(answer: Answer) -> str:
    """What to add to the text at its end."""
    text, links = answer.text, answer.links
    return f"{whole(text)[len(text) :]}\n\n{links}" if links and text.strip() else links
