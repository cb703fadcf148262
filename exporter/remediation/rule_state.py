"""Where each rule stands on each host now, as long as the daemon runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from exporter.conditions import HoldTimer, Measurements, readings
from exporter.config.models import Config, HostConfig
from exporter.config.remediation import RemediationRule
from exporter.remediation.guards import Block
from exporter.remediation.incidents import Incident
from exporter.remediation.run import Request
from exporter.snapshot import HostSnapshot


def key_of(request: Request) -> str:
    """What makes a request the same when it is made again."""
    return Incident.of(request.why).key


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that waits for its answer."""

    request: Request
    at: float
    """Monotonic time at which it was made."""


@dataclass(slots=True)
class RuleState:
    """One rule on one host, as it stands now."""

    clock: HoldTimer
    """How long its conditions have held, as far as that is known for sure."""
    guesses: HoldTimer = field(init=False)
    """The same where guesses count as known: a rule that would act by them says so."""
    doubt: tuple[str, ...] = ()
    """The fields, only guessed, by which alone it would act now."""
    block: Block | None = None
    """What kept it from acting the last time it wanted to."""
    block_key: str = ""
    """The request to which that was said; "" when the rule wanted to act by itself."""
    asked: dict[str, Asked] = field(default_factory=dict)
    """Who asks for it, by what makes two requests the same, the first one first: with the host's
    next poll that one is looked at, and the others when it has its answer."""
    withdrawn: bool = False
    """Whether all that is known to have asked for it took it back."""
    rest_until: float = 0.0
    """Monotonic time before which the panel is not asked again for it."""
    unwanted: bool = False
    """Whether surely nobody wants it to act. Of a rule without conditions that is known once who
    asked for it has taken it back: what was asked of an earlier process may still be so."""
    lapses: bool = False
    """Whether what a person was asked, or has approved, is to be ended, since the rule was
    unwanted: until that is written down it does not act, though it be wanted again."""

    def __post_init__(self) -> None:
        """Let both clocks start alike."""
        self.guesses = HoldTimer(self.clock.hold_duration, self.clock.max_gap)

    @property
    def next_request(self) -> Request | None:
        """The request that is looked at next; None when nobody asks."""
        return next((asked.request for asked in self.asked.values()), None)

    def is_asked(self, request: Request) -> bool:
        """Whether a request still waits for its answer."""
        asked = self.asked.get(key_of(request))
        return asked is not None and asked.request is request

    def follow(self, rule: RemediationRule, snapshot: HostSnapshot, now: float) -> Request | None:
        """Take in a poll at monotonic time `now`; who wants the rule to act, None when nobody."""
        figures = Measurements(snapshot)
        verdict = figures.hold(rule.when, rule.service, certain=True) if rule.when else False
        tripped = self.clock.advance(now, holds=verdict)
        guess = figures.hold(rule.when) if verdict is None else verdict
        guessed = self.guesses.advance(now, holds=guess) and verdict is None
        self.doubt = figures.guessed(rule.when) if guessed else ()
        calm = verdict is False and not self.asked
        self.unwanted = calm and (bool(rule.when) or self.withdrawn)
        if self.asked and snapshot.ok:
            return self.next_request
        if tripped or self.doubt:
            return Request(why=dict(readings(snapshot, rule.when)))
        if guess is False and not self.asked:
            self.block = None  # nothing is held back any more
        return None


@dataclass(slots=True)
class HostState:
    """One host, and the rules that are for it."""

    config: HostConfig
    interval: float = 60.0
    """Seconds from one poll to the next."""
    heard: bool = False
    """Whether it was polled, well or not, since all of its rules are there: what they want of it
    is not known before."""
    unsettled: bool = True
    """Whether an action of an earlier process may have no outcome yet."""
    rules: dict[str, RuleState] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    """What is done about it, or was the last time."""

    @property
    def wants(self) -> bool:
        """Whether any rule wants an action, is asked for one, or will want one by the next poll.

        Hosts are polled in turn: of a storm over all of them the first must not act before the
        others' time is up, too.
        """
        return any(
            bool(state.asked)
            or (state.clock.last is not None and state.clock.remaining() <= self.interval)
            for state in self.rules.values()
        )

    def follow(
        self, rules: Iterable[RemediationRule], snapshot: HostSnapshot, now: float
    ) -> list[tuple[RemediationRule, Request]]:
        """Take in a poll at monotonic time `now`; the rules that are to act, and for whom."""
        self.heard = True
        own = [(rule, self.rules[rule.name]) for rule in rules if rule.name in self.rules]
        wanted = [(rule, state.follow(rule, snapshot, now)) for rule, state in own]
        return [(rule, request) for rule, request in wanted if request is not None]


def follow_config(
    before: Mapping[str, HostState], old_rules: tuple[RemediationRule, ...], config: Config
) -> dict[str, HostState]:
    """The states of a config's hosts: rules that are as they were keep their clocks.

    A host does whose figures say the same as before: with other labels, another interval or
    another password it is the same one still.
    """
    hosts: dict[str, HostState] = {}
    for host in config.hosts:
        known = before.get(host.name)
        if known is None or not known.config.is_seen_like(host):
            known = HostState(host, task=known.task if known else None)
        known.config = host
        known.interval = config.interval_of(host)
        longest = config.poll.stale_after * known.interval
        states: dict[str, RuleState] = {}
        for rule in config.remediation.rules:
            if not rule.hosts.matches(host.name, host.labels):
                continue
            state = known.rules.get(rule.name) if rule in old_rules else None
            if state is None:
                state = RuleState(HoldTimer(rule.hold or 0.0, longest))
                known.heard = False
            state.clock.max_gap = state.guesses.max_gap = longest
            states[rule.name] = state
        known.rules = states
        hosts[host.name] = known
    return hosts
