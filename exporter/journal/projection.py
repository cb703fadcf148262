"""What the journal's entries come to: one pure reducer for guards, metrics, page and commands.

Entries are about a panel, not about the name that it has in the config. A name may be given to
another panel, and a panel another name. What restrains a rule (actions begun, failed
verifications, stops, rejections) counts for the panel's url under whatever name it was written,
and for entries of the name without a panel: those of older versions. What authorises (a request,
an approval) counts for the very same url and pin alone.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from exporter.journal.clock import Timeline
from exporter.journal.entries import (
    WELL,
    Entry,
    FleetFacts,
    Guard,
    Kind,
    Outcome,
    RuleFacts,
    subject_of,
    subjects,
)
from exporter.journal.records import IntentRecord, OutcomeRecord, RequestRecord
from exporter.snapshot import PanelId

COUNTED = tuple(kind for kind in Kind if kind not in {Kind.REPLY, Kind.ASKED, Kind.WITHDRAWN})
"""Kinds that the projection is made from; the many replies to single messages are not among
them."""

HOUR, DAY = 3600.0, 86400.0

APPROVAL_LASTS = DAY
"""Seconds after which an approval, or a request for one, counts no more."""

FAILURE_COUNTS = DAY
"""Seconds for which a failed action is news: a rule that is not needed again never succeeds."""

KEPT_ACTIONS = 1000
"""Actions of a rule on a panel that are kept at least, for the case that the clock is set."""

KEPT_FAILURES = 1000
"""Failed verifications in a row that are counted; three stop a rule."""

_APPROVALS = {
    Kind.APPROVAL_REQUESTED: "requested",
    Kind.APPROVED: "approved",
    Kind.REJECTED: "rejected",
}
_AUTHORISING = frozenset({Kind.APPROVAL_REQUESTED, Kind.APPROVED})
"""Kinds that may let something be done."""


def is_bad_news(outcome: str, at: float, now: float) -> bool:
    """Return whether an action that ended so at Unix time `at` is still to be looked at."""
    return outcome not in WELL and now - at < FAILURE_COUNTS


class Actions:
    """When actions began, in the order of their times."""

    __slots__ = ("_compact_at", "_times")

    def __init__(self) -> None:
        self._times: list[tuple[float, int]] = []
        self._compact_at = 2 * KEPT_ACTIONS

    def add(self, intent: Entry) -> None:
        """Add one; now and then the old ones are dropped that no limit counts any more."""
        action = intent.at, intent.id
        if not self._times or action > self._times[-1]:
            self._times.append(action)
        else:  # the clock was set back
            insort(self._times, action)
        if len(self._times) < self._compact_at:
            return
        first = sorted(number for _, number in self._times)[-KEPT_ACTIONS]
        self._times = [
            (at, number)
            for at, number in self._times
            if number >= first or at >= intent.at - 2 * DAY
        ]
        self._compact_at = 2 * max(KEPT_ACTIONS, len(self._times))

    @property
    def last(self) -> tuple[float, int]:
        """The last one by the time that was written: that time, and the entry."""
        return self._times[-1] if self._times else (-inf, 0)

    def by_clock(self, timeline: Timeline) -> list[tuple[float, int]]:
        """Return the times, by the clock as it is now, and the entries."""
        if not timeline.jumps:
            return self._times
        return sorted((at + timeline.shift(number), number) for at, number in self._times)


class Begun(NamedTuple):
    """Actions begun, by the clock as it is now."""

    last: float | None
    number: int
    """Within the window that was asked for."""
    ahead: bool = False
    """Whether any is dated ahead of the clock."""
    newly_ahead: int = 0
    """The newest of these, where it was not known before that they are; 0 where it was."""


def begun(
    actions: Iterable[Actions], now: float, timeline: Timeline, *, window: float, after: int = 0
) -> Begun:
    """Return what began until `now`, and how many within the last `window` seconds.

    What is dated ahead of the clock, which was set back, counts from when it was first seen to be
    so; what is up to the entry `after` not at all, for a person has seen to it.
    """
    last, number, ahead = -inf, 0, list[int]()
    for each in actions:
        times = each.by_clock(timeline)
        until = bisect_right(times, (now, inf))
        number += until - bisect_right(times, (now - window, inf))
        last = max(last, times[until - 1][0]) if until else last
        ahead += [entry for _, entry in times[until:] if entry > after]
    if not ahead:
        return Begun(None if last == -inf else last, number)
    newest = max(ahead)
    seen = timeline.first_seen.get(newest)
    at = now if seen is None else seen.at + timeline.shift(seen.last)
    newly = newest if seen is None or at > now else 0
    at = min(at, now)
    number += len(ahead) * (at > now - window)
    return Begun(max(last, at), number, ahead=True, newly_ahead=newly)


@dataclass(slots=True)
class _RuleHistory:
    """What the entries of one rule say that name one host and one panel."""

    panel: PanelId
    actions: Actions = field(default_factory=Actions)
    failures: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT_FAILURES))
    """The failed verifications since the row of them was ended last."""
    row_ended: int = 0
    """The last entry that ended a row of failed verifications."""
    resumed: int = 0
    """The last time that a person resumed the rule."""
    standing: Entry | None = None
    """The last stop, or what ended it."""
    words: dict[Kind, Entry] = field(default_factory=dict)
    """The last word on an approval of each kind."""
    uses: dict[Kind, int] = field(default_factory=dict)
    """The last action that ends a word of each kind."""
    newest: dict[Kind, Entry] = field(default_factory=dict)
    """The last outcome, and the last block."""
    last: Entry | None = None
    """The last entry by which the rule is known: it acted, was stopped, or asked a person."""

    def begin(self, intent: Entry, record: IntentRecord) -> None:
        """Apply the beginning of an action."""
        self.actions.add(intent)
        for word in _ended_by(intent, record):
            self.uses[word] = intent.id
        self.last = intent

    def end(self, outcome: Entry, record: OutcomeRecord) -> None:
        """Apply the end of an action."""
        self.newest[Kind.OUTCOME] = outcome
        # Only a good verification or a person ends a row of failed ones: a run that did not come
        # to verify, was not looked at, or was stopped in the middle, says nothing.
        if outcome.outcome == Outcome.UNVERIFIED:
            self.failures.append(outcome.id)
        elif outcome.outcome == Outcome.OK and record.stopped_by is None:
            self._end_row(outcome)

    def stand(self, entry: Entry) -> None:
        """Apply a stop, or what ends it."""
        self.standing = entry
        if entry.kind is Kind.RULE_RESUMED:
            self.resumed = entry.id
            self._end_row(entry)
        else:
            self.last = entry

    def say(self, word: Entry) -> None:
        """Apply a word on an approval."""
        self.words[word.kind] = word
        if word.kind is not Kind.LAPSED:
            self.last = word

    def _end_row(self, entry: Entry) -> None:
        self.row_ended = entry.id
        self.failures.clear()


def _ended_by(intent: Entry, record: IntentRecord) -> Iterable[Kind]:
    """Return which words on an approval an action ends, if they were the last before it.

    What a person decided is used up by the action that goes by it. A request is answered by any
    action, too: by hand a person has allowed the act without it. A dry run answers nothing.
    """
    if record.approval:
        return _APPROVALS
    return (Kind.APPROVAL_REQUESTED,) if intent.mode == "enforce" else ()


class JournalProjection:
    """Every fact that the journal's entries come to, in the order in which they were written.

    It starts with all that the journal holds, so that the counters outlive a restart. It holds
    no entry but the last ones of each rule on each panel: memory does not grow with the journal.
    """

    def __init__(self) -> None:
        self.last_entry = 0
        """The id of the last entry that was applied."""
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
        self.timeline = Timeline()
        """What the journal knows of the clock."""
        self._histories: dict[tuple[str, str, str, str], _RuleHistory] = {}
        self._by_subject: dict[tuple[str, str], list[_RuleHistory]] = {}
        """By subject and rule."""
        self._by_name: dict[tuple[str, str], list[_RuleHistory]] = {}
        """By host and rule, whichever panel that was."""
        self._of_interest: dict[str, set[str]] = {}
        """Rules that have ever asked a person, or stopped, by subject and by name."""
        self._actions = Actions()
        """Of all rules."""
        self._pause: Entry | None = None
        """The last pause of all remediation, or what ended it."""
        self.known = False
        """Whether what the journal holds was counted in, if there is one."""
        self.problem: Callable[[], str] = str
        """Returns why the journal cannot be used, so that nothing acts; "" while it can."""
        self.paused = False
        """Whether a person has paused remediation by command."""

    # --- applying entries ----------------------------------------------------------------------

    def add(self, entries: Iterable[Entry]) -> None:
        """Apply entries in the order in which they were written; what was applied is skipped."""
        for entry in entries:
            self.apply(entry)

    def apply(self, entry: Entry) -> None:
        """Apply one entry, unless that was done before."""
        if entry.id <= self.last_entry:
            return
        if entry.kind is Kind.REPLY:
            pass  # by far the most
        elif entry.kind in {Kind.PAUSED, Kind.RESUMED}:
            self._pause = entry
        elif entry.rule and entry.kind in COUNTED:
            self._apply(entry, self._history(entry), (entry.host, entry.rule))
        # Last: one at which it failed, for want of memory, must not be skipped the next time.
        self.last_entry = entry.id

    def blocked(self, rule: str, guard: Guard) -> None:
        """Count that a guard has kept a rule from acting."""
        self.blocks[rule, guard.value] += 1

    def _apply(self, entry: Entry, history: _RuleHistory, key: tuple[str, str]) -> None:
        match entry.kind:
            case Kind.INTENT:
                intent = IntentRecord.of(entry)
                history.begin(entry, intent)
                self._actions.add(entry)
                self.planned[key] = intent.planned or 0
            case Kind.OUTCOME:
                outcome = OutcomeRecord.of(entry)
                history.end(entry, outcome)
                self.outcomes[*key, entry.action, entry.outcome] += 1
                self.removed[key] += outcome.removed or 0
                self.last.setdefault(entry.host, {})[entry.rule] = entry.at, entry.outcome
            case Kind.BLOCKED:
                history.newest[Kind.BLOCKED] = entry
            case Kind.STOPPED | Kind.DISABLED | Kind.RULE_RESUMED:
                history.stand(entry)
                self._note_interest(entry)
            case _:
                history.say(entry)
                self._note_interest(entry)

    def _note_interest(self, entry: Entry) -> None:
        for subject in (subject_of(entry), f"name {entry.host}"):
            self._of_interest.setdefault(subject, set()).add(entry.rule)

    def _history(self, entry: Entry) -> _RuleHistory:
        key = entry.host, entry.panel.url, entry.panel.pin, entry.rule
        if (known := self._histories.get(key)) is not None:
            return known
        new = self._histories[key] = _RuleHistory(entry.panel)
        self._by_subject.setdefault((subject_of(entry), entry.rule), []).append(new)
        self._by_name.setdefault((entry.host, entry.rule), []).append(new)
        return new

    # --- what the guards go by -----------------------------------------------------------------

    def rule_facts(self, host: str, rule: str, panel: PanelId | None, now: float) -> RuleFacts:
        """Return the facts of a rule on a host at Unix time `now`, but for the messages approved.

        `panel` is the panel that the host is now; without it all counts that names the host.
        """
        histories = self._concerning(host, rule, panel)
        resumed = max((history.resumed for history in histories), default=0)
        every = [history.actions for history in histories]
        actions = begun(every, now, self.timeline, window=DAY, after=resumed)
        row_ended = max((history.row_ended for history in histories), default=0)
        failed = sum(number > row_ended for each in histories for number in each.failures)
        approval = self.approval(host, rule, panel, now)
        return RuleFacts(
            last_begun=actions.last,
            begun_today=actions.number,
            dated_ahead=actions.ahead,
            newly_ahead=actions.newly_ahead,
            stopped=_unless(_newest(each.standing for each in histories), Kind.RULE_RESUMED),
            failed_verifications=failed,
            approval="" if approval is None else _APPROVALS[approval.kind],
            approval_run="" if approval is None else approval.run,
            approval_at=0.0 if approval is None else approval.at,
        )

    def fleet_facts(self, now: float) -> FleetFacts:
        """Return the facts of the whole fleet at Unix time `now`."""
        actions = begun([self._actions], now, self.timeline, window=HOUR)
        return FleetFacts(actions.number, _unless(self._pause, Kind.RESUMED), actions.newly_ahead)

    def approval(self, host: str, rule: str, panel: PanelId | None, now: float) -> Entry | None:
        """Return the last word on what a rule asks a person for; None when it counts no more.

        Nor does one that lies far ahead of the clock, which was set back: it is no more to be
        relied on than one that is too old.
        """
        histories = self._concerning(host, rule, panel)
        # What would authorise counts only of the very same panel: with another certificate it may
        # be another machine.
        last = _newest(
            word
            for history in histories
            for word in history.words.values()
            if panel is None or word.kind not in _AUTHORISING or history.panel == panel
        )
        if last is None or last.kind is Kind.LAPSED:
            return None
        if abs(now - last.at - self.timeline.shift(last.id)) >= APPROVAL_LASTS:
            return None
        used = any(history.uses.get(last.kind, 0) > last.id for history in histories)
        return None if used else last

    def newest(self, host: str, rule: str, panel: PanelId | None, kind: Kind) -> Entry | None:
        """Return the last outcome, or the last block, of a rule on a host."""
        return _newest(each.newest.get(kind) for each in self._concerning(host, rule, panel))

    def rules_known(self) -> list[Entry]:
        """Return the last entry of each rule on each panel that acted, was stopped or asked.

        The newest first.
        """
        known = (history.last for history in self._histories.values())
        return sorted(filter(None, known), key=lambda entry: entry.id, reverse=True)

    def held(self) -> set[int]:
        """Return the entries on which facts rest, however old they are.

        Of each rule, by the name of the host and by subject, since facts are asked for by either:
        - the last action, for its cooldown may be longer than the journal is kept,
        - the failed verifications in a row,
        - what ended the row before: failed ones before that may stay for another reason.
        Stops, pauses and what ended them stay by their kind.
        """
        held = set[int]()
        for groups in (self._by_name, self._by_subject):
            for histories in groups.values():
                row_ended = max(history.row_ended for history in histories)
                held.add(max(history.actions.last for history in histories)[1])
                held.add(row_ended)
                held.update(n for each in histories for n in each.failures if n > row_ended)
        return held

    def _concerning(self, host: str, rule: str, panel: PanelId | None) -> list[_RuleHistory]:
        if panel is None:
            return self._by_name.get((host, rule), [])
        return [
            history
            for subject in subjects(host, panel)
            for history in self._by_subject.get((subject, rule), ())
        ]

    # --- what the page and the metrics show ----------------------------------------------------

    def facts(self, key: tuple[str, str], now: float) -> RuleFacts:
        """Return `rule_facts` of a host and rule, as the panel that the host is now."""
        host, rule = key
        return self.rule_facts(host, rule, self.panels.get(host), now)

    def stopped(self, key: tuple[str, str]) -> str | None:
        """Return why a rule has stopped itself on a host or cannot act there; None if not."""
        host, rule = key
        histories = self._concerning(host, rule, self.panels.get(host))
        return _unless(_newest(each.standing for each in histories), Kind.RULE_RESUMED) or None

    def all_stopped(self) -> Iterator[tuple[str, str]]:
        """Return every host and rule that `stopped` has a reason for."""
        return (key for key in self._candidates() if self.stopped(key) is not None)

    def _candidates(self) -> Iterator[tuple[str, str]]:
        """Return hosts and rules that may have more facts than when they acted."""
        if not self._of_interest:
            return
        names = {host for host, _ in self._by_name} | self.panels.keys()
        for host in sorted(names):
            for rule in sorted(self._rules_of_interest(host)):
                yield host, rule

    def _rules_of_interest(self, host: str) -> set[str]:
        panel = self.panels.get(host)
        about = (f"name {host}",) if panel is None else subjects(host, panel)
        return set().union(*(self._of_interest.get(subject, ()) for subject in about))

    def _word(self, key: tuple[str, str], now: float) -> Entry | None:
        host, rule = key
        return self.approval(host, rule, self.panels.get(host), now)

    def waits(self, key: tuple[str, str], now: float) -> int | None:
        """Return the messages that a rule on a host waits for a person to approve; None if not.

        As the guards have it: a request that nobody answered within a day counts no more.
        """
        word = self._word(key, now)
        if word is None or word.kind is not Kind.APPROVAL_REQUESTED:
            return None
        return RequestRecord.of(word).planned or 0

    def waiting(self, now: float) -> dict[tuple[str, str], int]:
        """Return every host and rule that waits for a person, with the number of messages."""
        found = {key: self.waits(key, now) for key in self._candidates()}
        return {key: count for key, count in found.items() if count is not None}

    def may_lapse(self, key: tuple[str, str], now: float) -> bool:
        """Return whether a rule on a host waits for a person, or is approved and did not act."""
        word = self._word(key, now)
        return word is not None and word.kind in _AUTHORISING

    def last_on(self, host: str) -> tuple[str, float, str] | None:
        """Return the last action of any rule on a host: the rule, when it ended, its outcome."""
        ended = [(at, rule, outcome) for rule, (at, outcome) in self.last.get(host, {}).items()]
        if not ended:
            return None
        at, rule, outcome = max(ended)
        return rule, at, outcome

    def failed_lately(self, host: str, now: float) -> bool:
        """Return whether the last action of any rule on a host failed within the last day."""
        return any(
            is_bad_news(outcome, at, now) for at, outcome in self.last.get(host, {}).values()
        )

    def stopped_on(self, host: str) -> bool:
        """Return whether any rule has stopped itself on a host, or cannot act there."""
        rules = self._rules_of_interest(host)
        return any(self.stopped((host, rule)) is not None for rule in rules)


def _newest(entries: Iterable[Entry | None]) -> Entry | None:
    return max(filter(None, entries), key=lambda entry: entry.id, default=None)


def _unless(entry: Entry | None, ends: Kind) -> str:
    """Return what an entry says that stands until one of kind `ends`; never "" while it does."""
    return "" if entry is None or entry.kind is ends else entry.text or f"{entry.kind.value}."
