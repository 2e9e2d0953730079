"""The buttons of a card: what its variables say, what people then see, and what a press tells the bot."""

import json
from typing import Any

import pytest

from cardbot.playground.platform import cards
from cardbot.playground.platform.buttons import Button
from cardbot.playground.platform.cards import PUBLIC_TEMPLATE, PUBLIC_TEMPLATE_ID, Card, Rules, TemplateSpec
from cardbot.playground.platform.endpoint import Json
from cardbot.playground.platform.incoming import card_click

OWN, BARE = "own.schema", "bare.schema"
TEMPLATES = {OWN: TemplateSpec(), BARE: TemplateSpec(buttons_key=""), PUBLIC_TEMPLATE_ID: PUBLIC_TEMPLATE}
BY_KEY = {"updateCardDataByKey": True}

STOP: Json = {
    "text": "⏹ 停止",
    "color": "gray",
    "status": "normal",
    "event": {"type": "sendCardRequest", "params": {"actionId": "stop", "params": {}}},
}
SHARED_STOP: Json = {"text": "⏹ 停止", "color": "gray", "id": "stop", "request": True}
SHOWN = (Button("stop", "⏹ 停止"),)


def created(template: str = OWN, **params: Any) -> Card:
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in params.items()}
    body = {"cardTemplateId": template, "outTrackId": "card-1", "cardData": {"cardParamMap": texts}}
    card = cards.create(body, TEMPLATES)
    cards.deliver(card, "dtv1.card//IM_ROBOT.user0001", now=0.0)
    return card


def write(card: Card, **changes: Any) -> None:
    frame = {"guid": f"{len(card.frames)}", "key": card.spec.content_key, "content": "a", "isFull": True, **changes}
    cards.stream(card, frame, rules=Rules(frame_gap=0), now=1.0)


def set_buttons(card: Card, value: object, **options: bool) -> None:
    body = {"cardData": {"cardParamMap": {"buttons": json.dumps(value)}}, "cardUpdateOptions": options or BY_KEY}
    cards.update(card, body)


def writing(value: object) -> Card:
    card = created(buttons=value)
    write(card)
    return card


def with_event(**params: Any) -> Json:
    return {**STOP, "event": {"type": "sendCardRequest", "params": params}}


def test_buttons_are_seen_while_the_card_is_written_and_at_no_other_time() -> None:
    card = created(buttons=[STOP])
    seen = {card.state: card.buttons}
    write(card)
    seen[card.state] = card.buttons
    write(card, isFinalize=True)
    seen[card.state] = card.buttons
    assert seen == {"pending": (), "writing": SHOWN, "done": ()}
    assert card.violations == []


def test_a_failed_card_has_no_buttons() -> None:
    card = created(buttons=[STOP])
    write(card, isError=True)
    assert (card.state, card.buttons) == ("failed", ())


def test_an_update_by_key_replaces_the_buttons() -> None:
    card = writing([STOP])
    set_buttons(card, [{**with_event(actionId="form:yes", params={"form": "1"}), "text": "Yes", "color": "blue"}])
    assert card.buttons == (Button("form:yes", "Yes", "blue", params={"form": "1"}),)
    assert card.violations == []


def test_an_empty_list_takes_the_buttons_away() -> None:
    card = writing([STOP])
    set_buttons(card, [])
    assert (card.buttons, card.violations) == ((), [])


def test_an_update_of_other_variables_keeps_the_buttons() -> None:
    card = writing([STOP])
    cards.update(card, {"cardData": {"cardParamMap": {"content": "b"}}, "cardUpdateOptions": BY_KEY})
    assert card.buttons == SHOWN


def test_an_update_that_is_not_by_key_loses_the_buttons() -> None:
    card = writing([STOP])
    cards.update(card, {"cardData": {"cardParamMap": {"content": "b"}}})
    assert card.buttons == ()


def test_a_disabled_button_is_seen_and_does_not_work() -> None:
    (button,) = writing([{**STOP, "status": "disabled"}]).buttons
    assert (button.disabled, button.works) == (True, False)


def test_a_link_is_seen_and_tells_the_bot_nothing() -> None:
    link = {**STOP, "event": {"type": "openLink", "params": {"url": "https://example.com"}}}
    (button,) = writing([link]).buttons
    assert not button.works


