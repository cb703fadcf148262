"""The fleet's rows, worked out anew only for hosts that changed, and who waits for changes."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from exporter.alerting.delivery_stats import DeliveryStats
from exporter.alerting.evaluator import AlertEvaluator
from exporter.alertmanager.alert import Alert
from exporter.fleet.history import History
from exporter.fleet.store import HostRecord, Store
from exporter.journal.projection import JournalProjection
from exporter.web.pages.rows import Deeds, Row, deeds_on, row_of

T = TypeVar("T")

POLITE_AFTER = 0.01
"""Seconds after which work on many hosts lets others have their turn."""


async def politely(items: Sequence[T]) -> AsyncIterator[T]:
    """Items, with a turn for the rest of the event loop's tasks now and then."""
    began = time.monotonic()
    for item in items:
        if time.monotonic() - began > POLITE_AFTER:
            await asyncio.sleep(0)
            began = time.monotonic()
        yield item


@dataclass(frozen=True, slots=True)
class PageData:
    """What the pages read of the daemon; they change nothing."""

    store: Store
    histories: Mapping[str, History]
    """By host."""
    evaluator: AlertEvaluator
    outcomes: DeliveryStats
    """How receivers of alerts fare."""
    projection: JournalProjection
    """What rules of remediation have done."""
    rules_for: Callable[[str], Collection[str]]
    """The names of the rules of remediation that are for a host."""
    clock: Callable[[], float]
    """Tells the Unix time."""
    misses: Callable[[], bool] = bool
    """Whether polls were missed lately, since no more files may be open."""


class ChangeFeed:
    """What there is to see, numbered by changes. For the event loop's thread alone."""

    def __init__(self, sources: PageData) -> None:
        self.sources = sources
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
        self._news: asyncio.Event | None = None
        """There is one while somebody waits."""
        self._remediation = (0, 0, False, False, False)
        self._deeds: dict[str, Deeds] = {}

    def changed(self, host: str) -> None:
        """A host was polled. Done at each poll, whether or not somebody looks."""
        self.number += 1
        self._changed[host] = self.number
        self._rows.pop(host, None)
        self._wake()

    def reconfigured(self) -> None:
        """Hosts came, went or changed."""
        self.number += 1
        self.epoch += 1
        self._changed = {record.host.name: self.number for record in self.sources.store}
        self._rows.clear()
        self._deeds.clear()
        self._wake()

    def look(self) -> None:
        """Take notice of what nobody tells: of values that went stale, and of remediation."""
        now, projection = self.sources.clock(), self.sources.projection
        if now >= self._stale_at:
            for name in [name for name, row in self._rows.items() if row.good_until <= now]:
                self.changed(name)
            self._stale_at = min((r.good_until for r in self._rows.values()), default=math.inf)
        ours = bool(projection.problem()), self.sources.misses()
        remediation = projection.last_entry, len(projection.waiting(now)), projection.paused, *ours
        if remediation != self._remediation:
            self._remediation = remediation
            for record in self.sources.store:
                name = record.host.name
                if self._deeds_on(name) != self._deeds.get(name):
                    self.changed(name)
            self.number += 1  # a pause is of no single host
            self._wake()

    def position(self) -> str:
        """Where somebody stands who sees everything that there is now."""
        return f"{self._run}.{self.epoch}.{self.number}"

    def number_of(self, position: str) -> int | None:
        """The last change that somebody there has seen; None when all must be made anew."""
        head, _, number = position.rpartition(".")
        known = head == f"{self._run}.{self.epoch}" and number.isdecimal() and len(number) < 20
        return int(number) if known and int(number) <= self.number else None

    async def wait(self, seen: int) -> None:
        """Return once there is a change after the one of number `seen`."""
        while self.number <= seen:
            if self._news is None:
                self._news = asyncio.Event()
            await self._news.wait()

    def since(self, seen: int) -> set[str]:
        """The hosts that changed after the change of number `seen`."""
        return {name for name, number in self._changed.items() if number > seen}

    def changed_since(self, host: str, seen: int) -> bool:
        """Whether a host changed after the change of number `seen`."""
        return self._changed.get(host, 0) > seen

    def rows(self) -> list[Row]:
        """Every host, in the config's order."""
        self.look()
        missing = [r for r in self.sources.store if r.host.name not in self._rows]
        if missing:
            alerts = self._alerts()
            for record in missing:
                self._make(record, alerts.get(record.host.name, ()))
        return [self._rows[record.host.name] for record in self.sources.store]

    async def freshen(self) -> None:
        """Work out the rows that are missing, with turns for others: hundreds take their time."""
        self.look()
        missing = [r for r in self.sources.store if r.host.name not in self._rows]
        alerts, known = self._alerts(), self.number
        async for record in politely(missing):
            name = record.host.name
            if self.number != known:  # polls and reloads go on meanwhile
                alerts, known = self._alerts(), self.number
            if name not in self._rows and self.sources.store.get(name) is record:
                self._make(record, alerts.get(name, ()))

    def row(self, record: HostRecord) -> Row:
        """One host."""
        self.look()
        name = record.host.name
        row = self._rows.get(name)
        return row if row is not None else self._make(record, self._alerts().get(name, ()))

    def _make(self, record: HostRecord, alerts: Iterable[Alert]) -> Row:
        name, now = record.host.name, self.sources.clock()
        deeds = self._deeds[name] = self._deeds_on(name)
        history = self.sources.histories.get(name)
        row = self._rows[name] = row_of(record, history, alerts, deeds, now)
        self._stale_at = min(self._stale_at, row.good_until)
        return row

    def _deeds_on(self, host: str) -> Deeds:
        sources = self.sources
        return deeds_on(sources.projection, host, sources.rules_for(host), sources.clock())

    def _alerts(self) -> Mapping[str, list[Alert]]:
        by_host: defaultdict[str, list[Alert]] = defaultdict(list)
        for alert in self.sources.evaluator.firing():
            by_host[alert.host].append(alert)
        return by_host

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()
            self._news = None
