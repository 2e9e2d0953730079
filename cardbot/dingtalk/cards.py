"""The one writer of card calls: opens cards, shows the newest text, finishes them. `pacing` decides who is next."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from types import TracebackType
from typing import Protocol, Self

import anyio
import structlog
from anyio.abc import TaskGroup

from cardbot.budget import Budget
from cardbot.dingtalk.card import CALL_TIMEOUT, PagedCard, Posted, page_of
from cardbot.dingtalk.openapi import DirectSpace, Frame, GroupSpace, NewCard
from cardbot.dingtalk.steps import Step
from cardbot.dingtalk.template import Template
from cardbot.errors import Busy, CardbotError, DingTalkError, DingTalkUnreachable, QuotaExhausted, Throttled
from cardbot.messages import ChatKind, Incoming
from cardbot.pacing import CARD_QPS, Frames, Lane, Pacing
from cardbot.paging import pages
from cardbot.ports import Button, Card, NoCard, Watcher, stop_button
from cardbot.render import snippet
from cardbot.texts import EN, ZH, Texts

CARD_CHARACTERS = 18_000
"""Characters that one card takes; a longer text goes on in a second one. Seen: clients of the streaming call cut at
18,000 to 20,000; the documentation says 1 K and 3 K, which no public program heeds; the real limit is not known."""

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
        budget: Budget | None = None,
        qps: int = CARD_QPS,
        frames: Frames = Frames.BALANCED,
        card_characters: int = CARD_CHARACTERS,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._template = template
        self._texts = texts
        self._budget = budget or Budget()
        self._card_characters = card_characters
        self._wall = wall
        self._pacing = Pacing(qps=qps, frames=frames)
        self._sheets: dict[Lane, Posted] = {}
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
    async def open(self, incoming: Incoming, reply_id: str, watch: Watcher) -> AsyncGenerator[Card]:
        """Begin to put a card into the chat. A chat that can show none gets a card that is lost from the start."""
        space = _space(incoming)
        if space is None:
            watch.lost()
            yield NoCard("The sender has no staff id in this organisation.")
            return
        if not self._budget.allows(self._promised + self._template.least_calls, self._wall()):
            watch.lost()
            yield NoCard("No card calls are left for this month.")
            return
        with closing(PagedCard(self, incoming, space, reply_id, watch)) as card:
            card.post()
            yield card

    @asynccontextmanager
    async def resume(
        self, incoming: Incoming, reply_id: str, shown: str, watch: Watcher, *, known: Collection[str] = ()
    ) -> AsyncGenerator[Card]:
        """Take over the cards of a reply that another process has left open; see `ports.Cards`."""
        space = _space(incoming)
        if space is None:
            yield NoCard("The sender has no staff id in this organisation.")
            return
        with closing(PagedCard(self, incoming, space, reply_id, watch)) as card:
            card.find(max(len(pages(shown, self._card_characters)), *(page_of(one) for one in known), 1))
            yield card

    def answered(self) -> None:
        """An answer was given in cards."""
        self._budget.answer(self._wall())

    def take(self, posted: Posted) -> None:
        """Make the calls that this card of DingTalk wants."""
        self._sheets[posted.sheet.lane] = posted
        self._pacing.add(posted.sheet.lane)
        self.wake()

    def drop(self, posted: Posted) -> None:
        """Make no more calls for it; what was set aside for it is free for others."""
        self._pacing.remove(posted.sheet.lane)
        self._sheets.pop(posted.sheet.lane, None)
        self.wake()

    def wake(self) -> None:
        """Something is wanted that was not wanted before."""
        self._wake.set()

    def share(self, processes: int) -> None:
        """So many processes make card calls for this app, each as many as the others."""
        self._pacing.share(processes)
        self.wake()

    @property
    def template(self) -> Template:
        """What the cards look like."""
        return self._template

    @property
    def card_characters(self) -> int:
        """Characters that one card takes."""
        return self._card_characters

    @property
    def texts(self) -> Texts:
        """The sentences that may have to be shown."""
        return self._texts

    @property
    def buttons(self) -> tuple[Button, ...]:
        """What a card offers from the start."""
        return (stop_button(self._texts),)

    async def _write(self) -> None:
        """Make the calls, one after the other or side by side, until the writer is left.

        Shielded: when the program is cancelled, replies still bring their cards to an end, and need the writer.
        """
        with self._scope:
            async with anyio.create_task_group() as calls:
                while True:
                    self._wake = anyio.Event()
                    now = anyio.current_time()
                    self._pacing.stretch = self._budget.stretch(self._wall(), promised=self._promised)
                    turn = self._pacing.next(now)
                    if isinstance(turn, float):
                        with anyio.move_on_after(max(0.0, turn - now)):
                            await self._wake.wait()
                    else:
                        self._begin(self._sheets[turn], now, calls)

    @property
    def _promised(self) -> int:
        """Calls that the open cards need to come to their end; those of them that were made are counted again."""
        return len(self._sheets) * self._template.least_calls

    def _begin(self, posted: Posted, now: float, calls: TaskGroup) -> None:
        """Make the call that the sheet wants, as things are now. A fault of ours is that card's, not the writer's."""
        step = posted.sheet.step()
        if step is None:  # a fault of ours: its lane wants something that the sheet does not
            log.error("card_wants_nothing", card=posted.sheet.out_track_id)
            self.drop(posted)
            return
        if step is not Step.CLOSE and self._budget.is_closed(self._wall()):
            # One try to close what people see; it costs nothing if it is refused.
            posted.sheet.hand_over(DingTalkError("DingTalk takes no more calls this month."), now)
            posted.card.look()
            return
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

    async def _perform(self, posted: Posted, step: Step, call: Callable[[], Awaitable[object]]) -> None:
        """Make one call and let the sheet learn its outcome."""
        sheet = posted.sheet
        log.debug("card_call", step=step.name.lower(), card=sheet.out_track_id)
        try:
            if not await posted.card.watch.is_ours():
                self.drop(posted)
                return
            with anyio.fail_after(CALL_TIMEOUT):
                await call()
        except TimeoutError:
            self._learn(posted, step, DingTalkUnreachable(f"No answer within {CALL_TIMEOUT:.0f} s."))
        except DingTalkError as exc:
            if isinstance(exc, Throttled) and not isinstance(exc, Busy):
                self._pacing.throttled(sheet.lane, step.path, anyio.current_time(), exc.retry_after)
            if isinstance(exc, QuotaExhausted):
                self._close(exc)
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

    def _close(self, error: QuotaExhausted) -> None:
        """No more calls before the next month: answers are plain replies until then. The admin is told once."""
        now = self._wall()
        if not self._budget.is_closed(now):
            log.error(
                "month_used_up",
                error=str(error),
                effect="no cards before the next month; answers go out as plain replies",
                remedy="buy more calls and restart, or make them last: CARDBOT_FRAMES=frugal, CARDBOT_MONTHLY_CALLS",
            )
        self._budget.close(now)

    def _learn(self, posted: Posted, step: Step, error: CardbotError) -> None:
        log.warning(
            "card_call_failed",
            step=step.name.lower(),
            card=posted.sheet.out_track_id,
            message=posted.card.incoming.message_id,
            error=str(error),
        )
        # The sheet keeps it, and a traceback leads back to the sheet: a circle that only a full collection would end.
        posted.sheet.failed(step, error.with_traceback(None), anyio.current_time())

    def _call(self, posted: Posted, step: Step) -> Callable[[], Awaitable[object]] | None:
        sheet = posted.sheet
        match step:
            case Step.CREATE:
                return partial(self._create, posted, self._new_card(posted))
            case Step.FRAME | Step.FINAL:
                frame = sheet.frame(anyio.current_time())
                if frame is None:
                    return None
                posted.card.watch.shown()
                return partial(self._api.stream, frame)
            case Step.BEGIN | Step.OFFER | Step.CLOSE:
                return partial(self._api.update, sheet.out_track_id, sheet.params(step))

    async def _create(self, posted: Posted, card: NewCard) -> None:
        posted.card.watch.carried(card.out_track_id, await self._api.create_and_deliver(card))

    def _new_card(self, posted: Posted) -> NewCard:
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


def _space(incoming: Incoming) -> DirectSpace | GroupSpace | None:
    """Where a card can be shown; None for a direct chat with somebody from outside the organisation."""
    if incoming.chat.kind is ChatKind.GROUP:
        return GroupSpace(incoming.chat.id)
    return DirectSpace(incoming.sender.staff_id) if incoming.sender.staff_id else None
