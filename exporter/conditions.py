"""Conditions on what polls learned, and how long they have held. Pure: `now` is an argument."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from exporter.config.conditions import FIGURES, FOR_ALERTS_ALONE, Condition
from exporter.snapshot import (
    QUEUE,
    Failure,
    HostSnapshot,
    QueueState,
    QueueStats,
    ServiceState,
    in_order,
)

_STATS: Mapping[str, Callable[[QueueStats], float | None]] = {
    "queue_listed_messages": lambda stats: stats.listed,
    "queue_unparsed_messages": lambda stats: stats.unparsed,
    "queue_frozen_messages": lambda stats: stats.frozen,
    "queue_bounce_messages": lambda stats: stats.bounces,
    "queue_size_bytes": lambda stats: stats.size_bytes,
    "queue_oldest_message_age_seconds": lambda stats: stats.oldest_age,
}
_TOLD_BY = {
    "queue_frozen_messages": "frozen",
    "queue_bounce_messages": "sender",
    "queue_size_bytes": "size",
    "queue_oldest_message_age_seconds": "age",
}
"""The field of a message that a figure is made from. Where rows did not tell it, the figure says
only how much there is at least."""

_MADE_OF: Mapping[str, frozenset[str]] = {
    "queue_unparsed_messages": frozenset({"id"}),
    **{figure: frozenset({"id", name}) for figure, name in _TOLD_BY.items()},
}
"""The fields that must be known for sure where a figure is to be. Rows are messages by their ids:
several with the same one are counted once."""

_OF_A_PANEL: Mapping[str, Callable[[HostSnapshot], float | None]] = {
    "up": lambda snapshot: float(snapshot.ok),
    "panel_up": lambda snapshot: float(any(result.ok for result in snapshot.results)),
    "panel_certificate_expires_in_seconds": lambda snapshot: (
        None if snapshot.certificate_expiry is None else snapshot.certificate_expiry - snapshot.at
    ),
}
_OF_A_COLLECTOR = {"collector_up", "service_up"}

assert set(FIGURES) == {  # noqa: S101 - a figure that no one reads would never trip
    *_STATS,
    *_OF_A_PANEL,
    *_OF_A_COLLECTOR,
    *FOR_ALERTS_ALONE,
    "queue_messages",
}


class Interval(NamedTuple):
    """What is known of a figure: it is no less than the one and no more than the other."""

    least: float
    most: float


Beyond = Mapping[str, Interval | None]
"""The figures of FOR_ALERTS_ALONE, which no poll tells; None where they are not known."""

_NOTHING_BEYOND: Beyond = {}


class Measurements:
    """What one poll says of the figures that conditions name; each is worked out once.

    Only this poll counts: an older value that /metrics still shows may not be so any more.
    """

    __slots__ = (
        *("_beyond", "_doubtful", "_guessed", "_known", "_queue", "_results", "_snapshot"),
        "_stats",
    )

    def __init__(self, snapshot: HostSnapshot, beyond: Beyond = _NOTHING_BEYOND) -> None:
        self._snapshot = snapshot
        self._beyond = beyond
        self._known: dict[tuple[str, str], Interval | None] = {}
        self._results = {result.collector: result for result in snapshot.results}
        result = self._results.get(QUEUE)
        queue = result.value if result is not None else None
        self._queue = queue = queue if isinstance(queue, QueueState) else None
        self._stats = stats = queue.stats if queue is not None else None
        self._doubtful = (
            queue is not None
            and stats is not None
            and bool(stats.unparsed or stats.lacking or queue.unlisted)
        )
        self._guessed = frozenset[str]() if stats is None else stats.guessed

    def reading(self, condition: Condition) -> Interval | None:
        """What is known of a condition's figure; None when the poll does not tell.

        Rows that were not understood, or did not tell, may add to what the others say, and so
        may messages that a list which was cut does not hold.
        """
        if condition.key in self._known:
            return self._known[condition.key]
        if condition.figure in FOR_ALERTS_ALONE:
            known = self._beyond.get(condition.figure)
        else:
            told = self.told(condition)
            if told is None:
                known = None
            else:
                most = told + self._untold(condition.figure) if self._doubtful else told
                known = Interval(told, most)
        self._known[condition.key] = known
        return known

    def told(self, condition: Condition) -> float | None:
        """What the rows that did tell say of a condition's figure."""
        name = condition.figure
        if name in _STATS:
            return None if self._stats is None else _STATS[name](self._stats)
        if name == "queue_messages":
            return None if self._queue is None else self._queue.messages
        if name in _OF_A_PANEL:
            return _OF_A_PANEL[name](self._snapshot)
        result = self._results.get(condition.label)
        if result is None:
            return None
        if name == "collector_up":
            return float(result.ok)
        return float(result.value.running) if isinstance(result.value, ServiceState) else None

    def is_not_installed(self, service: str) -> bool:
        """Whether the panel says that a service is not installed."""
        result = self._results.get(service)
        state = result.value if result is not None else None
        return isinstance(state, ServiceState) and not state.installed

    def _untold(self, name: str) -> float:
        """What messages that no row told of may add at most."""
        if self._queue is None or self._stats is None or name not in _TOLD_BY:
            return 0.0
        rows = self._stats.unparsed + dict(self._stats.lacking).get(_TOLD_BY[name], 0)
        rows += self._queue.unlisted
        return math.inf if rows and FIGURES[name] != "count" else float(rows)

    def guessed(self, conditions: Iterable[Condition]) -> tuple[str, ...]:
        """The fields, only guessed, that the figures of conditions are made of."""
        fields = [_MADE_OF.get(c.figure, frozenset()) & self._guessed for c in conditions]
        return in_order(frozenset[str]().union(*fields))

    def hold(
        self,
        conditions: Iterable[Condition],
        service: str | None = None,
        *,
        certain: bool = False,
    ) -> bool | None:
        """Whether all conditions hold; None when none surely fails but one cannot be told.

        None on a service that is not installed holds: it is neither up nor down; nor does any
        of a rule that switches that `service`. With `certain` a figure that is made of a guess is
        not known, whatever it is.
        """
        if service is not None and self.is_not_installed(service):
            return False
        unsure = False
        for condition in conditions:
            if condition.figure == "service_up" and self.is_not_installed(condition.label):
                return False
            if certain and self._guessed and self.guessed([condition]):
                unsure = True
                continue
            known = self.reading(condition)
            if known is None:
                unsure = True
                continue
            least, most = known
            if least == most:  # as nearly always
                verdict: bool | None = condition.compare(least, condition.value)
            else:
                verdict = _verdict(known, condition)
            if verdict is False:
                return False
            unsure = unsure or verdict is None
        return None if unsure else True


