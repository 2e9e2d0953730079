"""The one writer of card calls: opens cards, shows the newest text, finishes them. `pacing` decides who is next."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Protocol, Self

import anyio
import structlog
from anyio.abc import TaskGroup

from cardbot.dingtalk.no_cards import NoCard
from cardbot.dingtalk.openapi import DirectSpace, Frame, GroupSpace, NewCard
from cardbot.dingtalk.sheet import Sheet, Step, Template
from cardbot.errors import CardbotError, CardLost, DingTalkError, DingTalkUnreachable
from cardbot.messages import ChatKind, Incoming
from cardbot.pacing import CARD_QPS, Frames, Lane, Pacing
from cardbot.paging import pages
from cardbot.ports import Card
from cardbot.render import snippet
from cardbot.texts import EN, ZH, Texts

CARD_CHARACTERS = 18_000
"""Characters that one card takes; a longer text goes on in a second one. Seen: clients of the streaming call cut at
18,000 to 20,000; the documentation says 1 K and 3 K, which no public program heeds; the real limit is not known."""

CALL_TIMEOUT = 15.0
"""Seconds for one call, token included. Our choice: DingTalk's gateway gives up after 3 (seen)."""

FINISH_TIMEOUT = 60.0
"""Seconds to bring a card to its final state; then the text goes another way. Our choice: covers a throttle of a
minute, and a person who waits longer has long given up."""

CLOSE_TIMEOUT = 2 * CALL_TIMEOUT
"""Seconds after that for the call under way, and for an update that sends the reader on."""

IN_TIME = 0.95
"""Share of a caller's deadline that is made use of, so that `CardLost` is raised before it. Our choice."""

log = structlog.get_logger(__name__)


class CardApi(Protocol):
    """The three calls that cards are made of; see `dingtalk.openapi.OpenApi`."""

    async def create_and_deliver(self, card: NewCard) -> str:
        """Put a card into a chat; returns its carrier id."""
        ...

    async def stream(self, frame: Frame) -> None:
        """Set the streamed variable."""
        ...

    async def update(self, out_track_id: str, params: Mapping[str, str]) -> None:
        """Set other variables."""
        ...


