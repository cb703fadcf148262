"""Accessibility and the content security policy: axe, the keyboard, hostile markup."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Page, expect

from tests.web.pages.conftest import LOGIN, PHONE, Visit
from tests.web.pages.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGES = (
    *("", "?state=up&q=nothing", "hosts/mx2", "hosts/mx3", "hosts/mx4"),
    *("hosts/mx5/messages?older_than=soon", "hosts/mx4/messages", "hosts/nobody"),
    *("alerts", "journal", "journal?q=nothing", "remediation"),
)


_CONTRAST = {
    "resultTypes": ["violations"],
    "runOnly": {"type": "rule", "values": ["color-contrast"]},
}
"""The colours alone: they are all that is another in the dark."""

MAIN = ("", "hosts/mx3", "hosts/mx5/messages", "alerts", "journal", "remediation")


async def violations(page: Page, **options: Any) -> list[str]:
    """What axe finds, with the first element of each."""
    results = await Axe().run(page, **options)
    return [
        f"{page.url}: {v['id']} {v['nodes'][0]['html']}" for v in results.response["violations"]
    ]


async def test_axe_finds_no_violation(guarded: Site, visit: Visit) -> None:
    page = await visit(f"{guarded.url}/", but="404", **LOGIN)
    run = next(e["run"] for e in await guarded.journal() if e["kind"] == "approval_requested")
    found: list[str] = []
    for path in (*PAGES, f"journal?run={run}"):
        await page.goto(f"{guarded.url}/{path}")
        found += await violations(page)
    assert found == []


async def test_axe_finds_no_violation_in_the_dark_nor_on_a_phone(
    guarded: Site, visit: Visit
) -> None:
    page = await visit(f"{guarded.url}/", viewport=PHONE, **LOGIN)
    found: list[str] = []
    for path in MAIN:
        await page.goto(f"{guarded.url}/{path}")
        found += await violations(page)
        await page.emulate_media(color_scheme="dark")
        found += await violations(page, options=_CONTRAST)
        await page.emulate_media(color_scheme="light")
    assert found == []


async def test_axe_finds_no_violation_while_the_exporter_is_gone(site: Site, visit: Visit) -> None:
    page = await visit("about:blank", but="ERR_|Failed to load")
    await page.route("**/events*", lambda route: route.abort())
    await page.goto(site.url)
    await expect(page.get_by_role("alert")).to_be_visible()
    assert await violations(page) == []


async def test_everything_is_done_by_keyboard(guarded: Site, visit: Visit) -> None:
    page = await visit(guarded.url, **LOGIN)
    at = "document.activeElement"
    await page.keyboard.press("Tab")
    assert await page.evaluate(f"{at}.textContent") == "Skip to the content"
    skip = page.locator(".skip")
    await expect(skip).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    assert await page.evaluate(f"{at}.name") == "q"
    await page.keyboard.type("mx3")
    await expect(page.locator("#shown")).to_have_text("Shown: 1")
    for _ in range(8):
        await page.keyboard.press("Tab")
        if await page.evaluate(f"{at}.textContent") == "mx3":
            break
    # Where one is can be seen.
    assert await page.evaluate(f"getComputedStyle({at}).outlineStyle") == "solid"
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{guarded.url}/hosts/mx3")
    await page.goto(f"{guarded.url}/remediation")
    for _ in range(12):
        await page.keyboard.press("Tab")
        if await page.evaluate(f"{at}.name") == "reason":
            break
    await page.keyboard.type("by keyboard")
    await page.keyboard.press("Enter")
    await expect(page.locator(".notice")).to_contain_text("by keyboard")
    await page.get_by_role("button", name="Resume", exact=True).press("Enter")
    await expect(page.get_by_role("button", name="Pause everything")).to_be_visible()


async def test_colour_is_never_the_only_sign(site: Site, visit: Visit) -> None:
    page = await visit(site.url, forced_colors="active")
    signs = await page.locator("#fleet .state .sign").evaluate_all(
        "all => all.map(e => [e.parentNode.textContent, getComputedStyle(e, '::before').content])"
    )
    assert {(word, sign) for word, sign in signs} >= {
        ("down", '"✖"'),
        ("trouble", '"▲"'),
        ("up", '"✓"'),
    }


async def test_every_answer_of_a_page_keeps_everything_else_out(site: Site) -> None:
    for path in (*PAGES, "static/page.css", "static/page.js"):
        async with site.session.get(f"{site.url}/{path}") as answer:
            headers = answer.headers
            if not path.startswith("static"):
                policy = headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy, path
                assert "unsafe" not in policy, path
                assert headers["X-Frame-Options"] == "DENY", path
                assert headers["Referrer-Policy"] in {"same-origin", "no-referrer"}, path
                assert headers["Cache-Control"] == "no-store", path
                text = await answer.text()
                assert re.search(r"<style|\sstyle=|\son\w+=|javascript:", text) is None, path
                assert re.findall(r"<script(?! src=)", text) == [], path
            assert headers["X-Content-Type-Options"] == "nosniff", path


async def test_the_policy_stops_what_gets_in_all_the_same(site: Site, visit: Visit) -> None:
    page = await visit(site.url, but="Content Security Policy|violates|404")
    for attack in (
        "document.body.append(Object.assign(document.createElement('script'), {text: HACK}))",
        "document.body.insertAdjacentHTML('beforeend', `<img src=x onerror='${HACK}'>`)",
    ):
        await page.evaluate(f"const HACK = 'window.hacked = 1'; {attack}")
    assert await page.evaluate("window.hacked") is None
    assert await page.evaluate("fetch('http://127.0.0.2:9/').then(() => 'sent', () => 'kept')") == (
        "kept"
    )
