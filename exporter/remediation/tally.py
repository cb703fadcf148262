"""Counts what the journal says: each outcome once, whichever process wrote it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from exporter.journal.entries import Entry, Kind
from exporter.remediation.guards import Guard

COUNTED = (
    *(Kind.OUTCOME, Kind.INTENT),
    *(Kind.APPROVAL_REQUESTED, Kind.APPROVED, Kind.REJECTED),
)
"""Kinds that the metrics are made from; the many replies to single messages are not among them."""


class Tally:
    """What the metrics of remediation are made from.

    It starts with all that the journal holds, so that the counters outlive a restart.
    """

    def __init__(self) -> None:
        self.last_entry = 0
        """The id of the last entry that was counted."""
        self.outcomes: Counter[tuple[str, str, str, str]] = Counter()
        """By host, rule, action and outcome."""
        self.removed: Counter[tuple[str, str]] = Counter()
        """Messages, by host and rule."""
        self.blocks: Counter[tuple[str, str]] = Counter()
        """Since the start, by rule and guard."""
        self.last: dict[tuple[str, str], tuple[float, str]] = {}
        """When the last action of a rule on a host ended, and its outcome."""
        self.planned: dict[tuple[str, str], int] = {}
        """Messages in the last plan, by host and rule."""
        self.waiting: dict[tuple[str, str], int] = {}
        """Messages that a rule on a host waits for a person to approve."""
        self.paused = False
        """Whether a person has paused remediation by command."""

    def add(self, entries: Iterable[Entry]) -> None:
        """Count entries in, in the order in which they were written."""
        for entry in entries:
            if entry.id <= self.last_entry:
                continue
            self.last_entry = entry.id
            if entry.rule:
                self._add(entry)

    def blocked(self, rule: str, guard: Guard) -> None:
        """Count that a guard has kept a rule from acting."""
        self.blocks[rule, guard.value] += 1

    def _add(self, entry: Entry) -> None:
        key = entry.host, entry.rule
        match entry.kind:
            case Kind.OUTCOME:
                self.outcomes[*key, entry.action, entry.outcome] += 1
                self.removed[key] += _number(entry, "removed")
                self.last[key] = entry.at, entry.outcome
            case Kind.INTENT:
                self.planned[key] = _number(entry, "planned")
                self.waiting.pop(key, None)
            case Kind.APPROVAL_REQUESTED:
                self.waiting[key] = _number(entry, "planned")
            case Kind.APPROVED | Kind.REJECTED:
                self.waiting.pop(key, None)
            case _:
                pass


def _number(entry: Entry, name: str) -> int:
    value = entry.detail.get(name)
    return value if isinstance(value, int) else 0
