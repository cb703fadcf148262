"""The parts that a poll's outcome goes to, each isolated from a fault in another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from exporter.fleet.store import HostRecord
from exporter.snapshot import HostSnapshot

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Consumer:
    """A part that takes in each snapshot."""

    name: str
    """Shown in the log when it fails."""
    on_snapshot: Callable[[HostRecord, HostSnapshot], None]


def notify(consumers: Iterable[Consumer], record: HostRecord, snapshot: HostSnapshot) -> None:
    """Hand a snapshot to every consumer, in order.

    A fault in one is logged with its name, and the next is still called: a page that cannot be
    rendered must keep neither an alert from firing nor the metrics from being true.
    """
    for consumer in consumers:
        try:
            consumer.on_snapshot(record, snapshot)
        except Exception:
            log.exception(
                "a bug in the exporter: a part did not take in a poll",
                consumer=consumer.name,
                host=record.host.name,
            )
