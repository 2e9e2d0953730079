"""What a card wants next, call by call."""

import json
from collections.abc import Callable

import pytest

from cardbot.dingtalk.sheet import ALREADY_THERE, CREATE_TRIES, GONE, RETRY_PAUSES, Sheet
from cardbot.dingtalk.steps import Step
from cardbot.dingtalk.template import SHARED_TEMPLATE, Template
from cardbot.errors import DingTalkError, DingTalkRejected, DingTalkUnreachable
from cardbot.ports import Button
from cardbot.texts import EN

OWN = Template("own.schema", "content")
YES = Button("form:yes", "Send")
LOST = DingTalkUnreachable("no answer")
LATE = DingTalkError("Not finished in time.")


def sheet_of(template: Template = OWN) -> Sheet:
    return Sheet(template, "cardbot-1", now=0.0, texts=EN)


def do(sheet: Sheet, step: Step, error: DingTalkError | None = None, *, now: float = 1.0) -> dict[str, str]:
    """The call that is wanted, from its beginning to its outcome. Returns its variables."""
    assert sheet.step() is step
    params: dict[str, str] = {}
    if step in (Step.FRAME, Step.FINAL):
        assert sheet.frame(now) is not None
    else:
        params = sheet.params(step)
    sheet.lane.began = now
    if error is None:
        sheet.succeeded(step, now)
    else:
        sheet.failed(step, error, now)
    return params


def created() -> Sheet:
    sheet = sheet_of()
    do(sheet, Step.CREATE)
    return sheet


def found() -> Sheet:
    sheet = sheet_of()
    sheet.found(1.0)
    return sheet


def test_buttons_that_failed_come_after_one_frame_and_not_after_all_of_them() -> None:
    sheet = created()
    sheet.offer([YES], 1.0)
    sheet.show("one", 1.0)
    do(sheet, Step.OFFER, LOST)
    do(sheet, Step.FRAME)
    sheet.show("one two", 2.0)
    assert sheet.step() is Step.OFFER


def test_text_that_goes_before_buttons_which_failed_goes_in_the_line_of_text() -> None:
    """Else its call begins on the one path and ends on the other, and a place on each is miscounted for ever."""
    sheet = created()
    sheet.offer([YES], 1.0)
    do(sheet, Step.OFFER, LOST)
    assert sheet.show("one", 2.0), "nobody is told"
    assert sheet.step() is Step.FRAME
    assert (sheet.lane.rank, sheet.lane.path) == (Step.FRAME.rank, Step.FRAME.path)


def test_buttons_of_a_repeated_creation_are_offered_again_where_the_first_one_was_done() -> None:
    sheet = sheet_of()
    do(sheet, Step.CREATE, LOST)
    sheet.offer([YES], 1.0)
    assert "form:yes" in do(sheet, Step.CREATE, DingTalkRejected("again", status=400, code=ALREADY_THERE))["buttons"]
    do(sheet, Step.OFFER)
    assert sheet.step() is None


def test_buttons_come_with_the_update_to_the_writing_state() -> None:
    sheet = sheet_of(SHARED_TEMPLATE)
    do(sheet, Step.CREATE)
    sheet.offer([YES], 1.0)
    sheet.show("one", 1.0)
    shape = json.loads(do(sheet, Step.BEGIN)["sys_full_json_obj"])
    assert [button["id"] for button in shape["msgButtons"]] == ["form:yes"]
    assert sheet.step() is Step.FRAME


def test_a_card_that_was_only_assumed_is_lost_when_its_first_frame_finds_none() -> None:
    sheet = found()
    sheet.show("one", 1.0)
    do(sheet, Step.FRAME, DingTalkRejected("gone", status=400, code=GONE[0]))
    assert (sheet.step(), sheet.never_seen) == (None, True)


def test_a_creation_of_unknown_outcome_leaves_its_first_frame_all_patience() -> None:
    sheet = sheet_of()
    for _ in range(CREATE_TRIES):
        do(sheet, Step.CREATE, LOST)
    sheet.show("one", 1.0)
    do(sheet, Step.FRAME, LOST, now=20.0)
    assert sheet.lane.not_before == 20.0 + RETRY_PAUSES[0]


def test_text_that_came_during_the_creation_has_waited_since_then() -> None:
    sheet = sheet_of()
    sheet.show("one", 1.0)
    do(sheet, Step.CREATE, now=3.0)
    assert sheet.lane.since == 1.0


def test_what_is_still_wanted_has_waited_from_the_first() -> None:
    sheet = sheet_of()
    sheet.offer([YES], 3.0)
    assert sheet.lane.since == 0.0
    sheet.finish("Hello", 4.0, failed=False)
    do(sheet, Step.CREATE, now=5.0)
    sheet.finish("Hello", 6.0, failed=False)
    assert sheet.lane.since == 5.0


@pytest.mark.parametrize("make", [created, found])
def test_a_card_that_may_be_seen_is_closed_when_time_is_up(make: Callable[[], Sheet]) -> None:
    sheet = make()
    sheet.hand_over(LATE, 2.0)
    assert sheet.step() is Step.CLOSE


def test_a_card_that_nobody_has_asked_for_is_given_up_when_time_is_up() -> None:
    sheet = sheet_of()
    sheet.hand_over(LATE, 2.0)
    assert (sheet.step(), sheet.error, sheet.never_seen) == (None, LATE, True)


def test_a_card_whose_time_is_up_shows_no_more_text() -> None:
    sheet = created()
    assert not sheet.is_mute
    sheet.hand_over(LATE, 2.0)
    assert sheet.is_mute
    assert not sheet.settled
