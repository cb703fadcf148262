"""The journal over HTTP."""

from __future__ import annotations

import json

import pytest

from tests.fixtures.standin import PanelServer
from tests.remediation.conftest import StartSite, config, freeze, rule
from tests.servers.exim import EximQueue

PATH = "/api/v1/journal"


async def test_it_tells_what_was_done(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule()]))
    await site.look()
    entries = json.loads(await site.running.get(PATH))
    assert [(entry["kind"], entry.get("outcome", "")) for entry in entries] == site.story()
    assert [entry["id"] for entry in entries] == [entry.id for entry in site.journal()]
    assert entries[-1]["detail"]["removed"] == 8


@pytest.mark.parametrize(
    ("query", "found"),
    [("host=mx1", True), ("host=mx2", False), ("rule=purge&since=1h", True), ("since=1ms", False)],
)
async def test_it_is_narrowed_down(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, query: str, found: bool
) -> None:
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule()]))
    await site.look()
    assert bool(json.loads(await site.running.get(f"{PATH}?{query}"))) is found


async def test_a_wrong_query_is_answered_with_the_mistake(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    site = await start_site(config(panel, rules=[]))
    assert "host, rule and since" in await site.running.get(f"{PATH}?from=1h", 400)
    assert "not a duration" in await site.running.get(f"{PATH}?since=yesterday", 400)
    assert json.loads(await site.running.get(PATH)) == []
    assert not site.path.exists(), "looking makes no journal"


async def test_a_journal_that_cannot_be_read_is_reported(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    site = await start_site(config(panel, rules=[]))
    site.path.write_bytes(b"no database" * 100)
    assert "damaged" in await site.running.get(PATH, 503)
