"""A headless Chromium that looks at one page, and whatever the page complained about."""

import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

playwright = pytest.importorskip("playwright.async_api", reason="needs playwright: pip install 'cardbot[test]'")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Names it is installed under: Debian's first."""

BROWSER = next(filter(None, map(shutil.which, BROWSERS)), "")

needs_browser = pytest.mark.skipif(not BROWSER, reason="no Chromium here: apt-get install chromium")


class Complaints(list[str]):
    """What should not happen on the page: errors, warnings of its policy, requests to other hosts."""


@asynccontextmanager
async def chromium() -> AsyncGenerator[Any]:
    """The browser, without a window."""
    # Chromium's sandbox does not start for root, as which containers run.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with playwright.async_playwright() as engine:
        browser = await engine.chromium.launch(executable_path=BROWSER, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def looking_at(url: str, browser: Any, **context: Any) -> AsyncGenerator[tuple[Any, Complaints]]:
    """The page at `url`, as a new visitor sees it, and its complaints so far."""
    complaints = Complaints()
    visitor = await browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **context})
    try:
        page = await visitor.new_page()
        page.on("console", lambda message: _note(complaints, message))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: _check(complaints, url, request.url))
        await page.goto(url)
        await page.wait_for_selector(".pill[data-state=good]")
        yield page, complaints
    finally:
        await visitor.close()


def _note(complaints: Complaints, message: Any) -> None:
    if message.type in ("error", "warning"):
        complaints.append(f"{message.type}: {message.text}")


def _check(complaints: Complaints, page: str, url: str) -> None:
    if urlsplit(url).scheme != "data" and urlsplit(url).netloc != urlsplit(page).netloc:
        complaints.append(f"asks another host: {url}")
