"""Pacing in numbers: no clock, no loop."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.pacing import CARD_QPS, FLOOR, SPACING, WINDOW, Frames, Lane, Pacing, Rank

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
    assert begun == 18
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


def test_the_default_ceiling_is_the_documented_one() -> None:
    assert CARD_QPS == 20
