"""Where each rule stands on each host now, as long as the daemon runs. Pure."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from exporter.conditions import Measurements, readings
from exporter.config.models import Config, HostConfig
from exporter.config.remediation import RemediationRule
from exporter.hold_timer import HoldTimer
from exporter.journal.entries import Guard
from exporter.remediation.guards import Block
from exporter.remediation.requests import Request
from exporter.snapshot import HostSnapshot

LOOK_AGAIN = 300.0
"""Seconds after which the panel is asked again for a rule that could not act for what its queue
held, or for a silence: until then each poll would cost it another list."""

_AFTER_LISTING = frozenset(
    {
        *(Guard.LISTING, Guard.CONDITION, Guard.NOTHING_TO_DO, Guard.MAX_MESSAGES),
        *(Guard.UNSETTLED, Guard.SILENCE, Guard.LAYOUT, Guard.CLOCK),
    }
)


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing says that the rule is to act, nor that it surely is not."""


@dataclass(frozen=True, slots=True)
class Unwanted:
    """Surely nobody wants the rule to act.

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


Demand = Unknown | Unwanted | Due
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
        """What holds it after it was to act for a request at monotonic time `now`."""
        costly = block is not None and block.guard in _AFTER_LISTING
        return Held(block, request.key, now + LOOK_AGAIN if costly else self.look_again_at)

    def is_news(self, request: Request, block: Block) -> bool:
        """Whether a block says more than this one did to the same request.

        Most reasons hold numbers that change at each look: these are no news.
        """
        if self.block is None or self.key != request.key:
            return True
        if block.guard is Guard.APPROVAL:
            return block != self.block
        return block.guard is not self.block.guard

    def forgotten(self) -> Held:
        """Nothing is held back any more; the panel is spared as long as before."""
        return replace(self, block=None)


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
    demand: Demand = Unknown()
    held: Held = Held()
    asked: dict[str, Asked] = field(default_factory=dict)
    """The requests for it, by what makes two of them the same, the first one first: with the host's
    next poll that one is looked at, and the others when it has its answer."""
    withdrawn: bool = False
    """Whether all that is known to have asked for it took it back."""
    expires: bool = False
    """Whether what a person was asked, or has approved, is to be ended, since the rule was
    unwanted: until that is written down it does not act, though it be wanted again."""

    def __post_init__(self) -> None:
        """Let both clocks start alike."""
        self.guesses = HoldTimer(self.clock.hold_duration, self.clock.max_gap)

    @property
    def block(self) -> Block | None:
        """What kept it from acting the last time it wanted to."""
        return self.held.block

    @property
    def guessed(self) -> tuple[str, ...]:
        """The fields, only guessed, by which alone it would act now."""
        return self.demand.guessed if isinstance(self.demand, Due) else ()

    @property
    def is_unwanted(self) -> bool:
        """Whether surely nobody wants it to act."""
        return isinstance(self.demand, Unwanted)

    def may_act(self, now: float) -> bool:
        """Whether it still wants to act by itself at monotonic time `now`, and does not rest."""
        return (self.clock.tripped or bool(self.guessed)) and now >= self.held.look_again_at

    @property
    def next_request(self) -> Request | None:
        """The request that is looked at next; None when nobody asks."""
        return next((asked.request for asked in self.asked.values()), None)

    def request(self, asked: Asked) -> None:
        """Take a request in; what held others back was not said to this one yet."""
        self.asked[asked.request.key] = asked
        self.held = self.held.forgotten()

    def is_asked(self, request: Request) -> bool:
        """Whether a request still waits for its answer."""
        asked = self.asked.get(request.key)
        return asked is not None and asked.request is request

    def on_snapshot(
        self, rule: RemediationRule, snapshot: HostSnapshot, now: float
    ) -> Request | None:
        """Take in a poll at monotonic time `now`; return the request to act, None without one."""
        measurements, requested = Measurements(snapshot), bool(self.asked)
        holds = measurements.hold(rule.when, rule.service, certain=True) if rule.when else False
        guess = measurements.hold(rule.when) if holds is None else holds
        tripped = self.clock.advance(now, holds=holds)
        by_guess = self.guesses.advance(now, holds=guess) and holds is None
        guessed = tuple(measurements.guessed(rule.when)) if by_guess else ()
        if tripped or guessed:
            self.demand = Due(readings(snapshot, rule.when), guessed)
        elif holds is False and not requested and (rule.when or self.withdrawn):
            self.demand = Unwanted()
        else:
            self.demand = Unknown()
        if requested and snapshot.ok:
            return self.next_request
        if isinstance(self.demand, Due):
            return Request(why=dict(self.demand.why))
        if guess is False and not requested:
            self.held = self.held.forgotten()
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

    def on_snapshot(
        self, rules: Iterable[RemediationRule], snapshot: HostSnapshot, now: float
    ) -> list[tuple[RemediationRule, Request]]:
        """Take in a poll at monotonic time `now`; return the rules that are to act, by request."""
        self.heard = True
        own = [(rule, self.rules[rule.name]) for rule in rules if rule.name in self.rules]
        wanted = [(rule, state.on_snapshot(rule, snapshot, now)) for rule, state in own]
        return [(rule, request) for rule, request in wanted if request is not None]


def apply_config(
    before: Mapping[str, HostState], old_rules: tuple[RemediationRule, ...], config: Config
) -> dict[str, HostState]:
    """The states of a config's hosts: rules that are as they were keep their clocks.

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
            state = known.rules.get(rule.name) if rule in old_rules else None
            if state is None:
                state = RuleState(HoldTimer(rule.hold or 0.0, longest))
                known.heard = False
            state.clock.max_gap = state.guesses.max_gap = longest
            states[rule.name] = state
        known.rules = states
        hosts[host.name] = known
    return hosts
