"""One card of DingTalk: what it wants next, and what the outcome of each call makes of it. No call is made here."""

import math
from collections.abc import Sequence

from cardbot.dingtalk.draft import Draft
from cardbot.dingtalk.last_word import LastWord
from cardbot.dingtalk.offer import Offer
from cardbot.dingtalk.openapi import Frame
from cardbot.dingtalk.steps import Step
from cardbot.dingtalk.template import Family, Template
from cardbot.errors import (
    CardbotError,
    ContentRefused,
    DingTalkRejected,
    DingTalkUnreachable,
    InvalidToken,
    Throttled,
)
from cardbot.pacing import Lane, Rank
from cardbot.ports import Button
from cardbot.texts import Texts

CREATE_TRIES = 4
"""Calls whose outcome stayed unknown before the card is taken for created: the first frame will tell. Our choice."""

SECOND_LOOK = 0.4
"""Seconds until a text is looked at again that had nothing new to show. Our choice: while half a link or table row
arrives, every event would ask for a frame, and to make one costs up to some ms (measured for 17,000 characters: 0.03 ms
for prose, 2 ms for hundreds of code blocks, 6 ms for the worst last line found)."""

RETRY_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try after a call without a usable answer; the last one repeats. Our choice."""

ALREADY_THERE = "param.cardAlreadyExist"
"""An earlier try did create the card, though its answer was lost. Documented: createAndDeliver's errors."""

GONE = ("param.stream.outTrackId", "param.cardNotExist")
"""There is no such card. Documented: errors of the streaming and the update call."""


