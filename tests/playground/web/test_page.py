"""The page in a real browser: what somebody does there, and what they then see."""

import os
import re
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from cardbot.playground.platform import Platform
from cardbot.playground.web import playground, replay
from tests.patience import SOON
from tests.playground.web.bot_buttons import FORM, set_buttons
from tests.playground.web.browser import Complaints, chromium, looking_at, needs_browser, playwright
from tests.playground.web.visitor import ADA, DIRECT, visiting

pytestmark = [pytest.mark.anyio, needs_browser]

TEAM, ALL_HANDS = "[data-chat='cidPRODUCT0001==']", "[data-chat='cidALLHANDS001==']"
DONE = ".card[data-state=done]"

expect = playwright.expect
expect.set_options(timeout=SOON * 1000)  # counted in milliseconds


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for all, since they share a browser."""
    return "asyncio"


@pytest.fixture(scope="module")
async def browser(anyio_backend: str) -> AsyncIterator[Any]:
    """Started once; each test visits as somebody new."""
    async with chromium() as running:
        yield running


NOTE_WHAT_IS_SEEN = """() => {
    window.seen = [];
    new MutationObserver(() => {
        const card = document.querySelector(".card");
        const now = card && `${card.dataset.state}: ${card.querySelector(".md")?.innerText.trim() ?? ""}`;
        if (now && now !== window.seen.at(-1)) window.seen.push(now);
    }).observe(document.body, {attributes: true, characterData: true, childList: true, subtree: true});
}"""
"""Each state of the card and each text in it, however quickly one follows the other."""


async def test_a_direct_question_is_typed_out_in_several_visible_steps(browser: Any) -> None:
    async with playground(None, "en") as url, looking_at(url, browser) as (page, complaints):
        await page.evaluate(NOTE_WHAT_IS_SEEN)
        await page.locator("#text").fill("Show me this week's traffic.")
        await page.keyboard.press("Enter")
        await expect(page.locator(".row.mine .bubble")).to_have_text("Show me this week's traffic.")
        await expect(page.locator(f"{DONE} .md")).to_contain_text("that morning.")
        seen = await page.evaluate("window.seen")
        assert seen[0].startswith("pending:")
        answer = [text for text in seen if text.startswith("writing: 1,284")]
        assert len(answer) >= 3
        assert answer == sorted(answer, key=len)
        # Every frame is a call on the wire, and the question has its line.
        assert await page.locator("#calls tr[data-path='/v1.0/card/streaming'][data-state=good]").count() >= 3
        await expect(page.locator(".line[data-outcome=done]")).to_have_count(1)
        assert complaints == []


async def test_in_a_group_the_robot_answers_whoever_mentions_it(browser: Any) -> None:
    async with playground(None, "en") as url, looking_at(url, browser) as (page, complaints):
        await page.click(TEAM)
        await page.select_option("#speaker", label="Mateo")
        await page.locator("#text").focus()
        await page.keyboard.type("anybody here?")
        await page.keyboard.press("Enter")
        await expect(page.locator(".note.unaddressed")).to_be_visible()
        await page.keyboard.type("@")
        await expect(page.get_by_role("option").first).to_have_text("@cardbot")
        await page.keyboard.press("Enter")
        await page.keyboard.type("Show me this week's traffic.")
        await page.keyboard.press("Enter")
        await expect(page.locator(f"{DONE} img")).to_be_visible()
        assert await page.locator(".card").count() == 1
        await expect(page.locator(".line-head .avatar")).to_have_text("M")
        assert complaints == []


async def test_a_button_of_a_card_reaches_the_wire_as_a_callback(platforms: list[Platform], browser: Any) -> None:
    async with playground(None, "en") as url, looking_at(url, browser) as (page, complaints):
        await page.click("[data-ready=table]")
        await set_buttons(platforms[0], FORM)
        await page.get_by_role("button", name="Approve", exact=True).click()
        callback = page.locator("#calls tr[data-path='/v1.0/card/instances/callback']")
        await expect(callback).to_have_count(1)
        await expect(callback).to_contain_text("CARD")
        await expect(page.get_by_role("button", name="Later", exact=True)).to_be_disabled()
        assert [push.data["outTrackId"] for push in platforms[0].pushes[-1:]] == list(platforms[0].cards)
        assert complaints == []


async def test_buttons_go_when_they_are_replaced_and_when_the_card_ends(
    platforms: list[Platform], browser: Any
) -> None:
    async with playground(None, "en") as url, looking_at(url, browser) as (page, complaints):
        await page.click("[data-ready=table]")
        buttons = page.locator(".card footer button")
        await set_buttons(platforms[0], FORM)
        await expect(buttons).to_have_text(["Approve", "Reject", "Later"])
        await set_buttons(platforms[0], FORM[1:2])
        await expect(buttons).to_have_text(["Reject"])
        await expect(page.locator(DONE)).to_have_count(1)
        await expect(buttons).to_have_count(0)
        assert complaints == []


async def test_stop_ends_an_answer_where_it_is(browser: Any) -> None:
    async with playground(None, "en") as url, looking_at(url, browser) as (page, complaints):
        await page.click("[data-ready=endless]")
        await expect(page.locator(".card .md")).to_contain_text("1, 2, 3")
        await page.click(".card footer button")
        await expect(page.locator(DONE)).to_contain_text("Stopped.")
        await expect(page.locator(DONE)).not_to_contain_text("100")
        await expect(page.locator(".card footer button")).to_have_count(0)
        await expect(page.locator("#calls tr[data-path$='/stop'][data-state=good]")).to_have_count(1)
        assert complaints == []


async def test_a_form_is_filled_in_by_typing_and_handed_in_by_a_press(browser: Any) -> None:
    async with playground(None, "en") as url, looking_at(url, browser) as (page, complaints):
        await page.click("[data-ready=form]")
        await expect(page.locator(".card footer button")).to_have_count(3)
        await expect(page.locator(".line[data-outcome=asking]")).to_have_count(1)
        await page.locator("#text").fill("3")
        await page.keyboard.press("Enter")
        await expect(page.locator(".note.aside")).to_be_visible()
        await expect(page.locator(".card .md")).to_contain_text("Quantity: 3")
        await page.get_by_role("button", name="Order it").click()
        await expect(page.locator(DONE)).to_contain_text("Ordered, 3 × Office 6")
        # What was typed for the form is no question of its own.
        await expect(page.locator(".line[data-outcome=done]")).to_have_count(1)
        await expect(page.locator(".line")).to_have_count(1)
        assert complaints == []


async def test_a_voice_message_without_a_transcript_is_heard_by_dify(browser: Any) -> None:
    async with playground(None, "en") as url, looking_at(url, browser) as (page, complaints):
        await page.click("#voice")
        await page.get_by_label("with DingTalk’s transcript").uncheck()
        await page.locator("#text").fill("How is the weather?")
        await page.keyboard.press("Enter")
        await expect(page.locator(".note.silent")).to_be_visible()
        await expect(page.locator(".card .md")).to_contain_text("You asked: How is the weather?")
        await expect(page.locator("#calls tr[data-path='/v1/audio-to-text'][data-state=good]")).to_have_count(1)
        assert complaints == []


async def test_a_picture_reaches_dify_and_again_when_it_is_quoted(browser: Any) -> None:
    async with playground(None, "en") as url, looking_at(url, browser) as (page, complaints):
        picture = {"name": "page.png", "mimeType": "image/png", "buffer": await page.screenshot()}
        await page.set_input_files("#chosen-picture", picture)
        await expect(page.locator(DONE)).to_contain_text("I was given 1 image")
        row = page.locator(".row.mine:has(img)")
        await row.hover()
        await row.locator(".quote").click()
        await page.locator("#text").fill("and what is this?")
        await page.keyboard.press("Enter")
        await expect(page.locator(DONE)).to_have_count(2)
        await expect(page.locator(DONE).last).to_contain_text("I was given 1 image")
        assert complaints == []


async def test_a_refused_card_ends_as_a_plain_reply(browser: Any) -> None:
    async with playground(None, "en") as url, looking_at(url, browser) as (page, complaints):
        await page.click("#switch-refused")
        await expect(page.locator("#switch-refused")).to_have_attribute("aria-checked", "true")
        await page.click("[data-ready=picture]")
        await expect(page.locator(".bubble.reply")).to_contain_text("1,284 questions")
        await expect(page.locator(".bubble.reply img")).to_have_js_property("naturalWidth", 480)
        await expect(page.locator(".line[data-outcome=plain]")).to_have_count(1)
        await expect(page.locator("#calls tr[data-state=bad] .verdict")).to_have_text("400 templateUnpublished")
        assert await page.locator(".card").count() == 0
        assert complaints == []


async def test_twenty_people_ask_at_once_and_all_are_answered(browser: Any) -> None:
    async with playground(None, "en") as url, looking_at(url, browser) as (page, complaints):
        await page.click("#crowd")
        await expect(page.locator(ALL_HANDS)).to_have_attribute("aria-current", "true")
        await expect(page.locator(DONE)).to_have_count(20)
        await expect(page.locator(".line[data-outcome=done]")).to_have_count(20)
        await expect(page.locator("[data-meter=objections] b")).to_have_text("0")
        assert complaints == []


async def test_axe_finds_nothing_serious_in_light_and_dark(browser: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.async_playwright").Axe()
    async with (
        playground(None, "en") as url,
        looking_at(url, browser, color_scheme="light", bypass_csp=True, reduced_motion="reduce") as (page, _),
    ):
        await page.click("#switch-redelivery")
        await page.click("[data-ready=table]")
        await expect(page.locator(DONE)).to_have_count(1)
        await page.click(".quote >> nth=0")
        for colours in ("light", "dark"):
            await page.emulate_media(color_scheme=colours, reduced_motion="reduce")
            found = await axe.run(page, options={"resultTypes": ["violations"]})
            assert found.response["passes"], "axe looked at nothing"
            serious = [
                (colours, violation["id"], [node["html"][:200] for node in violation["nodes"]])
                for violation in found.response["violations"]
                if violation["impact"] in ("serious", "critical")
            ]
            assert serious == []


async def test_the_page_can_be_used_without_a_mouse_in_chinese_on_a_telephone(browser: Any) -> None:
    narrow = {"viewport": {"width": 390, "height": 844}, "locale": "zh-CN"}
    async with playground(None, "zh") as url, looking_at(url, browser, **narrow) as (page, complaints):
        await expect(page.locator("#tabs button >> nth=1")).to_have_text("线路")
        await page.keyboard.press("/")
        await page.keyboard.type("看看本周的访问量。")
        await page.keyboard.press("Enter")
        await expect(page.locator(DONE)).to_contain_text("星期三最忙")
        await page.locator("#tabs button >> nth=1").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator(".line .outcome")).to_contain_text("完成")
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        assert complaints == []


async def becomes_true(page: Any, expression: str) -> None:
    """Until it is. Playwright's own way would have the page evaluate a text, which its policy forbids."""
    with anyio.fail_after(SOON):
        while not await page.evaluate(expression):  # noqa: ASYNC110 - the page tells nobody
            await anyio.sleep(0.05)


