"""SIGTERM at every step of an action, in a real process: no further message, and the outcome."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from exporter.journal import Entry, Kind
from exporter.panel.protocol import Operation
from tests.daemon.conftest import eventually
from tests.fixtures.standin import PanelServer
from tests.remediation.conftest import (
    BY_ID,
    changing,
    config,
    freeze,
    ids_asked,
    rule,
    short,
    written_so_far,
)
from tests.remediation.mischief import CONTROL, Hold, Which, is_change, of
from tests.remediation.processes import Exporter, exporter
from tests.servers.exim import EximQueue

COUNT, LIST = of(Operation.COUNT), of(Operation.LIST)
MESSAGES = 40


def settings(panel: PanelServer, keys: dict[str, Any], *, parallel: int = 1) -> dict[str, Any]:
    made = config(panel, rules=[rule(**keys)])
    made["poll"] |= {"requests_per_host": parallel, "timeout": "60s"}
    return made


def journal_of(folder: Path, *kinds: Kind) -> list[Entry]:
    return written_so_far(folder / "journal.db", *kinds)


async def terminate(running: Exporter, hold: Hold) -> None:
    """SIGTERM while the panel holds a request, which it answers once the daemon is at its end."""
    await hold.wait()
    running.process.send_signal(signal.SIGTERM)

    async def stopping() -> bool:
        return any(line["event"] == "stopping" for line in running.log)

    await eventually(stopping, seconds=30)
    hold.let_go.set()
    async with asyncio.timeout(20):  # the unit's TimeoutStopSec
        assert await running.process.wait() == 0


@pytest.mark.parametrize(
    ("keys", "which", "skip", "done", "asked", "how"),
    [
        pytest.param(BY_ID, LIST, 2, False, 0, None, id="before the plan"),
        pytest.param(BY_ID, CONTROL, 0, False, 1, "ok", id="over the first message"),
        pytest.param(BY_ID, CONTROL, 0, True, 1, "ok", id="after the first message"),
        pytest.param(BY_ID, CONTROL, 19, False, 20, "ok", id="in the middle"),
        pytest.param(BY_ID, CONTROL, MESSAGES - 1, True, MESSAGES, "ok", id="over the last"),
        pytest.param(BY_ID, COUNT, 3, False, MESSAGES, "ok", id="over the list afterwards"),
        pytest.param({}, is_change, 0, False, 1, "ok", id="over all at once"),
        pytest.param({}, is_change, 0, True, 1, "ok", id="after all at once"),
    ],
)
async def test_no_further_message_is_sent_and_the_outcome_is_written(
    panel: PanelServer,
    queue: EximQueue,
    tmp_path: Path,
    keys: dict[str, Any],
    which: Which,
    skip: int,
    done: bool,
    asked: int,
    how: str | None,
) -> None:
    freeze(queue, MESSAGES)
    hold = panel.panel.interfere = Hold(which, skip=skip, done=done)
    async with exporter(tmp_path, settings(panel, keys)) as running:
        await terminate(running, hold)
    assert len(changing(panel)) == asked
    gone = MESSAGES - await queue.count()
    story = short(journal_of(tmp_path))
    if how is None:
        assert gone == 0
        assert "intent" not in dict(story)
        return
    assert gone == (asked if keys else MESSAGES)
    assert [kind for kind, _ in story] == ["intent", *["reply"] * asked, "outcome"]
    outcome = journal_of(tmp_path)[-1]
    assert outcome.outcome == how
    assert (outcome.detail["planned"], outcome.detail["removed"]) == (MESSAGES, gone)
    assert outcome.text.startswith(f"{gone} of {MESSAGES} messages are gone")

    panel.panel.interfere = None
    async with exporter(tmp_path, settings(panel, keys)) as again:
        await again.poll()
        removed = await again.value("removed_messages_total", host="mx1", rule="purge")
        assert removed == gone
    assert journal_of(tmp_path, Kind.OUTCOME) == [outcome], "nothing was left to settle"
    assert len(changing(panel)) == asked


async def test_what_is_under_way_in_parallel_is_awaited(
    panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    freeze(queue, MESSAGES)
    hold = panel.panel.interfere = Hold(CONTROL, skip=9)
    async with exporter(tmp_path, settings(panel, {**BY_ID, "max_messages": 60})) as running:
        await terminate(running, hold)
    asked = ids_asked(panel)
    assert len(asked) == len(set(asked)) == 10
    (outcome,) = journal_of(tmp_path, Kind.OUTCOME)
    assert outcome.detail["removed"] == MESSAGES - await queue.count() == 10


async def test_a_panel_that_does_not_answer_in_time_is_settled_by_the_next_start(
    panel: PanelServer, queue: EximQueue, tmp_path: Path
) -> None:
    freeze(queue, MESSAGES)
    hold = panel.panel.interfere = Hold(CONTROL, skip=9, done=True)
    async with exporter(tmp_path, settings(panel, BY_ID), patient=False) as running:
        await hold.wait()
        running.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await running.process.wait() == 0
    assert len(ids_asked(panel)) == 10
    assert journal_of(tmp_path, Kind.OUTCOME) == []
    panel.panel.interfere = None
    async with exporter(tmp_path, settings(panel, BY_ID)):

        async def settled() -> bool:
            return bool(journal_of(tmp_path, Kind.OUTCOME))

        await eventually(settled, seconds=20)
    (outcome,) = journal_of(tmp_path, Kind.OUTCOME)
    assert (outcome.outcome, outcome.detail["removed"]) == ("unknown", 10)
    assert len(ids_asked(panel)) == 10
