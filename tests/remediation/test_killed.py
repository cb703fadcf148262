"""SIGKILL at every step: the journal is whole, what was begun is settled, nothing is done twice."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from exporter.journal import Entry, Journal, Kind
from exporter.panel.protocol import Operation
from tests.daemon.conftest import eventually
from tests.fixtures.standin import PanelServer
from tests.remediation.conftest import (
    BY_ID,
    changing,
    config,
    freeze,
    ids_asked,
    planned,
    rule,
    short,
    written_so_far,
)
from tests.remediation.mischief import CONTROL, Hold, Which, is_change, later, of, shows_login_page
from tests.remediation.processes import Exporter, exporter
from tests.servers.exim import EximQueue

COUNT, LIST = of(Operation.COUNT), of(Operation.LIST)
WHOLE: dict[str, Any] = {}


def settings(panel: PanelServer, keys: dict[str, Any], *, parallel: int = 1) -> dict[str, Any]:
    verify = {"within": "1s", "expect": ["queue_frozen_messages < 5"]}
    made = config(panel, rules=[rule(verify=verify, **keys)])
    made["poll"] |= {"requests_per_host": parallel, "timeout": "60s"}
    return made


def journal_of(folder: Path, *kinds: Kind) -> list[Entry]:
    return written_so_far(folder / "journal.db", *kinds)


async def settled(folder: Path) -> Entry:
    """Wait for the outcome of the first action."""

    async def has_outcome() -> bool:
        return bool(journal_of(folder, Kind.OUTCOME))

    await eventually(has_outcome, seconds=20)
    return journal_of(folder, Kind.OUTCOME)[0]


def assert_whole(folder: Path) -> None:
    """The file is sound, its ids have no gap, and every action has one outcome."""
    path = folder / "journal.db"
    with closing(Journal.open(path)) as journal:
        assert journal.unsettled() == []
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    entries = journal_of(folder)
    assert [each.id for each in entries] == list(range(1, len(entries) + 1))
    intents = [each.run for each in entries if each.kind is Kind.INTENT]
    assert intents == [each.run for each in entries if each.kind is Kind.OUTCOME]


async def assert_it_rests(restarted: Exporter, panel: PanelServer, queue: EximQueue) -> None:
    """Though the rule's condition holds, the cooldown does too, and nothing is asked."""
    before = changing(panel)
    freeze(queue, 8, first=50)
    labels = {"rule": "purge", "guard": "cooldown"}
    blocked = await restarted.value("blocked_total", **labels) or 0
    await restarted.poll()

    async def held_back() -> bool:
        return (await restarted.value("blocked_total", **labels) or 0) > blocked

    await eventually(held_back)
    assert changing(panel) == before
    assert max(Counter(ids_asked(panel)).values(), default=0) <= 1


@pytest.mark.parametrize(
    ("which", "skip"),
    [
        pytest.param(LIST, 0, id="the first poll"),
        pytest.param(COUNT, 1, id="the poll before the plan"),
        pytest.param(LIST, 2, id="the list that the plan is made from"),
    ],
)
async def test_before_the_intent(
    panel: PanelServer, queue: EximQueue, tmp_path: Path, which: Which, skip: int
) -> None:
    frozen = freeze(queue, 8)
    hold = panel.panel.interfere = Hold(which, skip=skip)
    async with exporter(tmp_path, settings(panel, BY_ID)) as killed:
        await hold.wait()
        await killed.kill()
    assert not journal_of(tmp_path, Kind.INTENT)
    assert changing(panel) == []

    async with exporter(tmp_path, settings(panel, BY_ID)) as restarted:
        outcome = await settled(tmp_path)
        assert outcome.outcome == "ok"
        assert "settled" not in outcome.detail
        assert sorted(ids_asked(panel)) == sorted(frozen)
        assert await queue.count() == 0
        await assert_it_rests(restarted, panel, queue)
        assert await restarted.actions() == {"ok": 1}
    assert_whole(tmp_path)


