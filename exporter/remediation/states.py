"""Where each rule stands on each host now, as long as the daemon runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from exporter.config.fleet import concerns
from exporter.config.models import Config, HostConfig
from exporter.config.remediation import RemediationRule
from exporter.remediation.guards import Block
from exporter.remediation.run import Request
from exporter.rules import Clock, holds, readings
from exporter.snapshot import HostSnapshot


@dataclass(slots=True)
class RuleState:
    """One rule on one host, as it stands now."""

    clock: Clock
    block: Block | None = None
    """What kept it from acting the last time it wanted to."""
    asked: Request | None = None
    """Somebody asks for it; it is looked at with the host's next poll."""
    withdrawn: int = 0
    """How often whoever asks took it back; what was asked before that counts no more."""
    asked_at: float = 0.0
    """Unix time at which that was."""
    rest_until: float = 0.0
    """Unix time before which the panel is not asked again for it."""
    unwanted: bool = False
    """Whether surely nobody wants it to act. Of a rule without conditions that is known once who
    asked for it has taken it back: what was asked of an earlier process may still be so."""
    lapses: bool = False
    """Whether what a person was asked, or has approved, is to be ended, since the rule was
    unwanted: until that is written down it does not act, though it be wanted again."""

    def follow(self, rule: RemediationRule, snapshot: HostSnapshot, now: float) -> Request | None:
        """Take in a poll at Unix time `now`; who wants the rule to act by it, None when nobody."""
        verdict = holds(snapshot, rule.when, rule.service) if rule.when else False
        tripped = self.clock.follow(now, verdict=verdict)
        calm = verdict is False and self.asked is None
        self.unwanted = calm and (bool(rule.when) or self.withdrawn > 0)
        if self.asked is not None and snapshot.ok:
            return self.asked
        if tripped:
            return Request(why=dict(readings(snapshot, rule.when)))
        if calm:
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
            state.asked
            or (state.clock.last is not None and state.clock.remaining() <= self.interval)
            for state in self.rules.values()
        )

    def follow(
        self, rules: Iterable[RemediationRule], snapshot: HostSnapshot, now: float
    ) -> list[tuple[RemediationRule, Request]]:
        """Take in a poll at Unix time `now`; the rules that are to act by it, and for whom."""
        self.heard = True
        own = [(rule, self.rules[rule.name]) for rule in rules if rule.name in self.rules]
        wanted = [(rule, state.follow(rule, snapshot, now)) for rule, state in own]
        return [(rule, request) for rule, request in wanted if request is not None]


def follow_config(
    before: Mapping[str, HostState], old_rules: tuple[RemediationRule, ...], config: Config
) -> dict[str, HostState]:
    """The states of a config's hosts: rules and hosts that are as they were keep their clocks."""
    hosts: dict[str, HostState] = {}
    for host in config.hosts:
        known = before.get(host.name)
        if known is None or known.config != host:
            known = HostState(host, task=known.task if known else None)
        known.interval = config.interval_of(host)
        longest = config.poll.stale_after * known.interval
        states: dict[str, RuleState] = {}
        for rule in config.remediation.rules:
            if not concerns(rule.hosts, host.name, host.labels):
                continue
            state = known.rules.get(rule.name) if rule in old_rules else None
            if state is None:
                state = RuleState(Clock(rule.hold or 0.0, longest))
                known.heard = False
            state.clock.longest = longest
            states[rule.name] = state
        known.rules = states
        hosts[host.name] = known
    return hosts
