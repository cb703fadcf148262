"""Pages that keep themselves up to date, and that say so when they cannot."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Page, Route, expect

from tests.web.pages.conftest import SOON, Visit
from tests.web.pages.site import HeldQueue, Site, mail

pytestmark = pytest.mark.asyncio(loop_scope="session")

GONE = "ERR_|Failed to load resource"
"""What a browser says of a server that went away."""


async def mark(page: Page) -> None:
    """Note on a page that it is this one: a reload loses it."""
    await page.evaluate("window.marked = true")


async def is_marked(page: Page) -> bool:
    return bool(await page.evaluate("window.marked === true"))


def held(site: Site, host: str) -> HeldQueue:
    queue = site.queue(host)
    assert isinstance(queue, HeldQueue)
    return queue


async def test_a_poll_changes_a_row_without_a_reload(site: Site, visit: Visit) -> None:
    page = await visit(site.url)
    await mark(page)
    queue = page.locator("#host-mx5 td.n").first
    await expect(queue).to_have_text("5")
    held(site, "mx5").held.extend(mail(serial) for serial in range(1000, 2235))
    await site.poll("mx5")
    await expect(queue).to_have_text("1,240")
    await expect(page.locator("#host-mx5 td.n").nth(3)).to_contain_text("+1,235")
    await expect(page.locator(".totals dd").nth(1)).to_contain_text("1,502")
    assert await is_marked(page)


async def test_what_changed_between_page_and_stream_is_not_missed(site: Site, visit: Visit) -> None:
    page = await visit("about:blank")
    asked, let = asyncio.Event(), asyncio.Event()

    async def delay(route: Route) -> None:
        asked.set()
        await let.wait()
        await route.continue_()

    await page.route("**/events*", delay)
    await page.goto(site.url)
    await asked.wait()
    held(site, "mx3").held.append(mail(1))
    await site.poll("mx3")
    let.set()
    await expect(page.locator("#host-mx3 td.n").first).to_have_text("1")


async def test_a_stream_that_is_refused_is_asked_for_again(site: Site, visit: Visit) -> None:
    page = await visit("about:blank", but=GONE)
    await page.clock.install()
    refused = "**/events*"
    await page.route(refused, lambda route: route.fulfill(status=503))
    await page.goto(site.url)
    await expect(page.get_by_role("alert")).to_be_visible()
    await page.unroute(refused)
    await page.clock.run_for(10_000)
    await expect(page.get_by_role("alert")).to_be_hidden()


async def test_a_live_row_is_still_filtered_and_sorted(site: Site, visit: Visit) -> None:
    page = await visit(f"{site.url}/?state=up&sort=queue")
    await expect(page.locator("#host-mx1")).to_be_visible()
    site.services("mx1")._stopped.add("spamassassin")
    await site.poll("mx1")
    await expect(page.locator("#host-mx1")).to_be_hidden()
    await expect(page.locator("h1")).to_contain_text("2 services stopped")
    site.services("mx1")._stopped.clear()
    await site.poll("mx1")
    await expect(page.locator("#host-mx1")).to_be_visible()


async def test_focus_stays_where_it_is(site: Site, visit: Visit) -> None:
    page = await visit(site.url)
    await page.locator("#host-mx1 a").first.focus()
    before = await page.locator("#host-mx1").get_attribute("data-queue")
    await site.queue("mx1").step(120)
    await site.poll("mx1")
    await expect(page.locator("#host-mx1")).not_to_have_attribute("data-queue", str(before))
    assert await page.evaluate("document.activeElement.textContent") == "mx1"


async def test_a_host_page_follows_its_host(site: Site, visit: Visit) -> None:
    page = await visit(f"{site.url}/hosts/mx2")
    await mark(page)
    held(site, "mx2").held.pop()
    await site.poll("mx2")
    await expect(page.locator(".totals dd").first).to_have_text("249")
    assert await is_marked(page)


async def test_a_page_says_when_the_exporter_is_gone_and_when_it_is_back(
    site: Site, visit: Visit
) -> None:
    page = await visit("about:blank", but=GONE)
    note = page.get_by_role("alert")
    async with page.expect_response("**/events*"):  # its stream is open: it is that which ends
        await page.goto(site.url)
    await expect(note).to_be_hidden()
    since = re.compile(
        r"^No connection to the exporter since \d\d:\d\d:\d\d\. What you see is of then\.$"
    )
    await site.stop()
    try:
        await expect(note).to_have_text(since)
        await expect(page.locator("body")).to_have_class(re.compile("offline"))
        held(site, "mx5").held.clear()
    finally:
        await site.start()
    await expect(note).to_be_hidden(timeout=SOON)
    # What was seen before is not shown as new: every row is of the daemon that answers now.
    await expect(page.locator("#host-mx5 td.n").first).to_have_text("0")


async def test_hosts_that_come_and_go_are_seen(site: Site, visit: Visit) -> None:
    page = await visit(site.url)
    left = next(host for host in site.config["hosts"] if host["name"] == "mx4")
    try:
        site.config["hosts"].remove(left)
        await site.reload()
        await expect(page.locator("#host-mx4")).to_have_count(0)
    finally:
        site.config["hosts"].insert(3, left)
        await site.reload()
    await expect(page.locator("#host-mx4")).to_be_visible(timeout=SOON)


async def test_a_waiting_rule_is_seen_at_once(site: Site, visit: Visit) -> None:
    """What any process writes into the journal is on the pages without another poll."""
    page = await visit(site.url)
    await expect(page.locator("#host-mx3 .waits")).to_be_visible()
    await site.by_command("reject", "start-clamav", "mx3")
    await expect(page.locator("#host-mx3 .waits")).to_have_count(0, timeout=SOON)


async def test_scripts_off_still_brings_it_up_to_date(site: Site, visit: Visit) -> None:
    page = await visit(site.url, java_script_enabled=False)
    held(site, "mx3").held[:] = [mail(serial) for serial in range(7)]
    await site.poll("mx3")
    await page.reload()
    await expect(page.locator("#host-mx3 td.n").first).to_have_text("7")
    refresh = page.locator("noscript meta[http-equiv=refresh]")
    await expect(refresh).to_have_attribute("content", "30")
