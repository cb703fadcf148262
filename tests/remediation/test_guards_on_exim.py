"""Each guard as a running daemon shows it: nothing is asked of the panel that would change it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from exporter.config.windows import DAYS
from exporter.journal import Entry, FleetFacts, Journal, JournalError, Kind
from exporter.journal.host_lock import FLEET, HostLocks
from exporter.panel.protocol import Operation
from exporter.remediation import follower, rule_job
from tests.daemon.conftest import eventually
from tests.fixtures.standin import NewEximQueue, PanelServer, ServePanel
from tests.remediation.conftest import (
    BY_ID,
    Site,
    StartSite,
    changing,
    config,
    freeze,
    ids_asked,
    in_the_middle,
    message,
    one_at_a_time,
    operations,
    panel_of,
    rule,
    write_journal,
    written_so_far,
)
from tests.remediation.mischief import CONTROL, Hold, counts, is_change, meanwhile, of
from tests.servers.exim import EximQueue


@pytest.fixture
def frozen(queue: EximQueue) -> list[str]:
    """The ids of eight frozen bounces, enough for the rule to trip."""
    return freeze(queue, 8)


async def assert_held_back(
    site: Site, panel: PanelServer, guard: str, *, rule: str = "purge", messages: int = 8
) -> Entry:
    """Nothing was asked that changes anything; guard and reason are shown. Return the entry."""
    assert changing(panel) == []
    assert await panel.panel.queue.count() == messages
    blocks = site.journal(Kind.BLOCKED)
    assert [each.outcome for each in blocks] == [guard]
    assert not site.journal(Kind.INTENT, Kind.OUTCOME)
    assert (await site.blocked(guard, rule) or 0) >= 1
    (block,) = blocks
    assert (block.host, block.rule, block.actor) == ("mx1", rule, "rule")
    assert block.text
    return block


async def test_mode_off(
    start_site: StartSite, panel: PanelServer, frozen: list[str], queue: EximQueue
) -> None:
    site = await start_site(config(panel, rules=[rule()], remediation={"mode": "off"}))
    block = await assert_held_back(site, panel, "mode")
    assert block.text == "remediation.mode is off."
    assert block.detail == {"queue_frozen_messages > 5": 8}

    await site.look()
    await site.look()
    assert len(site.journal()) == 1, "a guard is written down when it changes, not at each poll"
    assert await site.blocked("mode") == 3


async def test_pause_file(
    start_site: StartSite, panel: PanelServer, frozen: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(follower, "READ_EVERY", 0.02)
    (tmp_path / "pause").touch()
    site = await start_site(config(panel, rules=[rule()], remediation={"pause_file": "pause"}))
    block = await assert_held_back(site, panel, "pause")
    assert block.text == f"The pause file {tmp_path / 'pause'} exists."
    assert await site.metric("paused") == 1

    (tmp_path / "pause").unlink()
    await site.look()
    assert site.story()[-1] == ("outcome", "ok")
    assert await panel.panel.queue.count() == 0
    assert await site.metric("paused") == 0


async def test_a_pause_file_that_cannot_be_looked_for(
    start_site: StartSite, panel: PanelServer, frozen: list[str], tmp_path: Path
) -> None:
    (tmp_path / "folder").symlink_to("folder")  # a loop
    remediation = {"pause_file": "folder/pause"}
    site = await start_site(config(panel, rules=[rule()], remediation=remediation))
    block = await assert_held_back(site, panel, "pause")
    assert "cannot be known" in block.text
    assert await site.metric("paused") == 1


async def test_paused_by_a_person(
    start_site: StartSite, panel: PanelServer, frozen: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "journal.db"
    write_journal(path, Entry(Kind.PAUSED, actor="person:ann", text="Ann paused it."))
    site = await start_site(config(panel, rules=[rule()]))
    block = await assert_held_back(site, panel, "pause")
    assert block.text == "Ann paused it."
    assert await site.metric("paused") == 1

    write_journal(path, Entry(Kind.RESUMED, actor="person:ann"))
    await site.look()
    assert site.story()[-1] == ("outcome", "ok")
    assert await site.metric("paused") == 0


@pytest.mark.parametrize("known", [True, False])
async def test_a_pause_in_the_middle_stops_the_next_message(
    start_site: StartSite, panel: PanelServer, frozen: list[str], tmp_path: Path, known: bool
) -> None:
    keys = one_at_a_time(panel, rules=[rule(**BY_ID)], remediation={"pause_file": "folder/pause"})
    site, hold = await in_the_middle(start_site, panel, keys, skip=3)
    if known:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "pause").touch()
    else:
        (tmp_path / "folder").symlink_to("folder")  # a loop
    hold.let_go.set()
    await site.quiet()
    assert len(ids_asked(panel)) == 4
    assert await panel.panel.queue.count() == 4
    (outcome,) = site.journal(Kind.OUTCOME)
    assert outcome.text == "4 of 8 messages are gone (4 not asked for any more)."
    assert outcome.outcome == "ok", "a pause is no failure"


async def test_what_was_done_before_a_pause_is_verified(
    start_site: StartSite, panel: PanelServer, frozen: list[str], tmp_path: Path
) -> None:
    verify = {"within": "50ms", "expect": ["queue_frozen_messages < 5"]}
    keys = one_at_a_time(
        panel, rules=[rule(**BY_ID, verify=verify)], remediation={"pause_file": "pause"}
    )
    site, hold = await in_the_middle(start_site, panel, keys, skip=3)
    (tmp_path / "pause").touch()
    hold.let_go.set()
    await site.quiet()
    (outcome,) = site.journal(Kind.OUTCOME)
    assert outcome.text == "4 of 8 messages are gone (4 not asked for any more)."
    assert outcome.outcome == "ok"


async def test_outside_of_the_window(
    start_site: StartSite, panel: PanelServer, frozen: list[str]
) -> None:
    far = DAYS[(datetime.now(UTC).weekday() + 3) % 7]
    windows = [{"days": [far], "from": "09:00", "to": "17:00"}]
    site = await start_site(config(panel, rules=[rule()], remediation={"windows": windows}))
    await assert_held_back(site, panel, "window")


async def test_inside_of_the_window(
    start_site: StartSite, panel: PanelServer, frozen: list[str]
) -> None:
    windows = [{"from": "00:00", "to": "00:00"}]
    site = await start_site(config(panel, rules=[rule()], remediation={"windows": windows}))
    assert site.story()[-1] == ("outcome", "ok")


@pytest.fixture
async def fleet(exim_queue: NewEximQueue, serve_panel: ServePanel) -> list[PanelServer]:
    """Five panels; on three of them eight bounces are frozen."""
    queues = [await exim_queue() for _ in range(5)]
    for queue in queues[:3]:
        freeze(queue, 8)
    return [await serve_panel(queue) for queue in queues]


async def test_the_storm_brake(start_site: StartSite, fleet: list[PanelServer]) -> None:
    site = await start_site(config(*fleet, rules=[rule()]))
    for number in range(1, 6):
        await site.look(f"mx{number}")
    assert [changing(panel) for panel in fleet] == [[]] * 5
    assert [await panel.panel.queue.count() for panel in fleet] == [8, 8, 8, 0, 0]
    assert {each.host for each in site.journal()} == {"mx1", "mx2", "mx3"}
    assert set(site.story()) == {("blocked", "storm_brake")}
    assert (await site.blocked("storm_brake") or 0) >= 3

    # The third host is mended: two of five may have what they want.
    await fleet[2].panel.queue.delete_all(force=True)
    await site.look("mx3")
    await site.look("mx1")
    assert [len(changing(panel)) for panel in fleet] == [1, 0, 0, 0, 0]
    assert site.story(host="mx1")[-1] == ("outcome", "ok")


async def test_the_storm_brake_waits_for_hosts_that_were_not_polled_yet(
    start_site: StartSite, fleet: list[PanelServer]
) -> None:
    holds = [Hold(of(Operation.COUNT)) for _ in fleet]
    for panel, hold in zip(fleet[1:], holds[1:], strict=True):
        panel.panel.interfere = hold
    site = await start_site(config(*fleet, rules=[rule()]), wait=False)

    async def held_back() -> bool:
        return [each.host for each in written_so_far(site.path, Kind.BLOCKED)] == ["mx1"]

    await eventually(held_back)
    assert site.blocks() == ["storm_brake"]
    assert "have not been polled yet" in site.journal(host="mx1")[0].text
    for hold in holds:
        hold.let_go.set()
    await site.look("mx1")
    assert changing(fleet[0]) == []


async def test_of_a_rule_that_is_new_it_is_not_known_how_many_hosts_want_it(
    start_site: StartSite, fleet: list[PanelServer]
) -> None:
    """Of each of three hosts that want it, it would be the only one known to want it."""
    site = await start_site(config(*fleet, rules=[rule(when="queue_frozen_messages > 99")]))
    await site.reload(config(*fleet, rules=[rule()]))
    await site.look("mx1")
    assert site.story() == [("blocked", "storm_brake")]
    assert "4 hosts have not been polled yet" in site.journal()[0].text
    for number in range(2, 6):
        await site.look(f"mx{number}")
    assert [changing(panel) for panel in fleet] == [[]] * 5
    assert set(site.story()) == {("blocked", "storm_brake")}


async def test_cooldown(
    start_site: StartSite, panel: PanelServer, frozen: list[str], queue: EximQueue
) -> None:
    site = await start_site(config(panel, rules=[rule()]))
    assert operations(panel) == [Operation.DELETE_FROZEN]
    freeze(queue, 8, first=20)
    await site.look()
    assert len(changing(panel)) == 1
    assert await queue.count() == 8
    assert site.blocks() == ["cooldown"]
    assert site.journal()[-1].text.endswith("within the cooldown of 1h.")


async def test_max_per_day(
    start_site: StartSite, panel: PanelServer, frozen: list[str], queue: EximQueue
) -> None:
    site = await start_site(config(panel, rules=[rule(cooldown="1ms", max_per_day=2)]))
    for first in (20, 40):
        freeze(queue, 8, first=first)
        await site.look()
    assert len(changing(panel)) == 2
    assert await queue.count() == 8
    assert site.blocks() == ["max_per_day"]


async def test_actions_per_hour(
    start_site: StartSite, exim_queue: NewEximQueue, serve_panel: ServePanel
) -> None:
    queues = [await exim_queue(), await exim_queue()]
    for queue in queues:
        freeze(queue, 8)
    panels = [await serve_panel(queue) for queue in queues]
    limits = {"actions_per_hour": 1, "actions_at_once": 10}
    site = await start_site(config(*panels, rules=[rule()], remediation={"limits": limits}))
    for host in ("mx1", "mx2"):
        await site.look(host)
    assert sorted(len(changing(panel)) for panel in panels) == [0, 1]
    assert len(site.journal(Kind.INTENT)) == 1
    assert "actions_per_hour" in site.blocks()


async def test_nothing_begins_while_another_process_counts_what_has_begun(
    start_site: StartSite,
    panel: PanelServer,
    frozen: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rule_job, "A_MOMENT", 0.001)
    with HostLocks(tmp_path / "journal.db").hold(FLEET):
        site = await start_site(config(panel, rules=[rule()]))
        block = await assert_held_back(site, panel, "actions_at_once")
    assert block.text == "Other actions are about to begin."
    await site.look()
    assert site.story()[-1] == ("outcome", "ok")


async def test_actions_per_hour_holds_for_those_that_begin_together(
    start_site: StartSite, exim_queue: NewEximQueue, serve_panel: ServePanel
) -> None:
    queues = [await exim_queue() for _ in range(4)]
    for queue in queues:
        freeze(queue, 8)
    panels = [await serve_panel(queue) for queue in queues]
    # Each that comes so far is held where it has its plan, and no intent yet.
    holds = [Hold(of(Operation.LIST), skip=2, done=True) for _ in panels]
    for panel, hold in zip(panels, holds, strict=True):
        panel.panel.interfere = hold
    limits = {"actions_per_hour": 2, "actions_at_once": 10, "storm_brake": 1.0}
    keys = config(*panels, rules=[rule()], remediation={"limits": limits})
    site = await start_site(keys, wait=False)

    async def decided() -> bool:
        begun = sum(hold.reached.is_set() for hold in holds)
        return begun + len(written_so_far(site.path, Kind.BLOCKED)) == 4

    await eventually(decided)
    for hold in holds:
        hold.let_go.set()
    await site.quiet()
    assert sorted(len(changing(panel)) for panel in panels) == [0, 0, 1, 1]
    assert len(site.journal(Kind.INTENT)) == 2
    assert site.blocks() == ["actions_per_hour"] * 2


async def test_actions_at_once(
    start_site: StartSite, exim_queue: NewEximQueue, serve_panel: ServePanel
) -> None:
    queues = [await exim_queue(), await exim_queue()]
    for queue in queues:
        freeze(queue, 8)
    panels = [await serve_panel(queue) for queue in queues]
    hold = panels[0].panel.interfere = Hold(is_change)
    panels[1].panel.interfere = second = Hold(of(Operation.COUNT))
    site = await start_site(config(*panels, rules=[rule()]), wait=False)
    await hold.wait()
    second.let_go.set()
    await site.running.poll("mx2")

    async def held_back() -> bool:
        return site.blocks("mx2") == ["actions_at_once"]

    await eventually(held_back)
    assert changing(panels[1]) == []
    hold.let_go.set()
    await site.quiet()
    await site.look("mx2")
    assert [len(changing(panel)) for panel in panels] == [1, 1]
    assert [site.story(host=f"mx{n}")[-1] for n in (1, 2)] == [("outcome", "ok")] * 2


LOCKER = """
import sys, pathlib
from exporter.journal.host_lock import HostLocks
with HostLocks(pathlib.Path(sys.argv[1])).hold(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def busy(path: Path, host: str) -> Iterator[None]:
    """Another process is at work on a host."""
    command = [sys.executable, "-c", LOCKER, str(path), host]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield


async def test_another_process_is_at_work_on_the_host(
    start_site: StartSite, panel: PanelServer, frozen: list[str], tmp_path: Path
) -> None:
    with busy(tmp_path / "journal.db", panel_of(panel).url):
        site = await start_site(config(panel, rules=[rule()]))
        await assert_held_back(site, panel, "host_busy")
    await site.look()
    assert site.story()[-1] == ("outcome", "ok")


async def test_another_host_is_not_held_back(
    start_site: StartSite, panel: PanelServer, frozen: list[str], tmp_path: Path
) -> None:
    with busy(tmp_path / "journal.db", "http://mx2.example.com/api/api.php"):
        site = await start_site(config(panel, rules=[rule()]))
        assert site.story() == [("intent", ""), ("reply", "done"), ("outcome", "ok")]


async def test_a_lock_that_cannot_be_had(
    start_site: StartSite, panel: PanelServer, frozen: list[str], tmp_path: Path
) -> None:
    (tmp_path / "journal.db-hosts.lock").mkdir()
    site = await start_site(config(panel, rules=[rule()]))
    block = await assert_held_back(site, panel, "host_busy")
    assert "cannot be opened" in block.text


def no_folder(path: Path) -> None:
    """The state path's folder is missing."""


def a_folder(path: Path) -> None:
    path.mkdir(parents=True)


def damaged(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 32)


def foreign(path: Path) -> None:
    import sqlite3

    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE something (else_ TEXT)")
    connection.close()


@pytest.mark.parametrize("spoil", [no_folder, a_folder, damaged, foreign])
async def test_a_journal_that_cannot_be_used(
    start_site: StartSite, panel: PanelServer, frozen: list[str], tmp_path: Path,
    spoil: Callable[[Path], None],
) -> None:  # fmt: skip
    path = tmp_path / "state" / "journal.db"
    spoil(path)
    before = path.read_bytes() if path.is_file() else None
    site = await start_site(config(panel, rules=[rule()], state={"path": str(path)}))
    await site.look()
    assert changing(panel) == []
    assert await panel.panel.queue.count() == 8
    blocked = await site.running.value("remediation_blocked_total", rule="purge", guard="journal")
    assert blocked == 2
    assert await site.running.value("queue_messages", host="mx1") == 8, "polling goes on"
    assert (path.read_bytes() if path.is_file() else None) == before


async def test_a_journal_that_can_no_more_be_written(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    site = await start_site(config(panel, rules=[rule()]))
    assert site.path.exists(), "it is in use"
    freeze(queue, 8)
    site.path.rename(tmp_path / "aside.db")
    await site.look()
    assert changing(panel) == []
    assert await queue.count() == 8
    blocked = await site.running.value("remediation_blocked_total", rule="purge", guard="journal")
    assert blocked == 1


async def test_a_journal_that_fails_in_the_middle(
    start_site: StartSite, panel: PanelServer, frozen: list[str], tmp_path: Path
) -> None:
    hold = panel.panel.interfere = Hold(CONTROL, done=True)
    keys = one_at_a_time(panel, rules=[rule(**BY_ID)])
    site = await start_site(keys, wait=False)
    await hold.wait()
    for file in tmp_path.glob("journal.db*"):
        file.rename(tmp_path / f"aside-{file.name}")
    hold.let_go.set()
    await site.quiet()
    assert len(ids_asked(panel)) == 1, "what cannot be written down is not gone on with"
    for file in tmp_path.glob("aside-journal.db*"):
        file.rename(tmp_path / file.name.removeprefix("aside-"))
    await site.look()
    assert len(ids_asked(panel)) == 1
    outcome = site.journal(Kind.OUTCOME)[-1]
    assert (outcome.outcome, outcome.detail["gone"]) == ("unknown", 1)


async def test_a_journal_that_cannot_be_read_in_the_middle(
    start_site: StartSite,
    panel: PanelServer,
    frozen: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether somebody has paused it is not known any more."""
    keys = one_at_a_time(panel, rules=[rule(**BY_ID)])
    site, hold = await in_the_middle(start_site, panel, keys, skip=3)

    def fails(_: Journal) -> FleetFacts:
        raise JournalError("It cannot be read.")

    monkeypatch.setattr(Journal, "fleet_facts", fails)
    hold.let_go.set()
    await site.quiet()
    assert len(ids_asked(panel)) == 4
    (outcome,) = site.journal(Kind.OUTCOME)
    assert outcome.text == "4 of 8 messages are gone (4 not asked for any more)."


async def test_max_messages(start_site: StartSite, panel: PanelServer, frozen: list[str]) -> None:
    site = await start_site(config(panel, rules=[rule(max_messages=7)]))
    block = await assert_held_back(site, panel, "max_messages")
    assert block.text == "The plan holds 8 messages; max_messages is 7."


async def test_the_condition_holds_no_longer_when_looked_at_again(
    start_site: StartSite, panel: PanelServer, frozen: list[str], queue: EximQueue
) -> None:
    panel.panel.interfere = meanwhile(of(Operation.COUNT), partial(queue.thaw, *frozen[:4]), skip=1)
    site = await start_site(config(panel, rules=[rule()]))
    block = await assert_held_back(site, panel, "condition")
    assert block.text == ("Looked at again, it does not hold: queue_frozen_messages > 5 (4).")


async def test_nothing_to_do(
    start_site: StartSite, panel: PanelServer, frozen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    select = {"frozen": True, "sender": "*@example.org"}
    site = await start_site(config(panel, rules=[rule(select=select)]))
    await assert_held_back(site, panel, "nothing_to_do")

    # Each look costs the panel a poll and a list more: it is let alone for a while.
    asked = len(panel.panel.requests)
    await site.look()
    assert len(panel.panel.requests) == asked + 2
    assert await site.blocked("nothing_to_do") == 1


async def test_what_froze_since_the_poll_is_in_the_plan_and_what_thawed_is_not(
    start_site: StartSite, panel: PanelServer, frozen: list[str], queue: EximQueue
) -> None:
    late = message(queue, 50)

    async def change() -> None:
        await queue.thaw(frozen[0])
        queue.put([late])

    panel.panel.interfere = meanwhile(of(Operation.LIST), change, skip=2)
    site = await start_site(config(panel, rules=[rule(**BY_ID)]))
    expected = sorted([*frozen[1:], late.id])
    assert sorted(ids_asked(panel)) == expected
    assert sorted(site.plan(site.journal()[0])) == expected


@pytest.mark.parametrize("keys", [{}, BY_ID, {"action": "purge_all"}])
async def test_a_list_that_is_not_whole(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, keys: dict[str, Any]
) -> None:
    freeze(queue, 10)
    panel.panel.interfere = counts(500)
    site = await start_site(config(panel, rules=[rule(**keys)]))
    block = await assert_held_back(site, panel, "listing", messages=10)
    assert block.text.startswith("count_msg tells 500 messages and list_msg lists only 10")


async def test_conditions_must_hold_for_long_enough(
    start_site: StartSite, panel: PanelServer, frozen: list[str]
) -> None:
    site = await start_site(config(panel, rules=[rule(**{"for": "10m"})]))
    now = time.monotonic()
    site.running.daemon.app.controller.monotonic = lambda: now
    for seconds in (1, 300, 290):
        now += seconds
        await site.look()
        assert changing(panel) == []
        assert site.journal() == []
    now += 20
    await site.look()
    assert operations(panel) == [Operation.DELETE_FROZEN]
    assert site.story() == [("intent", ""), ("reply", "done"), ("outcome", "ok")]


async def test_a_dry_run_does_everything_but_act(
    start_site: StartSite, panel: PanelServer, frozen: list[str], queue: EximQueue
) -> None:
    site = await start_site(config(panel, rules=[rule()], remediation={"mode": "dry_run"}))
    intent, outcome = site.journal()
    assert (intent.kind, intent.mode, intent.outcome) == (Kind.INTENT, "dry_run", "")
    assert sorted(site.plan(intent)) == sorted(frozen)
    assert (outcome.kind, outcome.outcome) == (Kind.OUTCOME, "dry_run")
    assert outcome.text == "Would delete 8 messages (frozen)."
    assert changing(panel) == []
    assert await queue.count() == 8

    await site.look()
    assert site.story()[2:] == [("blocked", "cooldown")]
    labels = {"host": "mx1", "rule": "purge"}
    assert await site.outcomes(**labels, action="purge_frozen", outcome="dry_run") == 1
    assert await site.metric("planned_messages", **labels) == 8
    assert await site.metric("removed_messages_total", **labels) == 0
    assert changing(panel) == []


async def test_a_dry_run_counts_for_the_limits(
    start_site: StartSite, panel: PanelServer, frozen: list[str]
) -> None:
    keys = rule(cooldown="1ms", max_per_day=2)
    site = await start_site(config(panel, rules=[keys], remediation={"mode": "dry_run"}))
    for _ in range(3):
        await site.look()
    assert len(site.journal(Kind.INTENT)) == 2
    assert site.blocks() == ["max_per_day"]
    assert changing(panel) == []
