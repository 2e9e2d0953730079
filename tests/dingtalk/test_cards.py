"""The writer of cards, in virtual time, against an API that takes 120 ms a call and fails as told."""

import re
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from cardbot.budget import Budget, Count
from cardbot.dingtalk.card import CLOSE_TIMEOUT, FINISH_TIMEOUT
from cardbot.dingtalk.cards import CardWriter
from cardbot.dingtalk.no_cards import NoCards
from cardbot.dingtalk.openapi import DirectSpace, Frame, GroupSpace, NewCard
from cardbot.dingtalk.sheet import SECOND_LOOK
from cardbot.dingtalk.template import SHARED_TEMPLATE, Template
from cardbot.errors import (
    Busy,
    CardLost,
    ContentRefused,
    DingTalkRejected,
    DingTalkUnreachable,
    NotDelivered,
    PermissionDenied,
    QuotaExhausted,
    Throttled,
)
from cardbot.messages import Person
from cardbot.pacing import FLOOR, SPACING, Frames
from cardbot.texts import EN
from tests.values import DIRECT, GROUP, Unwatched, direct, new_id
from tests.virtual import in_virtual_time

LATENCY = 0.12
OWN = Template("own.schema", "content")

BUSY = Throttled("busy", status=403, code="Forbidden.AccessDenied.QpsLimitForAppkeyAndApi")
LOST = DingTalkUnreachable("no answer")
QUOTA = QuotaExhausted("used up", status=403, code="Forbidden.AccessDenied.ApiCountLimitForOrg")
DENIED = PermissionDenied("no", status=403, code="Forbidden.AccessDenied.AccessTokenPermissionDenied")


def rejected(code: str, status: int = 400) -> DingTalkRejected:
    return DingTalkRejected(code, status=status, code=code)


@dataclass
class Call:
    at: float
    kind: str
    content: str = ""
    guid: str = ""
    card: str = ""
    params: Mapping[str, str] = field(default_factory=dict)


