"""The page of one host, and the one of its messages."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

from tests.web.pages.conftest import Visit, follow
from tests.web.pages.site import LONG, SCRIPT, Site, running

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def messages(page: Page) -> list[list[str]]:
    """The rows that are shown: id, age, size, sender, recipients, frozen."""
    rows: list[list[str]] = await page.locator("tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent.trim()))"
    )
    return rows


async def test_charts_have_axes_and_tell_values_on_hover(site: Site, visit: Visit) -> None:
    await site.queue("mx1").step(600)
    await site.poll("mx1")
    waiting = await site.queue("mx1").messages()
    frozen = sum(each.frozen for each in waiting)
    page = await visit(f"{site.url}/hosts/mx1")
    for title in ("Queue", "Oldest message", "How long polls take"):
        drawn = page.get_by_role("img", name=title, exact=True)
        await expect(drawn.locator("path.line").first).to_have_attribute("d", re.compile("^M"))
        assert await drawn.locator("text.tick").count() == 6
    hovers = page.get_by_role("img", name="Queue", exact=True).locator("rect.hover")
    text = await hovers.last.locator("title").text_content()
    assert text is not None
    # The reader's own time, then every line of the chart.
    when, *values = text.split("\n")
    assert re.search(r"\d\d:\d\d:\d\d$", when)
    assert values == [f"messages: {len(waiting)}", f"frozen: {frozen}"]


async def test_what_is_wrong_comes_with_what_to_do(site: Site, visit: Visit) -> None:
    page = await visit(f"{site.url}/hosts/mx4")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("down")
    wrong = page.get_by_role("region", name="What is wrong")
    await expect(wrong).to_contain_text("refuses connections")
    failures = page.get_by_role("region", name="Last failures").first
    await expect(failures).to_contain_text("lasts")
    await expect(page.get_by_text("Nothing was told yet.").first).to_be_visible()


async def test_services_alerts_rules_and_journal_are_there(site: Site, visit: Visit) -> None:
    page = await visit(f"{site.url}/hosts/mx3")
    await expect(page.locator(".facts")).to_contain_text("stopped")
    await expect(page.locator(".card")).to_contain_text("clamav of mx3 does not run")
    rules = page.get_by_role("region", name="Rules").last
    await expect(rules).to_contain_text("waits for a person")
    journal = page.get_by_role("region", name="Journal").last
    await expect(journal).to_contain_text("asks for approval")


async def test_ages_and_domains_are_counted(site: Site, visit: Visit) -> None:
    page = await visit(f"{site.url}/hosts/mx2")
    ages = page.get_by_role("list", name="Messages by age")
    assert sum(int(n) for n in await ages.locator(".n").all_inner_texts()) == 250
    senders = page.get_by_role("list", name="Sender domains")
    await expect(senders).to_contain_text(re.compile("shop.example.*200", re.DOTALL))


async def test_messages_are_paged_oldest_first(site: Site, visit: Visit) -> None:
    page = await visit(f"{site.url}/hosts/mx2")
    await page.get_by_role("link", name="Show the messages").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Messages of mx2")
    await expect(page.locator("main")).to_contain_text("250 messages")
    held = [each.id for each in await site.queue("mx2").messages()]
    seen = [row[0] for row in await messages(page)]
    assert len(seen) == 100
    while await page.get_by_role("link", name="Next").count():
        await follow(page, page.get_by_role("link", name="Next").click())
        seen += [row[0] for row in await messages(page)]
    assert len(seen) == len(held) == len(set(seen))
    assert seen[0] == held[0]
    await expect(page.get_by_role("navigation", name="Page 3 of 3")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False])
async def test_messages_are_filtered_by_the_selectors(
    site: Site, visit: Visit, scripts: bool
) -> None:
    page = await visit(f"{site.url}/hosts/mx2/messages", java_script_enabled=scripts)
    await page.get_by_label("Frozen").select_option("yes")
    await page.get_by_label("Older than").fill("9d")
    await follow(page, page.get_by_role("button", name="Apply").click())
    found = await messages(page)
    # Exim rounds ages: what it calls 9 days may be younger.
    assert {(row[1], row[3], row[5]) for row in found} == {("10\xa0d", "<> (bounce)", "frozen")}
    await page.get_by_label("Frozen").select_option("")
    await page.get_by_label("Older than").fill("")
    await page.get_by_label("Sender").fill("sender1?@*")
    await follow(page, page.get_by_role("button", name="Apply").click())
    assert len(await messages(page)) == 8


async def test_a_selector_that_is_none_is_explained(site: Site, visit: Visit) -> None:
    page = await visit(f"{site.url}/hosts/mx2/messages?older_than=soon")
    notice = page.locator(".notice")
    await expect(notice).to_contain_text("This cannot be selected: older_than")
    await expect(page.get_by_label("Older than")).to_have_value("soon")
    await expect(page.locator("main")).to_contain_text("250 messages")


async def test_hostile_mail_is_inert(site: Site, visit: Visit) -> None:
    page = await visit(f"{site.url}/hosts/mx5/messages")
    text = await page.locator("main").inner_text()
    assert await page.evaluate("window.hacked") is None
    assert await page.locator("main img, main script").count() == 0
    assert LONG not in text
    assert f"{LONG[:200]}…" in text
    assert SCRIPT in text or "unknown" in text  # as the panel's list was understood
    await expect(page.locator("main")).to_contain_text("and 6 more")
    # Whatever turns the reading direction does so inside of its own cell.
    assert await page.locator("td.address bdi").count() >= 5
    await page.goto(f"{site.url}/hosts/mx5")
    assert await page.evaluate("window.hacked") is None


async def test_a_panel_that_cannot_be_asked_is_named(site: Site, visit: Visit) -> None:
    page = await visit(f"{site.url}/hosts/mx4/messages")
    await expect(page.locator(".notice")).to_contain_text("The queue could not be listed.")


async def test_an_unknown_host_is_a_page_of_its_own(site: Site, visit: Visit) -> None:
    for path in ("hosts/nobody/messages", "hosts/%3Cscript%3E"):
        async with site.session.get(f"{site.url}/{path}") as answer:
            assert answer.status == 404
            assert "There is no such host" in await answer.text()
    page = await visit(f"{site.url}/hosts/nobody", but="404")
    await expect(page.get_by_role("heading", level=1)).to_have_text("There is no such host")
    await page.get_by_role("link", name="Back to the fleet").click()
    await expect(page.locator("#fleet")).to_be_visible()


async def test_addresses_are_masked_where_the_config_says_so(
    visit: Visit, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with running(tmp_path_factory.mktemp("masked"), mask_addresses=True) as site:
        page = await visit(f"{site.url}/hosts/mx2/messages?frozen=no")
        senders = {row[3] for row in await messages(page)}
        assert senders == {"s…@shop.example"}
        body = await page.content()
        assert "bob@" not in body
        for path in ("", "hosts/mx2", "journal"):
            async with site.session.get(f"{site.url}/{path}") as answer:
                assert "sender1@" not in await answer.text()
