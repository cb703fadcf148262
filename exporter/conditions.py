"""Evaluation of conditions on polls. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from exporter.config.conditions import ALERT_ONLY_METRICS, METRIC_UNITS, Condition
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
_MADE_FROM = {
    "queue_frozen_messages": "frozen",
    "queue_bounce_messages": "sender",
    "queue_size_bytes": "size",
    "queue_oldest_message_age_seconds": "age",
}
"""The field of a message that a metric is made from. Where rows lack it, the metric is only a lower
bound."""

_FIELDS: Mapping[str, frozenset[str]] = {
    "queue_unparsed_messages": frozenset({"id"}),
    **{metric: frozenset({"id", name}) for metric, name in _MADE_FROM.items()},
}
"""The fields that must be certain for a metric to be. Rows are messages by their ids: several with
the same one are counted once."""

_OF_A_PANEL: Mapping[str, Callable[[HostSnapshot], float | None]] = {
    "up": lambda snapshot: float(snapshot.ok),
    "panel_up": lambda snapshot: float(any(result.ok for result in snapshot.results)),
    "panel_certificate_expires_in_seconds": lambda snapshot: (
        None if snapshot.certificate_expiry is None else snapshot.certificate_expiry - snapshot.at
    ),
}
_OF_A_COLLECTOR = {"collector_up", "service_up"}

assert set(METRIC_UNITS) == {  # noqa: S101 - a metric without a reader would never trip
    *_STATS,
    *_OF_A_PANEL,
    *_OF_A_COLLECTOR,
    *ALERT_ONLY_METRICS,
    "queue_messages",
}


class Interval(NamedTuple):
    """The bounds of a value, both included."""

    least: float
    most: float


AlertOnly = Mapping[str, Interval | None]
"""Values of ALERT_ONLY_METRICS, which no poll reports; None where unknown."""

_NO_ALERT_ONLY: AlertOnly = {}


class Measurements:
    """The values of one poll that conditions compare.

    Only this poll counts: an older value that /metrics still shows may be wrong by now.
    """

    __slots__ = ("_alert_only", "_guessed", "_queue", "_results", "_snapshot", "_stats")

    def __init__(self, snapshot: HostSnapshot, alert_only: AlertOnly = _NO_ALERT_ONLY) -> None:
        self._snapshot = snapshot
        self._alert_only = alert_only
        self._results = {result.collector: result for result in snapshot.results}
        result = self._results.get(QUEUE)
        queue = result.value if result is not None else None
        self._queue = queue = queue if isinstance(queue, QueueState) else None
        self._stats = stats = queue.stats if queue is not None else None
        self._guessed = frozenset[str]() if stats is None else stats.guessed

    def interval(self, condition: Condition) -> Interval | None:
        """Return the bounds of a condition's value; None when the poll does not report it.

        Rows that were not understood or lack a field may add to it, and so may messages missing
        from a list that was cut.
        """
        if condition.metric in ALERT_ONLY_METRICS:
            return self._alert_only.get(condition.metric)
        value = self.reported(condition)
        if value is None:
            return None
        return Interval(value, value + self._unreported(condition.metric))

    def reported(self, condition: Condition) -> float | None:
        """Return a condition's value by the rows that report it."""
        metric = condition.metric
        if metric in _STATS:
            return None if self._stats is None else _STATS[metric](self._stats)
        if metric == "queue_messages":
            return None if self._queue is None else self._queue.messages
        if metric in _OF_A_PANEL:
            return _OF_A_PANEL[metric](self._snapshot)
        result = self._results.get(condition.label)
        if result is None:
            return None
        if metric == "collector_up":
            return float(result.ok)
        return float(result.value.running) if isinstance(result.value, ServiceState) else None

    def is_not_installed(self, service: str) -> bool:
        """Return whether the panel reports that a service is not installed."""
        result = self._results.get(service)
        state = result.value if result is not None else None
        return isinstance(state, ServiceState) and not state.installed

    def _unreported(self, metric: str) -> float:
        """Return how much messages that no row reports may add at most."""
        if self._queue is None or self._stats is None or metric not in _MADE_FROM:
            return 0.0
        rows = self._stats.unparsed + dict(self._stats.lacking).get(_MADE_FROM[metric], 0)
        rows += self._queue.unlisted
        return math.inf if rows and METRIC_UNITS[metric] != "count" else float(rows)

    def guessed(self, conditions: Iterable[Condition]) -> tuple[str, ...]:
        """Return the fields, only guessed, that the values of conditions are made from."""
        fields = [_FIELDS.get(c.metric, frozenset()) & self._guessed for c in conditions]
        return in_order(frozenset[str]().union(*fields))

    def hold(
        self,
        conditions: Iterable[Condition],
        service: str | None = None,
        *,
        certain: bool = False,
    ) -> bool | None:
        """Return whether all conditions hold; None when none surely fails but one is unknown.

        No condition holds on a service that is not installed, which is neither up nor down, nor
        for a rule that switches that `service`. With `certain` a value made from a guess is
        unknown: everything that acts must ask so.
        """
        if service is not None and self.is_not_installed(service):
            return False
        unsure = False
        for condition in conditions:
            if condition.metric == "service_up" and self.is_not_installed(condition.label):
                return False
            if certain and self._guessed and self.guessed([condition]):
                unsure = True
                continue
            interval = self.interval(condition)
            holds = None if interval is None else _holds_within(interval, condition)
            if holds is False:
                return False
            unsure = unsure or holds is None
        return None if unsure else True


def _holds_within(interval: Interval, condition: Condition) -> bool | None:
    """Return whether a condition holds for each value of an interval; None when for some."""
    least, most = interval
    holds = condition.holds(least)
    if least == most:
        return holds
    if condition.operator in {"==", "!="}:
        return None if least <= condition.value <= most else holds
    return holds if condition.holds(most) is holds else None


def failures_behind(snapshot: HostSnapshot, conditions: Iterable[Condition]) -> tuple[Failure, ...]:
    """Return why a poll lacks the values of conditions: the failures of their collectors."""
    collectors = {
        condition.label if condition.metric in _OF_A_COLLECTOR else QUEUE
        for condition in conditions
        if condition.metric not in _OF_A_PANEL
    }
    failures = (r.failure for r in snapshot.results if r.collector in collectors)
    return tuple(dict.fromkeys(failure for failure in failures if failure is not None))


def readings(snapshot: HostSnapshot, conditions: Iterable[Condition]) -> dict[str, float | None]:
    """Return each condition's text with the value that the poll reports: why a rule acts."""
    measurements = Measurements(snapshot)
    return {str(condition): measurements.reported(condition) for condition in conditions}
