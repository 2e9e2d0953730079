"""The text of a card while the answer grows: what of it is in no frame yet, and since when."""

import uuid

from cardbot.dingtalk.openapi import Frame
from cardbot.render import partial


class Draft:
    """The newest text of a card, and the frame that was last made of it."""

    def __init__(self, now: float) -> None:
        self.since = now
        """When the oldest text came that is in no frame yet."""
        self.muted = False
        """Whether no frames are made of it any more: DingTalk refuses them."""
        self._text = ""
        self._rendered = ""  # the text that the last frame was made of, or that had nothing new to show
        self._rendered_since = now  # when the oldest text came that it was the first to hold
        self._content = ""  # of the last frame
        self._guid = ""
        self._shown = ""  # of the last frame that was taken

    @property
    def is_new(self) -> bool:
        """Whether there is text to make a frame of."""
        return self._text != self._rendered and not self.muted

    def take(self, markdown: str, now: float) -> bool:
        """The newest text; older text is of no more interest. Returns whether it is in no frame yet."""
        if self._text == self._rendered:
            self.since = now
        self._text = markdown
        return markdown != self._rendered

    def frame(self, out_track_id: str, key: str) -> Frame | None:
        """The frame to show it with; None if there is nothing new to see yet, as in half a link.

        While nobody knows whether a frame was taken, one with the same content keeps its guid.
        """
        content = partial(self._text)
        self._rendered, self._rendered_since = self._text, self.since
        if content in ("", self._shown):
            return None
        if content != self._content:
            self._content, self._guid = content, uuid.uuid4().hex
        return Frame(out_track_id, self._guid, key, content)

    def shown(self) -> None:
        """The last frame was taken."""
        self._shown = self._content

    def not_shown(self) -> None:
        """The last frame was not taken, as far as anybody knows: its text is as new as before."""
        self._rendered, self.since = "", self._rendered_since
