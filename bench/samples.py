"""A fleet whose hosts have every metric of the contract."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from exporter.config.models import HostConfig
from exporter.fleet.store import Store
from exporter.snapshot import (
    AGE_BUCKETS,
    TOP_DOMAINS,
    AgeHistogram,
    CollectorResult,
    DomainCounts,
    Failure,
    HostSnapshot,
    Mta,
    QueueState,
    QueueStats,
    Reason,
    ServiceState,
)


def fleet(hosts: int) -> Store:
    """A store of `hosts` polled hosts: about 70 series each."""
    store = Store()
    configs = [
        HostConfig(
            name=f"mx{i}",
            url=f"https://mx{i}.example.com:8002",
            username="monitor",
            password="secret",
            labels={"dc": f"dc{i % 7}", "tier": "shared"},
        )
        for i in range(hosts)
    ]
    store.apply_config([(config, 60.0) for config in configs], 1e6)
    for number, record in enumerate(store):
        record.add(failed_snapshot(record.host.name))
        record.add(snapshot(record.host.name, number))
    return store


def snapshot(name: str, seed: int) -> HostSnapshot:
    """A good poll with figures that differ from seed to seed."""
    rng = random.Random(seed)
    counts = tuple(rng.randrange(100) for _ in range(len(AGE_BUCKETS) + 1))
    domains = DomainCounts(
        tuple((f"d{i}.{name}.example.org", rng.randrange(1000)) for i in range(TOP_DOMAINS)),
        other=rng.randrange(1, 1000),
    )
    stats = QueueStats(
        listed=sum(counts),
        frozen=rng.randrange(100),
        bounces=rng.randrange(100),
        size_bytes=rng.randrange(10**9),
        oldest_age=rng.randrange(10_000) * 60.0,
        ages=AgeHistogram(counts, rng.randrange(10**6) * 60.0),
        sender_domains=domains,
        recipient_domains=domains,
        lacking=(("age", 1),),
        mta=Mta.EXIM,
    )
    queue = QueueState(sum(counts), stats, rng.randrange(100), rng.randrange(100))
    now = round(time.time() + rng.random(), 3)
    values: dict[str, QueueState | ServiceState] = {
        "queue": queue,
        "clamav": ServiceState(running=True),
        "spamassassin": ServiceState(running=rng.random() > 0.1),
    }
    results = tuple(
        CollectorResult(collector, now, round(rng.random(), 6), value)
        for collector, value in values.items()
    )
    return HostSnapshot(name, now, results, float(int(now) + 10**6), Mta.EXIM)


def failed_snapshot(name: str) -> HostSnapshot:
    """A poll that failed, so that there are error counters."""
    failure = Failure(Reason.TIMEOUT, "")
    results = tuple(
        CollectorResult(collector, 0.0, 0.0, failure=failure)
        for collector in ("queue", "clamav", "spamassassin")
    )
    return HostSnapshot(name, 0.0, results)


class Prebuilt(Collector):
    """The samples of a page as prometheus-client's own objects, built beforehand."""

    def __init__(self, page: str) -> None:
        self.families: list[Metric] = list(text_string_to_metric_families(page))

    def collect(self) -> Iterable[Metric]:
        """The families; collecting them costs nothing."""
        return self.families


def comparable(page: str) -> dict[str, tuple[str, frozenset[tuple[object, ...]]]]:
    """Families by name, with what a scraper sees of their samples, whatever their order."""
    return {
        family.name: (
            family.type,
            frozenset((s.name, frozenset(s.labels.items()), s.value) for s in family.samples),
        )
        for family in text_string_to_metric_families(page)
    }