class Api:
    """Records calls; `errors` is asked before each whether it is to fail."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.cards: list[NewCard] = []
        self.errors: dict[str, list[Exception | None]] = {}
        self.always: dict[str, Exception] = {}
        self.latency: Callable[[str], float] = lambda kind: LATENCY
        self.under_way: dict[str, int] = {}

    async def create_and_deliver(self, card: NewCard) -> str:
        self.cards.append(card)
        await self._call(Call(anyio.current_time(), "create", card=card.out_track_id, params=card.params))
        return "carrier"

    async def stream(self, frame: Frame) -> None:
        kind = "failed" if frame.error else "final" if frame.finalize else "frame"
        await self._call(Call(anyio.current_time(), kind, frame.content, frame.guid, frame.out_track_id))

    async def update(self, out_track_id: str, params: Mapping[str, str]) -> None:
        await self._call(Call(anyio.current_time(), "update", card=out_track_id, params=params))

    async def _call(self, call: Call) -> None:
        self.calls.append(call)
        self.under_way[call.card] = self.under_way.get(call.card, 0) + 1
        assert self.under_way[call.card] == 1, "two calls of one card at once"
        try:
            await anyio.sleep(self.latency(call.kind))
        finally:
            self.under_way[call.card] -= 1
        error = self.errors.get(call.kind, []).pop(0) if self.errors.get(call.kind) else self.always.get(call.kind)
        if error is not None:
            raise error

    @property
    def kinds(self) -> list[str]:
        return [call.kind for call in self.calls]


@asynccontextmanager
async def writer(
    api: Api, *, template: Template = OWN, frames: Frames = Frames.SMOOTH, **options: Any
) -> AsyncGenerator[CardWriter]:
    async with CardWriter(api, template, texts=EN, frames=frames, **options) as cards:
        yield cards


@in_virtual_time
async def test_a_card_appears_before_any_text() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()):
        await anyio.sleep(1)
    assert api.kinds == ["create"]
    assert api.cards[0].space == DirectSpace("user0001")
    assert {name: api.cards[0].params[name] for name in ("content", "config")} == {
        "content": "",
        "config": '{"autoLayout":true}',
    }
    assert api.cards[0].preview_en == EN.preview.format(question="What is the weather?")


@in_virtual_time
async def test_in_a_group_the_asker_is_mentioned() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(GROUP, new_id(), Unwatched()):
        await anyio.sleep(1)
    assert api.cards[0].space == GroupSpace("cidGROUP==")
    assert api.cards[0].at == {"user0001": "Ada"}


@in_virtual_time
async def test_newest_text_wins_and_frames_keep_their_distance() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        for length in range(1, 301):
            card.show("x" * length)
            await anyio.sleep(0.01)
        await card.finish("x" * 300)
    frames = [call for call in api.calls if call.kind == "frame"]
    assert api.kinds == ["create", *["frame"] * len(frames), "final"]
    assert frames[0].at == pytest.approx(LATENCY + SPACING)
    assert all(b.at - a.at == pytest.approx(FLOOR) for a, b in pairwise(frames))
    for call in frames:
        assert len(call.content) == pytest.approx(call.at * 100, abs=2), "the frame held older text than there was"
    assert api.calls[-1].content == "x" * 300
    assert len({call.guid for call in api.calls}) == len(api.calls), "a guid was used for other content"


@in_virtual_time
async def test_the_last_text_before_a_pause_is_not_left_unsent() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.show("one")
        await anyio.sleep(1)
        card.show("one two")
        await anyio.sleep(10)
        assert [call.content for call in api.calls if call.kind == "frame"] == ["one", "one two"]


@in_virtual_time
async def test_text_that_cannot_be_shown_yet_costs_no_frame() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.show("See ")
        await anyio.sleep(2)
        card.show("See [the li")
        await anyio.sleep(5)
        assert [call.content for call in api.calls if call.kind == "frame"] == ["See"]
        await card.finish("See [the link](https://example.com)")
    assert api.calls[-1].content == "See [the link](https://example.com)"


@in_virtual_time
async def test_final_frame_waits_for_the_call_under_way_and_the_spacing() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.show("one")
        await anyio.sleep(LATENCY + SPACING + 0.05)
        await card.finish("one two")
    frame, final = api.calls[1:]
    assert final.at == pytest.approx(frame.at + LATENCY + SPACING)


@in_virtual_time
async def test_an_answer_quicker_than_its_card_is_finished_without_a_text_frame() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await card.finish("Hello")
    assert api.kinds == ["create", "final"]
    assert api.calls[1].at == pytest.approx(LATENCY + SPACING)


@in_virtual_time
async def test_nothing_is_sent_after_the_final_frame() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await card.finish("Hello")
        card.show("Hello again")
        await anyio.sleep(60)
    assert api.kinds == ["create", "final"]


@in_virtual_time
async def test_a_failed_answer_leaves_the_card_in_its_failed_state() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await card.fail("Half\n\nno credit")
    assert (api.kinds, api.calls[-1].content) == (["create", "failed"], "Half\n\nno credit")


@in_virtual_time
async def test_a_template_without_a_failed_state_is_finished_instead() -> None:
    api = Api()
    api.always["failed"] = rejected("unknownError", 500)
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await card.fail("Half\n\nno credit")
    assert (api.kinds, api.calls[-1].content) == (["create", "failed", "final"], "Half\n\nno credit")


@in_virtual_time
async def test_a_throttled_text_frame_is_followed_by_a_newer_one() -> None:
    api = Api()
    api.errors["frame"] = [BUSY]
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.show("one")
        await anyio.sleep(0.9)
        card.show("one two")
        await anyio.sleep(3)
        await card.finish("one two three")
    assert [(call.kind, call.content) for call in api.calls[1:]] == [
        ("frame", "one"),
        ("frame", "one two"),
        ("final", "one two three"),
    ]


@in_virtual_time
async def test_a_throttled_final_frame_is_repeated_until_it_is_accepted() -> None:
    api = Api()
    api.errors["final"] = [BUSY] * 5
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await card.finish("Hello")
    assert api.kinds == ["create", *["final"] * 6]


@in_virtual_time
async def test_a_final_frame_of_unknown_outcome_keeps_its_guid() -> None:
    api = Api()
    api.errors["final"] = [LOST, LOST]
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await card.finish("Hello")
    finals = [call for call in api.calls if call.kind == "final"]
    assert len(finals) == 3
    assert len({call.guid for call in finals}) == 1


@in_virtual_time
async def test_a_text_frame_of_unknown_outcome_is_repeated_with_its_guid_or_newer_text() -> None:
    api = Api()
    api.errors["frame"] = [LOST, LOST]
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.show("one")
        await anyio.sleep(2.0)
        card.show("one two")
        await anyio.sleep(5)
    same, again, newer = (call for call in api.calls if call.kind == "frame")
    assert (same.content, same.guid) == (again.content, again.guid)
    assert newer.content == "one two"
    assert newer.guid != same.guid


@in_virtual_time
async def test_a_card_that_is_there_already_was_created_by_the_try_before() -> None:
    api = Api()
    api.errors["create"] = [LOST, rejected("param.cardAlreadyExist")]
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await card.finish("Hello")
    assert api.kinds == ["create", "create", "final"]
    assert len({card.out_track_id for card in api.cards}) == 1


@in_virtual_time
async def test_a_creation_that_stays_unknown_is_probed_by_the_final_frame() -> None:
    api = Api()
    api.always["create"] = LOST
    api.always["final"] = rejected("param.stream.outTrackId")
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        with pytest.raises(CardLost) as lost:
            await card.finish("Hello")
    assert lost.value.unseen == "Hello"
    assert api.kinds == [*["create"] * 4, "final"]


@pytest.mark.parametrize(
    "error",
    [NotDelivered("spaceId is illegal"), rejected("param.templateNotExist"), QUOTA, DENIED],
    ids=lambda error: type(error).__name__,
)
def test_a_refused_card_is_lost_at_once(error: Exception) -> None:
    @in_virtual_time
    async def run() -> None:
        api = Api()
        api.always["create"] = error
        async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
            card.show("Hel")
            await anyio.sleep(5)
            before = anyio.current_time()
            with pytest.raises(CardLost) as lost:
                await card.finish("Hello")
            assert anyio.current_time() == before
        assert lost.value.unseen == "Hello"
        assert api.kinds == ["create"]

    run()


@in_virtual_time
async def test_a_refused_final_frame_leaves_a_hint_and_the_text_to_somebody_else() -> None:
    api = Api()
    api.errors["final"] = [rejected("param.invalid")]
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        with pytest.raises(CardLost) as lost:
            await card.finish("Hello")
    assert lost.value.unseen == "Hello"
    assert [call.content for call in api.calls if call.kind == "final"] == ["Hello", EN.elsewhere]


@pytest.mark.parametrize("template", [OWN, SHARED_TEMPLATE], ids=["own", "shared"])
def test_a_text_that_may_not_be_shown_ends_the_card_with_a_sentence_and_goes_no_other_way(template: Template) -> None:
    @in_virtual_time
    async def run() -> None:
        api = Api()
        api.errors["final"] = [ContentRefused("unsafe", status=400, code="param.contentUnsafe")]
        async with writer(api, template=template) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
            await card.finish("Hello")
        assert [call.content for call in api.calls if call.kind in ("final", "failed")] == ["Hello", EN.withheld]
        assert api.calls[-1].kind == ("failed" if template is OWN else "update")
        assert "Hello" not in str(api.calls[-1])

    run()


@in_virtual_time
async def test_a_card_that_takes_no_frame_at_all_is_closed_by_an_update() -> None:
    """With a wrong content key every frame draws 500 `unknownError`; the card must not spin for ever."""
    api = Api()
    api.always["frame"] = api.always["final"] = rejected("unknownError", 500)
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.show("Hel")
        await anyio.sleep(5)
        with pytest.raises(CardLost):
            await card.finish("Hello")
    assert api.kinds == ["create", "frame", "final", "final", "update"]
    assert api.calls[-1].params == {"content": EN.elsewhere, "flowStatus": "3"}


@in_virtual_time
async def test_without_the_streaming_permission_the_card_is_closed_by_an_update() -> None:
    api = Api()
    api.always["frame"] = api.always["final"] = DENIED
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.show("Hel")
        await anyio.sleep(5)
        with pytest.raises(CardLost):
            await card.finish("Hello")
    assert api.kinds == ["create", "frame", "final", "update"]


@in_virtual_time
async def test_a_card_whose_final_frame_is_never_accepted_says_where_to_look() -> None:
    api = Api()
    api.always["final"] = BUSY
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        before = anyio.current_time()
        with pytest.raises(CardLost) as lost:
            await card.finish("Hello")
        assert FINISH_TIMEOUT <= anyio.current_time() - before < FINISH_TIMEOUT + 2
        await anyio.sleep(60)
    assert lost.value.unseen == "Hello"
    assert api.kinds[-2:] == ["final", "update"]
    assert api.calls[-1].params == {"content": EN.elsewhere, "flowStatus": "3"}


@in_virtual_time
async def test_a_card_that_takes_no_call_at_all_is_given_up_in_time() -> None:
    api = Api()
    api.always["final"] = api.always["update"] = BUSY
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        before = anyio.current_time()
        with pytest.raises(CardLost):
            await card.finish("Hello")
        assert anyio.current_time() - before == pytest.approx(FINISH_TIMEOUT + CLOSE_TIMEOUT)
        sent = len(api.calls)
        await anyio.sleep(60)
        assert len(api.calls) <= sent + 1, "a given up card went on calling"


@pytest.mark.parametrize("template", [OWN, SHARED_TEMPLATE], ids=lambda template: template.family.value)
def test_an_end_that_was_under_way_when_time_was_up_counts(template: Template) -> None:
    @in_virtual_time
    async def run() -> None:
        api = Api()
        last = "final" if template is OWN else "update"
        api.latency = lambda kind: 14.0 if kind == last and api.kinds[:-1].count(last) else LATENCY
        api.errors[last] = [LOST if template is OWN else None, LOST, LOST, LOST]
        async with writer(api, template=template) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
            await card.finish("Hello")
            assert anyio.current_time() > FINISH_TIMEOUT
        assert EN.elsewhere not in [call.content for call in api.calls]
        assert EN.elsewhere not in [call.params.get("msgContent") for call in api.calls]

    run()


@in_virtual_time
async def test_a_card_that_may_have_been_created_is_closed_when_time_is_up() -> None:
    api = Api()
    api.latency = lambda kind: 1000.0 if kind == "create" else LATENCY
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        with pytest.raises(CardLost) as lost:
            await card.finish("Hello")
    assert lost.value.unseen == "Hello"
    assert [*dict.fromkeys(api.kinds)] == ["create", "update"]


@in_virtual_time
async def test_a_caller_with_a_deadline_learns_of_the_loss_before_it() -> None:
    api = Api()
    api.always["final"] = BUSY
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        with anyio.fail_after(4), pytest.raises(CardLost) as lost:
            await card.finish("Hello")
    assert lost.value.unseen == "Hello"
    assert api.kinds[-1] == "update"


@in_virtual_time
async def test_a_shared_card_that_refuses_to_begin_is_closed_at_once() -> None:
    api = Api()
    api.errors["update"] = [rejected("param.invalid")]
    async with writer(api, template=SHARED_TEMPLATE) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.show("Hel")
        await anyio.sleep(5)
        with pytest.raises(CardLost) as lost:
            await card.finish("Hello")
    assert lost.value.unseen == "Hello"
    assert api.kinds == ["create", "update", "update"]
    assert (api.calls[-1].params["flowStatus"], api.calls[-1].params["msgContent"]) == ("3", EN.elsewhere)


@in_virtual_time
async def test_a_closing_update_refused_with_the_text_is_made_without_it() -> None:
    api = Api()
    api.errors["update"] = [None, rejected("param.invalid")]
    async with writer(api, template=SHARED_TEMPLATE) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        with pytest.raises(CardLost) as lost:
            await card.finish("Hello")
    assert lost.value.unseen == "Hello"
    assert [call.params.get("msgContent") for call in api.calls[-2:]] == ["Hello", EN.elsewhere]


@in_virtual_time
async def test_a_card_that_seems_gone_to_a_text_frame_is_finished_all_the_same() -> None:
    api = Api()
    api.errors["frame"] = [rejected("param.stream.outTrackId")]
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.show("Hel")
        await anyio.sleep(5)
        await card.finish("Hello")
    assert api.kinds == ["create", "frame", "final"]


@in_virtual_time
async def test_an_answer_that_nobody_understands_costs_one_more_try() -> None:
    api = Api()
    api.errors["create"] = [AttributeError("'str' object has no attribute 'get'")]
    api.errors["final"] = [AttributeError("again")]
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await card.finish("Hello")
    assert api.kinds == ["create", "create", "final", "final"]


@in_virtual_time
async def test_a_fault_in_one_cards_text_stops_neither_its_end_nor_other_cards() -> None:
    api = Api()

    def broken(markdown: str) -> str:
        raise ZeroDivisionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cardbot.dingtalk.draft.partial", broken)
        async with (
            writer(api) as cards,
            cards.open(DIRECT, new_id(), Unwatched()) as card,
            cards.open(GROUP, new_id(), Unwatched()) as other,
        ):
            card.show("Hel")
            await anyio.sleep(5)
            await card.finish("Hello")
            await other.finish("Bye")
    assert api.kinds == ["create", "create", "final", "final"]


@in_virtual_time
async def test_a_card_that_could_not_even_be_asked_for_is_lost_at_once() -> None:
    api = Api()
    faults = iter([ZeroDivisionError])

    def broken_once(markdown: str) -> str:
        for fault in faults:
            raise fault
        return markdown

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cardbot.dingtalk.cards.snippet", broken_once)
        async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
            card.show("Hel")
            await anyio.sleep(5)
            with pytest.raises(CardLost) as lost:
                await card.finish("Hello")
    assert lost.value.unseen == "Hello"
    assert api.kinds == []


@in_virtual_time
async def test_a_card_that_was_not_delivered_when_time_was_up_is_not_counted_as_seen() -> None:
    api, budget = Api(), Budget()
    api.errors["create"] = [NotDelivered("spaceId is illegal")]
    api.latency = lambda kind: 14.0
    async with writer(api, budget=budget) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await anyio.sleep(1)
        with pytest.raises(CardLost), anyio.fail_after(20):
            await card.finish("Hello")
    assert api.kinds == ["create"]
    assert budget.pending() == {}


@in_virtual_time
async def test_a_text_with_nothing_new_to_show_is_not_looked_at_for_every_event() -> None:
    looks: list[str] = []

    def counted(markdown: str) -> str:
        looks.append(markdown)
        return "See"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cardbot.dingtalk.draft.partial", counted)
        async with writer(Api()) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
            for length in range(1000):
                card.show("See [" + "x" * length)
                await anyio.sleep(0.01)
    assert len(looks) <= 10 / SECOND_LOOK + 2


@in_virtual_time
async def test_a_card_finished_twice_has_one_final_frame() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        with anyio.CancelScope() as first:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(card.finish, "Hello")
                await anyio.sleep(LATENCY + SPACING + LATENCY / 2)  # the final frame is under way
                first.cancel()
        await card.finish("Hello")
        await card.finish("Hello")
    assert api.kinds == ["create", "final"]


@in_virtual_time
async def test_text_shown_after_the_end_posts_no_further_card() -> None:
    api = Api()
    async with writer(api, card_characters=500) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await card.finish("Hello")
        card.show("word " * 250)
        await anyio.sleep(10)
    assert api.kinds == ["create", "final"]


@in_virtual_time
async def test_pages_after_a_card_that_was_never_there_are_not_posted() -> None:
    api = Api()
    api.always["create"] = NotDelivered("spaceId is illegal")
    text = "\n\n".join(["first " * 60, "second " * 60])
    async with writer(api, card_characters=500) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        with pytest.raises(CardLost) as lost:
            await card.finish(text)
        assert anyio.current_time() < 1
    assert lost.value.unseen.split() == text.split()
    assert api.kinds == ["create"]


@in_virtual_time
async def test_a_lost_card_that_had_nothing_more_to_say_is_no_loss() -> None:
    api = Api()
    api.errors["create"] = [None, rejected("param.templateNotExist")]
    async with writer(api, card_characters=500) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.show("word " * 150)
        await anyio.sleep(2)
        await card.finish("Censored")
    assert api.kinds[-1] == "final"
    assert api.calls[-1].content == "Censored"


@in_virtual_time
async def test_a_text_replaced_by_a_shorter_one_leaves_further_cards_at_once() -> None:
    api = Api()
    async with writer(api, card_characters=500) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.show("word " * 150)
        await anyio.sleep(3)
        card.show("Censored")
        await anyio.sleep(3)
    newest = {call.card: call.content for call in api.calls if call.kind == "frame"}
    assert list(newest.values()) == ["Censored", EN.withdrawn]


@in_virtual_time
async def test_a_card_left_during_a_call_gives_its_place_back() -> None:
    api = Api()
    async with writer(api, qps=1) as cards:
        async with cards.open(DIRECT, new_id(), Unwatched()):
            await anyio.sleep(LATENCY / 2)
        async with cards.open(GROUP, new_id(), Unwatched()):
            await anyio.sleep(2)
    assert [call.at for call in api.calls] == pytest.approx([0, LATENCY + 1.0])


@in_virtual_time
async def test_two_hundred_cards_all_get_text_and_no_end_waits_for_text() -> None:
    api = Api()
    waits: list[float] = []

    async def answer(number: int) -> None:
        async with cards.open(direct(message_id=f"msg-{number}"), new_id(), Unwatched()) as card:
            for length in range(120 + number // 5):
                card.show(f"{number} " + "x" * length)
                await anyio.sleep(0.5)
            before = anyio.current_time()
            await card.finish(f"{number} done")
            waits.append(anyio.current_time() - before)

    async with writer(api) as cards, anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(answer, number)
    calls: defaultdict[str, list[float]] = defaultdict(list)
    for call in api.calls:
        if call.at < 60:  # then ends come, and go first
            calls[call.card].append(call.at)
    one_round = 200 / 18 * (1 + LATENCY)
    assert len(calls) == 200
    assert max(b - a for times in calls.values() for a, b in pairwise(times)) < 1.1 * one_round
    assert max(waits) < 2.0


@in_virtual_time
async def test_a_call_that_hangs_is_given_up_and_tried_again() -> None:
    api = Api()
    times = iter([LATENCY, 1000.0, LATENCY])
    api.latency = lambda kind: next(times)
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await card.finish("Hello")
    assert api.kinds == ["create", "final", "final"]


@in_virtual_time
async def test_the_shared_template_is_told_each_state() -> None:
    api = Api()
    async with writer(api, template=SHARED_TEMPLATE) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.show("Hel")
        await anyio.sleep(3)
        await card.finish("Hello")
    assert api.kinds == ["create", "update", "frame", "final", "update"]
    states = [call.params["flowStatus"] for call in api.calls if call.params]
    assert states == ["1", "2", "3"]
    assert api.calls[-1].params["msgContent"] == "Hello"
    assert api.calls[0].params["sys_full_json_obj"] == '{"order":["msgContent"]}'


@in_virtual_time
async def test_the_shared_templates_closing_update_is_repeated_like_a_final_frame() -> None:
    api = Api()
    api.errors["update"] = [None, BUSY, LOST]
    async with writer(api, template=SHARED_TEMPLATE) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await card.finish("Hello")
    assert api.kinds == ["create", "update", "final", "update", "update", "update"]


@in_virtual_time
async def test_a_long_text_goes_on_in_a_second_card() -> None:
    api = Api()
    text = "\n\n".join(f"Paragraph {number}. " + "word " * 10 for number in range(20))
    async with writer(api, card_characters=500) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.show(text[:300])
        await anyio.sleep(2)
        card.show(text)
        await anyio.sleep(2)
        await card.finish(text)
    finals = {call.card: call.content for call in api.calls if call.kind == "final"}
    assert api.kinds.count("create") == len(finals) == 3
    shown = "".join(finals[card.out_track_id] for card in api.cards)
    assert re.sub(r"\s+", "", shown) == re.sub(r"\s+", "", text), "the cards do not follow one another"


@in_virtual_time
async def test_a_further_card_is_put_into_the_chat_after_the_one_before() -> None:
    api = Api()
    api.errors["create"] = [LOST, None, LOST]
    async with writer(api, card_characters=500) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await card.finish("word " * 250)
    creations = [call.card for call in api.calls if call.kind == "create"]
    first, second, third = dict.fromkeys(creations)
    assert creations == [first, first, second, second, third]


@in_virtual_time
async def test_only_the_part_that_no_card_shows_is_unseen() -> None:
    api = Api()
    text = "\n\n".join(["first " * 60, "second " * 60])
    api.errors["create"] = [None, rejected("param.templateNotExist")]
    async with writer(api, card_characters=500) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        with pytest.raises(CardLost) as lost:
            await card.finish(text)
    assert "second" in lost.value.unseen
    assert "first" not in lost.value.unseen


@in_virtual_time
async def test_a_further_card_whose_text_was_replaced_says_so() -> None:
    api = Api()
    async with writer(api, card_characters=500) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.show("word " * 150)
        await anyio.sleep(2)
        await card.finish("Censored")
    finals = {call.card: call.content for call in api.calls if call.kind == "final"}
    assert [finals[card.out_track_id] for card in api.cards] == ["Censored", EN.withdrawn]


@in_virtual_time
async def test_a_direct_chat_with_an_outsider_can_show_no_card() -> None:
    api = Api()
    outsider = direct(sender=Person("$:LWCP_v1:$9", "", "Eve"))
    async with writer(api) as cards, cards.open(outsider, new_id(), Unwatched()) as card:
        card.show("Hel")
        with pytest.raises(CardLost) as lost:
            await card.finish("Hello")
    assert lost.value.unseen == "Hello"
    assert not api.calls


@in_virtual_time
async def test_without_a_template_every_card_is_lost_from_the_start() -> None:
    async with NoCards() as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.show("Hel")
        with pytest.raises(CardLost) as lost:
            await card.fail("Hello")
    assert lost.value.unseen == "Hello"


@in_virtual_time
async def test_fifty_answers_at_once_stay_below_the_ceiling_and_all_finish() -> None:
    api = Api()

    async def answer(number: int) -> None:
        async with cards.open(direct(message_id=f"msg-{number}"), new_id(), Unwatched()) as card:
            for length in range(1, 101):
                card.show(f"{number} " + "x" * length)
                await anyio.sleep(0.1)
            await card.finish(f"{number} done")

    async with writer(api) as cards, anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(answer, number)
    finals = [call.content for call in api.calls if call.kind == "final"]
    assert sorted(finals) == sorted(f"{number} done" for number in range(50))
    for kinds in (["create"], ["frame", "final"]):
        times = [call.at for call in api.calls if call.kind in kinds]
        assert all(b - a >= 1.0 for a, b in zip(times, times[20:], strict=False))


@in_virtual_time
async def test_a_cancelled_program_still_finishes_a_card_whose_owner_insists() -> None:
    api = Api()
    with anyio.CancelScope() as program:
        async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
            card.show("Hel")
            await anyio.sleep(2)
            program.cancel()
            with anyio.CancelScope(shield=True):
                await card.finish("Hello")
    assert api.kinds == ["create", "frame", "final"]


class Crowd(Api):
    """DingTalk as it counts: so many calls of a path in any second, others' included; more are refused."""

    def __init__(self, *, takes: int) -> None:
        super().__init__()
        self.takes = takes
        self.taken: dict[str, list[float]] = {}
        self.refused: list[float] = []

    async def _call(self, call: Call) -> None:
        now = anyio.current_time()
        path = "stream" if call.kind in ("frame", "final", "failed") else call.kind
        taken = self.taken[path] = [at for at in self.taken.get(path, []) if now - at < 1.0]
        if len(taken) < self.takes:
            taken.append(now)
            await super()._call(call)
        else:
            self.refused.append(now)
            await anyio.sleep(LATENCY)
            raise BUSY