@pytest.mark.parametrize(
    ("value", "objection"),
    [
        pytest.param("⏹", "buttons are not JSON", id="text"),
        pytest.param("", "buttons are not JSON", id="empty"),
        pytest.param(STOP, "buttons are not a list", id="object"),
        pytest.param(["stop"], "button 1 is not an object", id="strings"),
        pytest.param([STOP, {**STOP, "text": ""}], "button 2 has no text", id="no text"),
        pytest.param([{**STOP, "text": 1}], "button 1 has no text", id="a number for a text"),
        pytest.param([{**STOP, "color": "green"}], "button 1 has the color 'green', not one of", id="colour"),
        pytest.param([{**STOP, "status": "gone"}], "button 1 has the status 'gone', not one of", id="status"),
        pytest.param([{**STOP, "event": None}], "button 1 has no event", id="no event"),
        pytest.param([{**STOP, "event": {"type": "stop", "params": {}}}], "button 1 has an event of type", id="event"),
        pytest.param([with_event(params={})], "button 1 has no event.params.actionId", id="no action"),
        pytest.param([with_event(actionId="stop", params=[])], "button 1 has no event.params.params", id="a list"),
        pytest.param([{**STOP, "id": "stop"}], "button 1 has a 'id', which means nothing", id="unknown key"),
        pytest.param([STOP, STOP], "2 buttons with the action 'stop'", id="the same action"),
    ],
)
def test_what_is_no_row_of_buttons_is_a_violation(value: object, objection: str) -> None:
    (found,) = created(buttons=value).violations
    assert found.startswith(objection)


def test_a_button_that_cannot_be_read_leaves_the_others() -> None:
    assert writing([{**STOP, "color": "green"}, STOP]).buttons == SHOWN


def test_each_update_is_judged_once() -> None:
    card = created(buttons="⏹")
    cards.update(card, {"cardData": {"cardParamMap": {"content": "b"}}, "cardUpdateOptions": BY_KEY})
    assert card.violations == ["buttons are not JSON"]


def test_a_template_without_the_variable_ignores_it() -> None:
    card = created(BARE, buttons="⏹")
    write(card)
    assert (card.buttons, card.violations) == ((), [])


def shared(order: list[str], *buttons: Json, flow_status: str = "2") -> Card:
    whole = {"order": order, "msgButtons": list(buttons)}
    return created(PUBLIC_TEMPLATE_ID, flowStatus=flow_status, msgContent="", sys_full_json_obj=whole)


def test_the_shared_template_shows_what_its_order_names() -> None:
    card = shared(["msgContent", "msgButtons"], SHARED_STOP)
    assert (card.buttons, card.violations) == (SHOWN, [])


def test_the_shared_template_hides_buttons_that_its_order_does_not_name() -> None:
    card = shared(["msgContent"], SHARED_STOP)
    assert (card.buttons, card.violations) == ((), ["msgButtons that the order does not name"])


def test_the_shared_template_needs_no_buttons() -> None:
    card = created(PUBLIC_TEMPLATE_ID, flowStatus="2", sys_full_json_obj={"order": ["msgContent"]})
    assert (card.buttons, card.violations) == ((), [])


def test_buttons_of_the_shared_template_stay_when_it_is_done() -> None:
    """They are the bot's to take away: the template does not."""
    assert shared(["msgContent", "msgButtons"], SHARED_STOP, flow_status="3").buttons == SHOWN


def test_a_pending_card_of_the_shared_template_shows_no_buttons() -> None:
    assert shared(["msgContent", "msgButtons"], SHARED_STOP, flow_status="1").buttons == ()


def test_the_variable_of_own_templates_means_nothing_to_the_shared_one() -> None:
    card = created(PUBLIC_TEMPLATE_ID, flowStatus="2", buttons="⏹")
    assert (card.buttons, card.violations) == ((), [])


@pytest.mark.parametrize(
    ("whole", "objection"),
    [
        ("⏹", "sys_full_json_obj is not JSON"),
        ([], "sys_full_json_obj is not an object"),
        ({"msgButtons": []}, "sys_full_json_obj.order is not a list of names"),
        ({"order": ["msgButtons"], "msgButtons": {}}, "msgButtons are not a list"),
        ({"order": ["msgButtons"], "msgButtons": [{**SHARED_STOP, "id": ""}]}, "button 1 has no id"),
        ({"order": ["msgButtons"], "msgButtons": [{**SHARED_STOP, "request": "true"}]}, "button 1 has no url"),
        ({"order": ["msgButtons"], "msgButtons": [{**SHARED_STOP, "color": None}]}, "button 1 has the color None"),
        ({"order": ["msgButtons"], "msgButtons": [STOP]}, "button 1 has no url"),
    ],
)
def test_what_the_shared_template_cannot_show_is_a_violation(whole: object, objection: str) -> None:
    card = created(PUBLIC_TEMPLATE_ID, flowStatus="2", sys_full_json_obj=whole)
    assert card.violations[0].startswith(objection)


def clicked(**more: Any) -> tuple[Json, Json]:
    """The data of a click, and its `content` read."""
    space = "dtv1.card//IM_ROBOT.user0001"
    data = card_click("card-1", space, user="user0002", action="stop", params={"n": 1}, **more)
    return data, json.loads(data["content"])


def test_a_click_lists_its_action() -> None:
    data, content = clicked()
    assert content == {"cardPrivateData": {"actionIds": ["stop"], "params": {"n": 1}}}
    assert "actionId" not in data
    assert (data["outTrackId"], data["userId"]) == ("card-1", "user0002")


def test_a_click_may_have_its_action_on_top() -> None:
    data, content = clicked(ids="on top")
    assert content == {"cardPrivateData": {"params": {"n": 1}}}
    assert data["actionId"] == "stop"
