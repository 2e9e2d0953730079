"""One answer in a chat, on as many cards of DingTalk as its length asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from cardbot.dingtalk.openapi import DirectSpace, GroupSpace
from cardbot.dingtalk.sheet import Sheet
from cardbot.errors import CardLost, DingTalkUnreachable
from cardbot.messages import Incoming
from cardbot.paging import pages
from cardbot.ports import Button, Watcher

if TYPE_CHECKING:
    from cardbot.dingtalk.cards import CardWriter

CALL_TIMEOUT = 15.0
"""Seconds for one call, token included. Our choice: DingTalk's gateway gives up after 3 (seen)."""

FINISH_TIMEOUT = 60.0
"""Seconds to bring a card to its final state; then the text goes another way. Our choice: covers a throttle of a
minute, and a person who waits longer has long given up."""

CLOSE_TIMEOUT = 40.0
"""Seconds after that for the call under way, and for an update that sends the reader on. Our choice: two calls that
hang, and one that does not."""

IN_TIME = 0.95
"""Share of a caller's deadline that is made use of, so that `CardLost` is raised before it. Our choice."""


ID_PREFIX = "cardbot-"
"""How the ids of our cards begin."""


def reply_of(out_track_id: str) -> str:
    """The reply that a card belongs to; empty for a card of somebody else."""
    reply_id, _, page = out_track_id.removeprefix(ID_PREFIX).rpartition("-")
    return reply_id if out_track_id.startswith(ID_PREFIX) and page.isdecimal() else ""


def page_of(out_track_id: str) -> int:
    """Which card of its reply it is, counted from 1; 0 for a card of somebody else."""
    return int(out_track_id.rpartition("-")[2]) if reply_of(out_track_id) else 0


@dataclass(frozen=True, slots=True)
class Posted:
    """One card of DingTalk, and the answer that it is a page of."""

    sheet: Sheet
    card: "PagedCard"


class PagedCard:
    """One answer on as many cards of DingTalk as its length asks for. Implements `ports.Card`."""

    def __init__(
        self,
        writer: "CardWriter",
        incoming: Incoming,
        space: DirectSpace | GroupSpace,
        reply_id: str,
        watch: Watcher,
    ) -> None:
        self.incoming = incoming
        self.watch = watch
        self.space = space
        self._writer = writer
        self._reply_id = reply_id
        self._buttons = writer.buttons
        self._ended = False
        self._settled = anyio.Event()
        self._posted: list[Posted] = []

    def post(self) -> None:
        """Put one more card of DingTalk into the chat, once the one before it is there."""
        self._add()

    def find(self, count: int) -> None:
        """Take these cards for those that are in the chat already."""
        for _ in range(count):
            self._add().found(anyio.current_time())

    def _add(self) -> Sheet:
        # The ids follow from the reply's, so that whoever takes over knows them.
        sheet = Sheet(
            self._writer.template,
            f"{ID_PREFIX}{self._reply_id}-{len(self._posted) + 1}",
            now=anyio.current_time(),
            texts=self._writer.texts,
            buttons=self._buttons,
            after=self._posted[-1].sheet if self._posted else None,
        )
        self._posted.append(Posted(sheet, self))
        self._writer.take(self._posted[-1])
        return sheet

    def show(self, markdown: str) -> None:
        if self._ended:
            return
        now = anyio.current_time()
        for posted, page in zip(self._posted, self._pages(markdown), strict=True):
            if posted.sheet.show(page, now):
                self._writer.wake()

    def offer(self, buttons: Sequence[Button]) -> None:
        self._buttons = tuple(buttons)
        if not self._ended:
            for posted in self._posted:
                posted.sheet.offer(buttons, anyio.current_time())
            self._writer.wake()

    async def finish(self, markdown: str) -> None:
        await self._finish(markdown, failed=False)

    async def fail(self, markdown: str) -> None:
        await self._finish(markdown, failed=True)

    def close(self) -> None:
        """Make no more calls for it."""
        if self._posted[0].sheet.created:
            self._writer.answered()
        for posted in self._posted:
            self._writer.drop(posted)

    def look(self) -> None:
        """See whether there is anything left to do, and whether anybody can see it."""
        if self._posted[0].sheet.never_seen:
            self.watch.lost()
        if not self._ended and self._posted[-1].sheet.is_mute:
            self.watch.hidden()
        if all(posted.sheet.settled for posted in self._posted):
            self._settled.set()

    async def _finish(self, markdown: str, *, failed: bool) -> None:
        """All of the text into the cards; what does not get there in time, or before the caller's deadline, is lost."""
        now = anyio.current_time()
        whole = FINISH_TIMEOUT + CLOSE_TIMEOUT
        haste = min(1.0, IN_TIME * (anyio.current_effective_deadline() - now) / whole)
        texts = self._pages(markdown)
        self._ended, self._settled = True, anyio.Event()
        for posted, text in zip(self._posted, texts, strict=True):
            posted.sheet.finish(text, now, failed=failed)
        await self._wait(FINISH_TIMEOUT * haste)
        late = DingTalkUnreachable(f"Not finished within {FINISH_TIMEOUT * haste:.1f} s.")
        for posted in self._posted:
            posted.sheet.hand_over(late, anyio.current_time())
        await self._wait(CLOSE_TIMEOUT * haste)
        for posted in self._posted:
            if not posted.sheet.settled:
                posted.sheet.give_up(late)
        for posted in self._posted:
            if posted.sheet.error is None:
                self.watch.ended(posted.sheet.out_track_id, posted.sheet.last_text)
        lost = [
            (posted.sheet.last_text, posted.sheet.error)
            for posted, text in zip(self._posted, texts, strict=True)
            if posted.sheet.error is not None and text != self._writer.texts.withdrawn
        ]
        if lost:
            raise CardLost(str(lost[0][1]), unseen="\n\n".join(text for text, _ in lost)) from lost[0][1]

    async def _wait(self, seconds: float) -> None:
        self.look()
        self._writer.wake()
        with anyio.move_on_after(seconds):
            await self._settled.wait()

    def _pages(self, markdown: str) -> list[str]:
        """The text of each card. Posts the further cards that it needs; those that it no longer needs say so."""
        texts = [markdown]
        if len(markdown) > self._writer.card_characters:
            texts = pages(markdown, self._writer.card_characters)
        while len(self._posted) < len(texts):
            self.post()
        return texts + [self._writer.texts.withdrawn] * (len(self._posted) - len(texts))
