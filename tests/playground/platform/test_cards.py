"""The state machine of AI cards, with numbers for time."""

from typing import Any

import pytest

from cardbot.playground.platform import cards
from cardbot.playground.platform.cards import PUBLIC_TEMPLATE, PUBLIC_TEMPLATE_ID, Card, Rules, TemplateSpec
from cardbot.playground.platform.endpoint import Json, Refused

TEMPLATE = "11111111-2222-3333-4444-555555555555.schema"
TEMPLATES = {TEMPLATE: TemplateSpec(), PUBLIC_TEMPLATE_ID: PUBLIC_TEMPLATE}
RULES = Rules()


def created(**changes: Any) -> Json:
    body: Json = {
        "cardTemplateId": TEMPLATE,
        "outTrackId": "card-1",
        "callbackType": "STREAM",
        "cardData": {"cardParamMap": {"content": "thinking"}},
    }
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


def delivered(**changes: Any) -> Card:
    card = cards.create(created(**changes), TEMPLATES)
    cards.deliver(card, "dtv1.card//IM_ROBOT.user0001", now=0.0)
    return card


def frame(text: str, guid: str, **changes: Any) -> Json:
    return {"outTrackId": "card-1", "guid": guid, "key": "content", "content": text, "isFull": True, **changes}


def public_card(flow_status: str = "2") -> Card:
    params = {"flowStatus": flow_status, "msgContent": ""}
    return delivered(cardTemplateId=PUBLIC_TEMPLATE_ID, cardData={"cardParamMap": params})


def test_new_card_is_pending_and_shows_its_prefilled_text() -> None:
    card = delivered()
    assert (card.state, card.content) == ("pending", "thinking")


def test_first_frame_starts_writing() -> None:
    card = delivered()
    cards.stream(card, frame("a", "1"), rules=RULES, now=1.0)
    assert (card.state, card.content) == ("writing", "a")


def test_last_frame_is_done() -> None:
    card = delivered()
    cards.stream(card, frame("a", "1", isFinalize=True), rules=RULES, now=1.0)
    assert card.state == "done"


def test_error_frame_is_failed_and_keeps_its_text() -> None:
    card = delivered()
    cards.stream(card, frame("a, then an error", "1", isError=True), rules=RULES, now=1.0)
    assert (card.state, card.content) == ("failed", "a, then an error")


def test_frames_half_a_second_apart_are_fine() -> None:
    card = delivered()
    for number, now in enumerate((0.5, 1.0, 1.5)):
        cards.stream(card, frame("a", str(number)), rules=RULES, now=now)
    assert card.violations == []


def test_later_text_may_be_shorter() -> None:
    card = delivered()
    cards.stream(card, frame("a long text", "1"), rules=RULES, now=1.0)
    cards.stream(card, frame("short", "2"), rules=RULES, now=2.0)
    assert (card.content, card.violations) == ("short", [])


def test_first_frame_right_after_delivery_is_a_violation() -> None:
    card = delivered()
    cards.stream(card, frame("a", "1"), rules=RULES, now=0.3)
    assert card.violations == ["first frame 0.300 s after delivery"]


def test_two_frames_too_close_are_a_violation() -> None:
    card = delivered()
    cards.stream(card, frame("a", "1"), rules=RULES, now=1.0)
    cards.stream(card, frame("b", "2", isFinalize=True), rules=RULES, now=1.4)
    assert card.violations == ["two frames within 0.400 s"]


def test_frame_after_the_last_one_is_a_violation_and_opens_the_card_again() -> None:
    card = delivered()
    cards.stream(card, frame("a", "1", isFinalize=True), rules=RULES, now=1.0)
    cards.stream(card, frame("b", "2"), rules=RULES, now=2.0)
    assert card.state == "writing"
    assert card.violations == ["frame after the last one"]


def test_frame_before_delivery_is_a_violation() -> None:
    card = cards.create(created(), TEMPLATES)
    cards.stream(card, frame("a", "1"), rules=RULES, now=1.0)
    assert card.violations == ["frame before the card was delivered"]


def test_same_guid_again_has_no_effect() -> None:
    card = delivered()
    cards.stream(card, frame("a", "1"), rules=RULES, now=1.0)
    cards.stream(card, frame("b", "2"), rules=RULES, now=2.0)
    cards.stream(card, frame("a", "1"), rules=RULES, now=2.1)
    assert (card.content, len(card.frames), card.violations) == ("b", 2, [])


def test_same_guid_with_another_text_is_a_violation() -> None:
    card = delivered()
    cards.stream(card, frame("a", "1"), rules=RULES, now=1.0)
    cards.stream(card, frame("b", "1"), rules=RULES, now=2.0)
    assert (card.content, card.violations) == ("a", ["guid 1 is used again for another frame"])


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"guid": ""}, 400, "param.stream.guidEmpty"),
        ({"key": None}, 400, "param.stream.keyEmpty"),
        ({"content": None}, 400, "param.stream.contentEmpty"),
        ({"content": ""}, 400, "param.stream.contentEmpty"),
        ({"content": ["a"]}, 400, "param.invalid"),
        ({"isFinalize": "true"}, 400, "param.invalid"),
        ({"isFull": False}, 400, "param.stream.isFull"),
        ({"content": "x" * 20_001}, 400, "param.stream.content"),
        ({"key": "text"}, 500, "unknownError"),
    ],
)
def test_bad_frame_is_refused_and_changes_nothing(changes: Json, status: int, code: str) -> None:
    card = delivered()
    with pytest.raises(Refused) as refusal:
        cards.stream(card, frame("a", "1") | changes, rules=RULES, now=1.0)
    assert (refusal.value.status, refusal.value.code) == (status, code)
    assert (card.content, card.state, card.frames) == ("thinking", "pending", [])


