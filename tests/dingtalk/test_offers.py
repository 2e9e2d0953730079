"""Buttons on cards: what a card offers from the start, and what it offers later."""

import json
from typing import Any

import anyio
import pytest

from cardbot.dingtalk.card import reply_of
from cardbot.dingtalk.offer import OFFER_TRIES, Offer
from cardbot.dingtalk.template import SHARED_TEMPLATE, Template
from cardbot.ports import STOP, Button, Card
from cardbot.texts import EN
from tests.dingtalk.test_cards import DENIED, LOST, Api, rejected, writer
from tests.values import DIRECT, Unwatched, new_id
from tests.virtual import in_virtual_time

YES, NO = Button("form:yes", "Send", "blue"), Button("form:no", "Drop")


def offered(params: Any) -> list[str]:
    """The actions of the buttons in an own card's variables."""
    return [button["event"]["params"]["actionId"] for button in json.loads(params["buttons"])]


async def shown(card: Card, text: str, seconds: float = 3) -> None:
    card.show(text)
    await anyio.sleep(seconds)


@in_virtual_time
async def test_a_card_offers_stop_from_the_start_at_no_cost() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await shown(card, "Hello")
        await card.finish("Hello")
    assert offered(api.cards[0].params) == [STOP]
    assert api.kinds == ["create", "frame", "final"]


@in_virtual_time
async def test_a_button_is_written_as_dingtalk_reads_it() -> None:
    """Documented: ButtonGroup of the card platform; seen: exports of open-dingtalk/dingtalk-card-examples."""
    params = Template("t", "content").offering([YES])
    assert json.loads(params["buttons"]) == [
        {
            "text": "Send",
            "color": "blue",
            "status": "normal",
            "event": {"type": "sendCardRequest", "params": {"actionId": "form:yes", "params": {"action": "form:yes"}}},
        }
    ]


@in_virtual_time
async def test_other_buttons_cost_one_update_and_the_text_goes_on() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await shown(card, "Hello")
        card.offer([YES, NO])
        await shown(card, "Hello, you")
        await card.finish("Hello, you")
    assert api.kinds == ["create", "frame", "update", "frame", "final"]
    assert offered(api.calls[2].params) == ["form:yes", "form:no"]
    assert api.calls[2].params.keys() == {"buttons"}


@in_virtual_time
async def test_the_same_buttons_again_cost_nothing() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        card.offer([YES])
        await anyio.sleep(3)
        card.offer([YES])
        await anyio.sleep(3)
    assert api.kinds.count("update") == 0
    assert offered(api.cards[0].params) == ["form:yes"]


@in_virtual_time
async def test_buttons_that_change_while_the_card_is_created_are_shown_after_it() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await anyio.sleep(0.05)
        card.offer([YES])
        await anyio.sleep(3)
    assert api.kinds == ["create", "update"]


@in_virtual_time
async def test_buttons_that_change_during_their_update_are_shown_in_another() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await anyio.sleep(3)
        card.offer([YES])
        await anyio.sleep(0.05)
        card.offer([NO])
        await anyio.sleep(3)
    assert [offered(call.params) for call in api.calls[1:]] == [["form:yes"], ["form:no"]]


@in_virtual_time
async def test_buttons_whose_update_may_be_lost_are_offered_again() -> None:
    api = Api()
    api.errors["update"] = [LOST]
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await anyio.sleep(3)
        card.offer([YES])
        await anyio.sleep(3)
    assert api.kinds == ["create", "update", "update"]


@in_virtual_time
@pytest.mark.parametrize("refusal", [DENIED, rejected("param.invalid")])
async def test_a_card_that_takes_no_buttons_still_shows_its_text(refusal: Exception) -> None:
    api = Api()
    api.always["update"] = refusal
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await anyio.sleep(3)
        card.offer([YES])
        await shown(card, "Hello")
        await card.finish("Hello, you")
    assert api.kinds == ["create", "update", "frame", "final"]


@in_virtual_time
async def test_text_goes_before_buttons_that_were_not_taken_which_are_not_tried_for_ever() -> None:
    api = Api()
    api.always["update"] = LOST
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await anyio.sleep(3)
        card.offer([YES])
        await shown(card, "Hello", seconds=10)
        assert api.kinds == ["create", "update", "frame", "update", "update"]


