"""One host as the fleet page shows it: plain values, no language and no markup. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from exporter.alertmanager.alert import Alert, badness
from exporter.fleet.history import History
from exporter.fleet.store import HostRecord
from exporter.fleet.view import state_of
from exporter.journal.projection import JournalProjection
from exporter.snapshot import QUEUE, SERVICES, QueueState, ServiceState

HOUR = 3600.0
WHOLE_HOUR = 0.9 * HOUR
"""Seconds that a person may call an hour."""
SPARK_SECONDS = 6 * HOUR

STATES = ("down", "partial", "trouble", "unknown", "up")
"""Worst first. In trouble is a host that answers, but something is wrong there."""


@dataclass(frozen=True, slots=True)
class HostRemediation:
    """The rules of a host that need a person, and the last action there."""

    waiting: tuple[str, ...] = ()
    """Rules that wait for a person."""
    stopped: tuple[str, ...] = ()
    """Rules that have stopped themselves."""
    last: tuple[str, float, str] | None = None
    """Rule, Unix time and outcome of the last action."""


@dataclass(frozen=True, slots=True)
class Row:
    """One host."""

    name: str
    labels: Mapping[str, str]
    state: str
    """One of STATES."""
    messages: int | None = None
    frozen: int | None = None
    oldest: float | None = None
    """Seconds."""
    growth: float | None = None
    """Messages more or less than at the first poll within an hour."""
    growth_seconds: float | None = None
    """How long ago that was, where that is much less than an hour."""
    services: tuple[tuple[str, ServiceState | None], ...] = ()
    """Those that are asked for, and whether they run."""
    polled_at: float | None = None
    """Unix time."""
    alerts: tuple[Alert, ...] = ()
    """Those that fire, the worst first."""
    remediation: HostRemediation = HostRemediation()
    points: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    """Times and messages of the last SPARK_SECONDS; NaN where unknown."""
    fresh_until: float = math.inf
    """Unix time at which one of these values goes stale."""

    @property
    def rank(self) -> tuple[object, ...]:
        """A sort key: the worst first."""
        worst = badness(self.alerts[0]) if self.alerts else (True, 99)
        return (STATES.index(self.state), worst[:2], -len(self.alerts), self.name)


def remediation_on(
    projection: JournalProjection, host: str, rules: Collection[str], now: float
) -> HostRemediation:
    """Return that of the rules that are for a host; others may have left the config unanswered."""
    return HostRemediation(
        waiting=tuple(rule for rule in rules if projection.waits((host, rule), now) is not None),
        stopped=tuple(rule for rule in rules if projection.stopped((host, rule)) is not None),
        last=projection.last_on(host),
    )


def row_of(
    record: HostRecord,
    history: History | None,
    alerts: Iterable[Alert],
    remediation: HostRemediation,
    now: float,
) -> Row:
    """Return a host as of Unix time `now`."""
    name = record.host.name
    queue = record.queue(now)
    stats = queue.stats if queue is not None else None
    fired = tuple(sorted(alerts, key=badness))
    services = tuple((s, record.service(s, now)) for s in SERVICES if s in record.host.collectors)
    grown = growth_of(record, history, now)
    state = state_of(record)
    if state == "up" and (fired or any(map(_is_stopped, services))):
        state = "trouble"
    return Row(
        name=name,
        labels=record.host.labels,
        state=state,
        messages=queue.messages if queue is not None else None,
        frozen=stats.frozen if stats is not None else None,
        oldest=stats.oldest_age if stats is not None else None,
        growth=None if grown is None else grown[0],
        growth_seconds=None if grown is None or grown[1] >= WHOLE_HOUR else grown[1],
        services=services,
        polled_at=record.latest.at if record.latest is not None else None,
        alerts=fired,
        remediation=remediation,
        points=() if history is None else tuple(history.queue(now - SPARK_SECONDS)),
        fresh_until=record.next_stale_at(now),
    )


def _is_stopped(service: tuple[str, ServiceState | None]) -> bool:
    """Return whether a service that is installed does not run."""
    state = service[1]
    return state is not None and state.installed and not state.running


def growth_of(
    record: HostRecord, history: History | None, now: float
) -> tuple[float, float] | None:
    """Return by how much a queue has changed within an hour, and in how many seconds.

    None when nothing earlier is known: one poll shows no change, not even that there is none.
    """
    result = record.fresh(QUEUE, now)
    if history is None or result is None or not isinstance(result.value, QueueState):
        return None
    first = history.earliest(now - HOUR, result.at)
    return None if first is None else (result.value.messages - first[1], result.at - first[0])


class Totals:
    """The fleet in numbers; each covers the hosts on which it is known."""

    def __init__(self, rows: Collection[Row]) -> None:
        self.hosts = len(rows)
        self.by_state = Counter(row.state for row in rows)
        messages = [row.messages for row in rows if row.messages is not None]
        self.messages, self.messages_known = sum(messages), len(messages)
        frozen = [row.frozen for row in rows if row.frozen is not None]
        self.frozen, self.frozen_known = sum(frozen), len(frozen)
        ages = [(row.oldest, row.name) for row in rows if row.oldest is not None]
        oldest: tuple[float | None, str] = max(ages, default=(None, ""))
        self.oldest, self.oldest_host = oldest
        self.stopped_services = sum(_is_stopped(each) for row in rows for each in row.services)
        self.alerts = sum(len(row.alerts) for row in rows)
        self.waiting = sum(len(row.remediation.waiting) for row in rows)
        """Actions that wait for a person."""
        self.stopped_rules = sum(len(row.remediation.stopped) for row in rows)
        """Rules that have stopped themselves, each counted on each host."""
