"""What must never happen: each thing that is done or written down is held against the rules.

It knows the rules by their text in `RULES`, not by the code that follows them: conditions and
selectors are written here once more, as plain functions of what a panel has told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from exporter.config.fleet import concerns
from exporter.config.remediation import RemediationConfig, RemediationRule
from exporter.journal import Actor, Entry, Journal, Kind, Outcome
from exporter.panel.protocol import MessageCommand, Operation, ServiceCommand
from exporter.standin.queue import QueuedMessage
from tests.model.world import RUN, Panel, World

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

Key = tuple[str, str]
"""Host and rule."""

RULES: tuple[dict[str, Any], ...] = (
    {
        "name": "purge",
        "when": ["queue_frozen_messages > 2"],
        "for": "2m",
        "action": "purge_frozen",
        "select": {"frozen": True, "bounce": True, "older_than": "1h"},
        "cooldown": "4m",
        "max_per_day": 4,
        "max_messages": 6,
        "verify": {"within": "30s", "expect": ["queue_frozen_messages < 3"]},
    },
    {
        "name": "delete",
        "when": ["queue_messages > 7"],
        "action": "delete",
        "select": {"bounce": True, "older_than": "30m", "limit": 5},
        "cooldown": "3m",
        "max_per_day": 5,
        "max_messages": 4,
    },
    {
        "name": "retry",
        "when": ["queue_bounce_messages > 1"],
        "action": "retry",
        "select": {"frozen": False},
        "cooldown": "5m",
        "approval": "required",
    },
    {
        "name": "clear",
        "when": ["queue_messages > 11"],
        "for": "1m",
        "hosts": {"names": ["mx4"]},
        "action": "purge_all",
        "cooldown": "5m",
        "max_messages": 20,
    },
    {
        "name": "clamd",
        "when": ['service_up{service="clamav"} == 0'],
        "for": "1m",
        "action": "service_on",
        "service": "clamav",
        "cooldown": "3m",
        "max_per_day": 2,
    },
    {
        "name": "asked",
        "action": "delete",
        "select": {"frozen": True, "sender": "ann@*"},
        "cooldown": "1m",
        "max_per_day": 3,
    },
)


@dataclass(frozen=True, slots=True)
class Told:
    """What a panel has told in one poll; None where it did not."""

    count: int | None = None
    messages: tuple[QueuedMessage, ...] | None = None
    clamav: bool | None = None


def _more_than(limit: int, of: Callable[[QueuedMessage], bool]) -> Callable[[Told], bool | None]:
    def holds(told: Told) -> bool | None:
        return None if told.messages is None else sum(map(of, told.messages)) > limit

    return holds


def _counted(limit: int) -> Callable[[Told], bool | None]:
    return lambda told: None if told.count is None else told.count > limit


WHEN: Mapping[str, Callable[[Told], bool | None]] = {
    "purge": _more_than(2, lambda m: m.frozen),
    "delete": _counted(7),
    "retry": _more_than(1, lambda m: not m.sender),
    "clear": _counted(11),
    "clamd": lambda told: None if told.clamav is None else not told.clamav,
}
SELECT: Mapping[str, Callable[[QueuedMessage], bool]] = {
    "purge": lambda m: m.frozen and not m.sender and m.age > HOUR,
    "delete": lambda m: not m.sender and m.age > 30 * MINUTE,
    "retry": lambda m: not m.frozen,
    "clear": lambda _: True,
    "clamd": lambda _: False,
    "asked": lambda m: m.frozen and m.sender.startswith("ann@"),
}
MOST = {"delete": 5}
"""`limit` of the selectors that have one."""

_OPERATIONS: Mapping[str, Mapping[Operation, object]] = {
    "purge": {
        Operation.DELETE_FROZEN: None,
        Operation.CONTROL: MessageCommand.DELETE,
    },
    "delete": {Operation.CONTROL: MessageCommand.DELETE},
    "retry": {Operation.CONTROL: MessageCommand.RESHIP},
    "clear": {Operation.DELETE_ALL: None},
    "clamd": {Operation.CLAMAV: ServiceCommand.ON},
    "asked": {Operation.CONTROL: MessageCommand.DELETE},
}
"""What each rule may ask of a panel, and with which command."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What held at one moment of a run."""

    paused: bool
    wanting: frozenset[str]
    unheard: frozenset[str]


