"""A bot as the official SDK's tutorial teaches it, asking Dify.

The tutorial ("Typewriter-effect streaming AI card", open.dingtalk.com, and the example of the same name in
open-dingtalk/dingtalk-card-examples, read 2026-11) creates the card with `AICardReplier`, sends the whole text
with `async_streaming` whenever more than 20 characters have come since the last frame, and once more at the end
with `finished=True`. It reads the model inside the handler, so frame and model wait for each other, and the
acknowledgement goes out after the answer. That is kept. In its favour the model is read with async SSE; the tutorial's
own model client blocks the event loop. The SDK takes its host from `DINGTALK_OPENAPI_ENDPOINT`, so nothing is patched.
"""

import json
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import dingtalk_stream
import httpx

from benchmarks.children import parameters
from benchmarks.meter import measured

ENOUGH = 20
"""A frame is sent for more new characters than these. Documented: the tutorial."""


class AnswerHandler(dingtalk_stream.ChatbotHandler):  # type: ignore[misc]  # the SDK has no types
    """Answers each message with a card."""

    def __init__(self, dify: httpx.AsyncClient, template: str) -> None:
        super().__init__()
        self._dify = dify
        self._template = template

    async def process(self, callback: Any) -> tuple[int, str]:
        """Type the answer of one message."""
        message = dingtalk_stream.ChatbotMessage.from_dict(callback.data)
        replier = dingtalk_stream.AICardReplier(self.dingtalk_client, message)
        card = await replier.async_create_and_deliver_card(self._template, {"content": ""})

        async def show(text: str, *, finished: bool = False, failed: bool = False) -> None:
            await replier.async_streaming(
                card, content_key="content", content_value=text, append=False, finished=finished, failed=failed
            )

        text, shown = "", 0
        try:
            async for piece in self._ask(message.text.content.strip(), message.sender_staff_id):
                text += piece
                if len(text) - shown > ENOUGH:
                    await show(text)
                    shown = len(text)
            await show(text)
            await show(text, finished=True)
        except Exception:  # as in the tutorial: whatever it is, the card is marked as failed
            self.logger.exception("no answer")
            await show(text, failed=True)
        return dingtalk_stream.AckMessage.STATUS_OK, "OK"

    async def _ask(self, query: str, user: str) -> AsyncGenerator[str]:
        question = {"inputs": {}, "query": query, "response_mode": "streaming", "user": user}
        async with self._dify.stream("POST", "chat-messages", json=question) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    event = json.loads(line.removeprefix("data:"))
                    if event["event"] == "message":
                        yield event["answer"]


async def main() -> None:
    """Run the bot until the parent has gone."""
    where = parameters()
    client = dingtalk_stream.DingTalkStreamClient(dingtalk_stream.Credential("bench", "secret"))
    async with httpx.AsyncClient(
        base_url=where["dify"],
        headers={"authorization": "Bearer app-bench"},
        timeout=None,
        limits=httpx.Limits(max_connections=None),
    ) as dify:
        client.register_callback_handler(dingtalk_stream.ChatbotMessage.TOPIC, AnswerHandler(dify, where["template"]))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.start)
            await measured()
            tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main)
