"""What stops an action between two messages, where several are sent at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from exporter.journal import Entry, Kind
from exporter.journal.entries import Guard
from exporter.remediation.guards import Block
from exporter.remediation.plan import Plan
from exporter.remediation.work import ActionSpec, Execution

PAUSED = Block(Guard.PAUSE, "Paused by a person.")


async def test_what_has_stopped_it_is_not_forgotten_by_who_asked_at_the_same_time() -> None:
    """One was told that nothing speaks against it, and hears so only after the other's answer."""
    answers = iter([(0, PAUSED), (1, None)])
    told_first = asyncio.Event()

    async def before() -> Block | None:
        turn, block = next(answers)
        if turn:
            await told_first.wait()
        return block

    bench = cast("Any", SimpleNamespace(ends=asyncio.Event()))
    work = Execution(bench, ActionSpec("delete"), Plan(), Entry(Kind.INTENT), before=before)
    one = asyncio.create_task(work._may_send())
    other = asyncio.create_task(work._may_send())
    assert await one is False
    told_first.set()
    assert await other is False
    assert work._stopped is PAUSED