def _verdict(known: Interval, condition: Condition) -> bool | None:
    """Whether a condition holds, whatever the figure may be between the two."""
    least, most = known
    if condition.operator in {"==", "!="}:
        within = least <= condition.value <= most
        return None if within else condition.holds(least)
    verdict = condition.holds(least)
    return verdict if condition.holds(most) is verdict else None


def holds(
    snapshot: HostSnapshot,
    conditions: Iterable[Condition],
    service: str | None = None,
    *,
    certain: bool = False,
) -> bool | None:
    """Whether all conditions hold by one poll; None when none surely fails but one is unsure.

    With the `service` that a rule switches they do not where it is not installed. With
    `certain`, as everything that acts must have it, a figure made of a guess is unsure.
    """
    return Measurements(snapshot).hold(conditions, service, certain=certain)


def failures_behind(snapshot: HostSnapshot, conditions: Iterable[Condition]) -> tuple[Failure, ...]:
    """Why the poll does not tell what conditions are about: what its collectors failed with."""
    collectors = {
        condition.label if condition.figure in _OF_A_COLLECTOR else QUEUE
        for condition in conditions
        if condition.figure not in _OF_A_PANEL
    }
    failures = (r.failure for r in snapshot.results if r.collector in collectors)
    return tuple(dict.fromkeys(failure for failure in failures if failure is not None))


def readings(snapshot: HostSnapshot, conditions: Iterable[Condition]) -> dict[str, float | None]:
    """Each condition's text with what the poll says of its figure: why a rule acts."""
    figures = Measurements(snapshot)
    return {str(condition): figures.told(condition) for condition in conditions}


@dataclass(slots=True)
class HoldTimer:
    """For how long conditions have held, over polls that could tell.

    A poll that cannot tell holds the clock: the time up to the next one that can counts for
    nothing, neither for nor against. Once the data would be stale, the clock starts anew.
    """

    needed: float
    """Seconds that they must hold."""
    longest: float
    """Seconds without a poll that could tell, up to which the data counts as unbroken. After a
    longer gap they must hold all the time again: polls were missed."""
    held: float = 0.0
    tripped: bool = False
    last: float | None = None
    """When a poll last found that they hold; None since one found that they do not."""
    following: bool = False
    """Whether that was the poll before."""

    def follow(self, now: float, *, verdict: bool | None) -> bool:
        """Take in a poll's verdict at the time `now`, by a clock that is always the same.

        A monotonic one for who acts: the machine's may be set, which neither holds conditions
        longer nor shorter.

        Whether the conditions have held long enough, and do by this poll too.
        """
        if verdict is None:
            self.following = False
            return False
        if verdict is False:
            self.held, self.last, self.tripped, self.following = 0.0, None, False, False
            return False
        gap = 0.0 if self.last is None else now - self.last
        if gap > self.longest:
            self.held = 0.0
        elif self.following:
            self.held += max(0.0, gap)
        self.last, self.following = now, True
        self.tripped = self.held >= self.needed
        return self.tripped

    def remaining(self) -> float:
        """Seconds for which they must go on to hold; 0 once tripped."""
        return max(0.0, self.needed - self.held)
