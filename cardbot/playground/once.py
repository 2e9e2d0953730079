"""One question through the unchanged bot, between a simulated DingTalk and a scripted or real Dify."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio

from cardbot.bot import Bot
from cardbot.playground.dify import FakeDify
from cardbot.playground.platform import TEMPLATE_ID, Platform
from cardbot.playground.samples import sample_answer
from cardbot.settings import DifySettings, Settings
from cardbot.texts import Language

LATENCY = 0.12
"""Seconds that each call to the simulated DingTalk takes. Our choice: what a real one takes from within China."""

PATIENCE = 1300.0
"""Seconds until an answer is given up here: longer than the bot itself would wait for a real Dify."""

CLIENT_ID, CLIENT_SECRET, DIFY_KEY = "playground", "playground-secret", "app-playground"
"""Credentials between the parts; they open nothing outside this process."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a person sees at one moment. `state` is the card's, or `reply` for a plain reply."""

    seconds: float
    state: str
    text: str
    calls: int
    """Calls that the card has cost so far."""

    @property
    def final(self) -> bool:
        """Whether this stays."""
        return self.state in ("done", "failed", "reply")


async def ask_once(
    question: str, dify: DifySettings | None, language: Language, watch: Callable[[Sight], None]
) -> Sight:
    """Ask, call `watch` whenever what is seen changes, and return what stays.

    `dify` names a real app to ask; None asks the scripted one.
    """
    async with _world(dify, language) as platform:
        began = anyio.current_time()
        await platform.say(question, name="You")
        last = Sight(0.0, "", "", 0)
        while not last.final:
            await platform.wait_for(lambda last=last: _look(platform) != (last.state, last.text), timeout=PATIENCE)  # type: ignore[misc]  # a default argument binds the loop's variable
            state, text = _look(platform)
            last = Sight(anyio.current_time() - began, state, text, _card_calls(platform))
            watch(last)
        return last


@asynccontextmanager
async def _world(dify: DifySettings | None, language: Language) -> AsyncGenerator[Platform]:
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(
            Platform(client_id=CLIENT_ID, client_secret=CLIENT_SECRET, latency=LATENCY)
        )
        values: dict[str, object] = {
            "DINGTALK_CLIENT_ID": CLIENT_ID,
            "DINGTALK_CLIENT_SECRET": CLIENT_SECRET,
            "DINGTALK_CARD_TEMPLATE_ID": TEMPLATE_ID,
            "DINGTALK_OPENAPI_ENDPOINT": platform.url,
            "CARDBOT_STORE": "memory:",
            "CARDBOT_LANGUAGE": language,
            "CARDBOT_DRAIN_SECONDS": 5.0,
        }
        if dify is None:
            scripted = await stack.enter_async_context(FakeDify(api_key=DIFY_KEY))
            scripted.default = sample_answer
            values |= {"DIFY_API_KEY": DIFY_KEY, "DIFY_BASE_URL": scripted.url}
        else:
            values |= {
                "DIFY_API_KEY": dify.dify_api_key.get_secret_value(),
                "DIFY_BASE_URL": dify.dify_base_url,
                "CARDBOT_DIFY_IDLE_SECONDS": dify.dify_idle_seconds,
            }
        leave = anyio.Event()
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(Bot(Settings.of(values)).run, leave)
        await platform.connected()
        try:
            yield platform
        finally:
            leave.set()


def _look(platform: Platform) -> tuple[str, str]:
    """The state and the text on the screen."""
    if platform.replies:
        return "reply", "\n\n".join(reply.text for reply in platform.replies)
    cards = [card for card in platform.cards.values() if card.delivered]
    if not cards:
        return "", ""
    return str(cards[-1].state), "\n\n".join(card.content for card in cards)


def _card_calls(platform: Platform) -> int:
    return sum(call.path.startswith("/v1.0/card/") for call in platform.calls)
