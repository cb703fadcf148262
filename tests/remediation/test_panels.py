"""A panel is its url and pin, not its name in the config: re-pointed, renamed, doubled."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from exporter.config.panel_api import API_PATH
from exporter.journal import Entry, Journal, Kind
from exporter.journal.host_lock import HostLocks
from exporter.panel.protocol import Operation
from exporter.snapshot import Message, PanelId
from exporter.standin.services import MemoryServices
from tests.daemon.conftest import host
from tests.fixtures.standin import NewEximQueue, PanelServer, ServePanel
from tests.remediation.conftest import (
    BY_ID,
    Site,
    StartSite,
    changing,
    config,
    freeze,
    ids_asked,
    operations,
    panel_of,
    rule,
    write_journal,
)
from tests.remediation.mischief import CONTROL, Hold
from tests.remediation.test_alertmanager import ON_DEMAND, alert, post, results
from tests.servers.exim import EximQueue

CLAMAV_OFF: dict[str, Any] = {
    "name": "clamav-off",
    "when": ['service_up{service="clamav"} == 1'],
    "action": "service_off",
    "service": "clamav",
    "approval": "required",
}


def pointed(panel: PanelServer, *rules: Mapping[str, Any], name: str = "mx1", **keys: Any) -> Any:
    """A config of one host that is this panel."""
    collectors = keys.pop("collectors", ["queue"])
    section = {"mode": "enforce", "rules": [*rules]}
    return {
        **config(panel, rules=[]),
        "hosts": [host(name, panel.url, collectors=collectors, **keys)],
        "remediation": section,
    }


@pytest.fixture
async def other_queue(exim_queue: NewEximQueue) -> EximQueue:
    return await exim_queue()


@pytest.fixture
async def other(serve_panel: ServePanel, other_queue: EximQueue) -> PanelServer:
    """Another panel."""
    return await serve_panel(other_queue)


# --- a name that is given to another panel ------------------------------------------------------


@pytest.mark.parametrize("restart", [False, True])
async def test_an_approval_is_of_the_panel_that_it_was_asked_for(
    start_site: StartSite, serve_panel: ServePanel, exim_queue: NewEximQueue, restart: bool
) -> None:
    right, wrong = [
        await serve_panel(await exim_queue(), services=MemoryServices()) for _ in range(2)
    ]
    clamav: dict[str, Any] = {"collectors": ["clamav"]}
    site = await start_site(pointed(right, CLAMAV_OFF, **clamav))
    (request,) = site.journal(Kind.APPROVAL_REQUESTED)
    assert request.panel == panel_of(right)
    write_journal(site.path, replace(request, kind=Kind.APPROVED, actor="person:ann"))
    moved = pointed(wrong, CLAMAV_OFF, **clamav)
    if restart:
        await site.end()
        site = await start_site(moved)
    else:
        await site.reload(moved)
    await site.look()
    await site.look()
    assert (changing(right), changing(wrong)) == ([], [])
    assert site.journal(Kind.INTENT) == []
    asked = site.journal(Kind.APPROVAL_REQUESTED)
    assert [entry.panel for entry in asked] == [panel_of(right), panel_of(wrong)]

    # The right one, under whatever name, goes by what was approved.
    await site.reload(pointed(right, CLAMAV_OFF, name="av", **clamav))
    await site.look("av")
    assert operations(right) == [Operation.CLAMAV]
    assert changing(wrong) == []
    (intent,) = site.journal(Kind.INTENT)
    assert (intent.host, intent.panel) == ("av", panel_of(right))


def begin(path: Path, panel: PanelId, *, host: str = "mx1", mode: str = "enforce") -> None:
    """What a process leaves that is killed right after it has begun to delete 280 messages."""
    intent = Entry(
        Kind.INTENT,
        run="f" * 32,
        host=host,
        panel=panel,
        rule="purge",
        action="delete",
        mode=mode,
        detail={"planned": 280},
    )
    gone = [Message(f"1xAAAA-{serial:06d}-01") for serial in range(280)]
    with closing(Journal.open(path)) as journal:
        journal.add(intent, gone)


@pytest.mark.parametrize(
    ("left_on", "why"),
    [
        (PanelId("https://gone.example.com:8002/api/api.php"), "has"),
        (PanelId("", ""), "earlier version"),
        ("pinned", "certificate"),
    ],
)
async def test_what_was_left_on_another_panel_is_not_looked_for_in_this_ones_list(
    start_site: StartSite, panel: PanelServer, tmp_path: Path, left_on: Any, why: str
) -> None:
    where = replace(panel_of(panel), pin="a" * 64) if left_on == "pinned" else left_on
    begin(tmp_path / "journal.db", where)
    site = await start_site(pointed(panel, rule()))
    (outcome,) = site.journal(Kind.OUTCOME)
    assert (outcome.outcome, outcome.panel) == ("unknown", where)
    assert outcome.detail == {"settled": True}, "nothing is counted as gone, or removed"
    assert why in outcome.text or "no host of the config" in outcome.text, outcome.text
    assert changing(panel) == []
    removed = await site.metric("removed_messages_total", host="mx1", rule="purge")
    assert removed in {None, 0}


async def test_a_dry_run_on_another_panel_has_done_nothing(
    start_site: StartSite, panel: PanelServer, tmp_path: Path
) -> None:
    gone = PanelId("https://gone.example.com:8002/api/api.php")
    begin(tmp_path / "journal.db", gone, mode="dry_run")
    site = await start_site(pointed(panel, rule()))
    assert [entry.outcome for entry in site.journal(Kind.OUTCOME)] == ["dry_run"]


async def test_what_was_left_on_a_renamed_panel_is_settled_by_its_own_list(
    start_site: StartSite, panel: PanelServer, other: PanelServer, tmp_path: Path
) -> None:
    """The names were exchanged: each intent belongs to the panel, whichever name that has now."""
    begin(tmp_path / "journal.db", panel_of(panel))
    hosts = [host(name, p.url, collectors=["queue"]) for name, p in (("mx1", other), ("x", panel))]
    site = await start_site({**config(panel, rules=[rule()]), "hosts": hosts})
    (outcome,) = site.journal(Kind.OUTCOME)
    assert (outcome.outcome, outcome.detail["gone"]) == ("ok", 280)


async def test_what_somebody_is_still_at_is_not_closed(
    start_site: StartSite, panel: PanelServer, tmp_path: Path
) -> None:
    gone = PanelId("https://gone.example.com:8002/api/api.php")
    begin(tmp_path / "journal.db", gone)
    with HostLocks(tmp_path / "journal.db").hold(gone.url):
        site = await start_site(pointed(panel, rule()))
        await site.look()
        assert site.journal(Kind.OUTCOME) == []
    await site.look()
    assert [entry.outcome for entry in site.journal(Kind.OUTCOME)] == ["unknown"]


@pytest.mark.parametrize("restart", [False, True])
async def test_what_was_asked_for_on_one_panel_is_not_done_to_another(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    other: PanelServer,
    other_queue: EximQueue,
    restart: bool,
) -> None:
    freeze(queue, 8)
    freeze(other_queue, 8)
    site = await start_site(pointed(panel, rule(**ON_DEMAND)))
    assert results(await post(site.running, alert())) == ["asked"]
    moved = pointed(other, rule(**ON_DEMAND))
    if restart:
        await site.end()
        site = await start_site(moved)
    else:
        await site.reload(moved)
    await site.look()
    assert results(await post(site.running, alert())) == ["asked before"]
    await site.look()
    assert (changing(panel), changing(other)) == ([], [])
    # What begins now is about the panel that has the name now.
    later = alert(startsAt="2026-11-25T21:00:00.000Z")
    assert results(await post(site.running, later)) == ["asked"]
    await site.look()
    assert changing(panel) == []
    assert await other_queue.count() == 0


async def test_cooldown_and_stop_stay_with_the_panel(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    other: PanelServer,
    other_queue: EximQueue,
) -> None:
    freeze(queue, 8)
    freeze(other_queue, 8)
    site = await start_site(pointed(panel, rule()))
    assert site.story()[-1] == ("outcome", "ok")
    before = len(changing(panel))
    # Renamed, and written otherwise: it is in its cooldown still.
    freeze(queue, 8, first=20)
    renamed = pointed(panel, rule(), name="mx9")
    renamed["hosts"][0]["url"] = panel.url.removesuffix(API_PATH)
    await site.reload(renamed)
    await site.look("mx9")
    assert site.blocks("mx9") == ["cooldown"]
    # Stopped, it stays so under the next name; and the old name is free for another panel.
    write_journal(
        site.path,
        Entry(Kind.STOPPED, host="mx9", panel=panel_of(panel), rule="purge", text="Three failed."),
    )
    await site.reload(pointed(panel, rule(cooldown="1ms"), name="mx7"))
    await site.look("mx7")
    assert site.blocks("mx7") == ["stopped"]
    await site.reload(pointed(other, rule(), name="mx1"))
    await site.look("mx1")
    assert len(changing(panel)) == before
    assert await other_queue.count() == 0


# --- two names for one panel --------------------------------------------------------------------


async def test_two_names_for_one_panel_act_once(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    ids = freeze(queue, 8)
    hosts = [
        host("mx1", panel.url, collectors=["queue"]),
        host(
            "mx2", panel.url.removesuffix(API_PATH), collectors=["queue"], shares_panel_with="mx1"
        ),
    ]
    hold = panel.panel.interfere = Hold(CONTROL, skip=3)
    limits = {"limits": {"actions_at_once": 8}}
    made = config(panel, rules=[rule(**BY_ID)], remediation=limits)
    site = await start_site({**made, "hosts": hosts}, wait=False)
    await hold.wait()
    first = {entry.host for entry in site.journal(Kind.INTENT)}
    assert len(first) == 1
    second = ({"mx1", "mx2"} - first).pop()
    polled = await site.running.poll(second)
    assert polled
    task = site.running.daemon.app.controller.fleet.hosts[second].task
    assert task is not None
    await asyncio.wait([task])
    assert site.blocks(second) == ["host_busy"]
    hold.let_go.set()
    await site.quiet()
    assert await queue.count() == 0
    freeze(queue, 8, first=20)
    await site.look(second)
    assert site.blocks(second) == ["host_busy", "cooldown"]
    assert sorted(ids_asked(panel)) == sorted(ids)
    assert len(site.journal(Kind.INTENT)) == 1


# --- the config changes in the middle -----------------------------------------------------------


class Logs:
    """What was logged."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def __call__(self, _: Any, __: str, event: Any) -> Any:
        self.events.append(dict(event))
        return event

    @property
    def bugs(self) -> list[Any]:
        return [event for event in self.events if "bug" in str(event.get("event"))]


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Logs:
    found = Logs()
    before = structlog.get_config()["processors"]
    monkeypatch.setattr("exporter.daemon.configure_logs", lambda _: None)
    structlog.configure(processors=[found, *before], cache_logger_on_first_use=False)
    return found


