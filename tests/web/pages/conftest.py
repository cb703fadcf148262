"""One Chromium for all tests of the pages, and daemons to look at."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    BrowserContext,
    Page,
    ViewportSize,
    async_playwright,
    expect,
)

from tests.web.pages.site import PASSWORD, USER, Site, running

CHROMIUM = "/usr/bin/chromium"

PATIENCE = 10_000
"""Milliseconds after which what a page is to show will not come."""

SOON = 15_000
"""The same where a browser waits, too: before it fetches a page again, or asks for a stream."""

DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        # Its sandbox does not work for root, whose pages are all our own.
        launched = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        expect.set_options(timeout=PATIENCE)
        yield launched
        await launched.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A daemon that knows no users."""
    async with running(tmp_path_factory.mktemp("open")) as site:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A daemon that knows USER."""
    async with running(tmp_path_factory.mktemp("guarded"), users=True) as site:
        yield site


class Visit(Protocol):
    """Open a page in a window of its own; the options are those of a browser context.

    At the end of the test no page may have logged an error to the console, nor have asked another
    site for anything. `but` is what a test provokes.
    """

    async def __call__(self, url: str, *, but: str = "", **options: Any) -> Page: ...


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser) -> AsyncIterator[Visit]:
    troubles: list[str] = []
    async with AsyncExitStack() as stack:

        async def open_page(url: str, *, but: str = "", **options: Any) -> Page:
            settings = {"viewport": DESKTOP, "locale": "en-GB"} | options
            context: BrowserContext = await browser.new_context(**settings)
            stack.push_async_callback(context.close)
            context.set_default_timeout(PATIENCE)
            page = await context.new_page()

            def note(text: str) -> None:
                if not but or not re.search(but, text):
                    troubles.append(text)

            page.on("console", lambda m: note(m.text) if m.type in {"error", "warning"} else None)
            page.on("pageerror", lambda error: note(str(error)))
            page.on(
                "request",
                lambda request: (
                    None
                    if urlsplit(request.url).netloc == urlsplit(request.frame.url).netloc
                    or request.is_navigation_request()
                    else note(f"a request to {request.url}")
                ),
            )
            await page.goto(url)
            return page

        yield open_page
    assert troubles == []


async def follow(page: Page, click: Awaitable[None]) -> None:
    """Click, and wait until the page that this leads to is loaded whole."""
    async with page.expect_navigation():
        await click


LOGIN: dict[str, Any] = {
    "http_credentials": {"username": USER, "password": PASSWORD, "send": "always"}
}
"""The context options of a known user."""