async def test_the_end_of_a_chat_stays_in_sight_when_a_picture_grows_it(browser: Any) -> None:
    log = "document.querySelector('#log')"
    below = f"{log}.scrollHeight - {log}.scrollTop - {log}.clientHeight"
    async with playground(None, "en") as url, looking_at(url, browser) as (page, complaints):
        picture = {"name": "page.png", "mimeType": "image/png", "buffer": await page.screenshot()}
        for _ in range(3):
            await page.set_input_files("#chosen-picture", picture)
        await expect(page.locator(DONE)).to_have_count(3)
        await becomes_true(
            page, f"[...document.querySelectorAll('#log img')].every((each) => each.complete) && {below} < 2"
        )
        await page.locator("#log").evaluate("log => { log.scrollTop = 0; }")
        await page.locator("#text").fill("and now?")
        await page.keyboard.press("Enter")
        await becomes_true(page, f"{below} < 2")
        assert complaints == []


async def test_each_chat_keeps_its_own_draft_and_quote(browser: Any) -> None:
    async with playground(None, "en") as url, looking_at(url, browser) as (page, complaints):
        await page.click(TEAM)
        await page.locator("#text").fill("hello")
        await page.keyboard.press("Enter")
        await page.click(".quote >> nth=0", force=True)
        await page.locator("#text").fill("half a")
        await page.click(ALL_HANDS)
        await expect(page.locator("#text")).to_have_value("")
        await expect(page.locator("#quoting")).to_be_hidden()
        await page.click(TEAM)
        await expect(page.locator("#text")).to_have_value("half a")
        await expect(page.locator("#quoting")).to_contain_text("hello")
        assert complaints == []