async def speak(cards: CardWriter, seconds: int) -> None:
    async with cards.open(DIRECT, new_id(), Unwatched()) as card:
        for length in range(1, seconds * 10):
            card.show("x" * length)
            await anyio.sleep(0.1)
        await card.finish("x" * seconds * 10)


@in_virtual_time
async def test_a_limit_that_is_lower_than_thought_is_found_and_no_answer_breaks() -> None:
    api = Crowd(takes=10)  # another program uses the rest
    async with writer(api, qps=20) as cards, anyio.create_task_group() as tasks:
        for _ in range(30):
            tasks.start_soon(speak, cards, 30)
    assert sum(call.kind == "final" for call in api.calls) == 30
    later = [call for call in api.calls if call.at > 5]  # once the limit is found
    assert sum(at > 5 for at in api.refused) < 0.1 * len(later)
    assert len(later) > 0.7 * 10 * 25, "the limit is not made use of"


@in_virtual_time
async def test_dingtalk_being_busy_holds_up_nobody_else() -> None:
    api = Api()
    api.errors["create"] = [Busy("busy", status=500, code="system.busy")]
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()):
        await anyio.sleep(LATENCY + 0.01)
        async with cards.open(GROUP, new_id(), Unwatched()):
            await anyio.sleep(0.5)
    assert [round(call.at, 2) for call in api.calls] == [0.0, 0.13]


