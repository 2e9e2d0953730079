"""One card of DingTalk: what it wants next, and what the outcome of each call makes of it. No call is made here."""

import math
import uuid
from collections.abc import Sequence
from enum import Enum

from cardbot.dingtalk.openapi import Frame
from cardbot.dingtalk.template import Family, Template
from cardbot.errors import (
    CardbotError,
    ContentRefused,
    DingTalkRejected,
    DingTalkUnreachable,
    InvalidToken,
    PermissionDenied,
    QuotaExhausted,
    Throttled,
)
from cardbot.pacing import Lane, Rank
from cardbot.ports import Button
from cardbot.render import partial
from cardbot.texts import Texts

CREATE_PATH = "/v1.0/card/instances/createAndDeliver"
STREAM_PATH = "/v1.0/card/streaming"
UPDATE_PATH = "/v1.0/card/instances"

CREATE_TRIES = 4
"""Calls whose outcome stayed unknown before the card is taken for created: the first frame will tell. Our choice."""

OFFER_TRIES = 3
"""Calls whose outcome stayed unknown before a card is left without other buttons. Our choice: the text, which goes
first after one that failed, says what can be typed instead of them."""

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

NO_FAILED_STATE = "unknownError"
"""HTTP 500 that `isError` draws where the template has no failed state. Seen by others; also a wrong `key`."""


LAST_FRAMES = uuid.UUID("6f8a1c1e-54d6-4d0e-9a52-1f3a7f0c2b7d")
"""The namespace of the guids of last frames. Made up."""


class Step(Enum):
    """The calls that a card is made of, each with its name, rank and API path."""

    CREATE = ("create", Rank.NEW, CREATE_PATH)
    BEGIN = ("begin", Rank.NEW, UPDATE_PATH)
    """Shared template only: to the writing state."""
    OFFER = ("offer", Rank.NEW, UPDATE_PATH)
    """Other buttons than before: somebody is to press one."""
    FRAME = ("frame", Rank.LIVE, STREAM_PATH)
    FINAL = ("final", Rank.FINAL, STREAM_PATH)
    CLOSE = ("close", Rank.FINAL, UPDATE_PATH)
    """Shared template: to the done or failed state. Own template: last resort, when the final frame is refused."""

    @property
    def rank(self) -> Rank:
        return self.value[1]

    @property
    def path(self) -> str:
        return self.value[2]


