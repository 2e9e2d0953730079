"""Calls per second and per month, with numbers for time."""

import pytest

from cardbot.playground.platform.endpoint import Refused
from cardbot.playground.platform.quota import Quota, SlidingWindow

API = "PUT /v1.0/card/streaming"


def test_window_slides() -> None:
    window = SlidingWindow(2)
    taken = [window.take(now) for now in (0.0, 0.5, 0.75, 1.0, 1.25, 1.5)]
    assert taken == [True, True, False, True, False, True]


def test_refused_call_does_not_count() -> None:
    window = SlidingWindow(1)
    assert [window.take(now) for now in (0.0, 0.5, 0.9, 1.0)] == [True, False, False, True]


def test_throttled_call_is_not_billed() -> None:
    quota = Quota(qps=1, monthly=2)
    quota.spend(API, now=0.0)
    with pytest.raises(Refused, match="QpsLimitForAppkeyAndApi"):
        quota.spend(API, now=0.1)
    assert quota.left == 1


def test_free_call_works_without_any_calls_left() -> None:
    quota = Quota(monthly=0)
    quota.spend(API, now=0.0, cost=0)
    with pytest.raises(Refused, match="ApiCountLimitForOrg"):
        quota.spend(API, now=0.0)
