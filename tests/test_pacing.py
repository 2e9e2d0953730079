"""Pacing in numbers: no clock, no loop."""

import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.ceiling import WINDOW
from cardbot.pacing import CARD_QPS, FLOOR, GATHER, LIVE_SHARE, PAUSE, SPACING, Frames, Lane, Pacing, Rank

PATH = "/v1.0/card/streaming"


def lane(pacing: Pacing, rank: Rank = Rank.LIVE, *, since: float = 0.0, path: str = PATH) -> Lane:
    lane = Lane(rank=rank, path=path, since=since)
    pacing.add(lane)
    return lane


def call(pacing: Pacing, lane: Lane, now: float, *, seconds: float = 0.1) -> None:
    pacing.begin(lane, now)
    pacing.end(lane, lane.path, now + seconds)


def test_nothing_is_wanted_so_nothing_is_next() -> None:
    pacing = Pacing()
    pacing.add(Lane())
    assert pacing.next(0) == math.inf


def test_final_frame_goes_before_new_card_before_text() -> None:
    pacing = Pacing()
    live = lane(pacing, Rank.LIVE, since=0)
    new = lane(pacing, Rank.NEW, since=1, path="/create")
    final = lane(pacing, Rank.FINAL, since=2)
    order = []
    for _ in range(3):
        turn = pacing.next(5)
        assert isinstance(turn, Lane)
        order.append(turn)
        pacing.begin(turn, 5)
    assert order == [final, new, live]


def test_among_equals_the_longest_waiting_goes_first() -> None:
    pacing = Pacing()
    lane(pacing, since=2)
    oldest = lane(pacing, since=1)
    lane(pacing, since=3)
    assert pacing.next(5) is oldest


def test_one_call_of_a_card_at_a_time() -> None:
    pacing = Pacing()
    only = lane(pacing)
    pacing.begin(only, 0)
    assert pacing.next(100) == math.inf


def test_text_frames_of_a_card_keep_the_floor() -> None:
    pacing = Pacing(frames=Frames.SMOOTH)
    only = lane(pacing)
    call(pacing, only, 0.0)
    assert pacing.next(0.2) == pytest.approx(FLOOR)
    assert pacing.next(FLOOR) is only


def test_a_slow_call_keeps_its_distance_from_its_end() -> None:
    pacing = Pacing(frames=Frames.SMOOTH)
    only = lane(pacing)
    call(pacing, only, 0.0, seconds=0.7)
    assert pacing.next(0.9) == pytest.approx(0.7 + SPACING)


def test_final_frame_ignores_the_interval_but_not_the_spacing() -> None:
    pacing = Pacing()
    only = lane(pacing)
    for moment in (0.0, 10.0, 20.0, 30.0):  # the interval has grown to seconds
        call(pacing, only, moment)
    only.rank = Rank.FINAL
    assert pacing.next(30.2) == pytest.approx(30.1 + SPACING)


def test_a_failed_call_waits_until_it_may_be_tried_again() -> None:
    pacing = Pacing()
    only = lane(pacing, Rank.FINAL)
    only.not_before = 7.0
    assert pacing.next(5.0) == 7.0


def test_the_ceiling_holds_whatever_the_rank() -> None:
    pacing = Pacing(qps=20)
    for _ in range(30):
        lane(pacing, Rank.FINAL)
    begun = 0
    while isinstance(turn := pacing.next(0.0), Lane):
        pacing.begin(turn, 0.0)
        begun += 1
    assert begun == 20


def test_text_leaves_room_for_final_frames() -> None:
    pacing = Pacing(qps=20)
    for _ in range(30):
        lane(pacing)
    begun = 0
    while isinstance(turn := pacing.next(0.0), Lane):
        pacing.begin(turn, 0.0)
        begun += 1
    assert begun == 19
    final = lane(pacing, Rank.FINAL)
    assert pacing.next(0.0) is final


def test_each_path_has_its_own_ceiling() -> None:
    pacing = Pacing(qps=1)
    first = lane(pacing, Rank.FINAL)
    pacing.begin(first, 0.0)
    other = lane(pacing, Rank.NEW, path="/v1.0/card/instances/createAndDeliver")
    assert pacing.next(0.0) is other


def test_a_place_is_free_again_a_second_after_the_call_ended() -> None:
    pacing = Pacing(qps=1)
    first = lane(pacing, Rank.FINAL)
    call(pacing, first, 0.0, seconds=0.3)
    pacing.remove(first)
    second = lane(pacing, Rank.FINAL)
    assert pacing.next(0.5) == pytest.approx(0.3 + WINDOW)
    assert pacing.next(0.3 + WINDOW) is second


def test_a_card_forgotten_during_its_call_gives_its_place_back() -> None:
    pacing = Pacing(qps=1)
    first = lane(pacing, Rank.FINAL)
    pacing.begin(first, 0.0)
    pacing.remove(first)
    second = lane(pacing, Rank.FINAL)
    assert pacing.next(0.1) == math.inf
    pacing.end(first, PATH, 0.3)
    assert pacing.next(0.4) == pytest.approx(0.3 + WINDOW)
    assert pacing.next(0.3 + WINDOW) is second


