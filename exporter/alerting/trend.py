"""How far a queue is above its lowest within the last hour. Pure: `now` is an argument."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from exporter.rules import Reading

WINDOW = 3600.0
"""Seconds that are looked back on."""


@dataclass(slots=True)
class Trend:
    """The sizes of one queue that may still be the lowest of the window, at most one a poll."""

    since: float | None = None
    """Unix time of the first size ever told."""
    _lowest: deque[tuple[float, int]] = field(default_factory=deque)
    """Times and sizes, both rising: a size that a later one undercuts is never the lowest."""

    def add(self, at: float, messages: int) -> Reading:
        """Take in a queue's size at Unix time `at`; its growth as far as is known.

        Until a whole window was seen the queue may have been lower before, so that there is only
        a least.
        """
        if self.since is None or at < self.since:
            self.since = at
        while self._lowest and (self._lowest[-1][1] >= messages or self._lowest[-1][0] > at):
            self._lowest.pop()
        self._lowest.append((at, messages))
        while self._lowest[0][0] < at - WINDOW:
            self._lowest.popleft()
        growth = float(messages - self._lowest[0][1])
        return Reading(growth, growth if at - self.since >= WINDOW else math.inf)
