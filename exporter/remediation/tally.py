"""Counts what the journal says: each outcome once, whichever process wrote it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from exporter.journal.entries import WELL, Entry, Kind, ends_approval
from exporter.journal.store import APPROVAL_LASTS
from exporter.remediation.guards import Guard

COUNTED = (
    *(Kind.OUTCOME, Kind.INTENT),
    *(Kind.APPROVAL_REQUESTED, Kind.APPROVED, Kind.REJECTED, Kind.LAPSED),
    *(Kind.STOPPED, Kind.DISABLED, Kind.RULE_RESUMED),
)
"""Kinds that the metrics are made from; the many replies to single messages are not among them."""


FAILURE_COUNTS = 86400.0
"""Seconds for which a failed action is news: a rule that is not needed again never succeeds."""


def is_bad_news(outcome: str, at: float, now: float) -> bool:
    """Whether an action that ended so at Unix time `at` is still to be looked at."""
    return outcome not in WELL and now - at < FAILURE_COUNTS


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
        self.last: dict[str, dict[str, tuple[float, str]]] = {}
        """By host and rule, when the last action ended and its outcome."""
        self.begun: dict[tuple[str, str], float] = {}
        """When the last action of a rule on a host began: its cooldown counts from there."""
        self.planned: dict[tuple[str, str], int] = {}
        """Messages in the last plan, by host and rule."""
        self._requests: dict[tuple[str, str], tuple[float, int]] = {}
        """By host and rule, when it asked a person to approve, and how many messages."""
        self.stopped: dict[str, dict[str, str]] = {}
        """By host and rule, why it has stopped itself or cannot act, until a person resumes it."""
        self.known = False
        """Whether what the journal holds was counted in, if there is one."""
        self._decisions: dict[tuple[str, str], Entry] = {}
        """By host and rule, what a person has decided; until an action uses it, it asks anew, or
        it has lapsed."""
        self.waiting_runs: dict[tuple[str, str], str] = {}
        """The numbers of the requests that wait."""
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
                self.last.setdefault(entry.host, {})[entry.rule] = entry.at, entry.outcome
            case Kind.INTENT:
                self.planned[key] = _number(entry, "planned")
                self.begun[key] = entry.at
                if ends_approval(Kind.APPROVAL_REQUESTED, entry):
                    self._requests.pop(key, None)
                decision = self._decisions.get(key)
                if decision is not None and ends_approval(decision.kind, entry):
                    del self._decisions[key]
            case Kind.APPROVAL_REQUESTED:
                self._requests[key] = entry.at, _number(entry, "planned")
                self._decisions.pop(key, None)
                self.waiting_runs[key] = entry.run
            case Kind.APPROVED | Kind.REJECTED:
                self._requests.pop(key, None)
                self._decisions[key] = entry
            case Kind.LAPSED:
                self._requests.pop(key, None)
                self._decisions.pop(key, None)
            case Kind.STOPPED | Kind.DISABLED:
                self.stopped.setdefault(entry.host, {})[entry.rule] = entry.text
            case Kind.RULE_RESUMED:
                self.stopped.get(entry.host, {}).pop(entry.rule, None)
            case _:
                pass

    def waits(self, key: tuple[str, str], now: float) -> int | None:
        """The messages that a rule on a host waits for a person to approve; None when it does not.

        As the guards have it: a request that nobody answered within a day stands no more.
        """
        at, count = self._requests.get(key, (math.inf, 0))
        return count if abs(now - at) < APPROVAL_LASTS else None

    def waiting(self, now: float) -> dict[tuple[str, str], int]:
        """Every rule and host of which `waits` tells messages."""
        told = {key: self.waits(key, now) for key in self._requests}
        return {key: count for key, count in told.items() if count is not None}

    def decided(self, key: tuple[str, str], now: float) -> Kind | None:
        """What a person has decided of a rule on a host, for as long as the guards go by it."""
        decision = self._decisions.get(key)
        if decision is None or abs(now - decision.at) >= APPROVAL_LASTS:
            return None
        return decision.kind

    def may_lapse(self, key: tuple[str, str], now: float) -> bool:
        """Whether a rule on a host waits for a person, or was approved and has not acted yet."""
        return self.waits(key, now) is not None or self.decided(key, now) is Kind.APPROVED

    def last_on(self, host: str) -> tuple[str, float, str] | None:
        """The last action of any rule on a host: the rule, when it ended, its outcome."""
        ended = [(at, rule, outcome) for rule, (at, outcome) in self.last.get(host, {}).items()]
        if not ended:
            return None
        at, rule, outcome = max(ended)
        return rule, at, outcome

    def failed_lately(self, host: str, now: float) -> bool:
        """Whether the last action of any rule on a host ended other than well, within a day."""
        return any(
            is_bad_news(outcome, at, now) for at, outcome in self.last.get(host, {}).values()
        )

    def stopped_on(self, host: str) -> bool:
        """Whether any rule has stopped itself on a host, or cannot act there."""
        return bool(self.stopped.get(host))


def _number(entry: Entry, name: str) -> int:
    value = entry.detail.get(name)
    return value if isinstance(value, int) else 0