def frames_within(frames: Frames, seconds: float) -> int:
    """Text frames of one card whose text never stops growing."""
    pacing = Pacing(frames=frames)
    only = lane(pacing)
    now, count = 0.0, 0
    while now < seconds:
        turn = pacing.next(now)
        if isinstance(turn, Lane):
            call(pacing, only, now, seconds=0.12)
            count += 1
            now += 0.12
        else:
            now = turn
    return count


@pytest.mark.parametrize(
    ("frames", "seconds", "most"),
    [(Frames.BALANCED, 10, 8), (Frames.BALANCED, 60, 20), (Frames.FRUGAL, 60, 4), (Frames.SMOOTH, 10, 15)],
)
def test_an_answer_costs_at_most_so_many_calls(frames: Frames, seconds: float, most: int) -> None:
    creation_and_final_frame = 2
    assert frames_within(frames, seconds) + creation_and_final_frame <= most


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Rank)), st.floats(0.0, 3.0), st.floats(0.0, 1.0)), min_size=1, max_size=120
    ),
    st.integers(1, 25),
)
def test_no_second_of_dingtalk_sees_more_than_the_ceiling(calls: list[tuple[Rank, float, float]], qps: int) -> None:
    """Whatever the delays, and at whatever moment between its beginning and its end DingTalk counts each call."""
    pacing = Pacing(qps=qps)
    delays = {lane(pacing, rank): (delay, share) for rank, delay, share in calls}
    now = 0.0
    under_way: list[tuple[float, Lane]] = []
    counted: list[float] = []
    while delays.keys() & {one for one in pacing if one.rank is not None} or under_way:
        turn = pacing.next(now)
        if isinstance(turn, Lane):
            delay, share = delays[turn]
            pacing.begin(turn, now)
            counted.append(now + delay * share)
            under_way.append((now + delay, turn))
            continue
        next_end = min((end for end, _ in under_way), default=math.inf)
        now = min(turn, next_end)
        assert now < math.inf, "somebody waits for nothing"
        for end, done in [pair for pair in under_way if pair[0] <= now]:
            under_way.remove((end, done))
            pacing.end(done, done.path, end)
            done.rank = None
    counted.sort()
    assert all(later - sooner >= WINDOW - 1e-9 for sooner, later in zip(counted, counted[qps:], strict=False))
    assert len(counted) == len(calls)


def test_after_a_pause_the_first_frame_waits_for_words() -> None:
    pacing = Pacing(frames=Frames.SMOOTH)
    only = lane(pacing)
    call(pacing, only, 0.0)
    only.since = PAUSE + 0.5  # the next text came so late
    assert pacing.next(PAUSE + 0.5) == pytest.approx(PAUSE + 0.5 + GATHER)
    assert pacing.next(PAUSE + 0.5 + GATHER) is only


def test_without_a_pause_nobody_waits_for_words() -> None:
    pacing = Pacing(frames=Frames.SMOOTH)
    only = lane(pacing)
    call(pacing, only, 0.0)
    only.since = PAUSE - 0.1
    assert pacing.next(PAUSE - 0.1) is only


def test_the_first_text_of_a_card_never_waits_for_words() -> None:
    pacing = Pacing()
    only = lane(pacing, Rank.NEW)
    call(pacing, only, 0.0)
    only.rank, only.since = Rank.LIVE, 10.0
    assert pacing.next(10.0) is only


def test_stretched_intervals_are_so_many_times_longer() -> None:
    pacing = Pacing(frames=Frames.SMOOTH)
    pacing.stretch = 3.0
    only = lane(pacing)
    call(pacing, only, 0.0)
    assert pacing.next(1.0) == pytest.approx(3 * FLOOR)


def test_endless_stretch_leaves_new_cards_and_final_frames_only() -> None:
    pacing = Pacing()
    pacing.stretch = math.inf
    live = lane(pacing)
    assert pacing.next(100.0) == math.inf
    live.rank = Rank.FINAL
    assert pacing.next(100.0) is live
    live.rank = Rank.NEW
    assert pacing.next(100.0) is live


def test_a_throttled_frame_does_not_count_as_one() -> None:
    pacing = Pacing(frames=Frames.FRUGAL)
    only = lane(pacing)
    for moment in (0.0, 5.0):
        pacing.begin(only, moment)
        pacing.throttled(only, PATH, moment + 0.1, 1.0)
        pacing.end(only, PATH, moment + 0.1)
    assert only.frames == 0
    assert pacing.next(20.0) is only


def test_a_final_frame_that_is_throttled_takes_no_text_frame_away() -> None:
    pacing = Pacing()
    only = lane(pacing)
    call(pacing, only, 0.0)
    only.rank = Rank.FINAL
    pacing.begin(only, 1.0)
    pacing.throttled(only, PATH, 1.1, 1.0)
    assert only.frames == 1


