"""What a card says at its end, and what it says instead if DingTalk does not take that.

The text comes in a last frame, which the shared template wants repeated by an update. If the content check refuses it,
a sentence says so, and the text goes no other way. If it cannot be brought into the card, it goes another way, and a
sentence says where to look: in a last frame, or where that is not taken either, in an update, whose path has
permissions and limits of its own.
"""

import uuid

from cardbot.dingtalk.openapi import Frame
from cardbot.errors import CardbotError, PermissionDenied, QuotaExhausted
from cardbot.surrogates import mended
from cardbot.texts import Texts

NO_FAILED_STATE = "unknownError"
"""HTTP 500 that `isError` draws where the template has no failed state. Seen by others; also a wrong `key`."""

LAST_FRAMES = uuid.UUID("6f8a1c1e-54d6-4d0e-9a52-1f3a7f0c2b7d")
"""The namespace of the guids of last frames. Made up."""


class LastWord:
    """The last word of one card."""

    def __init__(self, texts: Texts) -> None:
        self.text: str | None = None
        """What is to stay in the card; None until that is known."""
        self.error: CardbotError | None = None
        """Why the text goes another way, if it does."""
        self.framed = False
        """Whether no more last frames are tried: one was taken, or only an update is left."""
        self._failed = False
        self._sent = ""
        self._elsewhere, self._withheld = texts.elsewhere, texts.withheld

    @property
    def failed(self) -> bool:
        """Whether the card is to look failed. One that only says where to look is done."""
        return self._failed and self.error is None

    @property
    def may_be_withheld(self) -> bool:
        """Whether what is said is the text, and not yet a sentence in its place."""
        return self.error is None and self.text != self._withheld

    def say(self, text: str, *, failed: bool) -> None:
        """This is to stay in the card, which is to look failed or done."""
        self.text, self._failed = text, failed

    def send(self) -> str:
        """What the call to be made says."""
        self._sent = (self.text or "") if self.error is None else self._elsewhere
        return self._sent

    def frame(self, out_track_id: str, key: str) -> Frame:
        """The same as a last frame. Its guid follows from what it holds, so that whoever takes over repeats it."""
        content, failed = self.send(), self.failed
        guid = uuid.uuid5(LAST_FRAMES, mended(f"{out_track_id} {failed} {content}")).hex
        return Frame(out_track_id, guid, key, content, finalize=not failed, error=failed)

    def said(self) -> None:
        """What was sent stands in the card, be it the text or where to find it."""
        self.framed = True
        if self._sent == self.text:
            self.error = None  # done after all, by a call that was under way when time was up

    def withhold(self) -> None:
        """The content check refused the text. A sentence says so, and that is the end."""
        self.text, self._failed = self._withheld, True

    def frame_refused(self, error: CardbotError) -> None:
        """DingTalk did not take the last frame: say less."""
        if self._failed and getattr(error, "code", "") == NO_FAILED_STATE:
            self._failed = False
        elif self.error is None and not isinstance(error, PermissionDenied | QuotaExhausted):
            self.error = error
        else:
            self.hand_over(error)  # not even the short sentence, or no frame at all

    def hand_over(self, error: CardbotError) -> None:
        """The text goes another way, and only an update is left to say so."""
        self.error = self.error or error
        self.framed = True
