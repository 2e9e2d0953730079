"""Writes the pictures of the page into a folder: `python -m tests.playground.web.screenshots docs`."""

import logging
import sys
from pathlib import Path
from typing import Any

import anyio
import structlog

from cardbot.playground.web import playground
from tests.playground.web.browser import chromium, looking_at, playwright

SIZE = {"width": 1440, "height": 900}
NARROW = {"width": 390, "height": 844}
SHARP = 1.5
"""Pixels of a picture for one of the page."""

expect = playwright.expect


async def ask(page: Any, ready: str) -> None:
    """A ready-made question, to the end of its answer."""
    done = page.locator(".card[data-state=done]")
    before = await done.count()
    await page.click(f"[data-ready={ready}]")
    await expect(done).to_have_count(before + 1, timeout=30_000)


async def ask_for_a_form(page: Any) -> None:
    """A question whose answer waits for a person, until its form can be read."""
    await page.click("[data-ready=form]")
    await expect(page.locator(".card footer button[data-color=blue]")).to_have_count(1, timeout=30_000)
    await expect(page.locator(".card .md p").last).to_contain_text("👉", timeout=30_000)
    await anyio.sleep(2.5)  # until it is typed out


async def write(folder: Path) -> None:
    """Light, dark and narrow; in the light one a card waits for a person while another is being typed."""
    await anyio.Path(folder).mkdir(parents=True, exist_ok=True)
    async with chromium() as browser:
        async with playground(None, "en") as url:
            light = {"viewport": SIZE, "color_scheme": "light", "device_scale_factor": SHARP}
            async with looking_at(url, browser, **light) as (page, _):
                await page.click("[data-chat='cidPRODUCT0001==']")
                await ask_for_a_form(page)
                await page.select_option("#speaker", label="林薇")
                await page.click("[data-ready=table]")
                await anyio.sleep(3.6)
                await page.mouse.move(0, 0)
                await page.screenshot(path=folder / "playground-light.png")
        async with playground(None, "en") as url:
            dark = {"viewport": SIZE, "color_scheme": "dark", "device_scale_factor": SHARP}
            async with looking_at(url, browser, **dark) as (page, _):
                await ask(page, "picture")
                await page.click("#crowd")
                await anyio.sleep(2.5)
                await page.click("#switch-throttle")
                await anyio.sleep(2.5)
                await page.screenshot(path=folder / "playground-dark.png")
        async with playground(None, "zh") as url:
            narrow = {"viewport": NARROW, "color_scheme": "light", "device_scale_factor": SHARP}
            async with looking_at(url, browser, **narrow) as (page, _):
                await ask_for_a_form(page)
                await page.screenshot(path=folder / "playground-narrow.png")
                await page.click(".card footer button[data-color=blue]")
                await expect(page.locator(".card[data-state=done]")).to_have_count(1, timeout=30_000)
                await page.click("#tabs button >> nth=1")
                await anyio.sleep(0.5)
                await page.screenshot(path=folder / "playground-narrow-wire.png")


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    anyio.run(write, Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
