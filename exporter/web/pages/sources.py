"""What the pages read of the daemon."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from exporter.alerting.alarms import Alarms
from exporter.alerting.outcomes import Outcomes
from exporter.history import History
from exporter.remediation.tally import Tally
from exporter.store import Store


@dataclass(frozen=True, slots=True)
class Sources:
    """What the pages read of the daemon; they change nothing."""

    store: Store
    histories: Mapping[str, History]
    """By host."""
    alarms: Alarms
    outcomes: Outcomes
    """How receivers of alerts fare."""
    tally: Tally
    """What rules of remediation have done."""
    rules_for: Callable[[str], Collection[str]]
    """The names of the rules of remediation that are for a host."""
    clock: Callable[[], float]
    """Tells the Unix time."""
    misses: Callable[[], bool] = bool
    """Whether polls were missed lately, since no more files may be open."""
