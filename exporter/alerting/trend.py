"""How far a queue is above its lowest within the last hour. Pure: `now` is an argument."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from exporter.conditions import Interval

WINDOW = 3600.0
"""Seconds that are looked back on."""


@dataclass(slots=True)
class Trend:
    """The sizes of one queue that may still be the lowest of the window, at most one a poll."""

    _since: float = 0.0
    """Unix time from which the queue was looked at again and again."""
    _lowest: deque[tuple[float, int]] = field(default_factory=deque)
    """Times and sizes, both rising: a size that a later one undercuts is never the lowest."""

    def add(self, at: float, messages: int) -> Interval:
        """Take in a queue's size at Unix time `at`; its growth as far as is known.

        Until a whole window was seen the queue may have been lower before, so that there is only
        a least. It is seen anew once nothing was told for a window, or the clock was set back.
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