@dataclass(slots=True)
class _Run:
    """An intent, and what came of it."""

    intent: Entry
    plan: Mapping[str, QueuedMessage | None]
    life: int
    """Which daemon began it; -1: a command."""
    asked: list[str] = field(default_factory=list)
    """Ids for which the panel was asked, or "" for all at once."""
    gone: set[str] = field(default_factory=set)
    """Messages that left the queue by it."""
    under: object = None
    """The RUN of it."""
    may_ask: int | None = None
    """Requests that may still be under way; None while nothing has stopped it."""
    outcome: Entry | None = None


class Watcher:
    """Follows everything from outside."""

    def __init__(self, world: World, panels: Mapping[str, Panel]) -> None:
        self.problems: list[str] = []
        self._world = world
        self._panels = panels
        self._config = RemediationConfig()
        self._parallel = 1
        self._rules: dict[str, RemediationRule] = {}
        self._longest = 0.0
        self.life = 0
        self.entries: list[Entry] = []
        self.runs: dict[str, _Run] = {}
        self.plans: dict[int, frozenset[str]] = {}
        """The ids of the messages that were written with an entry."""
        self._changes = -1
        # Of the daemon that runs now.
        self._heard: set[str] = set()
        self._streaks: dict[Key, list[tuple[float, bool | None]]] = {}
        self._last_told: dict[object, Told] = {}
        """By run, what it was told in its last poll."""
        self.pending: set[Key] = set()
        """Asked for, and not looked at yet."""
        self._asked: defaultdict[Key, dict[str, float]] = defaultdict(dict)
        """When what was asked for and not answered was, by incident: some guards let it stand."""
        self.over: dict[tuple[str, str, str], bool] = {}
        """By host, rule and incident, whether it was surely written down that it is over."""
        self._taken: dict[object, tuple[str, frozenset[str]]] = {}
        """By run: its host, and the rules that were asked for."""
        self._samples: defaultdict[object, list[Sample]] = defaultdict(list)

    # --- what the machine tells ----------------------------------------------------------------

    def configure(
        self, config: RemediationConfig, *, longest: float, parallel: int, anew: bool
    ) -> None:
        self._config, self._longest, self._parallel = config, longest, parallel
        self._rules = {rule.name: rule for rule in config.rules}
        if anew:
            self.life += 1
            self._heard.clear()
            self._streaks.clear()
            self.pending.clear()
            self._asked.clear()
            self._taken.clear()

    def polled(self, host: str, told: Told) -> None:
        """The daemon gets to know of a poll."""
        self._heard.add(host)
        for name, when in WHEN.items():
            verdict = when(told)
            if verdict is False:
                self._streaks.pop((host, name), None)
            else:
                self._streaks.setdefault((host, name), []).append((self._world.now, verdict))

    def told(self, told: Told) -> None:
        """The run at hand gets to know of a poll."""
        self._last_told[RUN.get()] = told

    def asked(self, key: Key, incident: str) -> None:
        """Somebody asks for a rule on a host."""
        self.pending.add(key)
        self._asked[key][incident] = self._world.now

    def withdrawn(self, key: Key, incident: str, *, surely: bool = True) -> None:
        """What was asked for is taken back."""
        self.over[*key, incident] = surely or self.over.get((*key, incident), False)
        self._asked[key].pop(incident, None)
        if not self._asked[key]:
            self.pending.discard(key)

    def considers(self, run: object, host: str, asked: Iterable[str]) -> None:
        """The daemon looks at a host's rules, some of them because somebody asked."""
        names = frozenset(asked)
        self.pending -= {(host, name) for name in names}
        self._taken[run] = host, names

    def considered(self, run: object) -> None:
        for each in (self._taken, self._samples, self._last_told):
            each.pop(run, None)

    # --- what is so now ------------------------------------------------------------------------

    def _complain(self, text: str) -> None:
        self.problems.append(f"[{self._world.now - 1.8e9:.0f}] {text}")

    @property
    def paused(self) -> bool:
        return self._world.pause_file.exists() or self._paused_by_command()

    def _paused_by_command(self) -> bool:
        last = self._last(Kind.PAUSED, Kind.RESUMED)
        return last is not None and last.kind is Kind.PAUSED

    def _last(self, *kinds: Kind, key: Key | None = None) -> Entry | None:
        return next((e for e in self._of(*kinds, key=key, newest_first=True)), None)

    def _of(
        self, *kinds: Kind, key: Key | None = None, newest_first: bool = False
    ) -> Iterator[Entry]:
        for entry in reversed(self.entries) if newest_first else self.entries:
            if entry.kind in kinds and key in {None, (entry.host, entry.rule)}:
                yield entry

    def trips(self, key: Key) -> bool:
        """Whether a rule's condition has held for long enough over unbroken data."""
        streak = self._streaks.get(key, [])
        since_gap = streak
        true = [at for at, verdict in streak if verdict]
        for earlier, later in pairwise(true):
            if later - earlier > self._longest:  # so long that it begins anew
                since_gap = [(at, verdict) for at, verdict in since_gap if at >= later]
        held = sum(
            max(0.0, later - earlier)
            for (earlier, then), (later, now) in pairwise(since_gap)
            if then and now
        )
        needed = self._rules[key[1]].hold or 0.0
        return bool(true) and held >= needed

    def _holds_now(self, key: Key) -> bool:
        when = WHEN.get(key[1])
        return when is None or when(self._last_told.get(RUN.get(), Told())) is True

    def _concerned(self, host: str) -> Iterator[str]:
        labels: dict[str, str] = {}
        return (n for n, rule in self._rules.items() if concerns(rule.hosts, host, labels))

    def _sample(self) -> Sample:
        wanting = {
            host
            for host in self._panels
            if any(
                (host, n) in self.pending or self.trips((host, n)) for n in self._concerned(host)
            )
        }
        wanting |= {host for host, names in self._taken.values() if names}
        return Sample(self.paused, frozenset(wanting), frozenset(self._panels) - self._heard)

    def _open(self, host: str) -> list[_Run]:
        return [r for r in self.runs.values() if r.outcome is None and r.intent.host == host]

    # --- what is done --------------------------------------------------------------------------

    def has_looked(self) -> None:
        self._samples.pop(RUN.get(), None)

    def before_journal(self) -> None:
        if RUN.get() is not None:
            self._samples[RUN.get()].append(self._sample())

    def interrupted(self) -> None:
        """A run stops with the requests that are under way; another one may be about to send."""
        for run in self.runs.values():
            if run.outcome is None:
                own = run.under is RUN.get()
                run.may_ask = self._parallel - 1 if own else self._parallel

    def not_written(self) -> None:
        """No further message is sent by who cannot write down what came of the last one."""
        for run in self.runs.values():
            if run.outcome is None and run.asked and run.under is RUN.get():
                run.may_ask = self._parallel - 1

    def will_change(  # noqa: C901 - one demand after the other
        self,
        panel: Panel,
        operation: Operation,
        command: MessageCommand | ServiceCommand | None,
        message_id: str | None,
    ) -> None:
        what = f"{operation.value} {command or ''} {message_id or ''} on {panel.name}"
        self._world.seen("asked by id" if message_id else f"asked: {operation.value}")
        runs = self._open(panel.name)
        if len(runs) != 1:
            self._complain(f"{what}: asked with {len(runs)} intents that have no outcome")
            return
        run = runs[0]
        rule, intent = run.intent.rule, run.intent
        if intent.mode != "enforce" or self._config.mode != "enforce":
            self._complain(f"{what}: asked though nothing may act")
        if operation not in _OPERATIONS[rule] or _OPERATIONS[rule][operation] is not command:
            self._complain(f"{what}: is not what {rule} does")
        if message_id is not None:
            if message_id not in run.plan:
                self._complain(f"{what}: is not in the plan")
        elif operation is not Operation.CLAMAV:
            frozen = {m.id for m in panel.served or () if m.frozen}
            all_ = {m.id for m in panel.served or ()}
            meant = frozen if operation is Operation.DELETE_FROZEN else all_
            if meant != set(run.plan):
                self._complain(f"{what}: would take {meant ^ set(run.plan)} beside the plan")
        if (message_id or "") in run.asked:
            self._complain(f"{what}: asked twice")
        run.asked.append(message_id or "")
        if run.may_ask is not None:
            run.may_ask -= 1
            if run.may_ask < 0:
                self._complain(f"{what}: asked after it should have stopped")
        elif self.paused:
            self._complain(f"{what}: asked while paused")

    def has_changed(self, panel: Panel, ids: set[str]) -> None:
        for run in self._open(panel.name):
            run.gone |= ids

    # --- what is written down ------------------------------------------------------------------

    def after_journal(self, journal: Journal) -> None:
        changes = journal._database.connection.total_changes
        if changes == self._changes:
            return
        self._changes = changes
        for entry in journal.entries(after=self.entries[-1].id if self.entries else 0):
            if entry.kind in {Kind.INTENT, Kind.APPROVAL_REQUESTED}:
                messages = journal.messages(entry.id)
                self.plans[entry.id] = frozenset(m.id for m in messages)
            if entry.kind is Kind.INTENT:
                self._intent(entry)
            elif entry.kind is Kind.OUTCOME:
                self._outcome(entry)
            elif entry.kind is Kind.BLOCKED:
                self._world.seen(f"blocked: {entry.outcome}")
            self.entries.append(entry)
            if entry.kind is Kind.PAUSED:
                self.interrupted()

    def _intent(self, entry: Entry) -> None:
        """Every limit and guard, at the moment in which an action begins."""
        what = f"{entry.rule} on {entry.host} ({entry.actor})"
        self._world.seen(f"intent: {entry.rule}")
        for problem in (
            *self._against_limits(entry),
            *self._against_pauses(entry),
            *self._against_reason(entry),
            *self._against_plan(entry),
        ):
            self._complain(f"{what}: {problem}")
        served = {m.id: m for m in self._panels[entry.host].served or ()}
        plan = {id_: served.get(id_) for id_ in self.plans[entry.id]}
        life = -1 if entry.actor.startswith(Actor.PERSON) else self.life
        if entry.run in self.runs:
            self._complain(f"{what}: a second intent of one run")
        self.runs[entry.run] = _Run(entry, plan, life, under=RUN.get())

    def _against_limits(self, entry: Entry) -> Iterator[str]:
        """Whatever the clock did, an action that was written before counts unless it is old.

        With a clock that was set back this is more than "in any sliding window of it": of the
        actions that it dates into one window, the last one saw all the others.
        """
        key, rule = (entry.host, entry.rule), self._rules[entry.rule]
        own = [each.at for each in self._of(Kind.INTENT, key=key)]
        fleet = [each.at for each in self._of(Kind.INTENT)]
        if any(entry.at - at < rule.cooldown for at in own):
            yield f"begun {entry.at - max(own):.0f} s after the last one"
        if sum(at > entry.at - DAY for at in own) >= rule.max_per_day:
            yield "more than max_per_day"
        if sum(at > entry.at - HOUR for at in fleet) >= self._config.limits.actions_per_hour:
            yield "more than actions_per_hour"
        if self._open(entry.host):
            yield "another action on the host has no outcome"
        if not entry.actor.startswith(Actor.PERSON):
            others = [r for r in self.runs.values() if r.outcome is None and r.life == self.life]
            if len(others) >= self._config.limits.actions_at_once:
                yield "more than actions_at_once"

    def _against_pauses(self, entry: Entry) -> Iterator[str]:
        """What may change at any moment must have been looked at since the panel was asked."""
        if (entry.mode, self._config.mode) not in {
            ("enforce", "enforce"),
            ("dry_run", "dry_run"),
            *([("dry_run", "enforce")] if entry.actor.startswith(Actor.PERSON) else []),
        }:
            yield f"{entry.mode} in mode {self._config.mode}"
        samples = [*self._samples[RUN.get()], self._sample()]
        if all(sample.paused for sample in samples):
            yield "begun while paused"
        # The only window that the machine uses: until 18:00 UTC.
        if self._config.windows and entry.at % DAY >= 18 * HOUR:
            yield "outside of the window"
        stop = self._last(Kind.STOPPED, Kind.DISABLED, Kind.RULE_RESUMED, key=_key(entry))
        if stop is not None and stop.kind is not Kind.RULE_RESUMED:
            yield f"it is {stop.kind.value}"
        if entry.actor.startswith(Actor.PERSON):
            return
        if all(self._is_storm(sample) for sample in samples):
            yield f"in a storm: {samples[-1]}"

    def _is_storm(self, sample: Sample) -> bool:
        most = max(2, int(self._config.limits.storm_brake * len(self._panels)))
        wanting = len(sample.wanting)
        unheard = len(sample.unheard - sample.wanting)
        return wanting > most or (unheard > 0 and wanting + unheard > most)

    def _against_reason(self, entry: Entry) -> Iterator[str]:
        key, actor = _key(entry), entry.actor.partition(":")[0]
        if not self._holds_now(key):
            yield f"its condition does not hold: {self._last_told.get(RUN.get())}"
        match actor:
            case Actor.RULE:
                if entry.rule not in WHEN or not self.trips(key):
                    yield f"it has not tripped: {self._streaks.get(key)}"
            case Actor.ALERTMANAGER:
                # No guard lets it stand for more than a day.
                why = entry.detail["why"]
                assert isinstance(why, dict)
                if entry.at - self._asked[key].pop(why["key"], -DAY) >= DAY:
                    yield "nobody has asked for it"
        if self._rules[entry.rule].approval == "required" and actor != Actor.PERSON:
            yield from self._against_approval(entry)
        failed = 0
        for each in self._of(Kind.OUTCOME, Kind.RULE_RESUMED, key=key):
            failed += each.outcome == Outcome.UNVERIFIED
            good = each.outcome == Outcome.OK and "stopped_by" not in each.detail
            if good or each.kind is Kind.RULE_RESUMED:
                failed = 0
        if failed >= 3:
            yield f"{failed} verifications in a row have failed"

    def _against_approval(self, entry: Entry) -> Iterator[str]:
        key = _key(entry)
        words = Kind.APPROVAL_REQUESTED, Kind.APPROVED, Kind.REJECTED, Kind.LAPSED
        last = self._last(*words, key=key)
        if last is None or last.kind is not Kind.APPROVED:
            yield "nobody has approved it"
            return
        if abs(entry.at - last.at) >= DAY:
            yield f"its approval is {entry.at - last.at:.0f} s old"
        if any(e.id > last.id and e.detail.get("approval") for e in self._of(Kind.INTENT, key=key)):
            yield "its approval was used before"
        if not entry.detail.get("approval"):
            yield "it does not use its approval up"
        request = next(e for e in self._of(Kind.APPROVAL_REQUESTED, key=key) if e.run == last.run)
        if beyond := self.plans[entry.id] - self.plans[request.id]:
            yield f"nobody has approved {beyond}"

    def _against_plan(self, entry: Entry) -> Iterator[str]:
        plan, rule = self.plans[entry.id], self._rules[entry.rule]
        panel = self._panels[entry.host]
        if entry.action != rule.action:
            yield f"it does {entry.action}"
        if len(plan) > min(rule.max_messages, MOST.get(entry.rule, 10**6)):
            yield f"{len(plan)} messages are too many"
        if not plan and entry.action != "service_on":
            yield "without a message"
        if plan:
            served = {m.id: m for m in panel.served or ()}
            if strange := plan - served.keys():
                yield f"{strange} were not listed just now"
            chosen = {id_ for id_ in plan & served.keys() if SELECT[entry.rule](served[id_])}
            if chosen != plan:
                yield f"{plan - chosen} are not meant"
            if panel.counted is not None and len(served) < panel.counted - 10:
                yield "planned on a list that is not whole"

    def _outcome(self, entry: Entry) -> None:
        """One for each intent, and no better than what is so."""
        what = f"{entry.rule} on {entry.host} ended {entry.outcome}"
        self._world.seen(f"outcome: {entry.outcome}")
        if entry.detail.get("settled"):
            self._world.seen("settled")
        run = self.runs.get(entry.run)
        if run is None or run.outcome is not None:
            self._complain(f"{what}: without an intent of its own")
            return
        run.outcome = entry
        queue = self._panels[entry.host].queue
        verified = self._rules[entry.rule].verify is not None and "settled" not in entry.detail
        if entry.outcome == Outcome.OK and not verified:
            left = [id_ for id_ in run.plan if id_ in queue]
            if left and entry.action != "retry":
                self._complain(f"{what}: {left} are still there")
            if entry.action == "service_on" and not self._panels[entry.host].running:
                self._complain(f"{what}: it does not run")
        if entry.outcome in {Outcome.FAILED, Outcome.DRY_RUN} and run.gone:
            self._complain(f"{what}: yet {run.gone} are gone by it")
        if (entry.outcome == Outcome.DRY_RUN) is not (run.intent.mode == "dry_run"):
            self._complain(f"{what}: in mode {run.intent.mode}")
        if entry.outcome == Outcome.DRY_RUN and run.asked:
            self._complain(f"{what}: yet the panel was asked for {run.asked}")
        beyond = run.gone - run.plan.keys()
        if entry.outcome == Outcome.OK and beyond and "settled" not in entry.detail:
            self._complain(f"{what}: yet {beyond} are gone too")

    # --- at the end ----------------------------------------------------------------------------

    def everything_is_settled(self, tally: Mapping[Any, int]) -> None:
        """Every intent has its outcome, and each outcome was counted once."""
        for run in self.runs.values():
            if run.outcome is None:
                self._complain(f"{run.intent.rule} on {run.intent.host} has no outcome")
        written = Counter((e.host, e.rule, e.action, e.outcome) for e in self._of(Kind.OUTCOME))
        if written != Counter(tally):
            self._complain(f"counted {tally} instead of {written}")


def _key(entry: Entry) -> Key:
    return entry.host, entry.rule
