"""Presses of buttons as values. The first payload is that of DingTalk's documentation, with made-up ids."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardbot.dingtalk.presses import Press, press
from cardbot.errors import UnreadableMessage


def private(**changes: Any) -> dict[str, Any]:
    """What `content` holds."""
    return {"cardPrivateData": {"actionIds": ["stop"], "params": {}, **changes}}


def pushed(content: object, **changes: Any) -> dict[str, Any]:
    data = {
        "type": "actionCallback",
        "outTrackId": "ans-20261121-0001",
        "corpId": "dingcorp0000000001",
        "userId": "user0001",
        "userIdType": 1,
        "spaceId": "cidEXAMPLEgroup00==",
        "spaceType": "IM_GROUP",
        "extension": "{}",
        "content": content if isinstance(content, str) else json.dumps(content),
        **changes,
    }
    return {name: value for name, value in data.items() if value is not None}


def test_a_documented_press() -> None:
    """https://open.dingtalk.com/document/orgapp/event-callback-card"""
    data = pushed(private(params={"action": "stop", "answer_id": "a1"}))
    assert press(data) == Press("ans-20261121-0001", "user0001", "stop", {"action": "stop", "answer_id": "a1"})


def test_the_five_documented_fields_suffice() -> None:
    data = pushed(private(), userIdType=None, spaceId=None, spaceType=None, extension=None)
    assert press(data).action == "stop"


def test_content_may_be_an_object() -> None:
    assert press({**pushed(""), "content": private(params={"n": "1"})}).params == {"n": "1"}


def test_what_is_pushed_as_value_stands_in_for_a_missing_content() -> None:
    assert press(pushed("", value=json.dumps(private()))).action == "stop"


def test_an_extension_that_is_not_json_does_no_harm() -> None:
    assert press(pushed(private(), extension="not JSON")).action == "stop"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(pushed(private(actionIds=None), actionId="stop"), id="beside content"),
        pytest.param(pushed(private(actionIds=[]), actionData={"actionId": "stop"}), id="in actionData"),
        pytest.param(pushed({}, actionData=json.dumps({"actionId": "stop"})), id="in actionData, a string"),
        pytest.param(pushed({}, actionData=private()), id="listed in actionData"),
        pytest.param(pushed(private(actionIds=None, params={"action": "stop"})), id="what the button carries"),
        pytest.param(pushed(private(actionIds="stop")), id="a string for a list"),
        pytest.param(pushed(private(actionIds=[1, "", "stop"])), id="after something else"),
        pytest.param(pushed({"actionIds": ["stop"]}), id="in content itself"),
        pytest.param(pushed({"userPrivateData": {"actionIds": ["stop"]}}), id="in userPrivateData"),
    ],
)
def test_the_action_is_found_wherever_it_was_seen(data: dict[str, Any]) -> None:
    assert press(data).action == "stop"


def test_what_the_button_carries_is_surer_than_the_name_of_the_component() -> None:
    assert press(pushed(private(actionIds=["node_buttons"], params={"action": "form:yes"}))).action == "form:yes"


def test_the_action_beside_content_is_surer_than_the_name_of_the_component() -> None:
    assert press(pushed(private(actionIds=["node_buttons"]), actionId="form:yes")).action == "form:yes"


def test_values_that_are_no_text_become_json() -> None:
    """Inputs of a form: numbers, choices, switches."""
    params = {"n": 1, "sure": True, "chosen": ["一", "two"], "note": "好", "none": None}
    assert press(pushed(private(params=params))).params == {
        "n": "1",
        "sure": "true",
        "chosen": '["一", "two"]',
        "note": "好",
        "none": "null",
    }


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        (pushed(private(), outTrackId=None), "without outTrackId;"),
        (pushed(private(), outTrackId=7), "without outTrackId;"),
        (pushed(private(), userId=""), "without userId;"),
        (pushed(private(actionIds=[])), "without an action;"),
        (pushed("not JSON"), "without an action;"),
        (pushed("[1]"), "without an action;"),
        ({}, "without outTrackId, userId, an action;"),
    ],
)
def test_a_press_that_cannot_be_acted_on_says_what_it_lacks(data: dict[str, Any], missing: str) -> None:
    with pytest.raises(UnreadableMessage, match=missing):
        press(data)


def test_an_unreadable_press_is_told_by_its_fields_and_not_by_what_they_hold() -> None:
    with pytest.raises(UnreadableMessage) as refusal:
        press(pushed("{}", extension='{"key": "private"}'))
    assert "extension" in str(refusal.value)
    assert "private" not in str(refusal.value)


def test_data_nested_too_deep_is_unreadable() -> None:
    with pytest.raises(UnreadableMessage, match="too deep"):
        press(pushed("[" * 100_000))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)
HOLDER = st.fixed_dictionaries({}, optional={"actionIds": JSON, "actionId": JSON, "params": JSON})
WHOLE = st.fixed_dictionaries({}, optional={"cardPrivateData": JSON | HOLDER, "params": JSON, "actionIds": JSON})
CONTENT = JSON | WHOLE | WHOLE.map(json.dumps) | JSON.map(json.dumps)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "outTrackId": st.just("card") | JSON,
            "userId": st.just("user") | JSON,
            "actionId": JSON,
            "content": CONTENT,
            "value": CONTENT,
            "actionData": CONTENT,
            "extension": CONTENT,
        },
    )
)
def test_any_data_is_a_press_or_unreadable(data: dict[str, Any]) -> None:
    with suppress(UnreadableMessage):
        found = press(data)
        assert found.out_track_id
        assert found.person
        assert found.action
        assert all(isinstance(text, str) for text in (*found.params, *found.params.values()))
