"""The daemon is ended or reloaded in the middle of an action, or the disk fills up."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from exporter import app
from exporter.journal import Entry, Kind
from exporter.panel.protocol import Operation
from exporter.snapshot import PanelId
from exporter.standin.panel import Answer, RecordedRequest
from tests.daemon.conftest import eventually, host
from tests.fixtures.standin import PanelServer
from tests.remediation.conftest import (
    BY_ID,
    Site,
    StartSite,
    changing,
    config,
    freeze,
    ids_asked,
    in_the_middle,
    one_at_a_time,
    rule,
    write_journal,
    written_so_far,
)
from tests.remediation.mischief import CONTROL, Hold, does_nothing, of
from tests.remediation.processes import exporter
from tests.servers.exim import EximQueue

UNSEEN = (
    "What verify expects could not be looked at: the host left the config, or the daemon was ended."
)
VERIFY = {"within": "1s", "expect": ["queue_frozen_messages < 5"]}


def settings(panel: PanelServer, **keys: Any) -> dict[str, Any]:
    return one_at_a_time(panel, rules=[rule(**BY_ID, **keys)])


async def begun(start_site: StartSite, panel: PanelServer, **keys: Any) -> tuple[Site, Hold]:
    """A daemon that is at its fourth of eight messages, and waits for the answer."""
    return await in_the_middle(start_site, panel, settings(panel, **keys), skip=3)


@pytest.mark.parametrize("keys", [{}, {"verify": {**VERIFY, "within": "1h"}}])
async def test_an_action_under_way_sends_no_further_message_and_has_its_outcome(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, keys: dict[str, Any]
) -> None:
    freeze(queue, 8)
    site, hold = await begun(start_site, panel, **keys)
    site.running.daemon.stop()
    hold.let_go.set()
    await site.running.task
    assert len(ids_asked(panel)) == 4, "the one that was under way is awaited"
    assert await queue.count() == 4
    assert site.story() == [
        ("intent", ""),
        *[("reply", "removed")] * 4,
        ("outcome", "ok"),
    ]
    told = site.journal()[-1]
    assert told.text.startswith(
        "4 of 8 messages are gone (4 not asked for any more). Stopped: The exporter was told to "
        "end."
    )
    assert told.detail["removed"] == 4


async def test_what_verify_expects_is_not_waited_for_once_the_daemon_ends(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    freeze(queue, 15, first=50, frozen=False)
    verify = {"within": "1h", "expect": ["queue_messages < 1"]}
    site = await start_site(settings(panel, verify=verify), wait=False)

    async def waits_for_what_is_expected() -> bool:
        lists = [each for each in panel.panel.requests if each.operation is Operation.LIST]
        return len(lists) == 5

    await eventually(waits_for_what_is_expected)
    async with asyncio.timeout(5):
        await site.end()
    told = site.journal()[-1]
    assert (told.kind, told.outcome) == (Kind.OUTCOME, "unknown")
    assert told.text == f"8 of 8 messages are gone. {UNSEEN}"


async def test_what_is_cut_off_is_settled_by_the_next_start(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "GRACE", 0.1)
    monkeypatch.setattr(app, "ACTION_GRACE", 0.1)
    freeze(queue, 12)
    site, _ = await begun(start_site, panel)
    await site.end()
    assert site.story() == [("intent", ""), *[("reply", "removed")] * 3]
    again = await start_site(settings(panel))
    assert len(ids_asked(panel)) == 4
    (outcome,) = again.journal(Kind.OUTCOME)
    assert (outcome.outcome, outcome.detail["gone"]) == ("unknown", 3)
    assert again.blocks() == ["cooldown"]


async def test_a_reload_in_the_middle_changes_nothing_of_it(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    frozen = freeze(queue, 8)
    site, hold = await begun(start_site, panel, verify=VERIFY)
    await site.reload(settings(panel, max_messages=3))
    hold.let_go.set()
    await site.quiet()
    assert sorted(ids_asked(panel)) == sorted(frozen)
    assert site.story()[-1] == ("outcome", "ok")


@pytest.mark.parametrize(
    ("rules", "mode"),
    [([rule(max_messages=7)], "enforce"), ([], "enforce"), ([rule()], "off")],
    ids=["the rule is changed", "the rule is taken out", "nothing is to act"],
)
async def test_what_has_not_begun_does_not_after_a_reload(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    rules: list[dict[str, Any]],
    mode: str,
) -> None:
    """The list that the plan is made from takes its time."""
    freeze(queue, 8)
    hold = panel.panel.interfere = Hold(of(Operation.LIST), skip=2)
    site = await start_site(config(panel, rules=[rule()]), wait=False)
    await hold.wait()
    await site.reload(config(panel, rules=rules, remediation={"mode": mode}))
    hold.let_go.set()
    await site.quiet()
    assert changing(panel) == []
    assert site.journal(Kind.INTENT) == []
    assert site.blocks() == ["condition"]


async def test_a_host_that_leaves_the_config_in_the_middle(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, unused_url: str
) -> None:
    freeze(queue, 8)
    site, hold = await begun(start_site, panel, verify=VERIFY)
    await site.reload({**settings(panel, verify=VERIFY), "hosts": [host("other", unused_url)]})
    hold.let_go.set()
    await site.quiet()
    asked = ids_asked(panel)
    assert len(asked) == len(set(asked)) == 4
    assert await queue.count() == 4

    await site.reload(settings(panel, verify=VERIFY))
    await site.look()
    assert ids_asked(panel) == asked
    (outcome,) = site.journal(Kind.OUTCOME)
    assert outcome.outcome == "ok", "it was stopped by intent, and what it had asked for was done"
    assert outcome.detail["gone"] == 8 - await queue.count()
    stopped = outcome.detail["stopped_by"]
    assert isinstance(stopped, dict)
    assert stopped["reason"] == "mx1 has left the config, or is another panel."
    assert "settled" not in outcome.detail, "the action itself tells, by the client that it has"


LATER: dict[str, Any] = {
    "name": "later",
    "action": "delete",
    "select": {"frozen": False},
    "when": ["queue_messages > 10"],
}
"""A rule that is looked at once the one before it has ended."""


async def at_the_first_of_two_rules(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> tuple[Site, Hold, dict[str, Any]]:
    """Both have tripped, and the panel hangs over a message of the first."""
    freeze(queue, 8)
    freeze(queue, 15, first=50, frozen=False)
    made = config(panel, rules=[rule(**BY_ID), LATER])
    made["poll"]["timeout"] = "60s"
    site, hold = await in_the_middle(start_site, panel, made, skip=3)
    return site, hold, made


async def test_what_has_tripped_while_another_rule_acted_need_not_hold_any_more(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    site, hold, _ = await at_the_first_of_two_rules(start_site, panel, queue)
    plain = [each.id for each in await queue.messages() if not each.frozen]
    for message_id in plain:
        await queue.delete(message_id)
    await site.running.poll("mx1")
    freeze(queue, 30, first=100, frozen=False)
    hold.let_go.set()
    await site.quiet()
    assert site.story(rule="later") == []
    assert await queue.count() == 30
    await site.look()
    assert site.story(rule="later")[-1] == ("outcome", "ok"), "by a trip of its own"


async def test_a_rule_that_has_not_begun_goes_by_the_config_in_force(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    site, hold, made = await at_the_first_of_two_rules(start_site, panel, queue)
    made["remediation"]["rules"][1] = {**LATER, "select": {"older_than": "30d"}}
    await site.reload(made)
    await site.running.poll("mx1")
    hold.let_go.set()
    await site.quiet()
    await site.look()
    assert len([each for each in await queue.messages() if not each.frozen]) == 15
    assert ("intent", "") not in site.story(rule="later")


async def test_a_host_that_has_changed_meanwhile_is_polled_as_it_is_now(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    freeze(queue, 15, first=50, frozen=False)
    verify = {"within": "1s", "expect": ["queue_messages < 1"]}
    made = config(panel, rules=[rule(**BY_ID, verify=verify), LATER])
    site = await start_site(made, wait=False)

    async def waits_for_what_is_expected() -> bool:
        lists = [each for each in panel.panel.requests if each.operation is Operation.LIST]
        return len(lists) == 5

    await eventually(waits_for_what_is_expected)
    made["hosts"][0]["labels"] = {"tier": "new"}
    await site.reload(made)
    await site.running.poll("mx1")
    await site.quiet()
    await site.look()
    assert await site.running.value("up", host="mx1") == 1, "its client was not closed"


async def test_nothing_begins_once_the_daemon_ends(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    hold = panel.panel.interfere = Hold(of(Operation.LIST), skip=2)
    site = await start_site(settings(panel), wait=False)
    await hold.wait()
    site.running.daemon.stop()
    hold.let_go.set()
    await site.running.task
    assert changing(panel) == []
    assert site.story() == [("blocked", "condition")]
    assert site.journal()[0].text == "The daemon is ending."


async def test_a_disk_that_is_full(panel: PanelServer, queue: EximQueue, tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with exporter(tmp_path, settings(panel)) as running:

        async def made() -> bool:
            return path.exists() and path.stat().st_size > 0

        await running.poll()
        await eventually(made)
        frozen = freeze(queue, 20)
        full = sum(file.stat().st_size for file in tmp_path.glob("journal.db-wal"))
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
        await running.poll()

        async def held_back() -> bool:
            return await running.value("blocked_total", rule="purge", guard="journal") == 1

        await eventually(held_back)
        assert changing(panel) == []
        assert await queue.count() == 20
        assert any("cannot be written" in str(line.get("reason")) for line in running.log)
        infinite = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, infinite)

        async def over() -> bool:
            await running.poll()  # again and again: one while the block is still noted is too early
            return bool(written_so_far(path, Kind.OUTCOME))

        await eventually(over, seconds=60)
        assert await queue.count() == 0
        assert sorted(ids_asked(panel)) == sorted(frozen)


async def test_a_rule_goes_by_no_poll_that_began_while_another_rule_acted(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    """That poll has counted 23 messages; by the time it ends there are five."""
    site, hold, _ = await at_the_first_of_two_rules(start_site, panel, queue)
    old = Hold(of(Operation.LIST))

    async def both(request: RecordedRequest, answer: Answer) -> web.Response:
        return await hold(request, lambda: old(request, answer))

    panel.panel.interfere = both
    poll = asyncio.create_task(site.running.poll("mx1"))
    await old.wait()
    plain = [each.id for each in await queue.messages() if not each.frozen]
    for message_id in plain[5:]:
        await queue.delete(message_id)
    hold.let_go.set()

    async def ended() -> bool:
        return ("outcome", "ok") in site.story(rule="purge")

    await eventually(ended)
    old.let_go.set()
    await poll
    await site.quiet()
    assert site.story(rule="later") == [("blocked", "condition")]
    assert await queue.count() == 5


async def test_runs_that_were_stopped_in_the_middle_do_not_stop_the_rule(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    """Four of them in a row, the first at its second message, then one that comes to its end."""
    freeze(queue, 20)
    made = settings(panel, cooldown="1ms", max_messages=30, max_per_day=9)
    made["remediation"]["pause_file"] = "pause"
    site = await start_site({**made, "remediation": {"mode": "off"}})
    await site.reload(made)
    for turn in range(1, 5):
        hold = panel.panel.interfere = Hold(CONTROL, skip=0)
        await site.running.poll("mx1")
        await hold.wait()
        (tmp_path / "pause").touch()
        hold.let_go.set()
        await site.quiet()
        (tmp_path / "pause").unlink()
        assert len(ids_asked(panel)) == turn
        told = site.journal(Kind.OUTCOME)[-1]
        assert (told.outcome, told.detail["removed"]) == ("ok", 1)
        assert (
            told.text == f"1 of {21 - turn} messages is gone ({20 - turn} not asked for any more)."
            or (
                told.text
                == f"1 of {21 - turn} messages are gone ({20 - turn} not asked for any more)."
            )
        )
    panel.panel.interfere = None
    await site.look()
    assert len(ids_asked(panel)) == 20
    assert await queue.count() == 0
    assert site.journal(Kind.STOPPED) == []
    assert [each.outcome for each in site.journal(Kind.OUTCOME)] == ["ok"] * 5
    assert await site.outcomes(host="mx1", rule="purge", action="delete", outcome="ok") == 5
    assert await site.outcomes(host="mx1", rule="purge", outcome="verify_failed") in {None, 0}


async def test_what_was_asked_for_and_not_done_is_a_failed_verification_though_it_was_stopped(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    freeze(queue, 8)
    hold = Hold(CONTROL, skip=3)

    async def interfere(request: RecordedRequest, answer: Answer) -> web.Response:
        return await hold(request, lambda: does_nothing(request, answer))

    panel.panel.interfere = interfere
    made = settings(panel)
    made["remediation"]["pause_file"] = "pause"
    site = await start_site(made, wait=False)
    await hold.wait()
    (tmp_path / "pause").touch()
    hold.let_go.set()
    await site.quiet()
    assert len(ids_asked(panel)) == 4
    told = site.journal(Kind.OUTCOME)[-1]
    assert (told.outcome, told.detail["removed"]) == ("verify_failed", 0)
    assert await queue.count() == 8


async def test_failed_verifications_of_another_panel_by_the_same_name_stop_no_rule(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    other = PanelId("http://other.example/api/api.php")
    for run in ("r1", "r2"):
        for kind, how in ((Kind.INTENT, ""), (Kind.OUTCOME, "verify_failed")):
            entry = Entry(kind, run, "mx1", "purge", "delete", "enforce", "rule", how, panel=other)
            write_journal(tmp_path / "journal.db", entry)
    freeze(queue, 8)
    panel.panel.interfere = does_nothing
    site = await start_site(settings(panel))
    assert len(ids_asked(panel)) == 8
    assert site.journal(Kind.OUTCOME)[-1].outcome == "verify_failed"
    assert site.journal(Kind.STOPPED) == []
