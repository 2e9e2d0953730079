"""The budget in numbers: moments are given."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.budget import MOST_STRETCH, Budget, Count, month_at, projected, stretch
from cardbot.ports import Usage


def at(text: str) -> float:
    """A moment in China."""
    return datetime.fromisoformat(f"{text}+08:00").timestamp()


MIDDLE = at("2026-11-16T00:00")


def test_a_month_begins_at_midnight_in_china() -> None:
    assert month_at(at("2026-11-01T00:00")).name == "2026-11"
    assert month_at(at("2026-10-31T23:59")).name == "2026-10"
    assert datetime.fromtimestamp(month_at(MIDDLE).begins, UTC).isoformat() == "2026-10-31T16:00:00+00:00"


@pytest.mark.parametrize(("moment", "days"), [("2026-02-10", 28), ("2028-02-29", 29), ("2026-12-31", 31)])
def test_a_month_has_its_days(moment: str, days: int) -> None:
    month = month_at(at(f"{moment}T23:59:59"))
    assert (month.ends - month.begins) / 86400 == days


@given(st.floats(0, 4e9))
def test_every_moment_is_in_its_month(now: float) -> None:
    month = month_at(now)
    assert month.begins <= now < month.ends


def test_as_long_as_the_budget_keeps_pace_with_the_month_nothing_is_stretched() -> None:
    assert stretch(0, 1000, at("2026-11-01T00:00")) == 1
    assert stretch(500, 1000, MIDDLE) == 1
    assert stretch(900, 1000, at("2026-11-29T00:00")) == 1


def test_what_is_spent_too_fast_is_stretched_by_as_much() -> None:
    assert stretch(750, 1000, MIDDLE) == pytest.approx(2)
    assert stretch(800, 1000, MIDDLE) == pytest.approx(2.5)


def test_beyond_a_bound_there_are_no_frames_but_the_last() -> None:
    assert stretch(880, 1000, MIDDLE) == math.inf
    assert stretch(1000, 1000, MIDDLE) == math.inf
    assert stretch(5000, 1000, MIDDLE) == math.inf


@given(st.integers(0, 2000), st.integers(1, 1000), st.floats(0, 1, exclude_max=True))
def test_a_stretch_never_falls_as_more_is_spent(used: int, more: int, part: float) -> None:
    month = month_at(MIDDLE)
    now = month.begins + part * (month.ends - month.begins)
    before, after = stretch(used, 1000, now), stretch(used + more, 1000, now)
    assert 1 <= before <= after
    assert after <= MOST_STRETCH or after == math.inf


def test_a_projection_goes_on_at_the_rate_since_the_first_call() -> None:
    assert projected(Usage(calls=150, answers=20, since=at("2026-11-01T00:00")), MIDDLE) == 300
    assert projected(Usage(calls=150, answers=20, since=at("2026-11-11T00:00")), MIDDLE) == 600


def test_a_projection_does_not_take_the_first_hour_for_the_rule() -> None:
    assert projected(Usage(calls=15, answers=2, since=MIDDLE - 3600), MIDDLE) == 15 + 15 * 15


def test_a_projection_of_nothing_is_nothing() -> None:
    assert projected(Usage(calls=0, answers=0, since=0.0), MIDDLE) == 0


def test_without_a_budget_everything_is_allowed() -> None:
    budget = Budget()
    for _ in range(10_000):
        budget.call(MIDDLE)
    assert budget.allows(1000, MIDDLE)
    assert budget.stretch(MIDDLE) == 1


def test_a_budget_allows_what_is_left() -> None:
    budget = Budget(10)
    for _ in range(7):
        budget.call(MIDDLE)
    assert budget.allows(3, MIDDLE)
    assert not budget.allows(4, MIDDLE)


def test_calls_that_are_promised_count_as_made() -> None:
    budget = Budget(100)
    for _ in range(50):
        budget.call(MIDDLE)
    assert budget.stretch(MIDDLE) == 1
    assert budget.stretch(MIDDLE, promised=25) == pytest.approx(2)


def test_a_new_month_begins_with_the_whole_budget() -> None:
    budget = Budget(10)
    for _ in range(10):
        budget.call(MIDDLE)
    assert not budget.allows(1, MIDDLE)
    assert budget.allows(10, at("2026-12-01T00:00"))


def test_the_calls_of_other_processes_count() -> None:
    budget = Budget(10)
    budget.call(MIDDLE)
    budget.told("2026-11", Count(calls=1), Usage(calls=9, answers=1, since=1.0))
    assert budget.used(MIDDLE) == 9
    assert budget.pending() == {}


def test_what_is_counted_while_the_store_is_told_stays_pending() -> None:
    budget = Budget(10)
    budget.call(MIDDLE)
    told = budget.pending()["2026-11"]
    budget.call(MIDDLE)
    budget.answer(MIDDLE)
    budget.told("2026-11", told, Usage(calls=1, answers=0, since=1.0))
    assert budget.pending() == {"2026-11": Count(calls=1, answers=1)}
    assert budget.used(MIDDLE) == 2


def test_a_month_that_dingtalk_closed_stays_closed_to_its_end() -> None:
    budget = Budget()
    budget.close(MIDDLE)
    assert not budget.allows(0, at("2026-11-30T23:59"))
    assert budget.allows(1, at("2026-12-01T00:00"))