VERIFY = {"within": "5s", "expect": ["queue_frozen_messages < 5"]}


async def in_the_middle(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, **keys: Any
) -> tuple[Site, Hold, list[str]]:
    """A daemon that has deleted 10 of 60 messages by their ids."""
    ids = freeze(queue, 60)
    hold = panel.panel.interfere = Hold(CONTROL, skip=10)
    site = await start_site(pointed(panel, rule(**BY_ID, verify=VERIFY), **keys), wait=False)
    await hold.wait()
    return site, hold, ids


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"dc": "msk1"}},
        {"interval": "30m"},
        # Asked otherwise from now on: what is under way ends as it has begun.
        {"basic_auth": {"username": "ops", "password": "secret"}},
    ],
)
async def test_a_changed_host_does_not_cut_off_what_is_under_way(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    logs: Logs,
    change: dict[str, Any],
) -> None:
    site, hold, ids = await in_the_middle(start_site, panel, queue)
    await site.reload(pointed(panel, rule(**BY_ID, verify=VERIFY), **change))
    hold.let_go.set()
    await site.quiet()
    assert sorted(ids_asked(panel)) == sorted(ids)
    (outcome,) = site.journal(Kind.OUTCOME)
    assert (outcome.outcome, outcome.detail["removed"]) == ("ok", 60)
    assert logs.bugs == []
    assert await queue.count() == 0


