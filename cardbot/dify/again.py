"""Whether a question that Dify refused may be asked again, and when. Pure."""

from dataclasses import replace

import structlog

from cardbot.errors import ConversationGone, DifyBusy
from cardbot.messages import Question

BUSY_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before asking again after a concurrency refusal; the last one repeats. Our choice."""

log = structlog.get_logger(__name__)


class Again:
    """One question and its tries.

    It is asked again in two cases only, both of which Dify refused before doing anything: a conversation that is gone
    (then without it), and too many runs at once (then later).
    """

    def __init__(self, question: Question, *, patience: float) -> None:
        self.question = question
        self.waited = 0.0
        """Seconds so far for too many runs at once."""
        self._patience = patience
        self._tries = 0

    def after(self, refusal: ConversationGone | DifyBusy) -> float:
        """Seconds until `question` may be asked again. Raises the refusal if it may not."""
        if isinstance(refusal, ConversationGone):
            if not self.question.conversation_id:
                raise refusal
            log.info("conversation_gone", conversation=self.question.conversation_id)
            self.question = replace(self.question, conversation_id="")
            return 0.0
        pause = BUSY_PAUSES[min(self._tries, len(BUSY_PAUSES) - 1)]
        if self.waited + pause > self._patience:
            raise refusal
        self._tries += 1
        self.waited += pause
        return pause
