"""The ceiling in numbers: no clock."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.ceiling import CUT, RISE, WINDOW, Ceiling


def burst(ceiling: Ceiling, now: float, *, seconds: float = 0.1) -> int:
    """Begin and end as many calls as pass at one moment."""
    count = 0
    while ceiling.free_at(now) <= now:
        ceiling.begin()
        count += 1
    for _ in range(count):
        ceiling.end(now + seconds)
    return count


def test_at_first_the_ceiling_is_what_the_app_may_make() -> None:
    assert burst(Ceiling(20), 0.0) == 20


def test_a_share_of_the_ceiling_may_be_left_free() -> None:
    ceiling = Ceiling(20)
    for _ in range(19):
        ceiling.begin()
    assert ceiling.free_at(0.0, share=0.95) == math.inf
    assert ceiling.free_at(0.0) == 0.0


def test_a_refusal_cuts_the_ceiling_to_a_share_of_the_calls_made() -> None:
    ceiling = Ceiling(20)
    burst(ceiling, 0.0)
    ceiling.refused(0.0, 0.1, 1.0)
    assert ceiling.limit(0.1) == int(20 * CUT)


def test_a_refusal_amid_few_calls_cuts_to_a_share_of_these() -> None:
    """Another program makes nearly all of the calls: a share of our own right would not help."""
    ceiling = Ceiling(20)
    for _ in range(5):
        ceiling.begin()
    ceiling.refused(0.0, 0.1, 1.0)
    assert ceiling.limit(0.1) == int(5 * CUT)


def test_one_call_always_passes() -> None:
    ceiling = Ceiling(20)
    for moment in range(50):
        ceiling.begin()
        ceiling.refused(moment, moment + 0.1, 1.0)
        ceiling.end(moment + 0.1)
    assert ceiling.limit(50) >= 1


def test_calls_of_one_burst_cut_once() -> None:
    ceiling = Ceiling(20)
    burst(ceiling, 0.0)
    for late in range(20):
        ceiling.refused(0.0, 0.1 + late / 100, 1.0)
    assert ceiling.limit(0.3) == int(20 * CUT)


def test_a_call_made_under_the_lower_ceiling_cuts_again() -> None:
    ceiling = Ceiling(20)
    burst(ceiling, 0.0)
    ceiling.refused(0.0, 0.1, 1.0)
    made = burst(ceiling, 1.2)
    ceiling.refused(1.2, 1.3, 1.0)
    assert ceiling.limit(1.3) == int(made * CUT)


def test_the_ceiling_rises_with_time_up_to_what_the_app_may_make() -> None:
    ceiling = Ceiling(20)
    burst(ceiling, 0.0)
    ceiling.refused(0.0, 0.0, 0.0)
    low = ceiling.limit(0.0)
    assert ceiling.limit(3 / (20 * RISE)) == low + 3
    assert ceiling.limit(1000.0) == 20


def test_nothing_passes_while_the_path_rests() -> None:
    ceiling = Ceiling(20)
    ceiling.begin()
    ceiling.refused(0.0, 0.5, 15.0)
    ceiling.end(0.5)
    assert ceiling.free_at(3.0) == 15.5
    assert ceiling.free_at(15.5) == 15.5


def test_a_rest_is_no_proof_that_more_passes() -> None:
    ceiling = Ceiling(20)
    burst(ceiling, 0.0)
    ceiling.refused(0.0, 0.1, 15.0)
    assert ceiling.limit(15.1) == ceiling.limit(0.1) == int(20 * CUT)


@given(st.floats(0, 1000), st.integers(1, 20), st.floats(0, 30))
def test_who_has_to_wait_is_never_told_to_come_now(start: float, calls: int, later: float) -> None:
    """Rounding included: whoever asks again at the moment that was named may be told to wait on, not to go."""
    ceiling = Ceiling(20)
    for _ in range(calls):
        ceiling.begin()
    ceiling.refused(start, start, 0.0)
    now = start + later
    for _ in range(50):
        again = ceiling.free_at(now)
        if again <= now:
            assert ceiling.limit(now) > calls
            break
        if again == math.inf:
            break
        now = again


def test_a_shorter_rest_does_not_end_a_longer_one() -> None:
    ceiling = Ceiling(20)
    ceiling.refused(0.0, 0.5, 15.0)
    ceiling.refused(0.0, 0.6, 1.0)
    assert ceiling.free_at(3.0) == 15.5


def test_who_waits_is_told_when_the_ceiling_rises() -> None:
    ceiling = Ceiling(4)
    burst(ceiling, 0.0)
    ceiling.refused(0.0, 0.1, 0.0)
    for _ in range(3):  # long calls, over the rest
        ceiling.begin()
    again = ceiling.free_at(1.2)
    assert 1.2 < again < math.inf
    assert ceiling.limit(again) == ceiling.limit(1.2) + 1


@given(
    st.integers(1, 25),
    st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.booleans()), min_size=1, max_size=150),
)
def test_between_two_refusals_no_second_sees_more_than_the_ceiling_of_its_end(
    qps: int, calls: list[tuple[float, float, bool]]
) -> None:
    """Each call takes some time, is counted at some moment in it, and may be refused at its end."""
    ceiling = Ceiling(qps)
    now = 0.0
    under_way: list[tuple[float, float, bool]] = []
    counted: list[float] = []
    cuts = [-math.inf]
    limits: list[tuple[float, int]] = []
    waiting = list(calls)
    while waiting or under_way:
        at = ceiling.free_at(now) if waiting else math.inf
        if at <= now:
            delay, share, refused = waiting.pop()
            ceiling.begin()
            limits.append((now, ceiling.limit(now)))
            counted.append(now + delay * share)
            under_way.append((now + delay, now, refused))
            continue
        end = min((end for end, _, _ in under_way), default=math.inf)
        now = min(at, end)
        assert now < math.inf, "somebody waits for nothing"
        for call in [call for call in under_way if call[0] <= now]:
            under_way.remove(call)
            if call[2]:
                ceiling.refused(call[1], now, 1.0)
                cuts.append(now)
            ceiling.end(now)
    assert all(1 <= limit <= qps for _, limit in limits)
    for begun, limit in limits:
        last_cut = max(cut for cut in cuts if cut <= begun)
        since = max(begun - WINDOW + 1e-9, last_cut)
        others = sum(since < other < begun for other, _ in limits)
        assert others < limit
    counted.sort()
    assert all(later - sooner >= WINDOW - 1e-9 for sooner, later in zip(counted, counted[qps:], strict=False))
    assert len(counted) == len(calls)


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=30))
def test_a_ceiling_that_is_not_cut_never_falls(moments: list[float]) -> None:
    ceiling = Ceiling(20)
    burst(ceiling, 0.0)
    ceiling.refused(0.0, 0.0, 1.0)
    for sooner, later in pairwise(sorted(moments)):
        assert ceiling.limit(sooner) <= ceiling.limit(later)


@pytest.mark.parametrize("qps", [1, 20, 120, 1000])
def test_the_ceiling_is_at_its_height_within_ten_seconds_of_a_single_refusal(qps: int) -> None:
    ceiling = Ceiling(qps)
    burst(ceiling, 0.0)
    ceiling.refused(0.0, 0.1, 1.0)
    assert ceiling.limit(10.1) == qps
    assert burst(ceiling, 10.1) == qps
