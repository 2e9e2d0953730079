"""What cards tell of themselves for those who will quote them: their carriers, and what they show in the end."""

import anyio
import pytest

from cardbot.dingtalk.openapi import NewCard
from cardbot.dingtalk.template import SHARED_TEMPLATE, Template
from cardbot.errors import CardLost, ContentRefused
from cardbot.texts import EN
from tests.dingtalk.test_cards import LOST, OWN, Api, rejected, writer
from tests.values import DIRECT, Unwatched
from tests.virtual import in_virtual_time

PAGES = ("first " * 60).rstrip(), ("second " * 60).rstrip()


class Naming(Api):
    """Names the carrier of each card."""

    async def create_and_deliver(self, card: NewCard) -> str:
        await super().create_and_deliver(card)
        return f"pqk-{card.out_track_id}"


class Notes(Unwatched):
    """What was told."""

    def __init__(self) -> None:
        self.carriers: dict[str, str] = {}
        self.texts: dict[str, str] = {}

    def carried(self, card_id: str, carrier: str) -> None:
        self.carriers[card_id] = carrier

    def ended(self, card_id: str, markdown: str) -> None:
        self.texts[card_id] = markdown


@pytest.mark.parametrize("template", [OWN, SHARED_TEMPLATE], ids=["own", "shared"])
@pytest.mark.parametrize("failed", [False, True])
def test_a_card_tells_its_carrier_when_it_is_there_and_its_text_at_its_end(template: Template, failed: bool) -> None:
    @in_virtual_time
    async def run() -> None:
        api, notes = Naming(), Notes()
        async with writer(api, template=template) as cards, cards.open(DIRECT, "r1", notes) as card:
            card.show("Hel")
            await anyio.sleep(5)
            assert (notes.carriers, notes.texts) == ({"cardbot-r1-1": "pqk-cardbot-r1-1"}, {})
            await (card.fail if failed else card.finish)("Hello")
        assert notes.texts == {"cardbot-r1-1": "Hello"}

    run()


@in_virtual_time
async def test_each_card_of_a_long_answer_tells_its_own() -> None:
    api, notes = Naming(), Notes()
    async with writer(api, card_characters=500) as cards, cards.open(DIRECT, "r1", notes) as card:
        await card.finish("\n\n".join(PAGES))
    assert notes.carriers == {name: f"pqk-{name}" for name in ("cardbot-r1-1", "cardbot-r1-2")}
    assert notes.texts == dict(zip(["cardbot-r1-1", "cardbot-r1-2"], PAGES, strict=True))


@in_virtual_time
async def test_a_card_that_was_taken_over_tells_its_text_too() -> None:
    notes = Notes()
    async with writer(Naming()) as cards, cards.resume(DIRECT, "r1", "Hel", notes) as card:
        await card.finish("Hello")
    assert (notes.carriers, notes.texts) == ({}, {"cardbot-r1-1": "Hello"})


@in_virtual_time
async def test_a_text_that_the_card_did_not_take_is_not_told() -> None:
    api, notes = Naming(), Notes()
    api.errors["final"] = [rejected("param.invalid")]
    async with writer(api) as cards, cards.open(DIRECT, "r1", notes) as card:
        with pytest.raises(CardLost):
            await card.finish("Hello")
    assert notes.texts == {}


@in_virtual_time
async def test_of_cards_of_which_one_is_lost_the_others_tell_theirs() -> None:
    api, notes = Naming(), Notes()
    api.errors["create"] = [None, rejected("param.invalid")]
    async with writer(api, card_characters=500) as cards, cards.open(DIRECT, "r1", notes) as card:
        with pytest.raises(CardLost):
            await card.finish("\n\n".join(PAGES))
    assert notes.texts == {"cardbot-r1-1": PAGES[0]}


@in_virtual_time
async def test_what_the_content_check_did_not_let_pass_is_not_told() -> None:
    api, notes = Naming(), Notes()
    api.errors["final"] = [ContentRefused("unsafe", status=400, code="param.contentUnsafe")]
    async with writer(api) as cards, cards.open(DIRECT, "r1", notes) as card:
        await card.finish("Hello")
    assert notes.texts == {"cardbot-r1-1": EN.withheld}


@in_virtual_time
async def test_a_card_whose_creation_was_not_heard_of_tells_no_carrier() -> None:
    api, notes = Naming(), Notes()
    api.errors["create"] = [LOST, rejected("param.cardAlreadyExist")]
    async with writer(api) as cards, cards.open(DIRECT, "r1", notes) as card:
        await card.finish("Hello")
    assert (notes.carriers, notes.texts) == ({}, {"cardbot-r1-1": "Hello"})
