"""What a card says at its end, and what it says instead."""

import pytest

from cardbot.dingtalk.last_word import NO_FAILED_STATE, LastWord
from cardbot.dingtalk.openapi import Frame
from cardbot.errors import CardbotError, DingTalkError, DingTalkRejected, PermissionDenied, QuotaExhausted
from cardbot.texts import EN

LATE = DingTalkError("Not finished in time.")
INVALID = DingTalkRejected("no", status=400, code="param.invalid")
STATELESS = DingTalkRejected("no", status=500, code=NO_FAILED_STATE)
DENIED = PermissionDenied("no", status=403, code="Forbidden.AccessDenied.AccessTokenPermissionDenied")
QUOTA = QuotaExhausted("no", status=403, code="Forbidden.AccessDenied.ApiCountLimitForOrg")


def last_word(*, failed: bool = False) -> LastWord:
    last = LastWord(EN)
    last.say("Hello", failed=failed)
    return last


def framed(last: LastWord, card: str = "cardbot-1") -> Frame:
    return last.frame(card, "content")


def test_the_last_frame_finalizes_or_fails_never_both() -> None:
    for failed in (False, True):
        frame = framed(last_word(failed=failed))
        assert (frame.content, frame.finalize, frame.error) == ("Hello", not failed, failed)


def test_whoever_takes_over_makes_the_same_last_frame() -> None:
    assert framed(last_word()) == framed(last_word())


def test_the_guid_differs_by_card_text_and_state() -> None:
    other = LastWord(EN)
    other.say("Good bye", failed=False)
    frames = [framed(last_word()), framed(last_word(), "cardbot-2"), framed(last_word(failed=True)), framed(other)]
    assert len({frame.guid for frame in frames}) == len(frames)


def test_without_a_failed_state_the_card_is_done_with_the_same_text() -> None:
    last = last_word(failed=True)
    last.frame_refused(STATELESS)
    frame = framed(last)
    assert (frame.content, frame.finalize, last.error) == ("Hello", True, None)


def test_a_refused_text_is_followed_by_where_to_look_and_that_by_an_update() -> None:
    last = last_word(failed=True)
    last.frame_refused(INVALID)
    frame = framed(last)
    assert (frame.content, frame.finalize, last.framed, last.error) == (EN.elsewhere, True, False, INVALID)
    last.frame_refused(LATE)
    assert (last.send(), last.framed, last.error) == (EN.elsewhere, True, INVALID)


@pytest.mark.parametrize("error", [DENIED, QUOTA], ids=lambda error: type(error).__name__)
def test_where_no_frame_is_allowed_only_an_update_is_left(error: CardbotError) -> None:
    last = last_word()
    last.frame_refused(error)
    assert (last.send(), last.framed) == (EN.elsewhere, True)


def test_an_end_that_was_under_way_when_time_was_up_counts() -> None:
    last = last_word()
    framed(last)
    last.hand_over(LATE)
    last.said()
    assert last.error is None


def test_a_sentence_that_says_where_to_look_is_not_the_text() -> None:
    last = last_word()
    last.hand_over(LATE)
    last.send()
    last.said()
    assert (last.error, last.failed) == (LATE, False)


def test_the_text_may_be_withheld_once_and_not_when_it_goes_another_way() -> None:
    last = last_word()
    assert last.may_be_withheld
    last.withhold()
    assert (last.send(), last.text, last.failed, last.error) == (EN.withheld, EN.withheld, True, None)
    assert not last.may_be_withheld
    late = last_word()
    late.hand_over(LATE)
    assert not late.may_be_withheld
