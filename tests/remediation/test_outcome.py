"""How long an action's effect is waited for, by a clock that is moved by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from exporter.config.remediation import Verify
from exporter.remediation.conclusion import effect_of
from exporter.remediation.context import HostContext
from exporter.snapshot import HostSnapshot
from tests.builders import bad, good, queue, snapshot, stats

DONE_AT = 500.0


@dataclass
class Panel:
    """Answers a poll after `takes` seconds, as it was when that began."""

    takes: float
    from_then: float = float("inf")
    """When what is expected comes true."""
    down: bool = False
    now: float = DONE_AT
    polled_at: list[float] = field(default_factory=list)

    async def poll(self) -> HostSnapshot:
        began = self.now - DONE_AT
        self.polled_at.append(began)
        self.now += self.takes
        if self.down:
            return snapshot(bad("queue"))
        frozen = 3 if began >= self.from_then else 60
        return snapshot(good("queue", queue(stats=stats(frozen=frozen))))

    async def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds

    def context(self) -> HostContext:
        nothing: Any = None
        client = cast("Any", SimpleNamespace(host=SimpleNamespace(name="mx1")))
        return HostContext(
            nothing, nothing, client, nothing, self.poll, 1, self.sleep, monotonic=lambda: self.now
        )


@pytest.mark.parametrize(
    ("panel", "polled_at", "came_true"),
    [
        (Panel(0, from_then=0), [0], True),
        (Panel(0, from_then=30), [0, 15, 30], True),
        # The last poll begins when the time is up, and none does later.
        (Panel(0), [0, 15, 30, 40], False),
        (Panel(0, from_then=40), [0, 15, 30, 40], True),
        (Panel(0, from_then=41), [0, 15, 30, 40], False),
        # What polls take is no time on top.
        (Panel(5), [0, 20, 40], False),
        (Panel(8, from_then=40), [0, 23, 40], True),
        # A poll that takes longer than all the time there is tells how it was when it began.
        (Panel(60, from_then=20), [0, 60], True),
        (Panel(60), [0, 60], False),
        # What is not known has not come true.
        (Panel(8, from_then=0, down=True), [0, 23, 40], False),
        # Looking at the queue after the action has taken the time.
        (Panel(0, now=DONE_AT + 35), [35, 40], False),
        (Panel(0, now=DONE_AT + 99), [99], False),
    ],
)
async def test_what_is_expected_has_its_time_and_no_more(
    panel: Panel, polled_at: list[float], came_true: bool
) -> None:
    verify = Verify.model_validate({"within": "40s", "expect": "queue_frozen_messages < 5"})
    effect = await effect_of(panel.context(), verify, DONE_AT)
    assert effect.expected is came_true
    assert panel.polled_at == polled_at
