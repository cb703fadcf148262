"""Where each rule stands on each host now, as long as the daemon runs. Pure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from exporter.conditions import Measurements, readings
from exporter.config.models import Config, HostConfig
from exporter.config.remediation import RemediationRule
from exporter.hold_timer import HoldTimer
from exporter.journal.entries import Guard
from exporter.remediation.guards import Block
from exporter.remediation.requests import Incident, Request
from exporter.snapshot import HostSnapshot

LOOK_AGAIN = 300.0
"""Seconds after which the panel is asked again for a rule that could not act for what its queue
held, or for a silence: until then each poll would cost it another list."""

_AFTER_LISTING = {
    *(Guard.LISTING, Guard.CONDITION, Guard.NOTHING_TO_DO, Guard.MAX_MESSAGES),
    *(Guard.UNSETTLED, Guard.SILENCE, Guard.LAYOUT, Guard.CLOCK),
}


class Idle(Enum):
    """The rule does not want to act by its conditions."""

    UNKNOWN = "unknown"
    """Nothing says that it is to act, nor that it surely is not."""
    UNWANTED = "unwanted"
    """Surely nobody wants it to act, unless it was requested.

    Of a rule without conditions that is known once all that asked for it was withdrawn: what was
    asked of an earlier process may still be so.
    """


@dataclass(frozen=True, slots=True)
class Due:
    """The rule wants to act: its conditions have held for so long."""

    why: Mapping[str, float | None]
    """What each condition reads."""
    guessed: tuple[str, ...] = ()
    """The fields, only guessed, by which alone it would act now: it does not, and says so."""


Demand = Idle | Due
"""What the last poll says of a rule, and what it has heard of the alerts that ask for it."""


@dataclass(frozen=True, slots=True)
class Held:
    """What kept a rule from acting the last time that it was to."""

    block: Block | None = None
    key: str = ""
    """Key of the request to which that was the answer; "" where the rule itself wanted to act."""
    look_again_at: float = 0.0
    """Monotonic time before which the panel is not asked again for it."""

    def after(self, request: Request, block: Block | None, now: float) -> Held:
        """Return what holds it after it was to act for a request at monotonic time `now`."""
        costly = block is not None and block.guard in _AFTER_LISTING
        return Held(block, request.key, now + LOOK_AGAIN if costly else self.look_again_at)

    def is_news(self, request: Request, block: Block) -> bool:
        """Return whether a block says more than this one did to the same request.

        Most reasons hold numbers that change at each look: these are no news.
        """
        if self.block is None or self.key != request.key:
            return True
        if block.guard is Guard.APPROVAL:
            return block != self.block
        return block.guard is not self.block.guard

    def forgotten(self) -> Held:
        """Hold nothing back any more; the panel is spared as long as before."""
        return self if self.block is None else replace(self, block=None)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that waits for its answer."""

    request: Request
    at: float
    """Monotonic time at which it was made."""


