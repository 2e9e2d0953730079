"""The other side of a round, in a process of its own: a simulated DingTalk and a scripted Dify.

It says where it is, waits for a bot, asks one short question that does not count (so that token and connections are
there), and on "go" asks all the others. Then it tells what every answer came to, moment by moment, on one clock.

A frame counts as shown when the platform has applied it: its arrival plus the call's latency. That this process was
not the bottleneck shows in its own event-loop lag, which is part of the result.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import anyio

from benchmarks.children import parameters, say, told
from benchmarks.load import LATENCY, QPS, Load
from benchmarks.meter import Meter
from cardbot.playground.dify import FakeDify, Script
from cardbot.playground.platform import TEMPLATE_ID, Platform, State
from cardbot.playground.platform.cards import Card
from cardbot.playground.platform.incoming import direct_conversation

STREAM = "PUT /v1.0/card/streaming"
QUESTION = "/v1/chat-messages"

QUIET = 5.0
"""Seconds without a call after Dify's last word until what is not finished counts as never finished. Our choice: longer
than any pause a bot is known to make between two tries."""

PATIENCE = 30.0
"""Seconds after Dify's last word, beside those that the quota needs, until the round ends anyway. Our choice."""

WARM_UP = "warm-up"


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one question. Moments in seconds, on the clock of this process."""

    question: str
    asked: float
    begun: float | None
    """When Dify got it; its script starts then."""
    frames: list[tuple[float, int]]
    """Moments of the frames as shown, each with the characters of the answer that it shows."""
    finished: list[float]
    """Moments of the final states; a good bot has one."""
    flaw: str
    """Why it is not complete; empty if exactly one card and nothing else holds the whole answer, in its final state."""


class World:
    """Platform and Dify of one round."""

    def __init__(self, load: Load, platform: Platform, dify: FakeDify) -> None:
        self._load = load
        self._platform = platform
        self._dify = dify
        self._asked: dict[str, float] = {}  # when each question was sent, by its text
        dify.default = self._script

    async def prepare(self) -> None:
        """Wait for a bot, and for its answer to a first short question."""
        await self._platform.wait_for(lambda: self._platform.connections, timeout=30.0)
        await self._platform.say(WARM_UP, user=WARM_UP)
        await self._platform.wait_for(lambda: self._settled(1), timeout=30.0)
        self._calls_before = len(self._platform.calls)
        self._objections_before = len(self._platform.violations)

    async def play(self) -> dict[str, Any]:
        """Ask all questions, wait for their answers, tell what happened."""
        meter = Meter()
        meter.begin()
        async with anyio.create_task_group() as tasks:
            if self._load.burn:
                tasks.start_soon(self._platform.burn, self._load.burn, STREAM)
            for number in range(self._load.answers):
                tasks.start_soon(self._ask, number)
            await self._end()
            tasks.cancel_scope.cancel()
        questions = [request for request in self._dify.requests if request.path == QUESTION]
        begun = {request.body["query"]: request.time for request in reversed(questions) if request.body}
        calls = [call for call in self._platform.calls[self._calls_before :] if call.path.startswith("/v1.0/card/")]
        return {
            "answers": [asdict(self._told(question, begun.get(question))) for question in self._asked],
            "calls": len(calls),
            "frames": sum(f"{call.method} {call.path}" == STREAM and call.status == 200 for call in calls),
            "rejected": sum(call.status == 403 for call in calls),
            "violations": len(self._platform.violations) - self._objections_before,
            "objections": self._platform.violations[self._objections_before :][:20],
            "world": asdict(meter.end()),
        }

    def _script(self, question: str) -> Script:
        load = self._load
        if question == WARM_UP:
            return Script("ok")
        return Script(load.answer_to(question), chunk=load.piece, cps=load.speed, first=load.first)

    async def _ask(self, number: int) -> None:
        await anyio.sleep(number * self._load.spread / self._load.answers)
        question = f"question {number:03}"
        self._asked[question] = time.monotonic()
        await self._platform.say(question, user=_person(question))

    async def _end(self) -> None:
        """Until every question has its final state, or nothing happens any more."""
        load = self._load
        over = time.monotonic() + load.spread + load.first + load.seconds
        latest = over + load.answers / QPS + PATIENCE
        while not self._settled(1 + load.answers) and time.monotonic() < latest:
            await anyio.sleep(0.1)
            if time.monotonic() > max(over, self._platform.calls[-1].time) + QUIET:
                return

    def _settled(self, count: int) -> bool:
        cards = [card for card in self._platform.cards.values() if card.state in (State.DONE, State.FAILED)]
        chats = {direct_conversation(card.space.rpartition(".")[2]) for card in cards}
        return len(chats | {reply.conversation for reply in self._platform.replies}) >= count

    def _told(self, question: str, begun: float | None) -> Told:
        text = self._load.answer_to(question)
        cards = [card for card in self._platform.cards.values() if card.space.endswith(f".{_person(question)}")]
        chat = direct_conversation(_person(question))
        replies = [reply.text for reply in self._platform.replies if reply.conversation == chat]
        frames = sorted((frame for card in cards for frame in card.frames), key=lambda frame: frame.time)
        return Told(
            question,
            self._asked[question],
            begun,
            frames=[(frame.time + LATENCY, _visible(text, frame.content)) for frame in frames],
            finished=[frame.time + LATENCY for frame in frames if frame.finalize or frame.error],
            flaw=_flaw(cards, replies, text),
        )


def _flaw(cards: Sequence[Card], replies: Sequence[str], text: str) -> str:
    """What is wrong with how an answer ended up; empty if nothing."""
    if replies:
        return f"a plain reply, beginning with {replies[0][:40]!r}"
    if len(cards) != 1:
        return f"{len(cards)} cards"
    (card,) = cards
    if card.state is not State.DONE:
        return f"a card that is {card.state} and ends with {card.content[-40:]!r}"
    if card.content != text:
        return f"a finished card that ends with {card.content[-40:]!r}"
    if [frame.finalize for frame in card.frames].count(True) != 1 or not card.frames[-1].finalize:
        return "a card that was opened again"
    return ""


def _visible(text: str, content: str) -> int:
    """Characters of the text that a card shows, up to where it shows something else: a bold word closed early, say."""
    different = (number for number, (here, there) in enumerate(zip(text, content, strict=False)) if here != there)
    return len(content) if text.startswith(content) else next(different, len(text))


def _person(question: str) -> str:
    return question.replace(" ", "-")


async def main() -> None:
    """One round."""
    load = Load(**parameters())
    async with (
        Platform(client_id="bench", client_secret="secret", latency=LATENCY, qps=QPS) as platform,
        FakeDify(api_key="app-bench", linger=0) as dify,
    ):
        world = World(load, platform, dify)
        say({"dingtalk": platform.url, "dify": dify.url, "template": TEMPLATE_ID})
        if await told() == "prepare":
            await world.prepare()
            say("ready")
        if await told() == "go":
            say(await world.play())
        await told()


if __name__ == "__main__":
    anyio.run(main)
