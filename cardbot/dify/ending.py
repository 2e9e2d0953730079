"""When is Dify's stream over? The last event differs by version and kind of app, and some never arrive. Pure.

Seen in recordings: up to 1.12 a chatflow ends `workflow_finished`, maybe `message_replace`, `message_end`; from
1.13.1 `message_end` comes first; 1.13.0 sends no `message_end` at all; after the last event 1.14.1 keeps the
connection open for a second, and after an input moderation for five minutes. So neither event may be waited for
without a limit, and the end of the bytes may not be waited for at all.
"""

from cardbot import events

GRACE_FOR_RUN_END = 1.0
"""Seconds to wait for `workflow_finished` after `message_end`: its outputs repeat the whole answer, which repairs
text that the relay lost. Seen: both in one burst."""

GRACE_FOR_MESSAGE_END = 2.0
"""Seconds to wait for `message_end` after `workflow_finished`: up to 1.12 a moderation's `message_replace` comes
between them. Seen: both in one burst; 1.12.1 polls its queue once a second."""


class Ending:
    """Follows the events of one stream; `grace` says how much longer to read."""

    __slots__ = ("_chat", "_message_ended", "_run", "_run_finished", "grace")

    def __init__(self) -> None:
        self.grace: float | None = None
        """None: go on reading. Otherwise the end is near: read on for at most so many seconds."""
        self._chat = False
        self._run = False
        self._message_ended = False
        self._run_finished = False

    def saw(self, event: events.Event) -> None:
        """Take note of the next event."""
        match event:
            case events.Identified():
                self._chat = bool(event.conversation_id)
                self._run = bool(event.workflow_run_id)
            case events.MessageEnded():
                self._message_ended = True
                self.grace = GRACE_FOR_RUN_END if self._run and not self._run_finished else 0.0
            case events.RunFinished(status="succeeded" | "partial-succeeded"):
                self._run_finished = True
                self.grace = GRACE_FOR_MESSAGE_END if self._chat and not self._message_ended else 0.0
            case events.RunFinished() | events.RunPaused() | events.Failed():
                self.grace = 0.0
            case _:
                pass