@dataclass(frozen=True, slots=True)
class RuleState:
    """One rule on one host at one moment; whatever happens makes another state of it."""

    rule: RemediationRule
    timer: HoldTimer
    """How long its conditions have held, as far as that is known for sure."""
    guesses: HoldTimer
    """The same where guesses count as known: a rule that would act by them says so."""
    demand: Demand = Idle.UNKNOWN
    held: Held = Held()
    asked: Mapping[str, Asked] = field(default_factory=dict)
    """The requests for it, by what makes two of them the same, the first one first: with the host's
    next poll that one is looked at, and the others when it has its answer."""
    expires: bool = False
    """Whether what a person was asked, or has approved, is to be ended, since the rule was
    unwanted: until that is written down it does not act, though it be wanted again."""

    @classmethod
    def new(cls, rule: RemediationRule, max_gap: float) -> RuleState:
        """Return the state of a rule before anything is known."""
        timer = HoldTimer(rule.hold or 0.0, max_gap)
        return cls(rule, timer, timer)

    @property
    def guessed(self) -> tuple[str, ...]:
        """The fields, only guessed, by which alone it would act now."""
        return self.demand.guessed if isinstance(self.demand, Due) else ()

    @property
    def is_unwanted(self) -> bool:
        """Whether surely nobody wants it to act."""
        return self.demand is Idle.UNWANTED and not self.asked

    @property
    def next_request(self) -> Request | None:
        """The request that is looked at next; None when nobody asks."""
        return next((asked.request for asked in self.asked.values()), None)

    def may_act(self, now: float) -> bool:
        """Return whether it still wants to act at monotonic time `now`, and does not rest."""
        return (self.timer.tripped or bool(self.guessed)) and now >= self.held.look_again_at

    def is_asked(self, request: Request) -> bool:
        """Return whether a request still waits for its answer."""
        asked = self.asked.get(request.key)
        return asked is not None and asked.request is request

    # --- what happens --------------------------------------------------------------------------

    def on_snapshot(self, snapshot: HostSnapshot, now: float) -> tuple[RuleState, Request | None]:
        """Return the state after a poll at monotonic time `now`, and the request to act."""
        when, measurements = self.rule.when, Measurements(snapshot)
        holds = measurements.hold(when, self.rule.service, certain=True) if when else False
        guess = measurements.hold(when) if holds is None else holds
        timer, tripped = _advanced(self.timer, now, holds=holds)
        guesses, by_guess = _advanced(self.guesses, now, holds=guess)
        guessed = tuple(measurements.guessed(when)) if by_guess and holds is None else ()
        demand: Demand
        if not when:
            demand = self.demand
        elif tripped or guessed:
            demand = Due(readings(snapshot, when), guessed)
        else:
            demand = Idle.UNWANTED if holds is False else Idle.UNKNOWN
        calm = guess is False and not self.asked
        held = self.held.forgotten() if calm else self.held
        found = (timer, guesses, demand, held)
        state = self  # nearly always, and many times a second over a fleet
        if found != (self.timer, self.guesses, self.demand, self.held):
            state = replace(self, timer=timer, guesses=guesses, demand=demand, held=held)
        if self.asked and snapshot.ok:
            return state, self.next_request
        return state, Request(why=dict(demand.why)) if isinstance(demand, Due) else None

    def on_request(self, asked: Asked) -> RuleState:
        """Take a request in; what held others back was no answer to this one."""
        requests = {**self.asked, asked.request.key: asked}
        return replace(self, asked=requests, held=self.held.forgotten())

    def on_answer(self, request: Request) -> RuleState:
        """Forget a request that has its answer."""
        return self._without(lambda other: other is request)

    def on_resolved(self, incident: Incident) -> RuleState:
        """Forget what an alert has asked for that is over."""
        return self._without(lambda request: request.incident.is_over_with(incident))

    def on_withdrawal(self) -> RuleState:
        """Take in that all that is known to have asked for it took it back."""
        wanted = self.rule.when or self.asked
        return self if wanted else replace(self, demand=Idle.UNWANTED)

    def on_attempt(self, request: Request, block: Block | None, now: float) -> RuleState:
        """Take in what kept it from acting at monotonic time `now`; None: nothing did."""
        return replace(self, held=self.held.after(request, block, now))

    def _without(self, is_over: Callable[[Request], bool]) -> RuleState:
        left = {key: asked for key, asked in self.asked.items() if not is_over(asked.request)}
        return replace(self, asked=left)


def _advanced(timer: HoldTimer, now: float, *, holds: bool | None) -> tuple[HoldTimer, bool]:
    """Return the timer after a poll, and whether its time is up."""
    if not holds and timer.last is None:
        return timer, False  # it does not run
    timer = replace(timer)
    return timer, timer.advance(now, holds=holds)


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
    """By name, in the order of the config."""
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
            or (state.timer.last is not None and state.timer.remaining() <= self.interval)
            for state in self.rules.values()
        )

    def on_snapshot(
        self, snapshot: HostSnapshot, now: float
    ) -> list[tuple[RemediationRule, Request]]:
        """Take in a poll at monotonic time `now`; return the rules that are to act, by request."""
        self.heard = True
        wanted = []
        for name, before in self.rules.items():
            self.rules[name], request = before.on_snapshot(snapshot, now)
            if request is not None:
                wanted.append((before.rule, request))
        return wanted

    def expiring(self, may_lapse: Callable[[str], bool]) -> list[RemediationRule]:
        """Return the rules for which what a person was asked, or has approved, is to be ended."""
        for name, state in self.rules.items():
            if state.is_unwanted and may_lapse(name):
                self.rules[name] = replace(state, expires=True)
        return [state.rule for state in self.rules.values() if state.expires]

    def state_of(self, rule: RemediationRule) -> RuleState | None:
        """Return the state of a rule; None where it is not for this host as it is any more."""
        state = self.rules.get(rule.name)
        return state if state is not None and state.rule == rule else None

    def update(self, rule: RemediationRule, change: Callable[[RuleState], RuleState]) -> None:
        """Change the state of a rule, if it is for this host still."""
        if (state := self.state_of(rule)) is not None:
            self.rules[rule.name] = change(state)


def apply_config(before: Mapping[str, HostState], config: Config) -> dict[str, HostState]:
    """Return the states of a config's hosts: rules that are as they were keep their timers.

    A host does that is measured as before: with other labels, another interval or
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
            state = known.state_of(rule)
            if state is None:
                state = RuleState.new(rule, longest)
                known.heard = False
            states[rule.name] = replace(
                state,
                timer=replace(state.timer, max_gap=longest),
                guesses=replace(state.guesses, max_gap=longest),
            )
        known.rules = states
        hosts[host.name] = known
    return hosts
