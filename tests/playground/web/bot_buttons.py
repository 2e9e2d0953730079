"""Puts buttons on a card, by the calls that a bot makes."""

import json
from typing import Any

import httpx

from cardbot.playground.platform import Platform
from cardbot.playground.world import CLIENT_ID, CLIENT_SECRET


def button(
    action: str, text: str, color: str, *, status: str = "normal", params: dict[str, str] | None = None
) -> dict[str, Any]:
    """An entry of the variable `buttons`."""
    event = {"type": "sendCardRequest", "params": {"actionId": action, "params": params or {}}}
    return {"text": text, "color": color, "status": status, "event": event}


FORM = [
    button("form:yes", "Approve", "blue"),
    button("form:no", "Reject", "red"),
    button("form:later", "Later", "gray", status="disabled"),
]


async def set_buttons(platform: Platform, buttons: list[dict[str, Any]]) -> None:
    """On the newest card, by the call that a bot makes, once the card is being written."""
    await platform.wait_for(lambda: any(card.state == "writing" for card in platform.cards.values()))
    async with httpx.AsyncClient(base_url=platform.url, trust_env=False) as http:
        login = {"appKey": CLIENT_ID, "appSecret": CLIENT_SECRET}
        token = (await http.post("/v1.0/oauth2/accessToken", json=login)).json()["accessToken"]
        body = {
            "outTrackId": list(platform.cards)[-1],
            "cardData": {"cardParamMap": {"buttons": json.dumps(buttons)}},
            "cardUpdateOptions": {"updateCardDataByKey": True},
        }
        headers = {"x-acs-dingtalk-access-token": token}
        (await http.put("/v1.0/card/instances", json=body, headers=headers)).raise_for_status()
