"""`make screenshots`: the pages as people see them, from the demo, into docs/screenshots."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import yaml
from playwright.async_api import Browser, Page, async_playwright

from exporter.cli.demo import demo_config
from exporter.daemon import Daemon
from exporter.standin.fleet import demo_fleet

SHOTS = Path(__file__).parents[1] / "docs" / "screenshots"
BROWSER = "/usr/bin/chromium"
USER, PASSWORD = "ann", "sesame"
HOSTS = 12
PATIENCE = 120.0
"""Seconds until the demo's story has come to what is to be seen."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture."""

    name: str
    path: str
    width: int = 1280
    height: int = 800
    dark: bool = False
    language: str = "en-GB"
    whole: bool = False
    """The page to its end, or what a window shows of it."""


SHOTS_WANTED = (
    Shot("fleet", "/"),
    Shot("fleet-phone-dark-ru", "/", width=390, height=844, dark=True, language="ru-RU"),
    Shot("host", "/hosts/mx3", height=1000),
    Shot("alerts", "/alerts"),
    Shot("remediation", "/remediation"),
)


async def main() -> None:
    """Run the demo until there is something to see, and take every picture."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        async with demo_fleet(HOSTS) as fleet:
            listening: asyncio.Queue[str] = asyncio.Queue()
            file = _config(Path(folder), demo_config(fleet.hosts, "127.0.0.1:0"))
            daemon = Daemon(file, on_listening=lambda urls: listening.put_nowait(urls[0]))
            running = asyncio.create_task(daemon.run())
            try:
                await _take_all(await listening.get())
            finally:
                daemon.stop()
                await running


def _config(folder: Path, config: dict[str, object]) -> Path:
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (folder / "web.yaml").write_text(yaml.safe_dump({"basic_auth_users": {USER: hashed}}))
    file = folder / "config.yaml"
    web = {"listen": "127.0.0.1:0", "config_file": "web.yaml"}
    file.write_text(yaml.safe_dump({**config, "web": web}))
    return file


async def _take_all(url: str) -> None:
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        await _story_is_told(browser, url)
        for shot in SHOTS_WANTED:
            await _take(browser, url, shot)
        await browser.close()


async def _story_is_told(browser: Browser, url: str) -> None:
    """Until the storm was purged, a rule waits for approval, and a queue has grown for a while."""

    async def wait(page: Page) -> None:
        await page.goto(f"{url}/remediation")
        await page.wait_for_function(
            "() => document.querySelector('main').textContent.includes('waits for a person')",
            timeout=1000 * PATIENCE,
        )
        await page.goto(f"{url}/alerts")
        await page.wait_for_function(
            "() => document.querySelectorAll('article.card').length >= 4",
            timeout=1000 * PATIENCE,
        )

    await _with_page(browser, Shot("wait", "/"), wait)


async def _take(browser: Browser, url: str, shot: Shot) -> None:
    async def take(page: Page) -> None:
        await page.goto(url + shot.path)
        await page.wait_for_selector("body.live")
        await page.screenshot(path=SHOTS / f"{shot.name}.png", full_page=shot.whole)

    await _with_page(browser, shot, take)
    print(f"{shot.name}.png", file=sys.stderr)


async def _with_page(browser: Browser, shot: Shot, work: Callable[[Page], Awaitable[None]]) -> None:
    context = await browser.new_context(
        viewport={"width": shot.width, "height": shot.height},
        color_scheme="dark" if shot.dark else "light",
        locale=shot.language,
        http_credentials={"username": USER, "password": PASSWORD},
        timezone_id="Europe/Moscow",
    )
    try:
        await work(await context.new_page())
    finally:
        await context.close()


if __name__ == "__main__":
    asyncio.run(main())
