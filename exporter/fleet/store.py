"""The latest data of every host: /metrics, the pages and the rules read it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from statistics import median

from exporter.config.models import HostConfig
from exporter.snapshot import (
    QUEUE,
    CollectorResult,
    HostSnapshot,
    Mta,
    QueueState,
    Reason,
    ServiceState,
)

SET_BACK = 1.0
"""Seconds: a clock that goes back by less is being slewed, not set back."""


@dataclass(slots=True)
class HostRecord:
    """One host's latest poll, its last good results and its counters since the start."""

    host: HostConfig
    interval: float
    """Seconds between two polls."""
    stale_after: float
    """Missed intervals after which a good result counts no more."""
    latest: HostSnapshot | None = None
    took: float = 0.0
    """Seconds that the latest poll with a good result took."""
    good: dict[str, CollectorResult] = field(default_factory=dict)
    """By collector, the last good result; kept through failures until it is stale."""
    errors: Counter[tuple[str, Reason]] = field(default_factory=Counter)
    """By collector and reason."""
    entered: int = 0
    left: int = 0
    mta: Mta | None = None
    certificate_expiry: float | None = None
    clock_skew: float | None = None
    """Seconds by which the panel's clock is ahead of ours, by its last `Date` header."""
    monotonic: Callable[[], float] = time.monotonic
    """Counts the seconds that pass, whatever the clock is set to."""
    seen: dict[str, float] = field(default_factory=dict)
    """By collector, the monotonic time of the last good result."""

    def add(self, snapshot: HostSnapshot) -> None:
        """Update the record with a poll's outcome."""
        self.latest = snapshot
        if any(result.ok for result in snapshot.results):
            self.took = sum(result.duration for result in snapshot.results)
        for result in snapshot.results:
            if result.failure is not None:
                self.errors[result.collector, result.failure.reason] += 1
            else:
                self.good[result.collector] = result
                self.seen[result.collector] = self.monotonic()
                if isinstance(result.value, QueueState):
                    self.entered += result.value.entered or 0
                    self.left += result.value.left or 0
        self.mta = snapshot.mta or self.mta
        if snapshot.clock_skew is not None:
            self.clock_skew = snapshot.clock_skew
        self.certificate_expiry = snapshot.certificate_expiry or self.certificate_expiry

    def keep_only(self, collectors: Collection[str]) -> None:
        """Forget what other collectors have found."""
        self.good = {name: r for name, r in self.good.items() if name in collectors}
        self.errors = Counter({k: n for k, n in self.errors.items() if k[0] in collectors})
        if self.latest is not None:
            kept = tuple(r for r in self.latest.results if r.collector in collectors)
            self.latest = replace(self.latest, results=kept) if kept else None

    @property
    def _lasts(self) -> float:
        """Seconds for which a result counts.

        A poll may take longer than the interval (a panel call takes seconds); values must not
        blink out while the next one is under way, so the longer of the two is what counts.
        """
        return self.stale_after * max(self.interval, self.took)

    def good_for(self, result: CollectorResult, now: float) -> float:
        """Return for how many seconds `result` still counts at Unix time `now`; 0 or less if stale.

        A clock that was set back makes nothing last longer.
        """
        # Asked several times for each host that is rendered: `_lasts` once.
        lasts, seen = self._lasts, self.seen.get(result.collector)
        by_clock = result.at + lasts - now
        if seen is None:
            return by_clock
        by_time = seen + lasts - self.monotonic()
        return by_time if by_time < by_clock - SET_BACK else by_clock

    def fresh(self, collector: str, now: float) -> CollectorResult | None:
        """Return the last good result of `collector` unless it is stale."""
        result = self.good.get(collector)
        return result if result is not None and self.good_for(result, now) > 0 else None

    def next_stale_at(self, now: float) -> float:
        """Return when the next of the values that are fresh now goes stale; infinity for none."""
        earliest = float("inf")
        for result in self.good.values():
            rest = self.good_for(result, now)
            if rest > 0:
                earliest = min(earliest, now + rest)
        return earliest

    def queue(self, now: float) -> QueueState | None:
        """Return the queue as last seen unless that is stale."""
        result = self.fresh(QUEUE, now)
        return result.value if result and isinstance(result.value, QueueState) else None

    def service(self, name: str, now: float) -> ServiceState | None:
        """Return what a service does; None when unknown or stale."""
        result = self.fresh(name, now)
        return result.value if result and isinstance(result.value, ServiceState) else None


def known_skews(records: Iterable[HostRecord], now: float) -> list[float]:
    """Return by how many seconds each known clock of a panel is ahead of ours.

    Only clocks in polls that still count at Unix time `now`: a difference seen before our clock
    was set says nothing of it since.
    """
    return [
        record.clock_skew
        for record in records
        if record.clock_skew is not None and any(record.fresh(name, now) for name in record.good)
    ]


def fleet_skew(records: Iterable[HostRecord], now: float) -> float | None:
    """Return the median of `known_skews`; None where no clock is known."""
    skews = known_skews(records, now)
    return median(skews) if skews else None


class Store:
    """The records of the configured hosts, in the config's order."""

    def __init__(self) -> None:
        self._records: dict[str, HostRecord] = {}

    def __iter__(self) -> Iterator[HostRecord]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)

    def get(self, name: str) -> HostRecord | None:
        """Return the record of a host; None when no such host is configured."""
        return self._records.get(name)

    def apply_config(self, hosts: Iterable[tuple[HostConfig, float]], stale_after: float) -> None:
        """Apply a config, given as (host, interval) pairs.

        Hosts that are gone leave with all their values. A host whose collectors changed drops
        what it no longer collects; one that points elsewhere now starts anew.
        """
        records: dict[str, HostRecord] = {}
        for host, interval in hosts:
            record = self._records.get(host.name)
            if record is None or record.host.panel != host.panel:
                record = HostRecord(host, interval, stale_after)
            record.host, record.interval, record.stale_after = host, interval, stale_after
            record.keep_only(host.collectors)
            records[host.name] = record
        self._records = records