@in_virtual_time
async def test_a_throttle_is_never_seen_and_the_text_comes_later() -> None:
    api = Api()
    api.errors["frame"] = [BUSY, BUSY]
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.show("word " * 10)
        await anyio.sleep(5)
        card.show("word " * 20)
        await card.finish("word " * 20)
    assert api.kinds == ["create", "frame", "frame", "frame", "final"]


@in_virtual_time
async def test_once_the_month_is_used_up_open_cards_are_closed_if_possible_and_no_more_is_called() -> None:
    api = Api()
    async with (
        writer(api) as cards,
        cards.open(DIRECT, new_id(), Unwatched()) as first,
        cards.open(DIRECT, new_id(), Unwatched()) as second,
    ):
        await anyio.sleep(1)
        api.always = dict.fromkeys(("create", "frame", "final", "update"), QUOTA)
        first.show("one")
        await anyio.sleep(1)
        second.show("two")
        await anyio.sleep(1)
        assert api.kinds == ["create", "create", "frame", "update"]
        for card, text in ((first, "one"), (second, "two")):
            with pytest.raises(CardLost) as lost:
                await card.finish(text)
            assert lost.value.unseen == text
        async with cards.open(DIRECT, new_id(), Unwatched()) as third:
            with pytest.raises(CardLost):
                await third.finish("three")
    assert api.kinds == ["create", "create", "frame", "update", "update"]
    assert [call.params["content"] for call in api.calls[-2:]] == [EN.elsewhere] * 2