def test_a_throttled_path_rests_and_the_others_go_on() -> None:
    pacing = Pacing()
    first, second = lane(pacing, Rank.FINAL), lane(pacing, Rank.FINAL)
    pacing.begin(first, 0.0)
    pacing.throttled(first, PATH, 0.1, 1.0)
    pacing.end(first, PATH, 0.1)
    first.not_before = 5.0
    assert pacing.next(0.2) == pytest.approx(1.1)
    assert pacing.next(1.1) is second
    elsewhere = lane(pacing, Rank.NEW, path="/v1.0/card/instances/createAndDeliver")
    assert pacing.next(0.2) is elsewhere


@dataclass
class Life:
    """What one card does: its text grows at these moments, then it ends."""

    texts: list[float]
    end: float
    delays: Iterator[float]


lives = st.builds(
    lambda texts, more, delays: Life(sorted(texts), max(texts) + more, itertools.cycle(delays)),
    st.lists(st.floats(0.0, 20.0), min_size=1, max_size=12),
    st.floats(0.0, 5.0),
    st.lists(st.floats(0.02, 1.5), min_size=1, max_size=5),
)


def live_through(pacing: Pacing, cards: list[Life], begun: Callable[[Lane, float], object]) -> None:
    """Let all cards live, from creation to final frame; call `begun` before each call begins."""
    events: list[tuple[float, int, Callable[[], None]]] = []
    order = itertools.count()
    now = 0.0

    def at(when: float, happens: Callable[[], None]) -> None:
        heapq.heappush(events, (when, next(order), happens))

    def start(life: Life) -> None:
        one = lane(pacing, Rank.NEW, path="/create")
        delays[one] = life.delays
        unseen[one] = []
        for text in life.texts:
            at(text, partial(grow, one))
        at(life.end, partial(finish, one))

    def grow(one: Lane) -> None:
        unseen[one].append(now)
        want(one)

    def finish(one: Lane) -> None:
        ended.add(one)
        want(one)

    def want(one: Lane) -> None:
        if one.busy or one.rank is Rank.NEW:
            return
        if one in ended:
            if one.rank is not Rank.FINAL:
                one.rank, one.since = Rank.FINAL, now
        elif unseen[one]:
            one.rank, one.since = Rank.LIVE, unseen[one][0]

    def done(one: Lane, path: str) -> None:
        pacing.end(one, path, now)
        if one.rank is Rank.FINAL:
            one.rank = None
            return
        one.rank, one.path = None, PATH
        want(one)

    delays: dict[Lane, Iterator[float]] = {}
    unseen: dict[Lane, list[float]] = {}
    ended: set[Lane] = set()
    for life in cards:
        start(life)
    while True:
        turn = pacing.next(now)
        if isinstance(turn, Lane):
            begun(turn, now)
            if turn.rank is Rank.LIVE:
                unseen[turn].clear()
            pacing.begin(turn, now)
            at(now + next(delays[turn]), partial(done, turn, turn.path))
        elif events and events[0][0] <= turn:
            now, _, happens = heapq.heappop(events)
            happens()
        elif turn < math.inf:
            now = turn
        else:
            break
    assert all(one.rank is None for one in pacing), "somebody waits for ever"


@given(st.lists(lives, min_size=1, max_size=30), st.integers(1, 20))
def test_what_closes_or_opens_a_card_is_never_behind_a_text_frame(cards: list[Life], qps: int) -> None:
    pacing = Pacing(qps=qps, frames=Frames.SMOOTH)

    def begun(turn: Lane, now: float) -> None:
        if turn.rank is Rank.LIVE:
            ready = [one for one in pacing if one.rank is not None and not one.busy and one.path == turn.path]
            assert all(one.rank is Rank.LIVE or one.earliest(Frames.SMOOTH, 1.0) > now for one in ready)

    live_through(pacing, cards, begun)


@given(st.lists(lives, min_size=1, max_size=30), st.integers(1, 20))
def test_no_card_starves(cards: list[Life], qps: int) -> None:
    """A card that may make its call waits for each other card's text frame and final frame once, at most.

    While it waits, each second and a call's delay brings as many calls as text frames may make; the first such time
    may be taken by calls that were made before.
    """
    pacing = Pacing(qps=qps, frames=Frames.SMOOTH)
    slowest = 1.5
    places = max(1, math.floor(qps * LIVE_SHARE))
    longest = (math.ceil(2 * len(cards) / places) + 1) * (WINDOW + slowest)

    def begun(turn: Lane, now: float) -> None:
        ready = max(turn.since, turn.earliest(Frames.SMOOTH, 1.0))
        assert now - ready <= longest + 1e-6

    live_through(pacing, cards, begun)


@given(st.lists(lives, min_size=2, max_size=30), st.integers(1, 20))
def test_of_two_cards_that_both_may_the_one_with_the_older_text_goes(cards: list[Life], qps: int) -> None:
    pacing = Pacing(qps=qps, frames=Frames.SMOOTH)

    def begun(turn: Lane, now: float) -> None:
        for one in pacing:
            if one.rank is turn.rank and one.path == turn.path and not one.busy:
                assert turn.since <= one.since or one.earliest(Frames.SMOOTH, 1.0) > now

    live_through(pacing, cards, begun)


def test_the_default_ceiling_is_the_documented_one() -> None:
    assert CARD_QPS == 20
