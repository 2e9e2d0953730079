"""Shares of a core from looks at the clock, by hand."""

import pytest

from benchmarks.meter import Cost, busiest_share, interpolated

CLOCK = ((0.0, 0.0), (1.0, 0.1), (2.0, 1.0), (3.0, 1.9), (4.0, 2.0))


def test_the_busiest_stretch_is_found_wherever_it_is() -> None:
    assert busiest_share(CLOCK, 2.0) == pytest.approx(0.9)


def test_a_stretch_longer_than_the_whole_gives_the_share_of_the_whole() -> None:
    assert busiest_share(CLOCK, 60.0) == pytest.approx(0.5)


def test_cpu_time_between_two_looks_is_on_the_line_between_them() -> None:
    assert interpolated(CLOCK, 1.5) == pytest.approx(0.55)


def test_cpu_time_after_the_last_look_stays() -> None:
    assert interpolated(CLOCK, 99.0) == 2.0


def test_cost_between_two_moments_leaves_out_what_was_spent_before() -> None:
    assert Cost(CLOCK, rss=0.0, lag_p50=0.0, lag_p99=0.0).between(1.0, 3.0) == pytest.approx(1.8)


def test_cost_survives_the_way_from_the_child() -> None:
    cost = Cost(CLOCK, rss=1.0, lag_p50=2.0, lag_p99=3.0)
    as_json = {"clock": [list(pair) for pair in CLOCK], "rss": 1.0, "lag_p50": 2.0, "lag_p99": 3.0}
    assert Cost.read(as_json) == cost
