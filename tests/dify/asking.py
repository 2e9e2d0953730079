"""A question for a client of Dify, and what came of it."""

from contextlib import aclosing
from typing import Any

from cardbot.answer import Answer
from cardbot.dify.client import DifyClient
from cardbot.events import Event
from cardbot.messages import Question
from cardbot.playground.dify import FakeDify
from cardbot.texts import EN

TEXT = "The quick brown fox jumps over the lazy dog. 中文😀"
ASK = Question("hello", "user-1")


async def ask(client: DifyClient, question: Question = ASK) -> tuple[Answer, list[Event]]:
    """The answer as a person would see it, and the events that it was made of."""
    answer, events = Answer(EN), []
    async with aclosing(client.ask(question)) as stream:
        async for event in stream:
            events.append(event)
            answer.apply(event)
    answer.close()
    return answer, events


def posts(dify: FakeDify) -> list[dict[str, Any]]:
    """The bodies that Dify was sent."""
    return [request.body or {} for request in dify.requests if request.method == "POST"]
