"""Robot messages as the platform pushes them. Pure.

Fields documented: open.dingtalk.com robot message types, read 2026-11. All values are made up.
"""

import json
from typing import Literal

from cardbot.playground.platform.endpoint import Json

MESSAGE_TOPIC = "/v1.0/im/bot/messages/get"
CARD_TOPIC = "/v1.0/card/instances/callback"

CORP_ID = "dingcorp0000000001"
BOT_ID = "$:LWCP_v1:$botEXAMPLE=="


def direct_conversation(user: str) -> str:
    """The conversation of `user` with the robot."""
    return f"cidDirect{user}=="


def text_message(text: str, *, user: str, name: str, group: str | None) -> Json:
    """What differs from message to message when somebody writes plain text."""
    # A mention is taken out of the text of a group message, and its blank stays.
    content = text if group is None else f" {text}"
    who = {"senderStaffId": user, "senderId": f"$:LWCP_v1:${user}==", "senderNick": name}
    where = {} if group is None else {"conversationId": group}
    return {"msgtype": "text", "text": {"content": content}, **who, **where}


def with_defaults(data: Json, *, msg_id: str, now_ms: int, robot_code: str) -> Json:
    """`data` with everything a message has besides its content. A value of `None` leaves the field out."""
    user = data.get("senderStaffId", "user0001") or "external"
    conversation = data.get("conversationId") or direct_conversation(user)
    is_group = data.get("conversationType", "1" if conversation == direct_conversation(user) else "2") == "2"
    defaults: Json = {
        "conversationId": conversation,
        "conversationType": "2" if is_group else "1",
        "chatbotCorpId": CORP_ID,
        "chatbotUserId": BOT_ID,
        "msgId": msg_id,
        "senderNick": "Test User",
        "isAdmin": False,
        "senderStaffId": "user0001",
        "senderCorpId": CORP_ID,
        "senderId": f"$:LWCP_v1:${user}==",
        "createAt": now_ms,
        "robotCode": robot_code,
        "senderPlatform": "Mac",
    }
    if is_group:
        defaults |= {
            "conversationTitle": "Demo group",
            "isInAtList": True,
            "atUsers": [{"dingtalkId": BOT_ID}],
        }
    return {name: value for name, value in {**defaults, **data}.items() if value is not None}


def card_click(
    card_id: str, space: str, *, user: str, action: str, params: Json, ids: Literal["listed", "on top"] = "listed"
) -> Json:
    """A click on a button of a card. documented: event-callback-card, read 2026-11: the action is in `actionIds`.

    seen: langbot-app/LangBot finds that of a `ButtonGroup` in `actionId`, beside `content`.
    """
    kind, _, space_id = space.removeprefix("dtv1.card//").partition(".")
    listed, on_top = ({"actionIds": [action]}, {}) if ids == "listed" else ({}, {"actionId": action})
    content = json.dumps({"cardPrivateData": {**listed, "params": params}}, ensure_ascii=False)
    return {
        "type": "actionCallback",
        "outTrackId": card_id,
        "corpId": CORP_ID,
        "userId": user,
        "userIdType": 1,
        "spaceId": space_id,
        "spaceType": kind,
        "extension": "{}",
        "content": content,
        "value": content,
        **on_top,
    }
