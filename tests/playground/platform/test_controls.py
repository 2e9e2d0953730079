"""What can be changed while the platform runs."""

import math

from cardbot.playground.platform.endpoint import Refused
from cardbot.playground.platform.faults import Faults, Reject
from cardbot.playground.platform.quota import Quota

API = "PUT /v1.0/card/streaming"


def allowed(quota: Quota, *, calls: int, now: float) -> int:
    done = 0
    for _ in range(calls):
        try:
            quota.spend(API, now=now)
        except Refused:
            continue
        done += 1
    return done


def test_a_new_limit_holds_for_the_next_call() -> None:
    quota = Quota(qps=20)
    assert allowed(quota, calls=5, now=0.0) == 5
    quota.qps = 3
    assert allowed(quota, calls=5, now=0.5) == 0
    assert allowed(quota, calls=5, now=2.0) == 3
    assert quota.qps == 3


def test_the_bot_is_judged_by_the_limit_that_it_was_told() -> None:
    quota = Quota(qps=20)
    quota.is_within_own_share(API, now=0.0)
    quota.qps = 1
    assert all(quota.is_within_own_share(API, now=0.0) for _ in range(19))
    assert not quota.is_within_own_share(API, now=0.0)


def test_a_fault_that_is_withdrawn_does_not_happen() -> None:
    faults = Faults([API])
    refused, busy = Reject(400, "refused"), Reject(500, "busy")
    faults.add(API, refused, times=math.inf)
    faults.add(API, busy, times=math.inf)
    faults.withdraw(API, refused)
    assert faults.take(API, {}) == busy