def test_is_full_is_false_unless_sent() -> None:
    body = frame("a", "1")
    del body["isFull"]
    with pytest.raises(Refused, match=r"param\.stream\.isFull"):
        cards.stream(delivered(), body, rules=RULES, now=1.0)


def test_error_frame_needs_a_failed_state_in_the_template() -> None:
    card = cards.create(created(), {TEMPLATE: TemplateSpec(has_failed_state=False)})
    with pytest.raises(Refused, match="500 unknownError"):
        cards.stream(card, frame("a", "1", isError=True), rules=RULES, now=1.0)


def test_refused_frame_may_come_again_with_its_guid() -> None:
    card = delivered()
    with pytest.raises(Refused):
        cards.stream(card, frame("x" * 20_001, "1"), rules=RULES, now=1.0)
    cards.stream(card, frame("x", "1"), rules=RULES, now=2.0)
    assert (card.content, card.violations) == ("x", [])


def test_content_may_be_empty_in_the_other_reading() -> None:
    card = delivered()
    cards.stream(card, frame("", "1"), rules=Rules(empty_content="accept"), now=1.0)
    assert (card.state, card.content) == ("writing", "")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"outTrackId": ""}, "param.outTrackIdEmpty"),
        ({"cardTemplateId": None}, "param.cardTemplateIdEmpty"),
        ({"cardTemplateId": "x.schema"}, "param.templateNotExist"),
        ({"cardTemplateId": "draft.schema"}, "param.templateUnpublished"),
        ({"cardData": None}, "param.cardPublicDataEmpty"),
        ({"cardData": {"cardParamMap": []}}, "param.invalid"),
        ({"cardData": {"cardParamMap": {"count": 1}}}, "MissingStringValue"),
        ({"privateData": {"user0001": {"cardParamMap": {"liked": True}}}}, "MissingStringValue"),
        ({"privateData": ["user0001"]}, "param.invalid"),
        ({"callbackType": "stream"}, "param.invalid"),
        ({"callbackType": "HTTP"}, "param.invalid"),
        ({"userIdType": "1"}, "param.invalid"),
    ],
)
def test_bad_card_is_refused(changes: Json, code: str) -> None:
    with pytest.raises(Refused) as refusal:
        cards.create(created(**changes), {**TEMPLATES, "draft.schema": TemplateSpec(published=False)})
    assert (refusal.value.status, refusal.value.code) == (400, code)


def test_very_long_track_id_is_a_violation() -> None:
    assert cards.create(created(outTrackId="x" * 65), TEMPLATES).violations


def test_update_by_key_keeps_the_other_variables() -> None:
    card = delivered()
    options = {"updateCardDataByKey": True}
    cards.update(card, {"cardData": {"cardParamMap": {"buttons": "[]"}}, "cardUpdateOptions": options})
    assert card.params == {"content": "thinking", "buttons": "[]"}


def test_update_without_the_option_loses_the_other_variables() -> None:
    card = delivered()
    cards.update(card, {"cardData": {"cardParamMap": {"buttons": "[]"}}})
    assert (card.params, card.content) == ({"buttons": "[]"}, "")


def test_update_of_nothing_is_refused() -> None:
    with pytest.raises(Refused, match=r"param\.cardDataAndPrivateDataBothEmpty"):
        cards.update(delivered(), {"outTrackId": "card-1"})


def test_update_with_a_number_changes_nothing() -> None:
    card = delivered()
    with pytest.raises(Refused, match="MissingStringValue"):
        cards.update(card, {"cardData": {"cardParamMap": {"content": "b", "count": 1}}})
    assert card.params == {"content": "thinking"}


def test_private_variables_belong_to_one_user() -> None:
    card = delivered()
    cards.update(card, {"privateData": {"user0001": {"cardParamMap": {"liked": "true"}}}})
    assert card.private == {"user0001": {"liked": "true"}}
    assert card.params == {"content": "thinking"}


def test_an_update_of_flow_status_drives_an_own_template_too() -> None:
    """Seen: the markup that exported AI templates compile to compares `cardData.flowStatus`."""
    card = delivered()
    cards.update(card, {"cardData": {"cardParamMap": {"flowStatus": "3"}}})
    assert card.state == "done"


@pytest.mark.parametrize(
    ("flow_status", "state"),
    [("1", "pending"), ("2", "writing"), ("3", "done"), ("4", "doing"), ("5", "failed")],
)
def test_flow_status_drives_the_public_template(flow_status: str, state: str) -> None:
    assert public_card(flow_status).state == state


def test_public_card_is_done_only_after_flow_status_3() -> None:
    card = public_card()
    cards.stream(card, frame("a", "1", key="msgContent", isFinalize=True), rules=RULES, now=1.0)
    assert (card.state, card.content) == ("writing", "a")
    params = {"flowStatus": "3", "msgContent": "a"}
    cards.update(card, {"cardData": {"cardParamMap": params}})
    assert (card.state, card.content, card.violations) == ("done", "a", [])


def test_public_card_must_be_writing_before_its_first_frame() -> None:
    card = public_card("1")
    cards.stream(card, frame("a", "1", key="msgContent"), rules=RULES, now=1.0)
    assert card.violations == ["frame while flowStatus says pending"]


def test_unknown_flow_status_is_a_violation() -> None:
    assert public_card("9").violations == ["flowStatus '9' is not one of 1 to 5"]