async def test_a_label_that_changes_restarts_no_clock(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    counted = rule(**{"for": "1h"})
    site = await start_site(pointed(panel, counted))
    fleet = site.running.daemon.app.controller.fleet
    timer = fleet.hosts["mx1"].rules["purge"].timer
    assert timer.last is not None
    await site.reload(pointed(panel, counted, labels={"dc": "msk1"}))
    assert fleet.hosts["mx1"].rules["purge"].timer == timer
    await site.reload(pointed(panel, counted, fields={"id": 0}))
    assert fleet.hosts["mx1"].rules["purge"].timer.last is None


@pytest.mark.parametrize("how", ["removed", "re-pointed", "renamed", "rule gone from its label"])
async def test_what_is_under_way_on_a_host_that_leaves_ends_with_an_outcome(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    other: PanelServer,
    other_queue: EximQueue,
    logs: Logs,
    how: str,
) -> None:
    freeze(other_queue, 3)  # by the other's figures what verify expects would be true
    only = rule(**BY_ID, verify=VERIFY, hosts={"labels": {"act": "yes"}})
    acting: dict[str, Any] = {"labels": {"act": "yes"}}
    ids = freeze(queue, 60)
    hold = panel.panel.interfere = Hold(CONTROL, skip=10)
    site = await start_site(pointed(panel, only, **acting), wait=False)
    await hold.wait()
    match how:
        case "removed":
            after = pointed(other, only, name="mx2", **acting)
        case "re-pointed":
            after = pointed(other, only, **acting)
        case "renamed":
            after = pointed(panel, only, name="mx9", **acting)
        case _:
            after = pointed(panel, only)
    await site.reload(after)
    asked_by_then = len(ids_asked(panel))
    hold.let_go.set()
    await site.quiet()
    asked = ids_asked(panel)
    # Of two requests at once one is held; the other may be on its way when the config changes.
    assert len(asked) == len(set(asked)) <= asked_by_then + 1
    assert set(asked) < set(ids)
    (outcome,) = site.journal(Kind.OUTCOME)
    assert (outcome.host, outcome.panel) == ("mx1", panel_of(panel))
    assert outcome.outcome == "ok", "it was stopped by intent, and all that was asked for is done"
    stopped = outcome.detail["stopped_by"]
    assert isinstance(stopped, dict)
    assert stopped["guard"] == "condition", outcome.text
    assert outcome.detail["gone"] == 60 - await queue.count() == len(asked)
    assert changing(other) == []
    assert logs.bugs == []
    # Nothing is done twice, nor on the other one, by what comes after.
    await site.quiet()
    assert site.journal(Kind.OUTCOME)[0] == outcome
    assert ids_asked(panel) == asked


# --- resolved, and asked anew -------------------------------------------------------------------


@pytest.mark.parametrize("repeat", ["2026-11-25T20:00:00.000Z", "2026-11-25T19:59:59Z"])
async def test_that_an_alert_was_resolved_survives_a_restart(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, repeat: str
) -> None:
    freeze(queue, 8)
    keys = pointed(panel, rule(**ON_DEMAND))
    site = await start_site(keys)
    await post(site.running, alert())
    assert results(await post(site.running, alert(status="resolved"))) == ["withdrawn"]
    await post(site.running, alert(status="resolved"))
    await site.end()
    site = await start_site(keys)
    assert results(await post(site.running, alert(startsAt=repeat))) == ["resolved before"]
    await site.look()
    assert changing(panel) == []
    assert site.story() == [("asked", ""), ("withdrawn", "")], "the end is written down once"
    # It fires anew.
    later = alert(startsAt="2026-11-25T20:30:00+00:00")
    assert results(await post(site.running, later)) == ["asked"]
    await site.look()
    assert site.story()[-1] == ("outcome", "ok")


async def test_the_end_of_an_alert_that_was_never_heard_of_is_kept_too(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    """Webhooks come in any order."""
    freeze(queue, 8)
    site = await start_site(pointed(panel, rule(**ON_DEMAND)))
    await post(site.running, alert(status="resolved"))
    assert results(await post(site.running, alert())) == ["resolved before"]
    await site.look()
    assert changing(panel) == []


async def test_the_end_of_an_alert_is_kept_also_while_its_host_is_away(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, other: PanelServer
) -> None:
    freeze(queue, 8)
    keys = pointed(panel, rule(**ON_DEMAND))
    site = await start_site(keys)
    await post(site.running, alert())
    await site.reload(pointed(other, rule(**ON_DEMAND), name="mx2"))
    await post(site.running, alert(status="resolved"), alert(host="never", status="resolved"))
    await site.end()
    site = await start_site(keys)
    assert results(await post(site.running, alert())) == ["resolved before"]
    await site.look()
    assert changing(panel) == []
    assert site.story() == [("asked", ""), ("withdrawn", "")]


async def test_a_late_end_does_not_end_what_began_after_it(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    site = await start_site(pointed(panel, rule(**ON_DEMAND)))
    later = alert(startsAt="2026-11-25T21:00:00.000Z")
    assert results(await post(site.running, later)) == ["asked"]
    assert results(await post(site.running, alert(status="resolved"))) == ["withdrawn"]
    await site.look()
    assert site.story()[-1] == ("outcome", "ok")


@pytest.mark.parametrize("restart", [False, True])
async def test_two_alerts_for_one_rule_are_two_requests(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, restart: bool
) -> None:
    freeze(queue, 8)
    keys = pointed(panel, rule(**ON_DEMAND))
    one, two = alert(fingerprint="a1"), alert(fingerprint="b2")
    site = await start_site(keys)
    assert results(await post(site.running, one, two)) == ["asked", "asked"]
    assert results(await post(site.running, {**one, "status": "resolved"})) == ["withdrawn"]
    if restart:
        await site.end()
        site = await start_site(keys)
        told = await post(site.running, one, two)
        assert results(told) == ["resolved before", "asked"]
    await site.look()
    assert site.story()[-1] == ("outcome", "ok"), "the end of one leaves the other"
    assert await queue.count() == 0


async def test_each_of_two_alerts_gets_an_answer_of_its_own(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    keys = pointed(panel, rule(**ON_DEMAND, max_messages=3))
    one, two = alert(fingerprint="a1"), alert(fingerprint="b2")
    site = await start_site(keys)
    await post(site.running, one, two)
    await site.look()
    await site.look()
    await site.look()
    blocked = site.journal(Kind.BLOCKED)
    assert [entry.outcome for entry in blocked] == ["max_messages", "max_messages"]
    assert len({entry.detail["key"] for entry in blocked}) == 2
    await site.end()
    site = await start_site(keys)
    assert results(await post(site.running, one, two)) == ["asked before", "asked before"]


async def test_what_a_person_is_asked_for_stands_while_one_of_two_alerts_does(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    keys = pointed(panel, rule(**ON_DEMAND, approval="required"))
    one, two = alert(fingerprint="a1"), alert(fingerprint="b2")
    site = await start_site(keys)
    await post(site.running, one, two)
    await site.look()
    assert len(site.journal(Kind.APPROVAL_REQUESTED)) == 1
    await post(site.running, {**one, "status": "resolved"})
    await site.look()
    await site.end()
    site = await start_site(keys)
    await post(site.running, {**one, "status": "resolved"})
    await site.look()
    assert site.journal(Kind.LAPSED) == [], "the other may still fire"
    await post(site.running, {**two, "status": "resolved"})
    await site.look()
    assert len(site.journal(Kind.LAPSED)) == 1
