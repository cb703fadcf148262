"""A scrape of many hosts: our joined text against generate_latest over the same samples."""

from __future__ import annotations

import asyncio
import time

from prometheus_client import CollectorRegistry, generate_latest

from bench.samples import Prebuilt, comparable, fleet, snapshot
from bench.timing import Result, compared, paired
from exporter.fleet.store import Store
from exporter.metrics.own import OwnMetrics
from exporter.metrics.page import MetricsPage


def measure() -> list[Result]:
    """The scrape at 1,000 and 5,000 hosts, unchanged and with every host changed."""
    results: list[Result] = []
    unchanged: dict[int, float] = {}
    for hosts in (1000, 5000):
        store = fleet(hosts)
        page = MetricsPage(store, OwnMetrics().registry, time.time)
        page.rebuild()
        loop = asyncio.new_event_loop()

        def scrape(page: MetricsPage = page, loop: asyncio.AbstractEventLoop = loop) -> bytes:
            return loop.run_until_complete(page.render(openmetrics=False, gzip=False))

        registry = CollectorRegistry()
        text = scrape().decode()
        registry.register(Prebuilt(text))

        def baseline(registry: CollectorRegistry = registry) -> bytes:
            return generate_latest(registry)

        if comparable(baseline().decode()) != comparable(text):
            raise AssertionError("the two sides do not show the same families")

        def all_changed(store: Store = store, page: MetricsPage = page) -> bytes:
            for record in store:
                page.refresh(record)
            return scrape()

        for number, record in enumerate(store):
            record.add(snapshot(record.host.name, number + 1))
        label = f"scrape of {hosts:,} hosts ({text.count(chr(10)):,} lines)"
        mine, theirs = paired(scrape, baseline)
        unchanged[hosts] = mine
        results.append(compared(f"{label}, nothing changed", mine, theirs, 1 / 50))
        mine, theirs = paired(all_changed, baseline)
        results.append(compared(f"{label}, every host changed", mine, theirs, 1 / 7))
        loop.close()
    return results
