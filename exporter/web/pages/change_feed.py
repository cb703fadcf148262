"""The rows of the fleet, made anew only for hosts that changed; pages wait here for changes."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from exporter.alerting.delivery import DeliveryStats
from exporter.alerting.evaluator import AlertEvaluator
from exporter.alertmanager.alert import Alert
from exporter.fleet.history import History
from exporter.fleet.store import HostRecord, Store
from exporter.journal.projection import JournalProjection
from exporter.web.pages.rows import HostRemediation, Row, remediation_on, row_of

T = TypeVar("T")

TURN = 0.01
"""Seconds after which work on many hosts gives other tasks their turn."""


async def cooperatively(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield the items, and every now and then to the event loop's other tasks."""
    began = time.monotonic()
    for item in items:
        if time.monotonic() - began > TURN:
            await asyncio.sleep(0)
            began = time.monotonic()
        yield item


@dataclass(frozen=True, slots=True)
class PageData:
    """The parts of the daemon that the pages read; they change nothing."""

    store: Store
    histories: Mapping[str, History]
    """By host."""
    evaluator: AlertEvaluator
    outcomes: DeliveryStats
    """How deliveries to the receivers of alerts end."""
    projection: JournalProjection
    """The actions of remediation, from the journal."""
    rules_for: Callable[[str], Collection[str]]
    """The names of the rules of remediation that are for a host."""
    clock: Callable[[], float]
    """Returns the Unix time."""
    misses: Callable[[], bool] = bool
    """Whether polls were missed lately, since no more files may be open."""


class ChangeFeed:
    """The rows of the fleet, numbered by changes. For the event loop's thread alone."""

    def __init__(self, data: PageData) -> None:
        self.data = data
        self.number = 0
        """Grows by one with each change."""
        self.epoch = 0
        """Grows when hosts come or go: a table must be made anew then."""
        self._run = secrets.token_hex(4)
        self._changed: dict[str, int] = {}
        """By host, the number of its last change."""
        self._rows: dict[str, Row] = {}
        self._stale_at = math.inf
        """Unix time at which the first value of these goes stale."""
        self._waiters: asyncio.Event | None = None
        """Set by the next change; None while nobody waits."""
        self._remediation = (0, 0, False, False, False)
        self._remediation_of: dict[str, HostRemediation] = {}
        self._alerts: Mapping[str, list[Alert]] = {}
        """Those that fire, by host, as of the change `_alerts_of`."""
        self._alerts_of = -1

    def changed(self, host: str) -> None:
        """Note that a host was polled. Called at each poll, whether or not a page is open."""
        self.number += 1
        self._changed[host] = self.number
        self._rows.pop(host, None)
        self._wake()

    def reconfigured(self) -> None:
        """Note that hosts came, went or changed."""
        self.number += 1
        self.epoch += 1
        self._changed = {record.host.name: self.number for record in self.data.store}
        self._rows.clear()
        self._remediation_of.clear()
        self._wake()

    def refresh(self) -> None:
        """Note changes that nobody reports: values that went stale, and remediation."""
        now, projection = self.data.clock(), self.data.projection
        if now >= self._stale_at:
            for name in [name for name, row in self._rows.items() if row.fresh_until <= now]:
                self.changed(name)
            self._stale_at = min((r.fresh_until for r in self._rows.values()), default=math.inf)
        ours = bool(projection.problem()), self.data.misses()
        remediation = projection.last_entry, len(projection.waiting(now)), projection.paused, *ours
        if remediation != self._remediation:
            self._remediation = remediation
            for record in self.data.store:
                name = record.host.name
                if self._remediation_on(name) != self._remediation_of.get(name):
                    self.changed(name)
            self.number += 1  # a pause is of no single host
            self._wake()

    def position(self) -> str:
        """Return the position of a page that shows everything up to now."""
        return f"{self._run}.{self.epoch}.{self.number}"

    def number_of(self, position: str) -> int | None:
        """Return the last change that a page there shows; None when it must be made anew."""
        head, _, number = position.rpartition(".")
        known = head == f"{self._run}.{self.epoch}" and number.isdecimal() and len(number) < 20
        return int(number) if known and int(number) <= self.number else None

    async def wait(self, seen: int) -> None:
        """Return once there is a change after the one of number `seen`."""
        while self.number <= seen:
            if self._waiters is None:
                self._waiters = asyncio.Event()
            await self._waiters.wait()

    def since(self, seen: int) -> set[str]:
        """Return the hosts that changed after the change of number `seen`."""
        return {name for name, number in self._changed.items() if number > seen}

    def rows(self) -> list[Row]:
        """Return every host, in the config's order."""
        self.refresh()
        return [self._row(record) for record in self.data.store]

    async def make_rows(self) -> None:
        """Make the rows that are missing, with turns for others: hundreds take their time."""
        self.refresh()
        async for record in cooperatively(list(self.data.store)):
            if self.data.store.get(record.host.name) is record:  # a reload may come meanwhile
                self._row(record)

    def row(self, record: HostRecord) -> Row:
        """Return one host."""
        self.refresh()
        return self._row(record)

    def _row(self, record: HostRecord) -> Row:
        name = record.host.name
        row = self._rows.get(name)
        if row is None:
            remediation = self._remediation_of[name] = self._remediation_on(name)
            alerts = self._firing().get(name, ())
            history, now = self.data.histories.get(name), self.data.clock()
            row = self._rows[name] = row_of(record, history, alerts, remediation, now)
            self._stale_at = min(self._stale_at, row.fresh_until)
        return row

    def _remediation_on(self, host: str) -> HostRemediation:
        data = self.data
        return remediation_on(data.projection, host, data.rules_for(host), data.clock())

    def _firing(self) -> Mapping[str, list[Alert]]:
        if self._alerts_of != self.number:
            by_host: defaultdict[str, list[Alert]] = defaultdict(list)
            for alert in self.data.evaluator.firing():
                by_host[alert.host].append(alert)
            self._alerts, self._alerts_of = by_host, self.number
        return self._alerts

    def _wake(self) -> None:
        if self._waiters is not None:
            self._waiters.set()
            self._waiters = None
