"""Quotes of cards as the simulated platform pushes them, in every shape that was seen."""

from typing import Any

import httpx
import pytest

from cardbot.playground.platform import TEMPLATE_ID, Platform, cards, contents
from cardbot.playground.platform.cards import Card, Rules, TemplateSpec
from cardbot.playground.platform.endpoint import Json
from cardbot.playground.platform.incoming import BOT_ID

GROUP = "cidTEAM0000=="


def finished(space: str = "dtv1.card//IM_ROBOT.user0001", text: str = "One\n\nTwo") -> Card:
    body = {"cardTemplateId": "t", "outTrackId": "card-1", "cardData": {"cardParamMap": {}}}
    card = cards.create(body, {"t": TemplateSpec()})
    cards.deliver(card, space, now=0.0)
    frame = {"guid": "1", "key": "content", "content": text, "isFull": True, "isFinalize": True}
    cards.stream(card, frame, rules=Rules(), now=1.0)
    return card


def quoted(tells: contents.Tells, message: Json | None = None) -> Any:
    return contents.quoting_card(message or contents.text("and this?"), finished(), tells=tells)


@pytest.mark.parametrize(
    ("tells", "content"),
    [
        ("variables", {"cardData": {"cardParamMap": {"content": "One\n\nTwo"}}}),
        (
            "elements",
            {
                "cardContent": [
                    {
                        "elementType": "RICHTEXT",
                        "children": [
                            {"elementType": "TEXT", "value": "One"},
                            {"elementType": "TEXT", "value": "Two"},
                        ],
                    }
                ]
            },
        ),
        ("key", {}),
    ],
)
def test_a_quote_tells_as_much_of_a_card_as_it_is_told_to(tells: contents.Tells, content: Json) -> None:
    data = quoted(tells)
    assert data["originalProcessQueryKey"] == "pqk-card-1"
    assert data["text"]["isReplyMsg"] is True
    replied = data["text"]["repliedMsg"]
    assert (replied["msgType"], replied["senderId"], replied["content"]) == ("interactiveCard", BOT_ID, content)


def test_a_quote_may_be_nothing_but_a_key() -> None:
    assert quoted("only key") == {
        "msgtype": "text",
        "text": {"content": "and this?", "isReplyMsg": True},
        "originalProcessQueryKey": "pqk-card-1",
    }


def test_a_quote_may_be_nothing_but_an_id() -> None:
    data = quoted("id")
    assert data["text"]["repliedMsg"].keys() == {"msgId"}
    assert "originalProcessQueryKey" not in data


def test_other_kinds_quote_in_their_content() -> None:
    data = quoted("key", contents.rich_text("and this?"))
    assert data["content"]["repliedMsg"]["msgType"] == "interactiveCard"


def test_a_card_in_no_chat_cannot_be_quoted() -> None:
    body = {"cardTemplateId": "t", "outTrackId": "card-1", "cardData": {"cardParamMap": {}}}
    with pytest.raises(ValueError, match="nobody can quote it"):
        contents.quoting_card(contents.text("?"), cards.create(body, {"t": TemplateSpec()}), tells="key")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("space", "chat", "kind"),
    [("dtv1.card//IM_ROBOT.user0001", "cidDirectuser0001==", "1"), (f"dtv1.card//IM_GROUP.{GROUP}", GROUP, "2")],
)
async def test_a_card_is_quoted_in_its_own_chat(space: str, chat: str, kind: str) -> None:
    async with Platform() as platform:
        message = await platform.quote(finished(space), "and this?")
    assert (message.data["conversationId"], message.data["conversationType"]) == (chat, kind)


@pytest.mark.anyio
async def test_a_card_is_quoted_by_nobody_who_does_not_see_it() -> None:
    async with Platform() as platform:
        with pytest.raises(ValueError, match="not in the chat of eve"):
            await platform.quote(finished(), "and this?", user="eve")


@pytest.mark.anyio
async def test_a_quote_names_the_card_as_its_creation_did() -> None:
    async with Platform() as platform, httpx.AsyncClient(base_url=platform.url, trust_env=False) as http:
        platform.users.add("user0001")
        keys = {"appKey": "dingtest", "appSecret": "secret"}
        token = (await http.post("/v1.0/oauth2/accessToken", json=keys)).json()["accessToken"]
        body = {
            "cardTemplateId": TEMPLATE_ID,
            "outTrackId": "card-1",
            "cardData": {"cardParamMap": {}},
            "openSpaceId": "dtv1.card//IM_ROBOT.user0001",
            "imRobotOpenDeliverModel": {"spaceType": "IM_ROBOT"},
        }
        headers = {"x-acs-dingtalk-access-token": token}
        made = (await http.post("/v1.0/card/instances/createAndDeliver", json=body, headers=headers)).json()
        message = await platform.quote(platform.cards["card-1"], "and this?")
    (place,) = made["result"]["deliverResults"]
    assert message.data["originalProcessQueryKey"] == place["carrierId"]
