"""How often one path is called, in virtual time."""

from typing import Any

import anyio
import pytest

from cardbot.dingtalk.deliveries import Outcome
from cardbot.dingtalk.lane import CALLS_PER_SECOND, Lane, Patience, Undelivered, verdict_of
from cardbot.errors import Busy, ContentRefused, DingTalkUnreachable, NotDelivered, Throttled
from tests.virtual import in_virtual_time


class Api:
    """Has a token."""

    async def access_token(self) -> str:
        return "token"


def lane_with(*, room: float = 60.0) -> Lane:
    api: Any = Api()
    return Lane(api, qps=CALLS_PER_SECOND, patience=Patience(room=room))


def throttled(seconds: float = 1.0) -> Throttled:
    return Throttled("too many", status=403, code="Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", retry_after=seconds)


class Calls:
    """When calls began; each takes `seconds`, the first ones end with these errors."""

    def __init__(self, *errors: Exception, seconds: float = 0.0) -> None:
        self.times: list[float] = []
        self._errors = list(errors)
        self._seconds = seconds
        self._began = anyio.current_time()

    async def __call__(self) -> str:
        self.times.append(anyio.current_time() - self._began)
        await anyio.sleep(self._seconds)
        if self._errors:
            raise self._errors.pop(0)
        return "done"


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.3])
@in_virtual_time
async def test_no_second_sees_more_calls_than_the_app_may_make(seconds: float) -> None:
    lane, calls = lane_with(), Calls(seconds=seconds)
    async with anyio.create_task_group() as tasks:
        for _ in range(100):  # at once, as from several messages
            tasks.start_soon(lane.call, calls)
    assert len(calls.times) == 100
    for begin in calls.times:
        assert sum(begin <= time < begin + 1.0 for time in calls.times) <= CALLS_PER_SECOND


@in_virtual_time
async def test_a_throttled_call_waits_as_long_as_it_is_asked_to() -> None:
    calls = Calls(throttled(15.0))
    assert await lane_with().call(calls) == "done"
    assert calls.times == pytest.approx([0.0, 15.0])


@in_virtual_time
async def test_the_next_call_waits_for_the_throttled_one() -> None:
    lane, first, second = lane_with(), Calls(throttled(15.0)), Calls()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lane.call, first)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(lane.call, second)
    assert second.times[0] >= first.times[1] >= 15.0


@in_virtual_time
async def test_a_block_of_five_minutes_is_waited_for_by_default() -> None:
    api: Any = Api()
    calls = Calls(throttled(300.0))
    assert await Lane(api, qps=CALLS_PER_SECOND, patience=Patience()).call(calls) == "done"


@in_virtual_time
async def test_patience_is_for_one_call_and_all_its_repetitions() -> None:
    calls = Calls(*(throttled(4.0) for _ in range(10)))
    with pytest.raises(Undelivered) as caught:
        await lane_with(room=10.0).call(calls)
    assert calls.times == pytest.approx([0.0, 4.0, 8.0])
    assert (caught.value.verdict.outcome, caught.value.verdict.closed) == (Outcome.REFUSED, True)


@in_virtual_time
async def test_a_busy_dingtalk_says_nothing_about_our_calls() -> None:
    lane = lane_with()
    await lane.call(Calls(Busy("busy", status=500, code="system.busy")))
    calls = Calls()
    for _ in range(CALLS_PER_SECOND - 2):
        await lane.call(calls)
    assert calls.times[-1] < 1.0


@in_virtual_time
async def test_a_cancelled_call_leaves_the_lane_to_the_next() -> None:
    lane, never = lane_with(), Calls(seconds=1e9)
    with anyio.move_on_after(1.0):
        await lane.call(never)
    assert await lane.call(Calls()) == "done"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (DingTalkUnreachable("no answer"), Outcome.UNKNOWN),
        (NotDelivered("who knows"), Outcome.UNKNOWN),
        (ContentRefused("no", status=400, code="param.contentUnsafe"), Outcome.REFUSED),
    ],
)
def test_what_an_error_says_about_its_message(error: Any, outcome: Outcome) -> None:
    verdict = verdict_of(error)
    assert (verdict.outcome, verdict.closed, verdict.why) == (outcome, False, str(error))
