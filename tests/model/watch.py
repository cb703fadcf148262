"""What must never happen: each thing that is done or written down is held against the rules.

It knows the rules by their text in `RULES`, not by the code that follows them: conditions and
selectors are written here once more, as plain functions of what a panel has told.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from exporter.config.models import Config, HostConfig
from exporter.config.remediation import RemediationConfig, RemediationRule
from exporter.journal import Actor, Entry, Journal, Kind, Outcome
from exporter.panel.protocol import MessageCommand, Operation, ServiceCommand
from exporter.snapshot import Message
from exporter.standin.queue import QueuedMessage
from tests.model.world import RUN, SLOW, Mail, Server, Servers, World

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

Key = tuple[str, str]
"""Host and rule, as the config names them: what the daemon follows."""

Restrained = tuple[str, str]
"""A panel's url and a rule: what limits and stops are about."""

SLACK = 3.0
"""Seconds by which the clock may be set without anybody taking it for a jump."""

FRESH = 30.0
"""Seconds for which a list may be gone by."""

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
        "name": "frost",
        "when": ["queue_frozen_messages > 5"],
        "action": "purge_frozen",
        "select": {"frozen": True},
        "cooldown": "4m",
        "max_per_day": 3,
        "max_messages": 12,
    },
    {
        "name": "asked",
        "action": "delete",
        "select": {"frozen": True, "sender": "ann@*"},
        "cooldown": "1m",
        "max_per_day": 3,
    },
)


OTHER_NAME = "-2"
"""What a rule is called by that was renamed, behind the name that it had."""


def kind_of(rule: str) -> str:
    """Which of RULES it is, whatever it is called."""
    return rule.removesuffix(OTHER_NAME)


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
    "frost": _more_than(5, lambda m: m.frozen),
}
SELECT: Mapping[str, Callable[[QueuedMessage], bool]] = {
    "purge": lambda m: m.frozen and not m.sender and m.age > HOUR,
    "delete": lambda m: not m.sender and m.age > 30 * MINUTE,
    "retry": lambda m: not m.frozen,
    "clear": lambda _: True,
    "clamd": lambda _: False,
    "frost": lambda m: m.frozen,
    "asked": lambda m: m.frozen and m.sender.startswith("ann@"),
}
MOST = {"delete": 5}
"""`limit` of the selectors that have one."""

BY_AGE = {"purge", "delete"}
"""Rules that go by ages: not while the clocks differ by more than CLOCKS_DIFFER."""

CLOCKS_DIFFER = 300.0

_OPERATIONS: Mapping[str, Mapping[Operation, object]] = {
    "purge": {Operation.CONTROL: MessageCommand.DELETE},
    "delete": {Operation.CONTROL: MessageCommand.DELETE},
    "retry": {Operation.CONTROL: MessageCommand.RESHIP},
    "clear": {Operation.DELETE_ALL: None},
    "clamd": {Operation.CLAMAV: ServiceCommand.ON},
    "frost": {
        Operation.DELETE_FROZEN: None,
        Operation.CONTROL: MessageCommand.DELETE,
    },
    "asked": {Operation.CONTROL: MessageCommand.DELETE},
}
"""What each rule may ask of a panel, and with which command."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What held at one moment of a run."""

    paused: bool
    ended: bool
    lost: bool
    at: float
    """Unix time."""
    wanting: frozenset[str]
    unheard: frozenset[str]
    tripped: frozenset[Key]
    asked: Mapping[tuple[Key, str], float]
    """When what was asked for by an incident was."""
    hosts: int
    config: Config
    """The one in force."""


@dataclass(slots=True)
class _Run:
    """An intent, and what came of it."""

    intent: Entry
    plan: Mapping[str, Mail | None]
    written: Mapping[str, Message]
    """The messages that the journal has for it."""
    life: int
    """Which daemon began it."""
    by_hand: bool
    asked: list[str] = field(default_factory=list)
    """Ids for which the panel was asked, or "" for all at once."""
    gone: set[str] = field(default_factory=set)
    """Messages that left the queue by it."""
    omitted: set[str] = field(default_factory=set)
    """Messages that it has left out, as it says."""
    under: object = None
    """The RUN of it."""
    may_ask: int | None = None
    """Requests that may still be under way; None while nothing has stopped it."""
    outcome: Entry | None = None

    @property
    def is_open(self) -> bool:
        """Whether it has no outcome yet."""
        return self.outcome is None