class CardWriter:
    """All cards of one app. Use as an async context manager; implements `ports.Cards`."""

    def __init__(
        self,
        api: CardApi,
        template: Template,
        *,
        texts: Texts,
        qps: int = CARD_QPS,
        frames: Frames = Frames.BALANCED,
        card_characters: int = CARD_CHARACTERS,
    ) -> None:
        self._api = api
        self._template = template
        self._texts = texts
        self._card_characters = card_characters
        self._pacing = Pacing(qps=qps, frames=frames)
        self._sheets: dict[Lane, _Posted] = {}
        self._wake = anyio.Event()
        self._scope = anyio.CancelScope(shield=True)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        tasks = await self._stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(self._write)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._scope.cancel()
        return await self._stack.__aexit__(kind, error, trace)

    @asynccontextmanager
    async def open(self, incoming: Incoming) -> AsyncGenerator[Card]:
        """Begin to put a card into the chat. A chat that can show none gets a card that is lost from the start."""
        space = _space(incoming)
        if space is None:
            yield NoCard("The sender has no staff id in this organisation.")
            return
        card = _Card(self, incoming, space)
        try:
            yield card
        finally:
            card.leave()

    def post(self, card: "_Card", *, after: "_Posted | None" = None) -> "_Posted":
        """Take one more card of DingTalk in; its creation is the first thing it wants."""
        sheet = Sheet(
            self._template,
            now=anyio.current_time(),
            texts=self._texts,
            after=after.sheet if after else None,
        )
        posted = _Posted(sheet, card)
        self._sheets[posted.sheet.lane] = posted
        self._pacing.add(posted.sheet.lane)
        self.wake()
        return posted

    def drop(self, posted: "_Posted") -> None:
        """Make no more calls for it."""
        self._pacing.remove(posted.sheet.lane)
        self._sheets.pop(posted.sheet.lane, None)

    def wake(self) -> None:
        """Something is wanted that was not wanted before."""
        self._wake.set()

    @property
    def card_characters(self) -> int:
        """Characters that one card takes."""
        return self._card_characters

    @property
    def texts(self) -> Texts:
        """The sentences that may have to be shown."""
        return self._texts

    async def _write(self) -> None:
        """Make the calls, one after the other or side by side, until the writer is left.

        Shielded: when the program is cancelled, replies still bring their cards to an end, and need the writer.
        """
        with self._scope:
            async with anyio.create_task_group() as calls:
                while True:
                    self._wake = anyio.Event()
                    now = anyio.current_time()
                    turn = self._pacing.next(now)
                    if isinstance(turn, float):
                        with anyio.move_on_after(max(0.0, turn - now)):
                            await self._wake.wait()
                    else:
                        self._begin(self._sheets[turn], now, calls)

    def _begin(self, posted: "_Posted", now: float, calls: TaskGroup) -> None:
        """Make the call that the sheet wants, as things are now. A fault of ours is that card's, not the writer's."""
        step = posted.sheet.step()
        assert step is not None, "a lane with a rank belongs to a sheet with a step"
        try:
            call = self._call(posted, step)
        except Exception as exc:
            log.exception("card_call_not_made", step=step.name.lower(), card=posted.sheet.out_track_id)
            self._learn(posted, step, DingTalkError(f"The call could not be made: {type(exc).__name__}."))
            posted.card.look()
            return
        if call is not None:
            self._pacing.begin(posted.sheet.lane, now)
            calls.start_soon(self._perform, posted, step, call)

    async def _perform(self, posted: "_Posted", step: Step, call: Callable[[], Awaitable[object]]) -> None:
        """Make one call and let the sheet learn its outcome."""
        sheet = posted.sheet
        log.debug("card_call", step=step.name.lower(), card=sheet.out_track_id)
        try:
            with anyio.fail_after(CALL_TIMEOUT):
                await call()
        except TimeoutError:
            self._learn(posted, step, DingTalkUnreachable(f"No answer within {CALL_TIMEOUT:.0f} s."))
        except DingTalkError as exc:
            self._learn(posted, step, exc)
        except Exception as exc:  # one card's failure must not stop the others; the call may have been done
            log.exception("card_call_broke", step=step.name.lower(), card=sheet.out_track_id)
            self._learn(posted, step, DingTalkUnreachable(f"The answer was not understood: {type(exc).__name__}."))
        else:
            sheet.succeeded(step, anyio.current_time())
        finally:
            self._pacing.end(sheet.lane, step.path, anyio.current_time())
            posted.card.look()
            self.wake()

    def _learn(self, posted: "_Posted", step: Step, error: CardbotError) -> None:
        log.warning(
            "card_call_failed",
            step=step.name.lower(),
            card=posted.sheet.out_track_id,
            message=posted.card.incoming.message_id,
            error=str(error),
        )
        posted.sheet.failed(step, error, anyio.current_time())

    def _call(self, posted: "_Posted", step: Step) -> Callable[[], Awaitable[object]] | None:
        sheet = posted.sheet
        match step:
            case Step.CREATE:
                return partial(self._api.create_and_deliver, self._new_card(posted))
            case Step.FRAME | Step.FINAL:
                frame = sheet.frame(anyio.current_time())
                return partial(self._api.stream, frame) if frame else None
            case Step.BEGIN | Step.CLOSE:
                return partial(self._api.update, sheet.out_track_id, sheet.params(step))

    def _new_card(self, posted: "_Posted") -> NewCard:
        incoming, sheet = posted.card.incoming, posted.sheet
        question = snippet(incoming.text)
        notify = incoming.chat.kind is ChatKind.GROUP and incoming.sender.staff_id
        return NewCard(
            template_id=self._template.id,
            out_track_id=sheet.out_track_id,
            space=posted.card.space,
            params=sheet.params(Step.CREATE),
            preview_zh=ZH.preview.format(question=question),
            preview_en=EN.preview.format(question=question),
            at={incoming.sender.staff_id: incoming.sender.name} if notify else {},
        )


@dataclass(frozen=True, slots=True)
class _Posted:
    """One card of DingTalk, and the answer that it is a page of."""

    sheet: Sheet
    card: "_Card"


class _Card:
    """One answer on as many cards of DingTalk as its length asks for. Implements `ports.Card`."""

    def __init__(self, writer: CardWriter, incoming: Incoming, space: DirectSpace | GroupSpace) -> None:
        self.incoming = incoming
        self.space = space
        self._writer = writer
        self._ended = False
        self._settled = anyio.Event()
        self._posted = [writer.post(self)]

    def show(self, markdown: str) -> None:
        if self._ended:
            return
        now = anyio.current_time()
        for posted, page in zip(self._posted, self._pages(markdown), strict=True):
            if posted.sheet.show(page, now):
                self._writer.wake()

    async def finish(self, markdown: str) -> None:
        await self._finish(markdown, failed=False)

    async def fail(self, markdown: str) -> None:
        await self._finish(markdown, failed=True)

    def leave(self) -> None:
        for posted in self._posted:
            self._writer.drop(posted)

    def look(self) -> None:
        """See whether there is anything left to do."""
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
            self._posted.append(self._writer.post(self, after=self._posted[-1]))
        return texts + [self._writer.texts.withdrawn] * (len(self._posted) - len(texts))


def _space(incoming: Incoming) -> DirectSpace | GroupSpace | None:
    """Where a card can be shown; None for a direct chat with somebody from outside the organisation."""
    if incoming.chat.kind is ChatKind.GROUP:
        return GroupSpace(incoming.chat.id)
    return DirectSpace(incoming.sender.staff_id) if incoming.sender.staff_id else None