@in_virtual_time
async def test_a_text_of_unknown_outcome_keeps_its_guid_though_buttons_are_refused_before_it_is_repeated() -> None:
    api = Api()
    api.errors["frame"], api.errors["update"] = [LOST], [DENIED]
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await shown(card, "Hello", seconds=1)
        card.offer([YES])
        await anyio.sleep(3)
    assert api.kinds == ["create", "frame", "update", "frame"]
    assert api.calls[1].guid == api.calls[3].guid


@in_virtual_time
@pytest.mark.parametrize("step", ["create", "frame"])
async def test_a_card_that_shows_no_more_before_its_end_says_so(step: str) -> None:
    class Watch(Unwatched):
        hid = 0

        def hidden(self) -> None:
            self.hid += 1

    api, watch = Api(), Watch()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), watch) as card:
        await shown(card, "Hello")
        assert watch.hid == 0
    api.always[step] = rejected("param.invalid")
    async with writer(api) as cards, cards.open(DIRECT, new_id(), watch) as card:
        await shown(card, "Hello")
        assert watch.hid > 0


@in_virtual_time
async def test_a_card_at_its_end_offers_nothing_new() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await shown(card, "Hello")
        await card.finish("Hello")
        card.offer([YES])
        await anyio.sleep(3)
    assert "update" not in api.kinds


@in_virtual_time
async def test_the_last_text_does_not_wait_for_buttons() -> None:
    api = Api()
    async with writer(api) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await shown(card, "Hello")
        card.offer([YES])
        await card.finish("Hello, you")
    assert api.kinds[-1] == "final"
    assert "update" not in api.kinds


@in_virtual_time
async def test_the_shared_template_offers_buttons_in_its_own_way() -> None:
    """Seen: the official SDK's AI card and public connectors fill `msgButtons` of `sys_full_json_obj`."""
    api = Api()
    async with writer(api, template=SHARED_TEMPLATE) as cards, cards.open(DIRECT, new_id(), Unwatched()) as card:
        await shown(card, "Hello")
        card.offer([YES])
        await anyio.sleep(3)
        await card.finish("Hello")
    updates = [call.params for call in api.calls if call.kind == "update"]
    shapes = [json.loads(params["sys_full_json_obj"]) for params in updates]
    stop = {"text": EN.stop, "color": "gray", "id": STOP, "request": True}
    assert shapes[0] == {"order": ["msgContent", "msgButtons"], "msgButtons": [stop]}
    assert shapes[1]["msgButtons"] == [{"text": "Send", "color": "blue", "id": "form:yes", "request": True}]
    assert updates[1].keys() == {"sys_full_json_obj"}, "late, it would open a card that has ended"
    assert shapes[-1] == {"order": ["msgContent"]}


@in_virtual_time
async def test_a_card_that_is_taken_over_offers_what_its_new_owner_says() -> None:
    api = Api()
    async with writer(api) as cards, cards.resume(DIRECT, new_id(), "so far", Unwatched()) as card:
        card.offer([YES, NO])
        await anyio.sleep(3)
    assert offered(api.calls[0].params) == ["form:yes", "form:no"]


def test_buttons_are_offered_until_the_card_has_them() -> None:
    offer = Offer([YES])
    assert not offer.is_open
    offer.change([NO])
    assert offer.is_open
    assert offer.send() == (NO,)
    offer.change([YES, NO])
    offer.taken()
    assert offer.is_open, "others were asked for during the call"


def test_buttons_that_the_card_has_again_need_no_call() -> None:
    offer = Offer([YES])
    offer.change([NO])
    offer.change([YES])
    assert not offer.is_open


def test_other_buttons_get_all_their_tries() -> None:
    offer = Offer([])
    for buttons in ([YES], [NO]):
        offer.change(buttons)
        for _ in range(OFFER_TRIES):
            assert offer.is_open
            offer.lost()
        assert not offer.is_open


@pytest.mark.parametrize(
    ("out_track_id", "reply_id"),
    [
        ("cardbot-0123abc-1", "0123abc"),
        ("cardbot-0123abc-12", "0123abc"),
        ("other-0123abc-1", ""),
        ("cardbot-0123abc", ""),
        ("cardbot-", ""),
        ("", ""),
    ],
)
def test_a_card_names_its_reply(out_track_id: str, reply_id: str) -> None:
    assert reply_of(out_track_id) == reply_id
