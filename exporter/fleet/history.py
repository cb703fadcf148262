"""The last day of every host in memory: what the charts show. Bounded, older points thinned."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from exporter.snapshot import QUEUE, Failure, HostSnapshot, QueueState

FINE = 120
"""Points kept one for each poll: two hours at one a minute."""

COARSE = 144
"""Points kept beyond these, one for each COARSE_STEP."""

COARSE_STEP = 600.0
"""Seconds that an older point stands for; with COARSE of them, a day."""

MOST_SPELLS = 20
"""Failures of a host that are remembered."""

FIGURES = ("messages", "frozen", "oldest", "entered", "left", "latency")
"""Values of a point: three gauges of the queue, messages that came and went since the list
before, and the seconds that the poll took. NaN stands for an unknown value."""

_SUMMED = frozenset({"entered", "left"})
"""Counts of an interval: of several points they add up, where the others show their highest."""

NOTHING = math.nan


class Point(NamedTuple):
    """What one poll, or several that were thinned, said."""

    at: float
    """Unix time."""
    messages: float = NOTHING
    frozen: float = NOTHING
    oldest: float = NOTHING
    """Seconds."""
    entered: float = NOTHING
    left: float = NOTHING
    latency: float = NOTHING
    """Seconds."""


_WIDTH = len(FIGURES)


class _Points:
    """Points in two arrays: 32 bytes each, where objects would take hundreds."""

    __slots__ = ("at", "values")

    def __init__(self) -> None:
        self.at = array("d")
        self.values = array("f")
        """_WIDTH for each point."""

    def __len__(self) -> int:
        return len(self.at)

    def append(self, point: Point) -> None:
        self.at.append(point[0])
        self.values.extend(point[1:])

    def series(self, field: int, since: float) -> list[tuple[float, float]]:
        """Return the values of one field since Unix time `since`, without making points."""
        first = bisect_left(self.at, since)
        return list(
            zip(self.at[first:], self.values[first * _WIDTH + field :: _WIDTH], strict=True)
        )

    def forget_from(self, at: float) -> None:
        """Take out what lies at Unix time `at` or later."""
        first = bisect_left(self.at, at)
        del self.at[first:], self.values[first * _WIDTH :]

    def pop_first(self, count: int) -> list[Point]:
        """Take the oldest `count` points out."""
        taken = [self._point(index) for index in range(count)]
        del self.at[:count], self.values[: count * _WIDTH]
        return taken

    def pop_last(self) -> list[Point]:
        """Take the newest point out; [] where there is none."""
        taken = [self._point(len(self.at) - 1)] if self.at else []
        del self.at[-1:], self.values[-_WIDTH:]
        return taken

    def _point(self, index: int) -> Point:
        begin = index * _WIDTH
        return Point(self.at[index], *self.values[begin : begin + _WIDTH])

    def __iter__(self) -> Iterator[Point]:
        return (self._point(index) for index in range(len(self.at)))


@dataclass(slots=True)
class Spell:
    """A time in which a collector failed for one reason."""

    collector: str
    failure: Failure
    """The last one of it."""
    begin: float
    """Unix time of its first poll."""
    end: float | None = None
    """Unix time of the first poll that did not fail so; None while it lasts."""


class History:
    """One host's points, at most FINE + COARSE and a few, and its last failures."""

    __slots__ = ("_coarse", "_fine", "spells")

    def __init__(self) -> None:
        self.spells: deque[Spell] = deque(maxlen=MOST_SPELLS)
        """The last failures, the newest last."""
        self._fine = _Points()
        self._coarse = _Points()

    def add(self, snapshot: HostSnapshot) -> None:
        """Take in a poll; this is done at each one."""
        fine, at = self._fine, snapshot.at
        if fine.at and at <= fine.at[-1]:
            # The clock was set back. What lies ahead of it now was at no such time.
            fine.forget_from(at)
            self._coarse.forget_from(at)
        point = point_of(snapshot)
        fine.at.append(at)
        fine.values.extend(point[1:])
        if self.spells or not snapshot.ok:
            self._follow_failures(snapshot)
        # In batches: moving one by one would shift the arrays at each poll.
        if len(fine.at) >= FINE + FINE // 4:
            self._thin(fine.pop_first(len(fine.at) - FINE))

    def _follow_failures(self, snapshot: HostSnapshot) -> None:
        lasting = {spell.collector: spell for spell in self.spells if spell.end is None}
        for result in snapshot.results:
            spell, failure = lasting.pop(result.collector, None), result.failure
            if spell is not None and (failure is None or failure.reason != spell.failure.reason):
                spell.end, spell = snapshot.at, None
            if failure is None:
                continue
            if spell is None:
                self.spells.append(Spell(result.collector, failure, snapshot.at))
            else:
                spell.failure = failure
        for spell in lasting.values():  # of what is not asked for any more
            spell.end = snapshot.at

    def _thin(self, points: Iterable[Point]) -> None:
        # What was thinned last time may be of the same step as the first of these.
        for _, step in groupby([*self._coarse.pop_last(), *points], key=_step_of):
            self._coarse.append(thinned(step))
        extra = len(self._coarse) - COARSE
        if extra > 0:
            self._coarse.pop_first(extra)

    def points(self, since: float = 0.0) -> list[Point]:
        """Return the points since Unix time `since`, the oldest first."""
        return [p for points in (self._coarse, self._fine) for p in points if p.at >= since]

    def queue(self, since: float = 0.0) -> list[tuple[float, float]]:
        """Return times and messages since Unix time `since`, oldest first; NaN where unknown."""
        return [*self._coarse.series(0, since), *self._fine.series(0, since)]

    def earliest(self, since: float, until: float) -> tuple[float, float] | None:
        """Return time and messages of the first known queue between `since` and `until`.

        Only of those that are kept one by one: a thinned point is a highest, of no one moment.
        """
        for at, messages in self._fine.series(0, since):
            if at >= until:
                return None
            if not math.isnan(messages):
                return at, messages
        return None

    def __len__(self) -> int:
        return len(self._coarse) + len(self._fine)


def point_of(snapshot: HostSnapshot) -> Point:
    """Return what a poll says, as a point."""
    took, answered, queue = 0.0, False, None
    for result in snapshot.results:
        took += result.duration
        if result.failure is None:
            answered = True
            if result.collector == QUEUE:
                queue = result.value
    latency = took if answered else NOTHING
    if not isinstance(queue, QueueState):
        return Point(snapshot.at, latency=latency)
    stats = queue.stats
    if stats is None:
        return Point(snapshot.at, queue.messages, latency=latency)
    frozen, oldest = stats.frozen, stats.oldest_age
    return Point(
        snapshot.at,
        queue.messages,
        NOTHING if frozen is None else frozen,
        NOTHING if oldest is None else oldest,
        NOTHING if queue.entered is None else queue.entered,
        NOTHING if queue.left is None else queue.left,
        latency,
    )


def thinned(points: Iterable[Point]) -> Point:
    """Return several points as one, at the time of the last: the highest of each, sums of counts.

    The highest, since a peak that a thinned chart does not show was never seen.
    """
    several = list(points)
    values: list[float] = []
    for index, name in enumerate(FIGURES, start=1):
        known = [point[index] for point in several if not math.isnan(point[index])]
        values.append((sum(known) if name in _SUMMED else max(known)) if known else NOTHING)
    return Point(several[-1].at, *values)


def _step_of(point: Point) -> float:
    return point.at // COARSE_STEP
