"""Approve, reject, pause, resume: by a known user, with a form of the page, and journalled."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import aiohttp
import pytest
from playwright.async_api import Page, Route, expect

from tests.web.pages.conftest import LOGIN, SOON, Visit
from tests.web.pages.site import USER, Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

BY = f"person:{USER}"


async def last(site: Site, kind: str) -> Mapping[str, object] | None:
    """The newest entry of a kind."""
    return next((e for e in await site.journal() if e["kind"] == kind), None)


async def form(site: Site, what: str) -> dict[str, str]:
    """The hidden fields of the page's form that does this."""
    async with site.session.get(f"{site.url}/remediation") as answer:
        text = await answer.text()
    body = re.search(rf'action="\./remediation/{what}">(.*?)</form>', text, re.DOTALL)
    assert body is not None, text
    return dict(re.findall(r'name="(\w+)" value="([^"]*)"', body[1]))


async def waiting(site: Site, visit: Visit, host: str, service: str) -> Page:
    """The page, with a rule that waits for a person to let it start a service."""
    site.services(host)._stopped.add(service)
    await site.poll(host)
    page = await visit(f"{site.url}/remediation", **LOGIN)
    approve = page.get_by_role("button", name=f"Approve: start-{service}, {host}")
    await expect(approve).to_be_visible()
    return page


async def test_the_rules_tell_how_they_stand(site: Site, visit: Visit) -> None:
    page = await visit(f"{site.url}/remediation")
    now = page.get_by_role("region", name="Now")
    await expect(now.get_by_role("row", name="start-clamav")).to_contain_text("waits for a person")
    await expect(now.get_by_role("row", name="purge-frozen")).to_contain_text(
        re.compile(r"would act in (2\sh|1\sh\s59\smin)")
    )
    await expect(page.locator("main")).to_contain_text("Storm brake: 1 of 5 hosts")


async def test_without_users_nobody_can_act(site: Site, visit: Visit) -> None:
    page = await visit(f"{site.url}/remediation")
    await expect(page.locator("form")).to_have_count(0)
    await expect(page.locator("main")).to_contain_text("give the web config basic_auth_users")
    before = await site.journal()
    # A header alone makes nobody known.
    lie = {"Authorization": aiohttp.encode_basic_auth(USER, "whatever")}
    for headers in ({}, lie):
        for what in ("approve", "reject", "pause", "resume"):
            async with site.session.post(
                f"{site.url}/remediation/{what}",
                data={"host": "mx3", "rule": "start-clamav", "token": ""},
                headers=headers,
            ) as answer:
                assert answer.status == 403
    assert await site.journal() == before


async def test_an_unknown_user_sees_nothing(guarded: Site) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/", "/remediation", "/events", "/static/page.css", "/hosts/mx2/messages"):
            async with session.get(guarded.url + path) as answer:
                assert answer.status == 401, path
        async with session.post(f"{guarded.url}/remediation/pause") as answer:
            assert answer.status == 401


async def test_reject(guarded: Site, visit: Visit) -> None:
    page = await waiting(guarded, visit, "mx1", "spamassassin")
    row = page.get_by_role("row", name="start-spamassassin mx1")
    await row.get_by_role("link", name="See what it asks for").click()
    await expect(page.locator("main")).to_contain_text("asks for approval")
    await page.go_back()
    await row.get_by_role("button", name="Reject").click()
    await expect(page).to_have_url(f"{guarded.url}/remediation")
    await expect(row).to_contain_text("rejected by a person")
    await expect(row.get_by_role("button")).to_have_count(0)
    entry = await last(guarded, "rejected")
    assert entry is not None
    assert (entry["actor"], entry["host"], entry["rule"]) == (BY, "mx1", "start-spamassassin")
    assert entry["text"] == f"Rejected by {USER}."
    await guarded.poll("mx1")
    assert not await guarded.services("mx1").running("spamassassin")


async def test_pause_and_resume(guarded: Site, visit: Visit) -> None:
    page = await visit(f"{guarded.url}/remediation", **LOGIN)
    await page.get_by_label("Reason").fill("we move <b>disks</b>")
    await page.get_by_role("button", name="Pause everything").click()
    await expect(page.locator(".notice")).to_contain_text(f"Paused by {USER}")
    await expect(page.locator(".notice")).to_contain_text("we move <b>disks</b>")
    await page.goto(guarded.url)
    await expect(page.locator("h1")).to_contain_text("remediation is paused")
    await page.goto(f"{guarded.url}/remediation")
    await page.get_by_role("button", name="Resume").click()
    await expect(page.get_by_role("button", name="Pause everything")).to_be_visible()
    paused, resumed = await last(guarded, "paused"), await last(guarded, "resumed")
    assert paused is not None
    assert resumed is not None
    assert (paused["actor"], resumed["actor"]) == (BY, BY)


