"""The fleet page as people see it."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.async_api import Page, expect

from exporter.web.pages.fleet_filter import SORTS
from tests.web.pages.conftest import PHONE, Visit, follow
from tests.web.pages.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def shown(page: Page) -> list[str]:
    """The hosts that can be seen, in order."""
    names: list[str] = await page.locator("#fleet tbody tr:visible").evaluate_all(
        "rows => rows.map(row => row.dataset.name)"
    )
    return names


def query(page: Page) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(page.url).query))


async def test_the_headline_names_what_is_wrong_worst_first(site: Site, visit: Visit) -> None:
    page = await visit(site.url)
    headline = page.locator("h1")
    await expect(headline).to_have_text(re.compile("^1 host down, 1 service stopped"))
    await expect(headline).to_contain_text("1 action waits for approval")
    await expect(page.locator("#summary .sub")).to_contain_text("Worst: mx4, mx3")
    assert (await shown(page))[:2] == ["mx4", "mx3"]
    await expect(page).to_have_title(re.compile("^1 host down"))


async def test_what_is_not_known_is_no_zero(site: Site, visit: Visit) -> None:
    page = await visit(site.url)
    cells = page.locator("#host-mx4 td.n")
    assert await cells.all_inner_texts() == ["–"] * 4
    await expect(page.locator(".totals")).to_contain_text("of 4 of 5 hosts")


async def test_a_number_is_shown_as_people_read_it(site: Site, visit: Visit) -> None:
    page = await visit(site.url)
    row = page.locator("#host-mx2")
    await expect(row.get_by_role("cell", name="250", exact=True)).to_be_visible()
    await expect(row).to_contain_text(re.compile(r"(9|10)\sd"))
    polled = row.locator("time.ago").last
    await expect(polled).to_have_text(re.compile(r"\d+\s(s|min)( \d+ s)? ago"))
    await expect(polled).to_have_attribute("title", re.compile(r"\d{4}-\d\d-\d\d .* UTC"))


async def test_the_filter_is_in_the_url_and_the_url_gives_it_back(site: Site, visit: Visit) -> None:
    page = await visit(site.url)
    await page.get_by_label("Find").fill("MSK")
    await page.get_by_label("State").select_option("bad")
    await page.get_by_label("Sort by").select_option("host")
    await expect(page.locator("#shown")).to_have_text("Shown: 1")
    assert await shown(page) == ["mx4"]
    assert query(page) == {"q": "MSK", "state": "bad", "sort": "host"}
    for scripts in (True, False):
        again = await visit(page.url, java_script_enabled=scripts)
        assert await shown(again) == ["mx4"]
        await expect(again.get_by_label("Find")).to_have_value("MSK")
        await expect(again.get_by_label("State")).to_have_value("bad")
        await expect(again.get_by_label("Sort by")).to_have_value("host")


async def test_the_script_sorts_as_the_server_does(site: Site, visit: Visit) -> None:
    page = await visit(site.url)
    for sort in SORTS:
        async with site.session.get(f"{site.url}/?sort={sort}") as answer:
            served = re.findall(
                r'<tr id="host-\w+" class="\w+" data-name="(\w+)"', await answer.text()
            )
        await page.get_by_label("Sort by").select_option(sort)
        assert await shown(page) == served, sort


async def test_the_form_works_without_scripts(site: Site, visit: Visit) -> None:
    page = await visit(site.url, java_script_enabled=False)
    assert len(await shown(page)) == 5
    await page.get_by_label("Label").select_option("dc=spb")
    await page.get_by_label("Sort by").select_option("queue")
    await follow(page, page.get_by_role("button", name="Apply").click())
    assert await shown(page) == ["mx2", "mx3"]
    await expect(page.locator("noscript meta")).to_have_count(1)


async def test_a_filter_of_nothing_says_so(site: Site, visit: Visit) -> None:
    page = await visit(site.url)
    await expect(page.locator("#nothing")).to_be_hidden()
    await page.get_by_label("Find").fill("no such host")
    await expect(page.locator("#nothing")).to_have_text("No host matches.")
    await expect(page.locator("#shown")).to_have_text("Shown: 0")


async def test_an_odd_url_is_no_error(site: Site) -> None:
    for odd in ("?state=nonsense&sort=;drop", "?q=%00%ff&label=<script>", "?q=" + "x" * 2000):
        async with site.session.get(f"{site.url}/{odd}") as answer:
            assert answer.status == 200, odd
            assert "<script>" not in (await answer.text()).partition("<body")[2]


async def test_on_a_phone_nothing_is_cut_off(site: Site, visit: Visit) -> None:
    page = await visit(site.url, viewport=PHONE, is_mobile=True, has_touch=True)
    for path in ("", "hosts/mx2", "hosts/mx5/messages", "alerts", "journal", "remediation"):
        await page.goto(f"{site.url}/{path}")
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], path
        # Nor is it so inside of a table, which is a card for each row here.
        wider = "[...document.querySelectorAll('.scroll')].some(e => e.scrollWidth > e.clientWidth)"
        assert not await page.evaluate(wider), path


async def test_a_laptop_shows_every_column(site: Site, visit: Visit) -> None:
    page = await visit(site.url)
    last = page.get_by_role("columnheader", name="Last poll")
    await expect(last).to_be_in_viewport(ratio=1)
    table = page.locator(".scroll")
    assert await table.evaluate("e => e.scrollWidth <= e.clientWidth")


async def test_dark_where_that_is_wanted(site: Site, visit: Visit) -> None:
    shade = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    dark = await visit(site.url, color_scheme="dark")
    light = await visit(site.url, color_scheme="light")
    assert max(await dark.evaluate(shade)) < 60
    assert min(await light.evaluate(shade)) > 200


async def test_russian_by_accept_language(site: Site, visit: Visit) -> None:
    page = await visit(site.url, locale="ru-RU")
    await expect(page.locator("html")).to_have_attribute("lang", "ru")
    await expect(page.locator("h1")).to_contain_text("1 сервер недоступен, 1 служба остановлена")
    await expect(page.locator("#host-mx2 time.ago").last).to_have_text(re.compile("назад$"))
    await page.get_by_label("Найти").fill("mx2")
    await expect(page.locator("#shown")).to_have_text("Показано: 1")


async def test_a_host_behind_a_prefix_is_reached(site: Site, visit: Visit) -> None:
    """A proxy may serve the pages under a path: every link is relative."""
    page = await visit(f"{site.url}/hosts/mx2/messages")
    links = await page.locator("a[href], link[href], script[src]").evaluate_all(
        "all => all.map(e => e.getAttribute('href') ?? e.getAttribute('src'))"
    )
    assert links
    assert [link for link in links if link.startswith(("/", "http"))] == []