@in_virtual_time
async def test_the_admin_is_told_once_that_the_month_is_used_up() -> None:
    api = Api()
    api.latency = lambda kind: 1.0
    api.always["create"] = QUOTA
    with capture_logs() as logs:
        async with (
            writer(api) as cards,
            cards.open(DIRECT, new_id(), Unwatched()),
            cards.open(DIRECT, new_id(), Unwatched()),
            cards.open(DIRECT, new_id(), Unwatched()),
        ):
            await anyio.sleep(10)
    told = [entry for entry in logs if entry["event"] == "month_used_up"]
    assert len(told) == 1
    assert told[0]["log_level"] == "error"
    assert len(api.calls) == 3


@in_virtual_time
async def test_with_the_next_month_cards_come_back() -> None:
    now = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
    api = Api()
    api.errors["create"] = [QUOTA]
    async with writer(api, wall=lambda: now) as cards:
        async with cards.open(DIRECT, new_id(), Unwatched()):
            await anyio.sleep(1)
        now = datetime(2026, 11, 30, 15, 59, tzinfo=UTC).timestamp()  # a minute before it is December in China
        async with cards.open(DIRECT, new_id(), Unwatched()):
            await anyio.sleep(1)
        assert api.kinds == ["create"]
        now = datetime(2026, 11, 30, 16, 0, tzinfo=UTC).timestamp()
        async with cards.open(DIRECT, new_id(), Unwatched()) as card:
            await card.finish("Hello")
    assert api.kinds == ["create", "create", "final"]


