"""What cannot be trusted stops everything: the journal, what stands beside it, and the clocks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.cli.manual_action import ManualAction, carry_out, result_view
from exporter.cli.session import Progressing
from exporter.config.loading import load_config
from exporter.config.selectors import Selector
from exporter.journal import Entry, Journal, Kind
from exporter.panel import client as client_module
from exporter.panel.protocol import Operation
from exporter.remediation import follower
from exporter.remediation.plan import ActionSpec
from exporter.remediation.rule_state import LOOK_AGAIN
from tests.cli import shell
from tests.daemon.conftest import eventually, host
from tests.fixtures.standin import NewEximQueue, PanelServer, ServePanel
from tests.remediation.conftest import (
    BY_ID,
    Site,
    StartSite,
    changing,
    config,
    freeze,
    ids_asked,
    read_journal,
    rule,
)
from tests.servers.exim import EximQueue


def damage(path: Path) -> None:
    """Make an old entry unreadable, as a failing disk may."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP TRIGGER entries_stay")
    connection.execute("UPDATE entries SET kind = 'sesame@example.com' WHERE id = 1")
    connection.close()


def lose(ending: str) -> Callable[[Path], None]:
    def lose(path: Path) -> None:
        path.with_name(path.name + ending).unlink()

    return lose


LOSSES = {
    "an entry": damage,
    "the log": lose("-wal"),
    "its index": lose("-shm"),
    "the locks": lose("-hosts.lock"),
}


async def text_of(site: Site, path: str) -> str:
    async with site.running.session.get(site.running.url + path) as answer:
        assert answer.status == 200
        return await answer.text()


@pytest.mark.parametrize("what", LOSSES)
async def test_nothing_begins_and_all_the_rest_goes_on(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    monkeypatch.setattr(follower, "READ_EVERY", 0.02)
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule(cooldown="1s", max_per_day=9)]))
    assert site.story()[-1] == ("outcome", "ok")
    assert "brainycp_state_usable 1.0" in await text_of(site, "/metrics")
    before = len(changing(panel))
    freeze(queue, 8, first=100)
    LOSSES[what](site.path)
    await site.look()
    await site.look()
    assert len(changing(panel)) == before
    assert await panel.panel.queue.count() == 8

    async def shown() -> bool:
        return "brainycp_state_usable 0.0" in await text_of(site, "/metrics")

    await eventually(shown)
    metrics = await text_of(site, "/metrics")
    assert 'brainycp_remediation_blocked_total{guard="journal",rule="purge"}' in metrics
    assert 'brainycp_queue_messages{host="mx1"} 8' in metrics
    assert 'brainycp_remediation_actions_total{action="purge_frozen"' in metrics
    assert '"kind":"outcome"' in (await text_of(site, "/api/v1/journal")).replace(" ", "")
    assert "the journal cannot be used" in (await text_of(site, "/")).lower()
    for page in ("/", "/remediation", "/journal"):
        assert "sesame" not in await text_of(site, page)


async def test_neither_does_anything_by_hand(
    panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    ids = freeze(queue, 3)
    path = tmp_path / "journal.db"
    file = shell.write_config(tmp_path, host("mx1", panel.url))
    code, _, _ = await shell.run(
        "queue", "delete", "mx1", "--id", ids[0], "--yes", "--config", file
    )
    assert code == 0
    before = len(changing(panel))
    damage(path)
    code, _, error = await shell.run(
        "queue", "delete", "mx1", "--id", ids[1], "--yes", "--config", file
    )
    assert (code, "is damaged (entry 1 cannot be read)" in error) == (1, True), error
    assert "sesame" not in error
    assert len(changing(panel)) == before


async def test_a_pause_that_the_daemon_does_not_see_says_so(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    """Its files were removed under it: it ends by itself, and the pause is in another log."""
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule()]))
    for ending in ("-wal", "-shm"):
        LOSSES["the log" if ending == "-wal" else "its index"](site.path)
    file = shell.write_config(tmp_path, host("mx1", panel.url))
    code, _, error = await shell.run("remediation", "pause", "--config", file)
    assert code == 1
    assert "a running exporter has another journal open" in error.replace("\n", " ")


