"""How far a queue is above its lowest within the last hour. Pure: `now` is an argument."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from exporter.conditions import Interval

WINDOW = 3600.0
"""Seconds."""


@dataclass(slots=True)
class QueueGrowth:
    """The sizes of one queue that may still be the lowest of the window, at most one a poll."""

    _since: float = 0.0
    """Unix time from which the queue was polled without a long gap."""
    _lowest: deque[tuple[float, int]] = field(default_factory=deque)
    """Times and sizes, both rising: a size that a later one undercuts is never the lowest."""

    def add(self, at: float, messages: int) -> Interval:
        """Add a queue's size at Unix time `at`; return the bounds of its growth.

        Until a whole window was polled the queue may have been lower before, so that there is only
        a lower bound. It begins anew after a window without a poll, or when the clock is set back.
        """
        if not self._lowest or not 0 <= at - self._lowest[-1][0] <= WINDOW:
            self._lowest.clear()
            self._since = at
        while self._lowest and self._lowest[-1][1] >= messages:
            self._lowest.pop()
        self._lowest.append((at, messages))
        while self._lowest[0][0] < at - WINDOW:
            self._lowest.popleft()
        growth = float(messages - self._lowest[0][1])
        return Interval(growth, growth if at - self._since >= WINDOW else math.inf)
