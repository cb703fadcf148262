"""The fleet's rows, worked out anew only for hosts that changed, and who waits for changes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping

from exporter.alerting.alert import Alert
from exporter.web.pages.rows import Row, row_of
from exporter.web.pages.sources import Sources

EVERYTHING = ""
"""Stands for a change of which no single host tells: of the config, or of remediation."""


class Board:
    """What there is to see, numbered by changes. For the event loop's thread alone."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.number = 0
        """Grows by one with each change."""
        self.epoch = 0
        """Grows when hosts come or go: a table must be made anew then."""
        self._changed: dict[str, int] = {}
        """By host, the number of its last change."""
        self._everything = 0
        """The number of the last change that no single host tells of."""
        self._rows: dict[str, Row] = {}
        self._news = asyncio.Event()
        self._last_entry = 0

    def changed(self, host: str = EVERYTHING) -> None:
        """Something is to be seen that was not so before."""
        self.number += 1
        if host:
            self._changed[host] = self.number
            self._rows.pop(host, None)
        else:
            self._everything = self.number
            self._rows.clear()
        self._news.set()
        self._news = asyncio.Event()

    def reconfigured(self) -> None:
        """Hosts came, went or changed."""
        names = {record.host.name for record in self.sources.store}
        self._changed = {name: n for name, n in self._changed.items() if name in names}
        self.epoch += 1
        self.changed()

    async def wait(self, seen: int) -> None:
        """Return once there is a change after the one of number `seen`."""
        while self.number <= seen:
            await self._news.wait()

    def since(self, seen: int) -> set[str]:
        """The hosts that changed after the change of number `seen`."""
        names = {record.host.name for record in self.sources.store}
        if self._everything > seen:
            return names
        return {name for name, number in self._changed.items() if number > seen} & names

    def rows(self) -> list[Row]:
        """Every host, in the config's order."""
        now = self.sources.clock()
        if self.sources.tally.last_entry != self._last_entry:
            self._last_entry = self.sources.tally.last_entry
            self._rows.clear()
        alerts: Mapping[str, list[Alert]] | None = None
        rows: list[Row] = []
        for record in self.sources.store:
            name = record.host.name
            row = self._rows.get(name)
            if row is None:
                if alerts is None:
                    alerts = self._alerts()
                history = self.sources.histories.get(name)
                row = row_of(record, history, alerts.get(name, ()), self.sources.tally, now)
                self._rows[name] = row
            rows.append(row)
        return rows

    def _alerts(self) -> Mapping[str, list[Alert]]:
        by_host: defaultdict[str, list[Alert]] = defaultdict(list)
        for alert in self.sources.alarms.firing():
            by_host[alert.host].append(alert)
        return by_host