async def test_a_second_enter_sends_nothing_and_later_words_stay(browser: Any) -> None:
    async with playground(None, "en") as url, looking_at(url, browser) as (page, complaints):
        await page.click(TEAM)

        async def late(route: Any) -> None:
            await anyio.sleep(0.3)
            await route.continue_()

        await page.route("**/do/say", late)
        await page.locator("#text").fill("once")
        await page.keyboard.press("Enter")
        await page.keyboard.press("Enter")
        await page.keyboard.type("later")
        await expect(page.locator(".row.mine .bubble")).to_have_text(["once"])
        await expect(page.locator("#text")).to_have_value("later")
        await page.unroute("**/do/say", late)
        assert complaints == []


async def test_a_picture_can_be_quoted_on_a_telephone(browser: Any) -> None:
    narrow = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
    async with playground(None, "en") as url, looking_at(url, browser, **narrow) as (page, complaints):
        picture = {"name": "page.png", "mimeType": "image/png", "buffer": await page.screenshot()}
        await page.set_input_files("#chosen-picture", picture)
        await page.locator(".row.mine .quote").tap()
        await expect(page.locator("#quoting")).to_contain_text("page.png")
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        assert complaints == []


async def test_a_card_can_be_quoted_on_a_telephone_and_its_words_stand_there_without_markdown(browser: Any) -> None:
    narrow = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
    async with playground(None, "en") as url, looking_at(url, browser, **narrow) as (page, complaints):
        await page.click("[data-ready=picture]")
        await expect(page.locator(DONE)).to_have_count(1)
        await page.locator(".row.robot .quote").tap()
        await expect(page.locator("#quoting span")).to_have_text(re.compile("^Quoting cardbot 1,284 questions this"))
        await page.locator("#text").fill("Why?")
        await page.keyboard.press("Enter")
        await expect(page.locator(".bubble blockquote")).to_have_text(re.compile("^cardbot: 1,284 questions this"))
        await expect(page.locator(".bubble blockquote")).not_to_contain_text("*")
        assert complaints == []


