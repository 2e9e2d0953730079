"""Whatever is switched on, a message comes to an end, and the page shows it."""

import anyio
import pytest

from cardbot.playground import world
from cardbot.playground.web import playground
from tests.playground.web.visitor import Visitor, visiting

pytestmark = pytest.mark.anyio

QUESTION = "Show me this week's traffic."

ENDS = {
    "throttle": "done",
    "quota": "reply",
    "refused": "reply",
    "token": "done",
    "error": "failed",
    "cut": "done",
    "silence": "done",
    "redelivery": "done",
    "dropped": "done",
}
"""What a message ends as. A cut or silent answer is done, and says that it was interrupted."""


def ended(page: Visitor) -> str:
    if page.all("reply"):
        return "reply"
    return next((card["state"] for card in page.all("card") if card["state"] in ("done", "failed")), "")


async def ask_with(fault: str, outcomes: dict[str, str], texts: dict[str, str]) -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        (await page.act("switch", id=fault, on=True)).raise_for_status()
        await page.say("Tell me the story of the telegraph." if fault in ("error", "cut", "silence") else QUESTION)
        await page.until(lambda: ended(page))
        if fault == "redelivery":
            await page.until(lambda: [call for call in page.all("call") if "×2" in call.get("verdict", "")])
            assert len(page.all("card")) == 1
        outcomes[fault] = ended(page)
        texts[fault] = (page.all("reply") or page.all("card"))[0]["text"]


async def test_each_fault_ends_in_one_visible_final_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "IDLE_SECONDS", 2.0)  # how long the bot bears silence
    outcomes: dict[str, str] = {}
    texts: dict[str, str] = {}
    async with anyio.create_task_group() as tasks:  # together: each is mostly waiting
        for fault in ENDS:
            tasks.start_soon(ask_with, fault, outcomes, texts)
    assert outcomes == ENDS
    assert "interrupted" in texts["cut"]
    assert "interrupted" in texts["silence"]
    assert "model overloaded" in texts["error"]
    for fault in ("throttle", "quota", "refused", "token", "redelivery", "dropped"):
        assert texts[fault].endswith("that morning.\n")


async def test_a_message_to_a_dead_connection_waits_for_the_next_one() -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        await page.act("switch", id="zombie", on=True)
        await page.say("/help")  # gets a plain reply
        await page.until(lambda: [message for message in page.all("message") if message.get("waits")])
        await page.until(lambda: page.all("meter")[0]["connections"] == 0)
        await page.act("switch", id="dropped", on=True)  # the bot would notice by itself after 75 s
        await page.until(lambda: ended(page) == "reply")
        assert not page.all("message")[0]["waits"]


async def test_a_fault_that_is_switched_off_is_over() -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        for on in (True, False):
            for fault in ("refused", "throttle", "quota", "cut"):
                await page.act("switch", id=fault, on=on)
        await page.until(lambda: not any(switch["on"] for switch in page.all("switch")))
        await page.say(QUESTION)
        await page.until(lambda: ended(page) == "done")
        assert all(call["good"] for call in page.all("call") if call["good"] is not None)


async def test_an_answer_breaks_in_one_way_only() -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        await page.act("switch", id="cut", on=True)
        await page.act("switch", id="silence", on=True)
        await page.until(lambda: [switch["id"] for switch in page.all("switch") if switch["on"]] == ["silence"])


async def test_sliders_hold_at_once_and_keep_to_their_ends() -> None:
    async with playground(None, "en") as url, visiting(url) as page:
        await page.act("slide", id="latency", value=0.0)
        await page.act("slide", id="limit", value=1000)
        await page.until(lambda: (page.all("meter")[0]["latency"], page.all("meter")[0]["limit"]) == (0.0, 40))