async def test_what_is_written_outlives_an_update_that_was_on_its_way(
    guarded: Site, visit: Visit
) -> None:
    page = await visit(f"{guarded.url}/remediation", **LOGIN)
    asked, let = asyncio.Event(), asyncio.Event()

    async def delay(route: Route) -> None:
        asked.set()
        await let.wait()
        await route.continue_()

    await page.route("**/remediation", delay)
    await guarded.poll("mx1")
    await asked.wait()
    reason = page.get_by_label("Reason")
    await reason.fill("we move disks")
    async with page.expect_response("**/remediation"):
        let.set()
    await expect(reason).to_have_value("we move disks")
    # Left alone it is kept, too, and the page goes on.
    async with page.expect_response("**/remediation"):
        await page.locator("h1").click()
        await reason.blur()
    await expect(reason).to_have_value("we move disks")


async def test_a_form_of_another_page_is_refused(guarded: Site) -> None:
    fields = await form(guarded, "pause")
    before = await guarded.journal()
    theirs = "https://evil.example"
    cases: list[tuple[dict[str, str], dict[str, str]]] = [
        ({}, {}),
        ({"token": ""}, {}),
        ({"token": "0" * 64}, {}),
        ({"token": "\u00e9"}, {}),
        (fields, {"Origin": theirs}),
        (fields, {"Origin": "null"}),
        (fields, {"Sec-Fetch-Site": "cross-site"}),
        (fields, {"Sec-Fetch-Site": "same-site"}),
    ]
    for data, headers in cases:
        async with guarded.session.post(
            f"{guarded.url}/remediation/pause", data=data, headers=headers
        ) as answer:
            assert answer.status == 403, (data, headers)
            assert "That was not done" in await answer.text()
    for body in ({"json": fields}, {"data": b"token"}):
        async with guarded.session.post(f"{guarded.url}/remediation/pause", **body) as answer:
            assert answer.status == 403
    async with guarded.session.get(f"{guarded.url}/remediation/pause") as answer:
        assert answer.status == 405
    assert await guarded.journal() == before


async def test_a_page_of_another_site_cannot_make_a_browser_act(
    guarded: Site, site: Site, visit: Visit
) -> None:
    """The browser knows the password and sends it along; the form's token is known, too."""
    fields = await form(guarded, "pause")
    before = await guarded.journal()
    page = await visit(f"{guarded.url}/remediation", but="403|a request to", **LOGIN)
    attack = f"""
    <form method="post" action="{guarded.url}/remediation/pause">
    <input name="token" value="{fields["token"]}"><button>win</button></form>"""
    # Another port is another origin, of the same site.
    await page.route(
        f"{site.url}/evil",
        lambda route: route.fulfill(body=attack, content_type="text/html"),
    )
    await page.goto(f"{site.url}/evil")
    await page.get_by_role("button", name="win").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("That was not done")
    assert await guarded.journal() == before


async def test_what_is_not_there_cannot_be_approved(guarded: Site) -> None:
    fields = await form(guarded, "pause")
    for host, rule in (("nobody", "start-clamav"), ("mx3", "no-rule"), ("mx1", "start-clamav")):
        async with guarded.session.post(
            f"{guarded.url}/remediation/approve",
            data=fields | {"host": host, "rule": rule, "run": "x"},
        ) as answer:
            assert answer.status == 403, (host, rule)
    rules = {entry["rule"] for entry in await guarded.journal() if entry["kind"] == "approved"}
    assert rules <= {"start-clamav"}


async def test_approve(guarded: Site, visit: Visit) -> None:
    page = await waiting(guarded, visit, "mx3", "clamav")
    row = page.get_by_role("row", name="start-clamav mx3")
    await row.get_by_role("button", name="Approve").click()
    await expect(row).to_contain_text("approved: acts after the next poll")
    await expect(row.get_by_role("button")).to_have_count(0)
    entry = await last(guarded, "approved")
    assert entry is not None
    assert (entry["actor"], entry["text"]) == (BY, f"Approved by {USER}.")
    await guarded.poll("mx3")
    assert await guarded.services("mx3").running("clamav")
    await expect(row).to_contain_text("ok", timeout=SOON)