async def test_an_order_of_no_number_is_not_made(browser: Any) -> None:
    async with playground(None, "en") as url, looking_at(url, browser) as (page, _):
        await page.click("[data-ready=form]")
        await expect(page.locator(".card footer button")).to_have_count(3)
        await page.locator("#text").fill("a few")
        await page.keyboard.press("Enter")
        await expect(page.locator(".card .md")).to_contain_text("Quantity: a few")
        await page.get_by_role("button", name="Order it").click()
        await expect(page.locator(DONE)).to_contain_text("“a few” is no number")


async def test_chat_names_fit_a_telephone_before_anything_is_said(browser: Any) -> None:
    narrow = {"viewport": {"width": 390, "height": 844}}
    async with playground(None, "en") as url, looking_at(url, browser, **narrow) as (page, _):
        cut = await page.locator(".chat b").evaluate_all(
            "all => all.filter((b) => b.scrollWidth > b.clientWidth).length"
        )
        tall = await page.locator(".chat").evaluate_all("all => Math.max(...all.map((chat) => chat.clientHeight))")
        assert cut == 0
        assert tall < 40


async def test_a_recorded_run_is_shown_again(tmp_path: Path, browser: Any) -> None:
    file = tmp_path / "run.jsonl"
    async with playground(None, "en", record_to=file) as url, visiting(url) as visitor:
        await visitor.act("voice", chat=DIRECT, speaker=ADA, text="How is the weather?")
        await visitor.say("/help")
        await visitor.until(lambda: visitor.all("reply") and visitor.all("card"))
    async with replay(file) as url, looking_at(url, browser) as (page, complaints):
        await expect(page.locator(".replay")).to_be_visible()
        await expect(page.locator("#composer")).to_be_hidden()
        await expect(page.locator(".transcript")).to_contain_text("How is the weather?")
        await expect(page.locator(".bubble.reply")).to_contain_text("Just ask me")
        await expect(page.locator(".card")).to_have_count(1)
        await page.get_by_role("button", name="Play again").click()
        await expect(page.locator(".bubble.reply")).to_have_count(0)
        await expect(page.locator(".bubble.reply")).to_have_count(1)
        assert complaints == []


async def test_the_command_opens_a_page_that_answers(browser: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A whole process, its imports included. The browser is already open, as it is on anybody's desk."""
    async with playground(None, "en") as other, looking_at(other, browser) as (page, _):
        began = time.monotonic()
        command = [sys.executable, "-m", "cardbot", "playground", "--no-browser"]
        async with await anyio.open_process(command, stderr=None, env=os.environ) as process:
            try:
                assert process.stdout is not None
                url = (await process.stdout.receive()).decode().strip()
                complaints_there = Complaints()
                page.on("pageerror", lambda error: complaints_there.append(str(error)))
                await page.goto(url)
                await page.click("[data-ready=code]")
                await expect(page.locator(".card .md")).to_contain_text("collections")
                took = time.monotonic() - began
            finally:
                process.terminate()
        with capsys.disabled():
            sys.stdout.write(f"\nstart to first answer on screen: {took:.2f} s\n")
        assert complaints_there == []
