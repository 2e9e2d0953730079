"""The answers of an AI assistant, through the webhook that came with the question.

A message there cannot be changed any more, so nothing is typed: an answer is one message at its end, or some in order
if it is long. And it has no id that would make a repetition harmless: what may have arrived is not sent again, but by
the next start, for which an answer that nobody saw is worse than one that came twice.
"""

from collections.abc import Sequence

import anyio
import httpx

from cardbot import paging
from cardbot.dingtalk.openapi import OpenApi
from cardbot.dingtalk.refusals import check_answer_of_assistant
from cardbot.dingtalk.sdk import encoded, exchange, was_never_sent
from cardbot.dingtalk.webhook import BODY_LIMIT, RETRY_PAUSES, trusted
from cardbot.errors import DingTalkError, DingTalkUnreachable, Throttled, WebhookExpired
from cardbot.harmless import harmless
from cardbot.messages import Incoming

MARKDOWN_CARD = "d28e2ac5-fb34-4d93-94bc-cf5c580c2d4f.schema"
"""The template of a card that is only markdown. Seen: `GraphHandler` of the official SDK, 0.24.3."""


class AssistantReplies:
    """Delivers the answers of an AI assistant; implements `cardbot.ports.Webhook`."""

    def __init__(self, api: OpenApi, *, retry_pauses: Sequence[float] = RETRY_PAUSES) -> None:
        self._api = api
        self._retry_pauses = retry_pauses

    async def send(self, incoming: Incoming, markdown: str, *, occasion: str = "") -> None:
        """Deliver the whole text, in several messages if need be. No `occasion` is needed: nothing is a repetition.

        Raises the `DingTalkError` of the first piece that was not delivered; those before it are in the chat.
        `DingTalkUnreachable` means that nobody knows about that piece.
        """
        if incoming.webhook is None:
            raise WebhookExpired("The assistant's request came without a webhook.")
        url = trusted(incoming.webhook.url, endpoint=self._api.endpoint, message_id=incoming.message_id)
        # Our choice: what a session webhook takes. How much this one does is not documented.
        for piece in paging.parcels(markdown, BODY_LIMIT, lambda piece: len(_body(piece))):
            await self._post(url, _body(piece))

    async def _post(self, url: httpx.URL, body: bytes) -> None:
        """Post one message; again, up to twice, if it is certain that nobody took it."""
        pauses = list(self._retry_pauses)
        while True:
            request = self._api.http.build_request(
                "POST", url, content=body, headers={"content-type": "application/json; charset=utf-8"}
            )
            try:
                check_answer_of_assistant(await exchange(self._api.http, request))
                return
            except DingTalkError as error:
                if not (pauses and _nobody_took_it(error)):
                    raise
                await anyio.sleep(max(pauses.pop(0), error.retry_after if isinstance(error, Throttled) else 0.0))


def _body(markdown: str) -> bytes:
    card = {"templateId": MARKDOWN_CARD, "cardData": {"content": harmless(markdown)}}
    return encoded({"contentType": "ai_card", "content": card})


def _nobody_took_it(error: DingTalkError) -> bool:
    return isinstance(error, Throttled) or (isinstance(error, DingTalkUnreachable) and was_never_sent(error))