MIDDLE = datetime(2026, 11, 16, tzinfo=UTC).timestamp()
"""Half of November is left."""


async def calls_of_an_answer(budget: Budget) -> int:
    api = Api()
    async with writer(api, budget=budget, wall=lambda: MIDDLE) as cards:
        await speak(cards, 20)
    return len(api.calls)


def test_an_answer_costs_less_as_the_budget_runs_out() -> None:
    costs: list[int] = []

    @in_virtual_time
    async def run() -> None:
        for used in (0, 400, 700, 900, 990):
            budget = Budget(1000)
            for _ in range(used):
                budget.call(MIDDLE)
            costs.append(await calls_of_an_answer(budget))

    run()
    assert costs == sorted(costs, reverse=True)
    assert costs[0] == costs[1]
    assert costs[1] > costs[2] > costs[3] == costs[4] == 2


@in_virtual_time
async def test_a_spent_budget_opens_no_more_cards() -> None:
    api = Api()
    budget = Budget(3)
    budget.call(MIDDLE)
    budget.call(MIDDLE)
    async with (
        writer(api, budget=budget, wall=lambda: MIDDLE) as cards,
        cards.open(DIRECT, new_id(), Unwatched()) as card,
    ):
        with pytest.raises(CardLost) as lost:
            await card.finish("Hello")
    assert lost.value.unseen == "Hello"
    assert api.calls == []


