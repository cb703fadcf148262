"""Attempts to have one message deleted that should not be."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from exporter.journal import Entry, Journal, Kind
from tests.cli.shell import run
from tests.fixtures.alertmanager import NewAlertmanager, matcher
from tests.fixtures.standin import PanelServer, ServePanel
from tests.remediation.conftest import (
    BY_ID,
    StartSite,
    config,
    freeze,
    ids_asked,
    in_the_middle,
    one_at_a_time,
    rule,
)
from tests.remediation.test_layout import ARRAYS
from tests.servers.exim import EximQueue


@pytest.mark.parametrize("reloaded", [True, False])
async def test_a_pause_is_heard_though_the_config_names_another_journal_by_now(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, reloaded: bool
) -> None:
    freeze(queue, 8)
    made = one_at_a_time(panel, rules=[rule(**BY_ID)])
    site, hold = await in_the_middle(start_site, panel, made, skip=1)
    site.running.write({**made, "state": {"path": "another.db"}})
    if reloaded:
        await site.running.post("/-/reload")
    code, _, error = await run("remediation", "pause", "--config", site.running.file)
    assert (code, "does not see this pause" in " ".join(error.split())) == (1, True)
    hold.let_go.set()


async def test_one_actor_a_panel_though_the_config_names_another_journal_by_now(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    made = one_at_a_time(panel, rules=[rule(**BY_ID)])
    site, hold = await in_the_middle(start_site, panel, made, skip=1)
    site.running.write({**made, "state": {"path": "another.db"}})
    code, _, _ = await run(
        "queue", "delete", "mx1", "--frozen", "--yes", "--config", site.running.file
    )
    assert (code, len(ids_asked(panel))) == (1, 2)
    hold.let_go.set()
    await site.quiet()
    assert site.story()[-1] == ("outcome", "ok")
    assert len(ids_asked(panel)) == len(set(ids_asked(panel))) == 8


async def test_an_older_copy_put_back_under_the_daemon_lets_nothing_act(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    """As `sqlite3 journal.db '.restore'` does, in the same file: the cooldown is not in it."""
    with closing(Journal.open(tmp_path / "old.db")) as old:
        old.add(Entry(Kind.BLOCKED, host="mx1", rule="other"))
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule(**BY_ID)]))
    assert site.story()[-1] == ("outcome", "ok")
    freeze(queue, 8, first=100)
    with (
        closing(sqlite3.connect(tmp_path / "old.db")) as source,
        closing(sqlite3.connect(site.path)) as target,
    ):
        source.backup(target)
    await site.look()
    await site.look()
    assert len(ids_asked(panel)) == 8
    assert len(await queue.messages()) == 8
    assert site.story() == [("blocked", ""), ("blocked", "journal")]
    assert await site.running.value("state_usable") == 0


async def test_a_rule_that_must_respect_silences_from_the_middle_on_does(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    alertmanager: NewAlertmanager,
) -> None:
    freeze(queue, 8)
    manager = await alertmanager()
    await manager.silence(matcher("host", "mx1"))
    alerting = {"builtin_rules": False, "alertmanagers": [{"url": manager.url, "name": "am"}]}
    site, hold = await in_the_middle(
        start_site, panel, one_at_a_time(panel, rules=[rule(**BY_ID)], alerting=alerting), skip=2
    )
    respectful = rule(**BY_ID, respect_silences=True)
    await site.reload(one_at_a_time(panel, rules=[respectful], alerting=alerting))
    hold.let_go.set()
    await site.quiet()
    assert len(ids_asked(panel)) == 3
    told = site.journal()[-1]
    assert told.kind is Kind.OUTCOME
    assert told.detail["stopped_by"]["guard"] == "silence"  # type: ignore[index]


async def test_silences_are_asked_of_the_alertmanagers_in_force(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    alertmanager: NewAlertmanager,
) -> None:
    freeze(queue, 8)
    first, second = await alertmanager(), await alertmanager()
    await second.silence(matcher("host", "mx1"))

    def asking(url: str) -> dict[str, Any]:
        alerting = {"builtin_rules": False, "alertmanagers": [{"url": url, "name": "am"}]}
        return one_at_a_time(panel, rules=[rule(**BY_ID, respect_silences=True)], alerting=alerting)

    site, hold = await in_the_middle(start_site, panel, asking(first.url), skip=2)
    await asyncio.sleep(1.1)
    await site.reload(asking(second.url))
    hold.let_go.set()
    await site.quiet()
    assert len(ids_asked(panel)) == 3
    outcome = site.journal()[-1]
    assert outcome.kind is Kind.OUTCOME
    assert "am" in outcome.text


@pytest.mark.parametrize("what", ["fields", "frozen_values"])
async def test_fields_that_are_put_right_in_the_middle_stop_what_went_by_them(
    start_site: StartSite, serve_panel: ServePanel, queue: EximQueue, what: str
) -> None:
    panel = await serve_panel(queue, ARRAYS)
    freeze(queue, 8)
    told = {"id": 1, "age": 0, "sender": 2, "recipients": 3, "size": 4, "frozen": 5}

    def made(fields: dict[str, Any]) -> dict[str, Any]:
        bounces = rule(action="delete", select={"bounce": True}, when=["queue_messages > 5"])
        settings = one_at_a_time(panel, rules=[bounces])
        settings["hosts"][0]["fields"] = fields
        return settings

    site, hold = await in_the_middle(start_site, panel, made(told), skip=2)
    right = {"sender": 3, "recipients": 2} if what == "fields" else {"frozen_values": ["F"]}
    await site.reload(made({**told, **right}))
    hold.let_go.set()
    await site.quiet()
    await site.end()
    assert len(ids_asked(panel)) == 3
    (outcome,) = site.journal(Kind.OUTCOME)
    assert outcome.detail["stopped_by"]["guard"] == "condition"  # type: ignore[index]
    assert "read otherwise" in outcome.text