class Watcher:
    """Follows everything from outside."""

    def __init__(self, world: World, servers: Servers) -> None:
        self.problems: list[str] = []
        self._world = world
        self._servers = servers
        self._whole: Config
        self._config = RemediationConfig()
        self._hosts: dict[str, HostConfig] = {}
        self._parallel = 1
        self._rules: dict[str, RemediationRule] = {}
        """Every rule that there ever was, by its name."""
        self._longest = 0.0
        self.life = 0
        self._began = (0.0, 0.0)
        """Unix time and monotonic time of the daemon's start."""
        self._starts: list[float] = []
        """Unix times at which each daemon started."""
        self.entries: list[Entry] = []
        self.runs: dict[str, _Run] = {}
        self.plans: dict[int, Mapping[str, Mail | None]] = {}
        """The messages that were written with an entry, by their ids."""
        self._when: dict[int, tuple[float, int]] = {}
        """The monotonic time at which an entry was written, and the daemon by then."""
        self._changes = -1
        self.troubled = False
        """Whether the journal has failed since it was last set."""
        self.lost = False
        """Whether the journal's files are not those that were opened."""
        self.ended = False
        """Whether the daemon was told to end."""
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

    def configure(self, config: Config, *, anew: bool) -> None:
        """The daemon follows a config; `anew`: it has just started."""
        before, old = self._hosts, {rule.name for rule in self._config.rules}
        self._whole, self._config = config, config.remediation
        self._hosts = {host.name: host for host in config.hosts}
        self._rules |= {rule.name: rule for rule in config.remediation.rules}
        self._longest = config.poll.stale_after * 60.0
        self._parallel = config.poll.requests_per_host
        if anew:
            self.life += 1
            self._began = self._world.now, self._world.passed
            self._starts.append(self._world.now)
            self.lost = self.ended = False
            self._heard.clear()
            self._streaks.clear()
            self.pending.clear()
            self._asked.clear()
            self._taken.clear()
        names = {rule.name for rule in config.remediation.rules}
        same = {n for n, h in self._hosts.items() if n in before and before[n].panel == h.panel}
        kept = {
            (host, rule) for host in same for rule in names & old if rule in self._concerned(host)
        }
        self._streaks = {key: streak for key, streak in self._streaks.items() if key in kept}
        self.pending &= kept
        for key in self._asked.keys() - kept:
            del self._asked[key]
        self._heard = {
            host
            for host in self._heard & same
            if all((host, rule) in kept for rule in self._concerned(host))
        }
        if not anew:
            # What its own config does not let go on is for the daemon's runs alone.
            self.interrupted(lambda run: not run.by_hand and not self._is_in_force(run.intent))

    def started(self, journal: Journal) -> None:
        """A daemon has opened the journal: what is gone of it can be no more than words."""
        known = {entry.id: entry for entry in journal.entries()}
        gone = [entry for entry in self.entries if known.get(entry.id) != entry]
        for entry in gone:
            if entry.kind not in {Kind.REPLY, Kind.BLOCKED, Kind.ASKED}:
                self._complain(f"{entry.kind.value} of {entry.rule} on {entry.host} is lost")
        self.entries = [entry for entry in self.entries if entry not in gone]
        self._changes = -1
        self.after_journal(journal)

    def polled(self, host: str, told: Told) -> None:
        """The daemon gets to know of a poll."""
        self._heard.add(host)
        for name in self._concerned(host):
            when = WHEN.get(kind_of(name))
            if when is None:
                continue
            verdict = when(told)
            if verdict is False:
                self._streaks.pop((host, name), None)
            else:
                streak = self._streaks.setdefault((host, name), [])
                streak.append((self._world.passed, verdict))

    def told(self, told: Told) -> None:
        """The run at hand gets to know of a poll."""
        self._last_told[RUN.get()] = told

    def asked(self, key: Key, incident: str) -> None:
        """Somebody asks for a rule on a host."""
        self.pending.add(key)
        self._asked[key][incident] = self._world.passed

    def withdrawn(self, key: Key, incident: str, *, surely: bool = True) -> None:
        """What was asked for is taken back."""
        self.over[*key, incident] = surely or self.over.get((*key, incident), False)
        if key in self._asked:
            self._asked[key].pop(incident, None)
        if not self._asked.get(key):
            self.pending.discard(key)

    def considers(self, run: object, host: str, asked: Iterable[str]) -> None:
        """The daemon looks at a host's rules, some of them because somebody asked."""
        names = frozenset(asked)
        self.pending -= {(host, name) for name in names}
        self._taken[run] = host, names

    def taken(self, run: object) -> tuple[str, frozenset[str]]:
        """Of a run its host, and the rules that were asked for."""
        return self._taken.get(run, ("", frozenset()))

    def considered(self, run: object) -> None:
        for each in (self._taken, self._samples, self._last_told):
            each.pop(run, None)

    # --- what is so now ------------------------------------------------------------------------

    def _complain(self, text: str) -> None:
        self.problems.append(f"[{self._world.passed:.0f}] {text}")

    @property
    def paused(self) -> bool:
        return self._world.pause_file.exists() or self._paused_by_command()

    def _paused_by_command(self) -> bool:
        last = self._last(Kind.PAUSED, Kind.RESUMED)
        return last is not None and last.kind is Kind.PAUSED

    def _last(self, *kinds: Kind, key: Restrained | None = None) -> Entry | None:
        return next((e for e in self._of(*kinds, key=key, newest_first=True)), None)

    def _of(
        self, *kinds: Kind, key: Restrained | None = None, newest_first: bool = False
    ) -> Iterator[Entry]:
        for entry in reversed(self.entries) if newest_first else self.entries:
            if entry.kind in kinds and key in {None, _key(entry)}:
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
            later - earlier for (earlier, then), (later, now) in pairwise(since_gap) if then and now
        )
        needed = self._rules[key[1]].hold or 0.0
        return bool(true) and held >= needed

    def _holds_now(self, rule: str) -> bool:
        when = WHEN.get(kind_of(rule))
        return when is None or when(self._last_told.get(RUN.get(), Told())) is True

    def _concerned(self, host: str) -> list[str]:
        """The rules that are for a host by the config in force."""
        labels = self._hosts[host].labels
        return [r.name for r in self._config.rules if r.hosts.matches(host, labels)]

    def _sample(self) -> Sample:
        keys = {(host, rule) for host in self._hosts for rule in self._concerned(host)}
        tripped = {key for key in keys if self.trips(key)}
        wanting = {host for host, _ in tripped | (self.pending & keys)}
        wanting |= {host for host, names in self._taken.values() if names} & self._hosts.keys()
        return Sample(
            self.paused,
            self.ended,
            self.lost,
            self._world.now,
            frozenset(wanting),
            frozenset(self._hosts) - self._heard,
            frozenset(tripped),
            {(key, which): at for key, told in self._asked.items() for which, at in told.items()},
            len(self._hosts),
            self._whole,
        )

    def _open(self, url: str) -> list[_Run]:
        return [r for r in self.runs.values() if r.outcome is None and r.intent.panel.url == url]

    def _is_in_force(self, entry: Entry, config: Config | None = None) -> bool:
        """Whether the config has this rule for this host, which is this panel, in this mode."""
        config = config or self._whole
        rule = config.remediation.rule(entry.rule)
        host = next((h for h in config.hosts if h.name == entry.host), None)
        return (
            host is not None
            and rule is not None
            and host.panel == entry.panel
            and rule.hosts.matches(host.name, host.labels)
            and config.remediation.mode == entry.mode
        )

    # --- what is done --------------------------------------------------------------------------

    def has_looked(self) -> None:
        self._samples.pop(RUN.get(), None)

    def before_journal(self) -> None:
        if RUN.get() is not None:
            self._samples[RUN.get()].append(self._sample())

    def interrupted(self, which: Callable[[_Run], bool] = lambda _: True) -> None:
        """A run stops with the requests that are under way; another one may be about to send."""
        for run in self.runs.values():
            if run.outcome is None and which(run):
                own = run.under is RUN.get()
                left = self._parallel - 1 if own else self._parallel
                run.may_ask = left if run.may_ask is None else min(left, run.may_ask)

    def not_written(self) -> None:
        """No further message is sent by who cannot write down what came of the last one."""
        self.troubled = True
        self.interrupted(lambda run: bool(run.asked) and run.under is RUN.get())

    def told_to_end(self) -> None:
        """SIGTERM: the daemon sends nothing more; what a person does by hand goes on."""
        self.ended = True
        self.interrupted(lambda run: not run.by_hand)

    def files_lost(self) -> None:
        """The journal's files are not those any more that are open."""
        self.lost = True
        self.troubled = True
        self.interrupted()

    def will_change(
        self,
        server: Server,
        operation: Operation,
        command: MessageCommand | ServiceCommand | None,
        message_id: str | None,
    ) -> None:
        what = f"{operation.value} {command or ''} {message_id or ''} on {server.panel.url}"
        self._world.seen("asked by id" if message_id else f"asked: {operation.value}")
        runs = self._open(server.panel.url)
        own = [run for run in runs if run.under is RUN.get()]
        if len(runs) != 1 or not own:
            self._complain(f"{what}: asked with {len(runs)} intents that have no outcome")
            return
        run = own[0]
        for problem in (
            *self._against_deed(run, server, operation, command, message_id),
            *self._against_messages(run, server, operation, message_id),
            *self._against_going_on(run),
        ):
            self._complain(f"{what}: {problem}")
        run.asked.append(message_id or "")

    def _against_deed(
        self,
        run: _Run,
        server: Server,
        operation: Operation,
        command: MessageCommand | ServiceCommand | None,
        message_id: str | None,
    ) -> Iterator[str]:
        """It is what the intent says, which is on the disk, on the panel that it says."""
        kind, intent = kind_of(run.intent.rule), run.intent
        if intent.mode != "enforce":
            yield "asked though nothing may act"
        if operation not in _OPERATIONS[kind] or _OPERATIONS[kind][operation] is not command:
            yield f"is not what {kind} does"
        if intent.panel != server.panel:
            yield f"its intent is about {intent.panel}"
        if (message_id or "") in run.asked:
            yield "asked twice"
        if not self.lost and not self._is_on_disk(intent, message_id):
            yield "its intent is not on the disk"

    def _is_on_disk(self, intent: Entry, message_id: str | None) -> bool:
        """As anybody else reads it now, with this message."""
        path = self._world.folder / "journal.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            wanted: list[object] = [intent.id, intent.run, intent.panel.url, intent.panel.pin]
            query = "SELECT 1 FROM entries WHERE id = ? AND run = ? AND kind = 'intent' "
            query += "AND panel_url = ? AND panel_pin = ?"
            if message_id is not None:
                query += " AND ? IN (SELECT message_id FROM messages WHERE entry = entries.id)"
                wanted.append(message_id)
            return connection.execute(query, wanted).fetchone() is not None

    def _against_messages(
        self, run: _Run, server: Server, operation: Operation, message_id: str | None
    ) -> Iterator[str]:
        """Nothing but what was planned, by the last list that the run was shown."""
        if operation is Operation.CLAMAV:
            return
        served = {m.id: m for m in server.served or ()}
        if message_id is None:
            frozen = {m.id for m in served.values() if m.frozen}
            meant = frozen if operation is Operation.DELETE_FROZEN else set(served)
            if meant != set(run.plan):
                yield f"would take {meant ^ set(run.plan)} beside the plan"
            ids = [*run.plan]
        else:
            ids = [message_id]
        alone = sum(each.outcome is None for each in self.runs.values()) == 1
        # In the model time also passes by what others do while this one looks at the guards.
        late = 0.0 if alone and self._parallel == 1 else 10 * SLOW
        if self._world.passed > server.shown.at + FRESH + late:
            yield f"by a list of {self._world.passed - server.shown.at:.0f} s ago"
        for id_ in ids:
            yield from self._against_message(run, id_, served.get(id_))

    def _against_message(self, run: _Run, id_: str, seen: Mail | None) -> Iterator[str]:
        planned, written = run.plan.get(id_), run.written.get(id_)
        if planned is None or written is None:
            yield f"{id_} is not in the plan"
        elif seen is None:
            yield f"{id_} was not in the last list"
        elif not _is_written(written, planned):
            yield f"the intent has {written} for {planned}"
        elif seen.identity != planned.identity:
            yield f"{seen} is not {planned}"
        elif seen.frozen != planned.frozen or not SELECT[kind_of(run.intent.rule)](seen):
            yield f"{seen} is not meant any more"
        elif id_ in run.omitted:
            yield f"{id_} was left out, as was written down"

    def _against_going_on(self, run: _Run) -> Iterator[str]:
        if run.may_ask is not None:
            run.may_ask -= 1
            if run.may_ask < 0:
                yield "asked after it should have stopped"
            return
        if self.paused:
            yield "asked while paused"
        if self.lost:
            yield "asked while the journal's files are not those that were opened"
        if not run.by_hand and (self.ended or not self._is_in_force(run.intent)):
            yield "asked though the daemon may not act"

    def has_changed(self, server: Server, ids: set[str]) -> None:
        for run in self._open(server.panel.url):
            if run.under is RUN.get():
                run.gone |= ids

    # --- what is written down ------------------------------------------------------------------

    def after_journal(self, journal: Journal) -> None:
        changes = self._world.connection.total_changes
        if changes == self._changes:
            return
        self._changes = changes
        for entry in journal.entries(after=self.entries[-1].id if self.entries else 0):
            self._when[entry.id] = self._world.passed, self.life
            if entry.kind in {Kind.INTENT, Kind.APPROVAL_REQUESTED}:
                served = {m.id: m for m in self._servers[entry.panel].served or ()}
                messages = journal.messages(entry.id)
                self.plans[entry.id] = {m.id: served.get(m.id) for m in messages}
                if entry.kind is Kind.INTENT:
                    self._intent(entry, {m.id: m for m in messages})
            elif entry.kind is Kind.OUTCOME:
                self._outcome(entry)
            elif entry.kind is Kind.REPLY and entry.outcome in {"left_out", "left"}:
                self._world.seen(f"omitted: {entry.outcome}")
                self.runs[entry.run].omitted.add(str(entry.detail["id"]))
            elif entry.kind is Kind.BLOCKED:
                self._world.seen(f"blocked: {entry.outcome}")
            self.entries.append(entry)
            if entry.kind is Kind.PAUSED:
                self.interrupted()

    def _intent(self, entry: Entry, written: Mapping[str, Message]) -> None:
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
        if entry.run in self.runs:
            self._complain(f"{what}: a second intent of one run")
        by_hand = entry.actor.startswith(Actor.PERSON)
        plan = self.plans[entry.id]
        run = _Run(entry, plan, written, self.life, by_hand, under=RUN.get())
        self.runs[entry.run] = run

    def _age(self, entry: Entry) -> float:
        """Seconds since an entry was written, as far as the process that runs now can know.

        By the time that has passed for what it wrote itself, by dates for what it found. What it
        found to be dated ahead of its clock counts from its start at the latest.
        """
        written, life = self._when[entry.id]
        passed = self._world.passed
        if life == self.life:
            return passed - written
        began, began_passed = self._began
        if entry.at <= began:
            return began - entry.at + passed - began_passed
        if any(entry.at > start for start in self._starts[life:-1]):
            return DAY * 400  # an earlier one has seen it so, and written down when
        return passed - began_passed

    def _against_limits(self, entry: Entry) -> Iterator[str]:
        """Whatever the clock did, an action that was written before counts unless it is old."""
        key, rule = _key(entry), self._rules[entry.rule]
        resumed = self._last(Kind.RULE_RESUMED, key=key)
        own = [
            self._age(each)
            for each in self._of(Kind.INTENT, key=key)
            # A person lets a rule go on that is held by an action that is dated ahead.
            if resumed is None
            or each.id > resumed.id
            or self._when[each.id][1] == self.life
            or each.at <= self._began[0]
        ]
        fleet = [self._age(each) for each in self._of(Kind.INTENT)]
        if any(age < rule.cooldown - SLACK for age in own):
            yield f"begun {min(own):.0f} s after the last one"
        if sum(age < DAY - SLACK for age in own) >= rule.max_per_day:
            yield "more than max_per_day"
        limits = self._config.limits
        if sum(age < HOUR - SLACK for age in fleet) >= limits.actions_per_hour:
            yield "more than actions_per_hour"
        if self._open(entry.panel.url):
            yield "another action on the panel has no outcome"
        if not entry.actor.startswith(Actor.PERSON):
            others = [r for r in self.runs.values() if r.outcome is None and r.life == self.life]
            if sum(not run.by_hand for run in others) >= limits.actions_at_once:
                yield "more than actions_at_once"

    def _against_pauses(self, entry: Entry) -> Iterator[str]:
        """What may change at any moment must have been looked at since the panel was asked."""
        samples = [*self._samples[RUN.get()], self._sample()]
        by_hand = entry.actor.startswith(Actor.PERSON)
        if all(sample.paused for sample in samples):
            yield "begun while paused"
        if all(sample.lost for sample in samples):
            yield "begun while the journal's files are not those that were opened"
        # The only window that the machine uses: until 18:00 UTC.
        if self._config.windows and all(s.at % DAY >= 18 * HOUR for s in samples):
            yield "outside of the window"
        stop = self._last(Kind.STOPPED, Kind.DISABLED, Kind.RULE_RESUMED, key=_key(entry))
        if stop is not None and stop.kind is not Kind.RULE_RESUMED:
            yield f"it is {stop.kind.value}"
        if by_hand:
            return
        if all(sample.ended for sample in samples):
            yield "begun though the daemon was told to end"
        if not any(self._is_in_force(entry, sample.config) for sample in samples):
            yield "begun though the config does not have it so"
        if all(self._is_storm(sample) for sample in samples):
            yield f"in a storm: {samples[-1]}"

    def _is_storm(self, sample: Sample) -> bool:
        most = max(2, int(self._config.limits.storm_brake * sample.hosts))
        wanting = len(sample.wanting)
        unheard = len(sample.unheard - sample.wanting)
        return wanting > most or (unheard > 0 and wanting + unheard > most)

    def _against_reason(self, entry: Entry) -> Iterator[str]:
        key, actor = (entry.host, entry.rule), entry.actor.partition(":")[0]
        if not self._holds_now(entry.rule):
            yield f"its condition does not hold: {self._last_told.get(RUN.get())}"
        samples = [*self._samples[RUN.get()], self._sample()]
        match actor:
            case Actor.RULE:
                if not any(key in sample.tripped for sample in samples):
                    yield f"it has not tripped: {self._streaks.get(key)}"
            case Actor.ALERTMANAGER:
                # No guard lets it stand for more than a day.
                why = entry.detail["why"]
                assert isinstance(why, dict)
                told = [sample.asked.get((key, why["key"]), -DAY) for sample in samples]
                self._asked.get(key, {}).pop(why["key"], None)
                if self._world.passed - max(told) >= DAY:
                    yield "nobody has asked for it"
        if self._rules[entry.rule].approval == "required" and actor != Actor.PERSON:
            yield from self._against_approval(entry)
        failed = 0
        for each in self._of(Kind.OUTCOME, Kind.RULE_RESUMED, key=_key(entry)):
            failed += each.outcome == Outcome.UNVERIFIED
            good = each.outcome == Outcome.OK and "stopped_by" not in each.detail
            if good or each.kind is Kind.RULE_RESUMED:
                failed = 0
        if failed >= 3:
            yield f"{failed} verifications in a row have failed"

    def _against_approval(self, entry: Entry) -> Iterator[str]:
        """What lets it act is of the very same panel; what forbids it, of the address."""
        key = _key(entry)
        lets = {Kind.APPROVAL_REQUESTED, Kind.APPROVED}
        words = [
            word
            for word in self._of(*lets, Kind.REJECTED, Kind.LAPSED, key=key)
            if word.kind not in lets or word.panel == entry.panel
        ]
        if not words or words[-1].kind is not Kind.APPROVED:
            yield "nobody has approved it"
            return
        last = words[-1]
        if self._when[last.id][1] == self.life:
            age = self._age(last)
        else:
            age = abs(self._began[0] + self._world.passed - self._began[1] - last.at)
        if age >= DAY + SLACK:
            yield f"its approval is {age:.0f} s old"
        if any(e.id > last.id and e.detail.get("approval") for e in self._of(Kind.INTENT, key=key)):
            yield "its approval was used before"
        if not entry.detail.get("approval"):
            yield "it does not use its approval up"
        request = next(
            word for word in words if word.kind is Kind.APPROVAL_REQUESTED and word.run == last.run
        )
        seen = self.plans[request.id]
        for id_, mail in self.plans[entry.id].items():
            approved = seen.get(id_)
            if approved is None or mail is None or approved.identity != mail.identity:
                yield f"nobody has approved {mail}, but {approved}"

    def _against_plan(self, entry: Entry) -> Iterator[str]:
        plan, rule = self.plans[entry.id], self._rules[entry.rule]
        server, kind = self._servers[entry.panel], kind_of(entry.rule)
        if entry.action != rule.action:
            yield f"it does {entry.action}"
        if len(plan) > min(rule.max_messages, MOST.get(kind, 10**6)):
            yield f"{len(plan)} messages are too many"
        if not plan and entry.action != "service_on":
            yield "without a message"
        for id_, mail in plan.items():
            if mail is None:
                yield f"{id_} was not listed just now"
            elif not SELECT[kind](mail):
                yield f"{mail} is not meant"
        if plan:
            served = server.served or ()
            if server.counted is not None and len(served) < server.counted - 10:
                yield "planned on a list that is not whole"
        if kind in BY_AGE and abs(server.skew) > CLOCKS_DIFFER:
            yield f"it goes by ages, and the panel's clock is {server.skew:.0f} s ahead"

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
        if entry.panel != run.intent.panel:
            self._complain(f"{what}: on {entry.panel} instead of {run.intent.panel}")
        server = self._servers[run.intent.panel]
        left = {
            id_
            for id_, mail in run.plan.items()
            if id_ in server.queue and mail and server.queue[id_].identity == mail.identity
        }
        for problem in (
            *self._against_all_good(run, entry, left),
            *self._against_nothing_done(run, entry, left),
        ):
            self._complain(f"{what}: {problem}")

    def _against_all_good(self, run: _Run, entry: Entry, left: set[str]) -> Iterator[str]:
        if entry.outcome != Outcome.OK:
            return
        settled = "settled" in entry.detail
        if self._rules[entry.rule].verify is None or settled:
            stopped = "stopped_by" in entry.detail
            meant = left - run.omitted
            if stopped:  # what it had not asked for yet is still there
                meant &= {*run.asked} if "" not in run.asked else meant
            if meant and entry.action != "retry":
                yield f"{meant} are still there"
            runs = self._servers[entry.panel].running or (stopped and not run.asked)
            if entry.action == "service_on" and not runs:
                yield "it does not run"
        beyond = run.gone - run.plan.keys()
        if beyond and not settled:
            yield f"yet {beyond} are gone too"

    def _against_nothing_done(self, run: _Run, entry: Entry, left: set[str]) -> Iterator[str]:
        gone = entry.detail.get("gone", 0)
        assert isinstance(gone, int)
        if gone > len(run.plan.keys() - left):
            yield f"{gone} are said to be gone, and {left} are still there"
        if entry.outcome in {Outcome.FAILED, Outcome.DRY_RUN} and run.gone and not gone:
            yield f"yet {run.gone} are gone by it"
        if (entry.outcome == Outcome.DRY_RUN) is not (run.intent.mode == "dry_run"):
            yield f"in mode {run.intent.mode}"
        if entry.outcome == Outcome.DRY_RUN and run.asked:
            yield f"yet the panel was asked for {run.asked}"

    # --- at the end ----------------------------------------------------------------------------

    def all_have_ended(self) -> None:
        """Nothing was killed and the journal has not failed: what was begun has its outcome."""
        for run in self.runs.values():
            if run.outcome is None and run.life == self.life:
                self._complain(f"{run.intent.rule} on {run.intent.host} ended without an outcome")

    def everything_is_settled(self, projection: Mapping[Any, int]) -> None:
        """Every intent has its outcome, and each outcome was counted once."""
        for run in self.runs.values():
            if run.outcome is None:
                self._complain(f"{run.intent.rule} on {run.intent.host} has no outcome")
        written = Counter((e.host, e.rule, e.action, e.outcome) for e in self._of(Kind.OUTCOME))
        if written != Counter(projection):
            self._complain(f"counted {projection} instead of {written}")


def _key(entry: Entry) -> Restrained:
    return entry.panel.url, entry.rule


def _is_written(written: Message, mail: Mail) -> bool:
    """Whether the journal has this very message, as far as a list with rounded ages tells it."""
    assert written.age is not None
    rounding = MINUTE if mail.age <= 91 * MINUTE else HOUR if mail.age <= 73 * HOUR else DAY
    return (
        (written.id, written.sender, written.size) == (mail.id, mail.sender, mail.size)
        and written.frozen is mail.frozen
        and abs(written.age - mail.age) <= rounding
    )