@in_virtual_time
async def test_open_cards_keep_their_part_of_the_budget() -> None:
    """Ten calls are left: five cards may open, and each of them comes to its end."""
    api = Api()
    budget = Budget(10)
    lost = 0

    async def ask(cards: CardWriter) -> None:
        nonlocal lost
        try:
            await speak(cards, 10)
        except CardLost:
            lost += 1

    async def bill(call: Call) -> None:
        budget.call(MIDDLE)
        await paid(call)

    paid, api._call = api._call, bill  # type: ignore[method-assign]  # as `OpenApi` does
    async with writer(api, budget=budget, wall=lambda: MIDDLE) as cards, anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(ask, cards)
    assert sorted(api.kinds) == ["create"] * 5 + ["final"] * 5
    assert lost == 3


@in_virtual_time
async def test_each_answer_that_had_a_card_is_counted() -> None:
    budget = Budget()
    async with writer(Api(), budget=budget, wall=lambda: MIDDLE) as cards:
        for _ in range(3):
            await speak(cards, 1)
    assert budget.pending() == {"2026-11": Count(answers=3)}


@in_virtual_time
async def test_a_card_that_is_found_goes_on_without_being_created() -> None:
    api = Api()
    async with writer(api) as cards, cards.resume(DIRECT, "r1", "one two", Unwatched()) as card:
        card.show("one two three")
        await anyio.sleep(1)
        await card.finish("one two three four")
    assert api.kinds == ["frame", "final"]
    assert {call.card for call in api.calls} == {"cardbot-r1-1"}


@in_virtual_time
async def test_the_last_frame_is_the_same_whoever_sends_it() -> None:
    """Killed between the last frame and the note that it was sent: the next process repeats it, guid and all."""
    first, second = Api(), Api()
    async with writer(first) as cards, cards.open(DIRECT, "r1", Unwatched()) as card:
        await card.finish("Hello")
    async with writer(second) as cards, cards.resume(DIRECT, "r1", "Hello", Unwatched()) as card:
        await card.finish("Hello")
    assert (first.calls[-1].guid, first.calls[-1].card) == (second.calls[0].guid, second.calls[0].card)


@in_virtual_time
async def test_other_last_frames_have_other_guids() -> None:
    guids = set()
    for reply_id, text in (("r1", "Hello"), ("r2", "Hello"), ("r1", "Good bye")):
        api = Api()
        async with writer(api) as cards, cards.resume(DIRECT, reply_id, "", Unwatched()) as card:
            await card.finish(text)
        guids.add(api.calls[-1].guid)
    assert len(guids) == 3