async def test_a_pause_that_the_daemon_sees_says_nothing_of_the_kind(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    freeze(queue, 8)
    await start_site(config(panel, rules=[rule()]))
    file = shell.write_config(tmp_path, host("mx1", panel.url))
    code, said, error = await shell.run("remediation", "pause", "--config", file)
    assert (code, "another journal" in said + error) == (0, False)


# --- clocks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [400.0, -400.0, 95 * 86400.0, None])
@pytest.mark.parametrize(
    "keys",
    [
        {"select": {"frozen": True, "older_than": "1h"}},
        {"select": {"frozen": True, "younger_than": "9d"}},
        {"select": {"frozen": True, "limit": 3}},
        {"when": ["queue_oldest_message_age_seconds > 1h"]},
    ],
)
async def test_no_selector_goes_by_age_where_the_clocks_disagree(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    monkeypatch: pytest.MonkeyPatch,
    skew: float | None,
    keys: dict[str, object],
) -> None:
    monkeypatch.setattr(client_module, "skew_of", lambda *_: skew)
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule(**{**BY_ID, **keys})]))
    assert changing(panel) == []
    assert site.blocks() == ["clock"]
    (block,) = site.journal(Kind.BLOCKED)
    assert ("tell no Date" if skew is None else "The panel's clock is") in block.text
    shown = 'brainycp_panel_clock_skew_seconds{host="mx1"}'
    assert (f"{shown} {skew}\n" in await text_of(site, "/metrics")) is (skew is not None)


async def test_nor_does_a_person_go_by_age_then(
    panel: PanelServer, queue: EximQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "skew_of", lambda *_: 400.0)
    freeze(queue, 8)
    loaded = load_config(shell.write_config(tmp_path, host("mx1", panel.url))).config
    wish = ManualAction(
        ActionSpec("delete", Selector.model_validate({"frozen": True, "older_than": "1h"})),
        yes=True,
    )
    done = await carry_out(loaded, loaded.hosts[0], wish, Progressing())
    assert changing(panel) == []
    (entry,) = read_journal(loaded.state.path)
    assert (entry.kind, entry.outcome, done.outcome) == (Kind.BLOCKED, "clock", None)
    assert entry.text.startswith("The panel's clock is 6m")
    told = result_view("mx1", wish, done, [])
    assert (told["block"]["guard"], told["block"]["reason"]) == ("clock", entry.text)


@pytest.mark.parametrize("set_by", [86400.0, -86400.0])
async def test_what_rests_does_so_by_the_time_that_passes(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    monkeypatch: pytest.MonkeyPatch,
    set_by: float,
) -> None:
    """A clock that is set neither ends the rest of a rule that was held back nor prolongs it."""
    freeze(queue, 8)
    limited = rule(**BY_ID, max_messages=3)
    site = await start_site(config(panel, rules=[limited]))
    controller = site.running.daemon.app.controller
    assert site.blocks() == ["max_messages"]

    async def lists_of_a_look() -> int:
        before = len(panel.panel.requests)
        await site.look()
        asked = [each.operation for each in [*panel.panel.requests][before:]]
        return asked.count(Operation.LIST)

    now = controller.clock() + set_by
    monkeypatch.setattr(controller, "clock", lambda: now)
    assert await lists_of_a_look() == 1, "the poll's own"
    began = controller.monotonic()
    monkeypatch.setattr(controller, "monotonic", lambda: began + LOOK_AGAIN)
    assert await lists_of_a_look() > 1
    assert changing(panel) == []
    assert set(site.blocks()) == {"max_messages"}


async def test_where_they_agree_it_does(
    start_site: StartSite, panel: PanelServer, queue: EximQueue
) -> None:
    freeze(queue, 8)
    keys = {"select": {"frozen": True, "older_than": "1h", "limit": 9}}
    site = await start_site(config(panel, rules=[rule(**{**BY_ID, **keys})]))
    assert site.story()[-1] == ("outcome", "ok")
    told = await site.running.value("panel_clock_skew_seconds", host="mx1")
    assert told is not None
    assert abs(told) < 2


