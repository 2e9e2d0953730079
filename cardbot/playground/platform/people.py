"""What people do to reach a bot: they write to it, ask an assistant, press a button. Each becomes a push."""

import time
import uuid
from typing import Any, Literal

from cardbot.playground.platform import acks, assistant, cards, contents, incoming, spaces
from cardbot.playground.platform.assistant import Assistant
from cardbot.playground.platform.cards import Card
from cardbot.playground.platform.endpoint import Json, Refused
from cardbot.playground.platform.gateway import Gateway
from cardbot.playground.platform.ledger import Ledger
from cardbot.playground.platform.pushes import Message
from cardbot.playground.platform.spaces import Directory
from cardbot.playground.platform.webhook import Webhook

ClickIds = Literal["listed", "on top"]
"""Where the action of a click is: in `actionIds`, or as `actionId` on top. Both were seen."""


class People:
    """The people of the organisation. `url` is where the webhooks are that their messages name."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        gateway: Gateway,
        directory: Directory,
        webhook: Webhook,
        assistant: Assistant,
        robot_code: str,
        click_ids: ClickIds,
    ) -> None:
        self.url = ""
        self._ledger = ledger
        self._gateway = gateway
        self._directory = directory
        self._webhook = webhook
        self._assistant = assistant
        self._robot_code = robot_code
        self._click_ids = click_ids

    async def say(
        self,
        text: str,
        *,
        user: str = "user0001",
        name: str = "Test User",
        group: str | None = None,
        **fields: Any,
    ) -> Message:
        """A text message in the direct chat, or in `group` with a mention of the robot."""
        return await self.push({**incoming.text_message(text, user=user, name=name, group=group), **fields})

    async def quote(
        self,
        card: Card,
        text: str,
        *,
        tells: contents.Tells = "key",
        user: str = "user0001",
        name: str = "Test User",
    ) -> Message:
        """A text message that quotes a card, in the chat that the card is in; `tells`: how much comes along of it.

        Raises ValueError for a card that this person does not see.
        """
        kind, _, place = card.space.removeprefix(spaces.PREFIX).partition(".")
        if kind == "IM_ROBOT" and place != user:
            raise ValueError(f"card {card.out_track_id} is not in the chat of {user}")
        said = incoming.text_message(text, user=user, name=name, group=place if kind == "IM_GROUP" else None)
        return await self.push(contents.quoting_card(said, card, tells=tells))

    async def push(self, data: Json) -> Message:
        """A message of any kind; all but its content is filled in. `None` leaves a field out."""
        now_ms = time.time_ns() // 1_000_000
        msg_id = f"msg{uuid.uuid4().hex}=="
        body = incoming.with_defaults(data, msg_id=msg_id, now_ms=now_ms, robot_code=self._robot_code)
        session, lifetime = self._webhook.session(body["conversationId"], now=time.monotonic())
        if "sessionWebhook" not in data:
            body["sessionWebhook"] = f"{self.url}/robot/sendBySession?session={session}"
        if "sessionWebhookExpiredTime" not in data:
            body["sessionWebhookExpiredTime"] = now_ms + int(lifetime * 1000)
        user = body.get("senderStaffId", "")
        if user:
            self._directory.users.add(user)
        if body["conversationType"] == "2":
            self._directory.groups.add(body["conversationId"])
        message = Message(body["msgId"], body["conversationId"], user, incoming.MESSAGE_TOPIC, body)
        await self._gateway.push(message)
        return message

    async def ask_assistant(
        self, text: str, *, user: str = "user0001", method: assistant.Method = "POST", **variables: Any
    ) -> Message:
        """A request of an AI assistant's skill. `variables` are added to its own; `None` leaves one out."""
        chat = f"cidAssistant{user}=="
        session = self._assistant.session(chat, user, now=time.monotonic())
        given = {
            "rawInput": text,
            "sessionWebhook": f"{self.url}{assistant.PATH}?session={session}",
            "openConversationId": chat,
            "unionId": f"union-{user}",
            "runId": f"run-{uuid.uuid4()}",
        }
        return await self.invoke(assistant.request({**given, **variables}, method=method), user=user)

    async def invoke(self, data: Json, *, user: str = "user0001") -> Message:
        """The same, however odd."""
        message = Message(uuid.uuid4().hex, f"cidAssistant{user}==", user, assistant.TOPIC, data)
        await self._gateway.push(message)
        return message

    async def click(self, card: Card, action: str, *, user: str = "user0001", **inputs: Any) -> Message:
        """A click on a button that `card` shows; returns when the answer is applied.

        `inputs` go along with the button's own parameters. Raises ValueError where there is no such button to press,
        TimeoutError without an answer.
        """
        found = [button for button in card.buttons if button.action == action and button.works]
        if not found:
            raise ValueError(f"card {card.out_track_id} shows no button {action!r} that can be pressed")
        return await self._press(card, action, user, {**found[0].params, **inputs})

    async def click_late(self, card: Card, action: str, *, user: str = "user0001", **params: Any) -> Message:
        """The same from a screen that has not caught up: the button may be gone."""
        return await self._press(card, action, user, params)

    async def _press(self, card: Card, action: str, user: str, params: Json) -> Message:
        if card.created.get("callbackType") != "STREAM":
            raise ValueError("the buttons of a card without callbackType STREAM do nothing")
        data = incoming.card_click(
            card.out_track_id, card.space, user=user, action=action, params=params, ids=self._click_ids
        )
        message = Message(uuid.uuid4().hex, "", user, incoming.CARD_TOPIC, data)
        await self._gateway.push(message)
        await self._ledger.wait_for(lambda: message.ack is not None)
        answer = acks.response(message.ack or {})
        if answer.get("cardData"):
            try:
                cards.update(card, answer)
            except Refused as refused:
                self._ledger.objection(f"answer to a click: {refused}")
            self._ledger.changed()
        return message
