"""What stops an action between two messages, where several are sent at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from exporter.journal.entries import Guard
from exporter.remediation.acting import Execution
from exporter.remediation.guards import Block
from exporter.remediation.plan import ActionSpec, Plan

PAUSED = Block(Guard.PAUSE, "Paused by a person.")


async def test_what_has_stopped_it_is_not_forgotten_for_a_later_reply_to_an_earlier_question() -> (
    None
):
    """For one message nothing speaks against it, and that is known only after another's block."""
    replies = iter([(0, PAUSED), (1, None)])
    first_is_blocked = asyncio.Event()

    async def before_message() -> Block | None:
        turn, block = next(replies)
        if turn:
            await first_is_blocked.wait()
        return block

    context = cast("Any", SimpleNamespace(ends=asyncio.Event()))
    job = cast("Any", SimpleNamespace(spec=ActionSpec("delete"), before_message=before_message))
    execution = Execution(context, job, Plan())
    one = asyncio.create_task(execution.may_send())
    other = asyncio.create_task(execution.may_send())
    assert await one is False
    first_is_blocked.set()
    assert await other is False
    assert execution.stopped is PAUSED