async def test_what_does_not_go_by_age_acts_whatever_the_clocks_say(
    start_site: StartSite, panel: PanelServer, queue: EximQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a single panel that is ahead: no limit is freed by a clock of ours that is behind."""
    monkeypatch.setattr(client_module, "skew_of", lambda *_: 95 * 86400.0)
    freeze(queue, 8)
    site = await start_site(config(panel, rules=[rule(**BY_ID)]))
    assert site.story()[-1] == ("outcome", "ok")


@pytest.mark.parametrize("ours", [95 * 86400.0, -95 * 86400.0])
@pytest.mark.parametrize("service", [False, True])
async def test_a_start_with_a_clock_that_is_wrong_frees_no_limit(
    start_site: StartSite,
    serve_panel: ServePanel,
    exim_queue: NewEximQueue,
    monkeypatch: pytest.MonkeyPatch,
    ours: float,
    service: bool,
) -> None:
    """Two of three panels tell the time, by which the rule may just have acted."""
    skews: dict[str, float] = {}
    monkeypatch.setattr(
        client_module.PanelClient,
        "clock_skew",
        property(lambda client: skews.get(client.host.name, -ours), lambda *_: None),
        raising=False,
    )
    skews["mx3"] = 0.5 if ours > 0 else 95 * 86400.0
    queues = [await exim_queue() for _ in range(3)]
    panels = [await serve_panel(each) for each in queues]
    keys = rule(**BY_ID)
    if service:
        on = {"when": ["queue_frozen_messages > 5"], "action": "service_off", "service": "clamav"}
        keys = {"name": "purge", **on}
    made = config(*panels, rules=[keys], collectors=["queue"])
    site = await start_site(made)
    for each in queues[:2]:
        freeze(each, 8)
    for name in ("mx1", "mx2"):
        await site.look(name)
    assert [changing(each) for each in panels] == [[], [], []]
    blocks = site.journal(Kind.BLOCKED)
    assert {each.outcome for each in blocks} == {"clock"}
    side = "ahead of" if ours > 0 else "behind"
    words = f"This machine's clock seems to be wrong: it is 95d {side} those of most of 3 panels"
    assert all(each.text.startswith(words) for each in blocks)
    assert site.journal(Kind.INTENT) == []


async def test_one_panel_whose_clock_is_wrong_keeps_only_ages_from_being_gone_by(
    start_site: StartSite,
    serve_panel: ServePanel,
    exim_queue: NewEximQueue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        client_module.PanelClient,
        "clock_skew",
        property(lambda client: -9000.0 if client.host.name == "mx1" else 0.5, lambda *_: None),
        raising=False,
    )
    queues = [await exim_queue() for _ in range(3)]
    panels = [await serve_panel(each) for each in queues]
    aged = {**BY_ID, "name": "aged", "select": {"frozen": True, "older_than": "1h"}}
    made = config(*panels, rules=[rule(**aged), rule(**BY_ID)])
    site = await start_site(made)
    freeze(queues[0], 8)
    await site.look()
    assert [(each.rule, each.outcome) for each in site.journal(Kind.BLOCKED)] == [("aged", "clock")]
    assert [(each.rule, each.outcome) for each in site.journal(Kind.OUTCOME)] == [("purge", "ok")]
    assert len(ids_asked(panels[0])) == 8


async def test_a_start_with_a_clock_ahead_of_the_panels_prunes_nothing(
    start_site: StartSite,
    panel: PanelServer,
    queue: EximQueue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As by the panels' clocks it lies 95 days behind the time; once they agree, it goes."""
    monkeypatch.setattr(follower, "READ_EVERY", 0.02)
    skew: list[float | None] = [None]
    monkeypatch.setattr(client_module, "skew_of", lambda *_: skew[0])
    old = Journal.open(tmp_path / "journal.db", clock=lambda: 1_000_000_000.0)
    for _ in range(5):
        old.add(Entry(Kind.BLOCKED, host="mx1", rule="other"))
    old.close()
    site = await start_site(config(panel, rules=[rule()]))

    async def left(count: int) -> bool:
        return len(site.journal(Kind.BLOCKED)) == count

    for wrong in (None, -95 * 86400.0, 95 * 86400.0):
        skew[0] = wrong
        await site.look()
        for _ in range(3):
            await site.running.daemon.app.controller.follower.read_journal()
        assert await left(5)
    skew[0] = 1.0
    await site.look()
    await eventually(lambda: left(0))
