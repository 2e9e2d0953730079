"""The text of a card while the answer grows."""

from cardbot.dingtalk.draft import Draft
from cardbot.dingtalk.openapi import Frame


def framed(draft: Draft) -> Frame:
    frame = draft.frame("cardbot-1", "content")
    assert frame is not None
    return frame


def test_a_frame_holds_the_newest_text() -> None:
    draft = Draft(0.0)
    draft.take("one", 1.0)
    draft.take("one two", 2.0)
    frame = framed(draft)
    assert frame == Frame("cardbot-1", frame.guid, "content", "one two")
    assert not draft.is_new


def test_text_is_new_until_a_frame_holds_it() -> None:
    draft = Draft(0.0)
    assert not draft.is_new
    assert draft.take("one", 1.0)
    assert draft.is_new
    framed(draft)
    assert not draft.is_new
    assert not draft.take("one", 2.0)


def test_half_a_link_makes_no_frame_until_more_of_it_comes() -> None:
    draft = Draft(0.0)
    draft.take("[the li", 1.0)
    assert draft.frame("cardbot-1", "content") is None
    assert not draft.is_new
    draft.take("[the link](https://example.com)", 2.0)
    assert framed(draft).content == "[the link](https://example.com)"


def test_nothing_is_framed_that_is_shown_already() -> None:
    draft = Draft(0.0)
    draft.take("one", 1.0)
    framed(draft)
    draft.shown()
    draft.take("one [the li", 2.0)
    assert draft.frame("cardbot-1", "content") is None


def test_a_frame_that_was_not_shown_is_repeated_with_its_guid() -> None:
    draft = Draft(0.0)
    draft.take("one", 1.0)
    first = framed(draft)
    draft.not_shown()
    assert draft.is_new
    assert framed(draft) == first


def test_other_content_gets_another_guid_although_it_was_there_before() -> None:
    draft, guids = Draft(0.0), set()
    for text in ("one", "two", "one"):
        draft.take(text, 1.0)
        guids.add(framed(draft).guid)
        draft.shown()
    assert len(guids) == 3


def test_text_waits_since_the_oldest_of_it_came() -> None:
    draft = Draft(0.0)
    draft.take("one", 1.0)
    draft.take("one two", 2.0)
    assert draft.since == 1.0
    framed(draft)
    draft.take("one two three", 3.0)
    draft.take("one two three four", 4.0)
    assert draft.since == 3.0


def test_a_frame_that_was_not_shown_has_waited_since_its_oldest_text_came() -> None:
    draft = Draft(0.0)
    draft.take("one", 1.0)
    framed(draft)
    draft.take("one two", 2.0)
    draft.not_shown()
    draft.take("one two three", 3.0)
    assert draft.since == 1.0


def test_no_frame_is_made_of_a_muted_text() -> None:
    draft = Draft(0.0)
    draft.muted = True
    draft.take("one", 1.0)
    assert not draft.is_new