class Sheet:
    """The state of one card. Its `lane` always tells `Pacing` what it wants."""

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
        self._elsewhere, self._withheld = texts.elsewhere, texts.withheld
        self._follower: Sheet | None = None
        self._held = after is not None and not after.seen
        if after is not None:
            after._follower = self
        self._created = False
        self._assumed = False  # that it is created, which nobody has said
        self._writing = template.family is Family.OWN
        self._muted = False  # text frames are refused; only the final one is still tried
        self._buttons = tuple(buttons)
        self._offered: tuple[Button, ...] = self._buttons  # what the card has, once it is created
        self._offering: tuple[Button, ...] = ()  # what the call under way gives it
        self._offer_failed = False  # text need not wait for buttons: what they do can be typed
        self._offers_lost = 0
        self._text = ""
        self._unseen_since = now  # when the oldest text came that is in no frame yet
        self._rendered_since = now  # when the oldest text came that the last frame was the first to hold
        self._rendered = ""  # the text that the last frame was made of
        self._shown = ""
        self._sent = ""  # the text of the latest call
        self._final: str | None = None
        self._as_failed = False
        self._finalized = False
        self._given_up: CardbotError | None = None
        self._frame: Frame | None = None  # of unknown outcome: repeated with the same guid
        self._tries = 0
        self._plan(now)

    @classmethod
    def found(
        cls,
        template: Template,
        out_track_id: str,
        *,
        now: float,
        texts: Texts,
        buttons: Sequence[Button] = (),
        after: "Sheet | None" = None,
    ) -> "Sheet":
        """One that another process has put into the chat, as far as anybody knows."""
        sheet = cls(template, out_track_id, now=now, texts=texts, buttons=buttons, after=after)
        sheet._created = sheet._assumed = sheet._writing = True
        sheet.lane.began = now
        sheet._plan(now)
        return sheet

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
        return self._muted or self.settled or self._given_up is not None

    @property
    def seen(self) -> bool:
        """Whether it is in the chat, or never will be: only then may the card that follows it be put there."""
        return self._created or self.settled

    def show(self, markdown: str, now: float) -> bool:
        """Take the newest text; older text is of no more interest. Returns whether the lane's wish changed."""
        if self._text == self._rendered:
            self._unseen_since = now
        self._text, wanted = markdown, self.lane.rank
        if wanted is None or markdown == self._rendered:  # otherwise what it wants will hold this text
            self._plan(now)
        return self.lane.rank is not wanted

    def offer(self, buttons: Sequence[Button], now: float) -> None:
        """Take the buttons that the card is to have from now on."""
        self._buttons, self._offers_lost = tuple(buttons), 0
        self._plan(now)

    def finish(self, markdown: str, now: float, *, failed: bool) -> None:
        """The last text. Nothing may be shown after it."""
        self._final, self._as_failed = markdown, failed
        self._tries = 0
        self.lane.not_before = -math.inf
        self._plan(now)

    def hand_over(self, error: CardbotError, now: float) -> None:
        """Time is up: the text goes another way, and an update, whose path has a limit of its own, is to say so.

        It also overwrites a final frame that was done though its answer was lost, so that nothing is read twice. The
        call under way still counts: if it turns out to be the end, that was it.
        """
        if self.lane.began == -math.inf:
            self.give_up(error)  # nobody can see it
        elif not self.settled:
            self._given_up = self._given_up or error
            self._created = self._finalized = True
            self._tries, self.lane.not_before = 0, -math.inf
            self._plan(now)

    @property
    def last_text(self) -> str:
        """What is to stay in the card: the text given to `finish`, unless that may not be shown."""
        return self._final or ""

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
        if self._given_up is not None and self._finalized:
            return Step.CLOSE
        if self._final is not None:
            if not self._writing:
                return Step.BEGIN
            return Step.CLOSE if self._finalized else Step.FINAL
        has_text = not self._muted and self._text != self._rendered
        if self._writing and self._buttons != self._offered and not (has_text and self._offer_failed):
            return Step.OFFER
        if not has_text:
            return None
        return Step.FRAME if self._writing else Step.BEGIN

    def frame(self, now: float) -> Frame | None:
        """The streaming call to make; None if the unseen text cannot be shown yet, such as half a link.

        A repetition of unknown outcome keeps its guid, new content gets a new one. The guid of a last frame follows
        from what it holds: another process that takes over repeats it, and no new one.
        """
        if self._given_up is not None:
            content, finalize, error = self._elsewhere, True, False
        elif self._final is not None:
            content, finalize, error = self._final, not self._as_failed, self._as_failed
        else:
            content, finalize, error = partial(self._text), False, False
            self._rendered, self._rendered_since = self._text, self._unseen_since
            if content in ("", self._shown):
                self.lane.not_before = now + SECOND_LOOK
                self._plan(now)
                return None
        last = self._frame
        if last is None or (last.content, last.finalize, last.error) != (content, finalize, error):
            last = Frame(
                out_track_id=self.out_track_id,
                guid=self._guid(content, error) if self._final is not None else uuid.uuid4().hex,
                key=self._template.content_key,
                content=content,
                finalize=finalize,
                error=error,
            )
        self._frame, self._sent = last, content
        return last

    def _guid(self, content: str, error: bool) -> str:
        name = f"{self.out_track_id} {error} {content}"
        # Half a surrogate pair, as models cut emojis, has no UTF-8.
        return uuid.uuid5(LAST_FRAMES, name.encode("utf-8", "replace").decode()).hex

    def params(self, step: Step) -> dict[str, str]:
        """The variables of a creation or an update to make. All values are strings; objects are JSON in a string."""
        match step:
            case Step.CREATE:
                if not self._tries:  # or a try before this one may have created it, with the buttons of then
                    self._offered = self._buttons
                return self._template.at_first(self._buttons)
            case Step.BEGIN:
                self._offered = self._buttons
                return self._template.writing(self._buttons)
            case Step.OFFER:
                self._offering = self._buttons
                return self._template.offering(self._buttons)
            case _:
                self._sent = self._elsewhere if self._given_up else self.last_text
                return self._template.closed(self._sent, failed=self._as_failed and self._given_up is None)

    def succeeded(self, step: Step, now: float) -> None:
        """The call was done."""
        self._tries = 0
        self._offer_failed = False
        self.lane.rank, self.lane.not_before = None, -math.inf
        match step:
            case Step.CREATE:
                self._created = True
            case Step.BEGIN:
                self._writing = True
            case Step.OFFER:
                self._offered = self._offering
            case Step.FRAME | Step.FINAL:
                self._shown, self._frame = self._sent, None
                if step is Step.FINAL:
                    self._finalized = True
                    self._end(settled=self._template.family is Family.OWN)
            case Step.CLOSE:
                self._end(settled=True)
        self._plan(now)

    def failed(self, step: Step, error: CardbotError, now: float) -> None:
        """The call was not done, or nobody knows."""
        self._offer_failed = step is Step.OFFER
        match error:
            case Throttled():
                self._pause(step, now + error.retry_after)
                self._again(step)
            case DingTalkUnreachable() | InvalidToken():
                self._unknown(step, now)
                self._again(step)
            case DingTalkRejected(code=code) if step is Step.CREATE and code == ALREADY_THERE:
                self._created = True
            case ContentRefused() if self._may_withhold(step):
                self._final, self._as_failed = self._withheld, True  # that is the end: the text goes no other way
            case _ if step is Step.CREATE:
                self._lose(error)
            case DingTalkRejected(code=code) if code in GONE and (step is not Step.FRAME or self._assumed):
                self._lose(error)
            case _:
                self._refused(step, error)
        self._plan(now)

    def _lose(self, error: CardbotError) -> None:
        """It is not in the chat, and never will be."""
        self._created = False
        self.give_up(error)

    def _may_withhold(self, step: Step) -> bool:
        """Whether it is the last text, and not yet a sentence in its place, that was refused."""
        return step in (Step.FINAL, Step.CLOSE) and self._final != self._withheld and self._given_up is None

    def _pause(self, step: Step, until: float) -> None:
        """Wait before the next call, unless by now that is one on another path, whose limit is another one."""
        if step.path == self.lane.path:
            self.lane.not_before = until

    def _unknown(self, step: Step, now: float) -> None:
        self._pause(step, now + RETRY_PAUSES[min(self._tries, len(RETRY_PAUSES) - 1)])
        self._tries += 1
        if step is Step.CREATE and self._tries >= CREATE_TRIES:
            self._created = self._assumed = True
            self._tries = 0
        if step is Step.OFFER:
            self._offers_lost += 1  # frames between them succeed, and begin the count of tries anew
            if self._offers_lost >= OFFER_TRIES:
                self._offered = self._buttons

    def _refused(self, step: Step, error: CardbotError) -> None:
        """DingTalk will not take this content. The card is at least to look finished, the text goes another way."""
        match step:
            case Step.FRAME:
                self._muted = True
            case Step.OFFER:
                self._offered = self._buttons  # it shows no buttons: what they do can be typed
            case Step.FINAL if self._as_failed and getattr(error, "code", "") == NO_FAILED_STATE:
                self._as_failed = False
            case Step.FINAL if self._given_up is None and not isinstance(error, PermissionDenied | QuotaExhausted):
                self._given_up = error
            case Step.BEGIN | Step.FINAL:
                self._given_up = self._given_up or error
                self._finalized = True  # not even the short sentence: only an update is left
            case _ if self._given_up is None:
                self._given_up = error  # the update again, with the short sentence
            case _:
                self.give_up(self._given_up)

    def _again(self, step: Step) -> None:
        if step is Step.FRAME:  # not shown, as far as anybody knows
            self._rendered = ""
            self._unseen_since = self._rendered_since

    def _end(self, *, settled: bool) -> None:
        """The last text is in the card, be it the answer or where to find it."""
        if self._sent == self._final:
            self._given_up = None  # done after all, by a call that was under way when time was up
        self.error, self.settled = self._given_up, settled

    def _plan(self, now: float) -> None:
        """Tell the lane. `since` stays as long as the same thing is wanted."""
        step = self.step()
        rank = step.rank if step else None
        if rank is Rank.LIVE:
            self.lane.since = self._unseen_since
        elif rank is not self.lane.rank:
            self.lane.since = now
        self.lane.rank = rank
        self.lane.path = step.path if step else ""
        if self.seen:
            self._release(now)

    def _release(self, now: float) -> None:
        if self._follower is not None and self._follower._held:
            self._follower._held = False
            if self.error is not None:
                self._follower.give_up(self.error)  # a page without the one before it
            else:
                self._follower._plan(now)
