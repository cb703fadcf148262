"""What the pages read of the daemon."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from exporter.alerting.delivery import DeliveryStats
from exporter.alerting.evaluator import AlertEvaluator
from exporter.fleet.history import History
from exporter.fleet.store import Store
from exporter.journal.projection import JournalProjection


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
