"""Counts what the journal says: each outcome once, whichever process wrote it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from exporter.journal.entries import WELL, Entry, Guard, Kind, ends_approval
from exporter.journal.store import APPROVAL_LASTS
from exporter.journal.subjects import last_word, subject_of, subjects
from exporter.snapshot import PanelId

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


@dataclass(slots=True)
class _Known:
    """What the entries of one rule say of one subject: what the journal's own facts rest on."""

    begun: float | None = None
    """When the last action began."""
    standing: Entry | None = None
    """The last stop, or what ended it."""
    words: dict[tuple[Kind, PanelId], Entry] = field(default_factory=dict)
    """The last word on an approval, by its kind and the panel that it names."""
    ends: dict[Kind, int] = field(default_factory=dict)
    """The last action that ends a request, or a decision, by the kind of that word."""

    def add(self, entry: Entry) -> None:
        """Take in an entry."""
        match entry.kind:
            case Kind.INTENT:
                self.begun = max(entry.at, entry.at if self.begun is None else self.begun)
                for word in (Kind.APPROVAL_REQUESTED, Kind.APPROVED, Kind.REJECTED):
                    if ends_approval(word, entry):
                        self.ends[word] = entry.id
            case Kind.STOPPED | Kind.DISABLED | Kind.RULE_RESUMED:
                self.standing = entry
            case Kind.APPROVAL_REQUESTED | Kind.APPROVED | Kind.REJECTED | Kind.LAPSED:
                self.words[entry.kind, entry.panel] = entry
            case _:
                pass


class JournalProjection:
    """What the metrics of remediation are made from.

    It starts with all that the journal holds, so that the counters outlive a restart. What it
    says of a rule on a host is what `Journal.rule_facts` says of the panel that the host is now.
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
        self.planned: dict[tuple[str, str], int] = {}
        """Messages in the last plan, by host and rule."""
        self.panels: Mapping[str, PanelId] = {}
        """The panel that each host of the config is; of others all counts that has their name."""
        self._subjects: dict[tuple[str, str], _Known] = {}
        """By whom it is about and rule."""
        self._names: dict[tuple[str, str], _Known] = {}
        """By host and rule, whichever panel that was."""
        self._of_interest: dict[str, set[str]] = {}
        """Rules that have ever asked a person, or stopped, by whom that was about."""
        self.known = False
        """Whether what the journal holds was counted in, if there is one."""
        self.problem: Callable[[], str] = str
        """Tells why the journal cannot be used, so that nothing acts; "" while it can."""
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
        if entry.kind is Kind.OUTCOME:
            self.outcomes[*key, entry.action, entry.outcome] += 1
            self.removed[key] += _number(entry, "removed")
            self.last.setdefault(entry.host, {})[entry.rule] = entry.at, entry.outcome
            return
        if entry.kind is Kind.INTENT:
            self.planned[key] = _number(entry, "planned")
        elif entry.kind is not Kind.BLOCKED:
            for whose in (subject_of(entry), f"name {entry.host}"):
                self._of_interest.setdefault(whose, set()).add(entry.rule)
        self._subjects.setdefault((subject_of(entry), entry.rule), _Known()).add(entry)
        self._names.setdefault(key, _Known()).add(entry)

    def _known(self, key: tuple[str, str]) -> list[_Known]:
        """What counts of a rule on a host."""
        host, rule = key
        panel = self.panels.get(host)
        if panel is None:
            found = [self._names.get(key)]
        else:
            found = [self._subjects.get((whose, rule)) for whose in subjects(host, panel)]
        return [known for known in found if known is not None]

    def begun(self, key: tuple[str, str]) -> float | None:
        """When the last action of a rule on a host began: its cooldown counts from there.

        As it was written down: the journal itself knows what a clock that was set makes of it.
        """
        told = (known.begun for known in self._known(key))
        return max((at for at in told if at is not None), default=None)

    def stopped(self, key: tuple[str, str]) -> str | None:
        """Why a rule has stopped itself on a host or cannot act there; None when it has not."""
        told = (known.standing for known in self._known(key))
        last = max(filter(None, told), key=lambda entry: entry.id, default=None)
        return None if last is None or last.kind is Kind.RULE_RESUMED else last.text

    def all_stopped(self) -> Iterator[tuple[str, str]]:
        """Every host and rule of which `stopped` tells why."""
        return (key for key in self._candidates() if self.stopped(key) is not None)

    def _candidates(self) -> Iterator[tuple[str, str]]:
        """Hosts and rules of which there may be more to tell than when they acted."""
        if not self._of_interest:
            return
        names = {host for host, _ in self._names} | self.panels.keys()
        for host in sorted(names):
            for rule in sorted(self._rules_of_interest(host)):
                yield host, rule

    def _rules_of_interest(self, host: str) -> set[str]:
        panel = self.panels.get(host)
        whose = (f"name {host}",) if panel is None else subjects(host, panel)
        return set().union(*(self._of_interest.get(one, ()) for one in whose))

    def _word(self, key: tuple[str, str], now: float) -> Entry | None:
        """The last word on what a rule on a host asks a person for; None when it counts no more."""
        all_known = self._known(key)
        words = (word for known in all_known for word in known.words.values())
        last = last_word(words, self.panels.get(key[0]))
        if last is None or last.kind is Kind.LAPSED or abs(now - last.at) >= APPROVAL_LASTS:
            return None
        ended = any(known.ends.get(last.kind, 0) > last.id for known in all_known)
        return None if ended else last

    def waits(self, key: tuple[str, str], now: float) -> int | None:
        """The messages that a rule on a host waits for a person to approve; None when it does not.

        As the guards have it: a request that nobody answered within a day stands no more.
        """
        word = self._word(key, now)
        if word is None or word.kind is not Kind.APPROVAL_REQUESTED:
            return None
        return _number(word, "planned")

    def waiting(self, now: float) -> dict[tuple[str, str], int]:
        """Every host and rule of which `waits` tells messages."""
        told = {key: self.waits(key, now) for key in self._candidates()}
        return {key: count for key, count in told.items() if count is not None}

    def waiting_runs(self, now: float) -> dict[tuple[str, str], str]:
        """The numbers of the requests that wait, by host and rule."""
        words = {key: self._word(key, now) for key in self._candidates()}
        return {
            key: word.run
            for key, word in words.items()
            if word is not None and word.kind is Kind.APPROVAL_REQUESTED
        }

    def decided(self, key: tuple[str, str], now: float) -> Kind | None:
        """What a person has decided of a rule on a host, for as long as the guards go by it."""
        decision = self.decision(key, now)
        return None if decision is None else decision.kind

    def decision(self, key: tuple[str, str], now: float) -> Entry | None:
        """The entry that tells it."""
        word = self._word(key, now)
        return None if word is None or word.kind is Kind.APPROVAL_REQUESTED else word

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
        rules = self._rules_of_interest(host)
        return any(self.stopped((host, rule)) is not None for rule in rules)


def _number(entry: Entry, name: str) -> int:
    value = entry.detail.get(name)
    return value if isinstance(value, int) else 0