@pytest.mark.parametrize(
    ("keys", "which", "skip", "done", "replies", "gone"),
    [
        pytest.param(BY_ID, CONTROL, 0, False, 0, 0, id="before the first message"),
        pytest.param(BY_ID, CONTROL, 0, True, 0, 1, id="after the first message"),
        pytest.param(BY_ID, CONTROL, 3, False, 3, 3, id="before the fourth message"),
        pytest.param(BY_ID, CONTROL, 3, True, 3, 4, id="after the fourth message"),
        pytest.param(BY_ID, CONTROL, 7, True, 7, 8, id="after the last message"),
        pytest.param(BY_ID, COUNT, 3, False, 8, 8, id="before the list afterwards"),
        pytest.param(BY_ID, COUNT, 4, False, 8, 8, id="before what verify looks at"),
        pytest.param(WHOLE, is_change, 0, False, 0, 0, id="before all at once"),
        pytest.param(WHOLE, is_change, 0, True, 0, 8, id="after all at once"),
        pytest.param(WHOLE, COUNT, 3, False, 1, 8, id="before the list after all at once"),
    ],
)
async def test_after_the_intent(
    panel: PanelServer,
    queue: EximQueue,
    tmp_path: Path,
    keys: dict[str, Any],
    which: Which,
    skip: int,
    done: bool,
    replies: int,
    gone: int,
) -> None:
    frozen = freeze(queue, 8)
    hold = panel.panel.interfere = Hold(which, skip=skip, done=done)
    async with exporter(tmp_path, settings(panel, keys)) as killed:
        await hold.wait()
        await killed.kill()
    before = journal_of(tmp_path)
    assert [each.kind for each in before] == [Kind.INTENT, *[Kind.REPLY] * replies]
    assert sorted(m.id for m in planned(tmp_path / "journal.db", before[0])) == sorted(frozen)
    assert await queue.count() == 8 - gone
    asked = len(changing(panel))

    async with exporter(tmp_path, settings(panel, keys)) as restarted:
        outcome = await settled(tmp_path)
        assert journal_of(tmp_path)[: len(before)] == before
        assert outcome.run == before[0].run
        assert outcome.outcome == ("ok" if gone == 8 else "unknown")
        assert outcome.text == (
            "Settled afterwards, since its process ended in the middle: "
            f"{gone} of 8 messages are gone."
        )
        assert outcome.detail == {"planned": 8, "gone": gone, "removed": gone, "settled": True}
        await assert_it_rests(restarted, panel, queue)
        assert len(changing(panel)) == asked
        assert await queue.count() == 8 - gone + 8

        async def counted() -> bool:
            return bool(await restarted.actions())

        await eventually(counted)
        assert await restarted.actions() == {outcome.outcome: 1}
        removed = await restarted.value("removed_messages_total", host="mx1", rule="purge")
        assert removed == gone
    assert_whole(tmp_path)


async def test_what_verify_expects_is_looked_at_when_it_is_settled(
    panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    freeze(queue, 8)
    hold = panel.panel.interfere = Hold(COUNT, skip=4)
    async with exporter(tmp_path, settings(panel, BY_ID)) as killed:
        await hold.wait()
        await killed.kill()
    freeze(queue, 8, first=50)
    async with exporter(tmp_path, settings(panel, BY_ID)):
        outcome = await settled(tmp_path)
    assert outcome.outcome == "unknown", "nobody has seen it to be well"
    assert outcome.text.endswith(
        "8 of 8 messages are gone. What verify expects is not seen to hold."
    )


async def test_with_several_messages_on_their_way(
    panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    freeze(queue, 30)
    hold = panel.panel.interfere = Hold(CONTROL, skip=12, done=True)
    keys = settings(panel, BY_ID, parallel=4)
    async with exporter(tmp_path, keys) as killed:
        await hold.wait()
        await killed.kill()
    async with exporter(tmp_path, keys) as restarted:
        outcome = await settled(tmp_path)
        assert outcome.detail["gone"] == 30 - await queue.count()
        asked = ids_asked(panel)
        assert 13 <= len(asked) == len(set(asked)) <= 30
        await assert_it_rests(restarted, panel, queue)
        assert ids_asked(panel) == asked
    assert_whole(tmp_path)


async def test_after_the_outcome(panel: PanelServer, queue: EximQueue, tmp_path: Path) -> None:
    freeze(queue, 8)
    async with exporter(tmp_path, settings(panel, BY_ID)) as killed:
        await settled(tmp_path)
        await killed.kill()
    before = journal_of(tmp_path)
    async with exporter(tmp_path, settings(panel, BY_ID)) as restarted:
        await assert_it_rests(restarted, panel, queue)
        assert len(ids_asked(panel)) == 8

        async def held_back() -> bool:
            return short(journal_of(tmp_path)) == [*short(before), ("blocked", "cooldown")]

        await eventually(held_back)
    assert_whole(tmp_path)


async def test_once_more_while_it_is_settled(
    panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    freeze(queue, 8)
    hold = panel.panel.interfere = Hold(CONTROL, skip=3)
    async with exporter(tmp_path, settings(panel, BY_ID)) as killed:
        await hold.wait()
        await killed.kill()
    hold = panel.panel.interfere = Hold(LIST, skip=1)  # the first is the poll's
    async with exporter(tmp_path, settings(panel, BY_ID)) as killed:
        await hold.wait()
        await killed.kill()
    assert not journal_of(tmp_path, Kind.OUTCOME)
    async with exporter(tmp_path, settings(panel, BY_ID)) as restarted:
        assert (await settled(tmp_path)).detail["gone"] == 3
        await assert_it_rests(restarted, panel, queue)
    assert len(ids_asked(panel)) == 4
    assert_whole(tmp_path)


async def test_it_is_not_settled_as_long_as_the_panel_cannot_tell(
    panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    freeze(queue, 12)
    keys = settings(panel, {**BY_ID, "cooldown": "1ms"})
    hold = panel.panel.interfere = Hold(CONTROL, skip=3)
    async with exporter(tmp_path, keys) as killed:
        await hold.wait()
        await killed.kill()
    panel.panel.interfere = shows_login_page(later(LIST, skip=1))  # the first is the poll's
    async with exporter(tmp_path, keys) as restarted:

        async def held_back() -> bool:
            return bool(journal_of(tmp_path, Kind.BLOCKED))

        await eventually(held_back)
        (block,) = journal_of(tmp_path, Kind.BLOCKED)
        assert block.outcome == "unsettled"
        assert not journal_of(tmp_path, Kind.OUTCOME)
        assert len(ids_asked(panel)) == 4

        panel.panel.interfere = None
        await restarted.poll()
        assert (await settled(tmp_path)).detail["gone"] == 3