@in_virtual_time
async def test_a_card_that_was_never_created_is_lost_when_it_is_found() -> None:
    api = Api()
    api.always["final"] = rejected("param.stream.outTrackId")
    async with writer(api) as cards, cards.resume(DIRECT, "r1", "", Unwatched()) as card:
        with pytest.raises(CardLost) as lost:
            await card.finish("Hello")
    assert lost.value.unseen == "Hello"


@in_virtual_time
async def test_all_cards_of_a_long_answer_are_found() -> None:
    api = Api()
    text = "\n\n".join(["first " * 60, "second " * 60, "third " * 60])
    async with writer(api, card_characters=500) as cards, cards.resume(DIRECT, "r1", text, Unwatched()) as card:
        await card.finish(text)
    assert sorted({call.card for call in api.calls}) == ["cardbot-r1-1", "cardbot-r1-2", "cardbot-r1-3"]
    assert api.kinds == ["final"] * 3


@in_virtual_time
async def test_a_further_card_that_shows_no_text_any_more_comes_to_its_end_too() -> None:
    """A form below a long text was on it, and was handed in; or the text was replaced. Then the process was killed."""
    api, known = Api(), ["cardbot-r1-1", "cardbot-r1-2"]
    async with (
        writer(api, card_characters=500) as cards,
        cards.resume(DIRECT, "r1", "first", Unwatched(), known=known) as card,
    ):
        await card.finish("first and last")
    assert {call.card: call.content for call in api.calls} == dict(
        zip(known, ["first and last", EN.withdrawn], strict=True)
    )


@in_virtual_time
async def test_a_further_card_that_nobody_knew_of_is_taken_over() -> None:
    """Its creation was the last thing that the other process did."""
    api = Api()
    text = "\n\n".join(["first " * 60, "second " * 60])
    api.errors["create"] = [rejected("param.cardAlreadyExist")]
    async with writer(api, card_characters=500) as cards, cards.resume(DIRECT, "r1", "first", Unwatched()) as card:
        await card.finish(text)
    assert sorted(call.kind for call in api.calls) == ["create", "final", "final"]


@in_virtual_time
async def test_the_shared_template_that_is_found_is_not_begun_again() -> None:
    api = Api()
    async with writer(api, template=SHARED_TEMPLATE) as cards, cards.resume(DIRECT, "r1", "Hel", Unwatched()) as card:
        await card.finish("Hello")
    assert api.kinds == ["final", "update"]


@in_virtual_time
async def test_processes_share_the_ceiling() -> None:
    api = Crowd(takes=10)
    async with writer(api, qps=20) as cards, anyio.create_task_group() as tasks:
        cards.share(2)
        for _ in range(10):
            tasks.start_soon(speak, cards, 20)
    assert not api.refused


@in_virtual_time
async def test_half_a_surrogate_pair_in_the_last_text_costs_no_card() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await card.finish("so \ud83d")
    assert api.kinds == ["create", "final"]


@in_virtual_time
async def test_no_call_is_made_for_a_card_that_another_process_has_taken_over() -> None:
    class Taken(Unwatched):
        ours = True

        async def is_ours(self) -> bool:
            return self.ours

    api, watch = Api(), Taken()
    async with writer(api) as cards, cards.open(DIRECT, "r1", watch) as card:
        card.show("one")
        await anyio.sleep(2)
        watch.ours = False
        card.show("one two")
        await anyio.sleep(20)
    assert api.kinds == ["create", "frame"]


@in_virtual_time
async def test_a_text_that_goes_back_to_what_is_shown_wants_nothing() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.show("one")
        await anyio.sleep(2)
        card.show("two")
        card.show("one")
        await anyio.sleep(2)
        card.show("one two")
        await anyio.sleep(2)
    assert [call.content for call in api.calls if call.kind == "frame"] == ["one", "one two"]


@in_virtual_time
async def test_a_word_before_the_card_is_there_may_be_taken_back() -> None:
    """ "In line", and then Dify has begun and said nothing yet."""
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await anyio.sleep(0.2)
        card.show(EN.in_line)
        card.show("")
        await anyio.sleep(3)
        await card.finish("Hello")
    assert api.kinds == ["create", "final"]


@in_virtual_time
async def test_frames_come_back_when_others_need_less_of_the_budget() -> None:
    api, budget = Api(), Budget(100)
    for _ in range(76):
        budget.call(MIDDLE)
    async with (
        writer(api, budget=budget, wall=lambda: MIDDLE) as cards,
        AsyncExitStack() as others,
        cards.open(DIRECT, new_id(), Unwatched()) as card,
    ):
        for _ in range(6):
            await others.enter_async_context(cards.open(GROUP, new_id(), Unwatched()))
        card.show("one")
        await anyio.sleep(5)
        assert "frame" not in api.kinds
        await others.aclose()
        await anyio.sleep(5)
        assert "frame" in api.kinds


@in_virtual_time
async def test_an_answer_without_a_card_is_not_counted_as_one_with() -> None:
    api, budget = Api(), Budget()
    api.always["create"] = DENIED
    async with writer(api, budget=budget) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        with pytest.raises(CardLost):
            await card.finish("Hello")
    assert budget.pending() == {}
