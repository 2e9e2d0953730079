"""Percentiles, averages over time and the bound, by hand."""

import math

import pytest

from benchmarks.figures import average, least_staleness, mean, percentile, staleness


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([3.0], 0.95) == 3.0


def test_percentile_interpolates_between_neighbours() -> None:
    assert percentile([0.0, 10.0, 20.0, 30.0, 40.0], 0.95) == pytest.approx(38.0)


def test_percentile_does_not_depend_on_the_order_of_the_values() -> None:
    assert percentile([5.0, 1.0, 3.0], 0.5) == 3.0


def test_nothing_measured_is_not_a_number_rather_than_zero() -> None:
    assert math.isnan(percentile([], 0.5))
    assert math.isnan(mean([]))


def test_average_counts_nothing_before_the_first_step() -> None:
    assert average([(5.0, 10)], 0.0, 10.0) == pytest.approx(5.0)


def test_average_keeps_the_count_of_a_step_before_the_interval() -> None:
    assert average([(-3.0, 4), (5.0, 8)], 0.0, 10.0) == pytest.approx(6.0)


def test_average_ignores_what_happens_after_the_interval() -> None:
    assert average([(0.0, 4), (10.0, 1000)], 0.0, 10.0) == pytest.approx(4.0)


def test_average_without_steps_is_zero() -> None:
    assert average([], 0.0, 10.0) == 0.0


def test_staleness_is_the_area_between_the_two_staircases() -> None:
    produced = [(0.0, 10), (5.0, 20)]
    shown = [(2.0, 10), (9.0, 20)]
    assert staleness(produced, shown, begin=0.0, end=10.0) == pytest.approx((2 * 10 + 4 * 10) / 10)


def test_an_evenly_spaced_schedule_meets_the_bound() -> None:
    speed, latency, interval, length = 60.0, 0.12, 2.5, 1000.0
    produced = [(t / 100, round(speed * t / 100)) for t in range(int(length * 100))]
    frames = [(k * interval + latency, round(speed * k * interval)) for k in range(int(length / interval))]
    found = staleness(produced, frames, begin=interval, end=length - interval)
    bound = least_staleness(50, speed=speed, calls_per_second=20, floor=0.8, latency=latency)
    assert found == pytest.approx(bound, rel=0.01)


def test_few_answers_are_bound_by_the_floor_of_a_card_not_by_the_quota() -> None:
    assert least_staleness(1, speed=60, calls_per_second=20, floor=0.8, latency=0.12) == pytest.approx(60 * 0.52)


def test_a_finite_answer_has_one_gap_more_than_frames() -> None:
    length, frames = 30.0, 3  # one every 10 s of the quota, so gaps of 7.5 s
    bound = least_staleness(200, speed=60, calls_per_second=20, floor=0.8, latency=0.0, seconds=length)
    assert bound == pytest.approx(60 * length / (frames + 1) / 2)


def test_the_bound_of_a_long_answer_is_that_of_an_endless_one() -> None:
    endless = least_staleness(50, speed=60, calls_per_second=20, floor=0.8, latency=0.12)
    long = least_staleness(50, speed=60, calls_per_second=20, floor=0.8, latency=0.12, seconds=1e6)
    assert long == pytest.approx(endless, rel=1e-4)