class Sheet:
    """The state of one card. Its `lane` always tells `Pacing` what it wants.

    First the card is put into the chat and made ready for text. Then it shows its draft and its buttons; once the last
    word is known, nothing but that.
    """

    def __init__(
        self,
        template: Template,
        out_track_id: str,
        *,
        now: float,
        texts: Texts,
        buttons: Sequence[Button] = (),
        after: "Sheet | None" = None,
    ) -> None:
        self.out_track_id = out_track_id
        self.lane = Lane()
        self.error: CardbotError | None = None
        """Why the card cannot be brought to its final state, once that is certain."""
        self.settled = False
        """Whether nothing more will be done: the final state is reached, or is out of reach."""
        self._template = template
        self._draft = Draft(now)
        self._offer = Offer(buttons)
        self._last_word = LastWord(texts)
        self._follower: Sheet | None = None
        self._held = after is not None and not after.seen
        if after is not None and self._held:
            after._follower = self
        self._created = False
        self._assumed = False  # that it is created, which nobody has said
        self._writing = template.family is Family.OWN
        self._tries = 0
        self._undone: Step | None = None  # the latest call, if it was not done as far as anybody knows
        self._plan(now)

    def found(self, now: float) -> None:
        """Another process has put it into the chat, as far as anybody knows."""
        self._created = self._assumed = self._writing = True
        self.lane.began = now
        self._plan(now)

    @property
    def created(self) -> bool:
        """Whether it was put into the chat, as far as anybody knows."""
        return self._created

    @property
    def never_seen(self) -> bool:
        """Whether it is not in the chat, and never will be."""
        return self.settled and not self._created

    @property
    def is_mute(self) -> bool:
        """Whether it shows no more text before the end: its frames are refused, or it has ended early."""
        return self._draft.muted or self.settled or self._last_word.error is not None

    @property
    def seen(self) -> bool:
        """Whether it is in the chat, or never will be: only then may the card that follows it be put there."""
        return self._created or self.settled

    @property
    def last_text(self) -> str:
        """What is to stay in the card: the text given to `finish`, unless that may not be shown."""
        return self._last_word.text or ""

    def show(self, markdown: str, now: float) -> bool:
        """Take the newest text; older text is of no more interest. Returns whether the lane's wish changed."""
        wanted = self.lane.rank
        is_new = self._draft.take(markdown, now)
        if wanted is None or not is_new or self._undone is not None:
            self._plan(now)  # otherwise what it wants will hold this text, or goes before it
        return self.lane.rank is not wanted

    def offer(self, buttons: Sequence[Button], now: float) -> None:
        """Take the buttons that the card is to have from now on."""
        self._offer.change(buttons)
        self._plan(now)

    def finish(self, markdown: str, now: float, *, failed: bool) -> None:
        """The last text. Nothing may be shown after it."""
        self._last_word.say(markdown, failed=failed)
        self._at_once(now)

    def hand_over(self, error: CardbotError, now: float) -> None:
        """Time is up: the text goes another way, and an update, whose path has a limit of its own, is to say so.

        It also overwrites a final frame that was done though its answer was lost, so that nothing is read twice. The
        call under way still counts: if it turns out to be the end, that was it.
        """
        if self.lane.began == -math.inf:
            self.give_up(error)  # nobody can see it
        elif not self.settled:
            self._last_word.hand_over(error)
            self._created = True
            self._at_once(now)

    def give_up(self, error: CardbotError) -> None:
        """No more calls."""
        self.error = self.error or error
        self.settled = True
        self._plan(self.lane.since)

    def step(self) -> Step | None:
        """The call that is to be made next."""
        if self.settled or self._held:
            return None
        if not self._created:
            return Step.CREATE
        if self._last_word.framed:
            return Step.CLOSE
        if self._last_word.text is not None:
            return Step.FINAL if self._writing else Step.BEGIN
        has_text = self._draft.is_new
        if self._writing and self._offer.is_open and not (has_text and self._undone is Step.OFFER):
            return Step.OFFER  # after one that failed, text goes first: what the buttons do can be typed
        if not has_text:
            return None
        return Step.FRAME if self._writing else Step.BEGIN

    def frame(self, now: float) -> Frame | None:
        """The streaming call to make; None if the unseen text cannot be shown yet, such as half a link."""
        key = self._template.content_key
        if self._last_word.text is not None:
            return self._last_word.frame(self.out_track_id, key)
        frame = self._draft.frame(self.out_track_id, key)
        if frame is None:
            self.lane.not_before = now + SECOND_LOOK
            self._plan(now)
        return frame

    def params(self, step: Step) -> dict[str, str]:
        """The variables of a creation or an update to make. All values are strings; objects are JSON in a string."""
        match step:
            case Step.CREATE:
                if not self._tries:  # or a try before this one may have created it, with the buttons of then
                    self._offer.close()
                return self._template.at_first(self._offer.buttons)
            case Step.BEGIN:
                self._offer.close()
                return self._template.writing(self._offer.buttons)
            case Step.OFFER:
                return self._template.offering(self._offer.send())
            case _:
                return self._template.closed(self._last_word.send(), failed=self._last_word.failed)

    def succeeded(self, step: Step, now: float) -> None:
        """The call was done."""
        self._tries, self._undone = 0, None
        self.lane.rank, self.lane.not_before = None, -math.inf
        match step:
            case Step.CREATE:
                self._created = True
            case Step.BEGIN:
                self._writing = True
            case Step.OFFER:
                self._offer.taken()
            case Step.FRAME:
                self._draft.shown()
            case Step.FINAL | Step.CLOSE:
                self._last_word.said()
                self.error = self._last_word.error
                self.settled = step is Step.CLOSE or self._template.family is Family.OWN
        self._plan(now)

    def failed(self, step: Step, error: CardbotError, now: float) -> None:
        """The call was not done, or nobody knows."""
        self._undone = step
        if step is Step.FRAME:
            self._draft.not_shown()
        match error:
            case Throttled():
                self._pause(step, now + error.retry_after)
            case DingTalkUnreachable() | InvalidToken():
                self._unknown(step, now)
            case DingTalkRejected(code=code) if step is Step.CREATE and code == ALREADY_THERE:
                self._created = True
            case ContentRefused() if step.rank is Rank.FINAL and self._last_word.may_be_withheld:
                self._last_word.withhold()
            case _ if step is Step.CREATE:
                self._lose(error)
            case DingTalkRejected(code=code) if code in GONE and (step is not Step.FRAME or self._assumed):
                self._lose(error)
            case _:
                self._refused(step, error)
        self._plan(now)

    def _pause(self, step: Step, until: float) -> None:
        """Wait before the next call, unless by now that is one on another path, whose limit is another one."""
        if step.path == self.lane.path:
            self.lane.not_before = until

    def _unknown(self, step: Step, now: float) -> None:
        """The call may have been done: to repeat it is harmless, but not for ever."""
        self._pause(step, now + RETRY_PAUSES[min(self._tries, len(RETRY_PAUSES) - 1)])
        self._tries += 1
        if step is Step.CREATE and self._tries >= CREATE_TRIES:
            self._created = self._assumed = True
            self._tries = 0
        if step is Step.OFFER:
            self._offer.lost()

    def _refused(self, step: Step, error: CardbotError) -> None:
        """DingTalk will not take this content. The card is at least to look finished, the text goes another way."""
        match step:
            case Step.FRAME:
                self._draft.muted = True
            case Step.OFFER:
                self._offer.close()
            case Step.FINAL:
                self._last_word.frame_refused(error)
            case Step.CLOSE if self._last_word.error is not None:
                self.give_up(self._last_word.error)
            case _:
                self._last_word.hand_over(error)  # by an update, with the short sentence

    def _lose(self, error: CardbotError) -> None:
        """It is not in the chat, and never will be."""
        self._created = False
        self.give_up(error)

    def _at_once(self, now: float) -> None:
        """Something new is wanted, whatever became of the calls before."""
        self._tries, self.lane.not_before = 0, -math.inf
        self._plan(now)

    def _plan(self, now: float) -> None:
        """Tell the lane. `since` stays as long as the same thing is wanted."""
        step = self.step()
        rank = step.rank if step else None
        if rank is Rank.LIVE:
            self.lane.since = self._draft.since
        elif rank is not self.lane.rank:
            self.lane.since = now
        self.lane.rank = rank
        self.lane.path = step.path if step else ""
        if self._follower is not None and self.seen:
            follower, self._follower = self._follower, None
            follower._follow(self.error, now)

    def _follow(self, error: CardbotError | None, now: float) -> None:
        """The card before it is in the chat, or never will be."""
        self._held = False
        if error is not None:
            self.give_up(error)  # a page without the one before it
        else:
            self._plan(now)
