"""What keeps a rule from acting. Pure: each guard says why it blocks, or nothing.

A guard that cannot know its answer blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from statistics import median_high, median_low
from zoneinfo import ZoneInfo

from exporter.config.conditions import Condition
from exporter.config.remediation import Mode, RemediationConfig, RemediationRule
from exporter.config.selectors import Selector
from exporter.config.windows import DAYS, Window
from exporter.humanize import duration
from exporter.journal.entries import Actor, FleetFacts, Guard, RuleFacts

FAILED_VERIFICATIONS = 3
"""In a row, after which a rule stops itself on a host."""

CLOCKS_AGREE_WITHIN = 300.0
"""Seconds by which a panel's clock and ours may differ where anything is done by an age: the least
that rules are written in are minutes, and hosts whose time is kept differ by less than one."""

AGE_FIGURE = "queue_oldest_message_age_seconds"

HOSTS_BEFORE_A_STORM = 2
"""So many hosts may always want an action; the storm brake counts from there."""


@dataclass(frozen=True, slots=True)
class Block:
    """Why a rule does not act now."""

    guard: Guard
    reason: str
    """A sentence for a person."""
    until: float | None = None
    """Unix time from which this guard lets it pass, where that is known."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The config as it stands now, for an action that has begun by an earlier one."""

    config: RemediationConfig
    rule: RemediationRule | None
    """The rule of the same name, if it is for the host; None when it is not any more."""
    against: str = ""
    """Why the action must not go on: its host has left, or is another panel."""


@dataclass(frozen=True, slots=True)
class GuardInputs:
    """Everything that the guards look at."""

    now: float
    """Unix time."""
    pause_file: bool | None
    """Whether the pause file exists; None when that cannot be known."""
    hosts: int
    """Hosts of the fleet."""
    wanting: int
    """Hosts of which any rule wants an action, or will by the next poll."""
    unheard: int
    """Hosts that have not been polled yet, since the start or since they have a rule that is new
    or changed, so that it is not known what they want."""
    running: int
    """Actions under way in this process."""
    rule: RuleFacts | None
    """None when the journal cannot be read."""
    fleet: FleetFacts | None
    actor: Actor = Actor.RULE
    errors: Sequence[str] = field(default_factory=tuple)
    """Why facts are missing."""
    withdrawn: str = ""
    """Why the request counts no more; "" while it does."""
    alert_over: str = ""
    """Why nobody wants an action any more that has begun, since its alert was resolved and nothing
    else asks for it; "" while that is not so."""
    skews: Sequence[float] = field(default_factory=tuple)
    """By how many seconds the clocks of the panels that told them are ahead of ours."""
    in_force: InForce | None = None
    """None where the config cannot change."""


def first_block(
    rule: RemediationRule,
    config: RemediationConfig,
    inputs: GuardInputs,
    *,
    approval: bool = True,
) -> Block | None:
    """The first guard that blocks, in the order in which they are asked; None when none does.

    Without `approval`, whether a person has allowed it is not asked.
    """
    for guard in _ORDER:
        block = guard(rule, config, inputs)
        if block is not None and (approval or block.guard is not Guard.APPROVAL):
            return block
    return None


def block_under_way(
    rule: RemediationRule, config: RemediationConfig, inputs: GuardInputs
) -> Block | None:
    """The first guard that speaks against the next message of an action that has begun.

    `rule` and `config` are those in force now. What counts actions, and approvals, was asked
    before the intent, which they count themselves; hosts that a reload has just brought make no
    storm before they are heard.
    """
    now = replace(inputs, unheard=0)
    for guard in _UNDER_WAY:
        block = guard(rule, config, now)
        if block is not None:
            return block
    if effective_mode(config) != "enforce":
        return Block(Guard.MODE, f"remediation.mode is {effective_mode(config)} now.")
    return None


def clock_block(
    skew: float | None, selector: Selector, when: Iterable[Condition] = ()
) -> Block | None:
    """Why ages are not to be gone by now; None where nothing is done by them, or clocks agree.

    Whichever of the two clocks is wrong: by ours dates are read, and by the panel's it tells ages.
    `limit` goes by them, too: it means the oldest.
    """
    named = [
        name
        for name in ("older_than", "younger_than", "limit")
        if getattr(selector, name) is not None
    ]
    named += [str(condition) for condition in when if condition.metric == AGE_FIGURE]
    if not named or (skew is not None and abs(skew) <= CLOCKS_AGREE_WITHIN):
        return None
    by = ", ".join(named)
    if skew is None:
        return Block(
            Guard.CLOCK,
            f"The panel's responses tell no Date, so that it is not known whether its clock and "
            f"this machine's agree, and {by} goes by ages.",
        )
    which = "ahead of" if skew > 0 else "behind"
    return Block(
        Guard.CLOCK,
        f"The panel's clock is {duration(abs(skew))} {which} this machine's, and {by} goes by "
        f"ages; more than {duration(CLOCKS_AGREE_WITHIN)} is too much. Set the one that is wrong: "
        "`timedatectl` tells whether a machine's time is kept.",
    )


def own_clock_block(skew: float | None, skews: Sequence[float]) -> Block | None:
    """Why no rule may act, whatever it goes by: this machine's clock seems to be wrong.

    Cooldowns, limits of a day and windows go by it. It seems so where a panel's clock (`skew`)
    disagrees with it and so do, to the same side, those of most panels that told theirs
    (`skews`). Of a single panel it cannot be told which of the two is wrong: then nothing acts
    where ours is ahead, for only that would free a cooldown.
    """
    told = sorted(skews if skews or skew is None else [skew])
    if not told or (skew is not None and abs(skew) <= CLOCKS_AGREE_WITHIN):
        return None
    low, high = median_low(told), median_high(told)
    ahead = high < -CLOCKS_AGREE_WITHIN
    behind = low > CLOCKS_AGREE_WITHIN and len(told) > 1
    if not ahead and not behind:
        return None
    side = "ahead of" if ahead else "behind"
    whose = "the panel's" if len(told) == 1 else f"those of most of {len(told)} panels"
    return Block(
        Guard.CLOCK,
        f"This machine's clock seems to be wrong: it is {duration(abs(high if ahead else low))} "
        f"{side} {whose}; more than {duration(CLOCKS_AGREE_WITHIN)} is too much, since cooldowns, "
        "limits and windows go by it. `timedatectl` tells whether this machine's time is kept.",
    )


def effective_mode(config: RemediationConfig) -> Mode:
    """The mode in force: without a word, nothing acts."""
    return config.mode or "off"


def deed_of(rule: RemediationRule) -> str:
    """What a rule does, as an approval names it: `delete`, `service_on clamav`."""
    return " ".join(filter(None, (rule.action, rule.service, "force" if rule.force else "")))


def _mode(rule: RemediationRule, config: RemediationConfig, _: GuardInputs) -> Block | None:
    del rule
    if effective_mode(config) == "off":
        return Block(Guard.MODE, "remediation.mode is off.")
    return None


def _request(_: RemediationRule, __: RemediationConfig, inputs: GuardInputs) -> Block | None:
    return Block(Guard.CONDITION, inputs.withdrawn) if inputs.withdrawn else None


def _journal(_: RemediationRule, __: RemediationConfig, inputs: GuardInputs) -> Block | None:
    if inputs.rule is None or inputs.fleet is None:
        why = " ".join(inputs.errors) or "The journal cannot be read."
        return Block(Guard.JOURNAL, why)
    return None


def _pause(_: RemediationRule, config: RemediationConfig, inputs: GuardInputs) -> Block | None:
    if inputs.pause_file is None:
        return Block(
            Guard.PAUSE, f"Whether the pause file {config.pause_file} exists cannot be known."
        )
    if inputs.pause_file:
        return Block(Guard.PAUSE, f"The pause file {config.pause_file} exists.")
    if inputs.fleet is not None and inputs.fleet.paused:
        return Block(Guard.PAUSE, inputs.fleet.paused)
    return None


def _window(_: RemediationRule, config: RemediationConfig, inputs: GuardInputs) -> Block | None:
    if not config.windows or any(is_open(window, inputs.now) for window in config.windows):
        return None
    return Block(Guard.WINDOW, "It is outside of every window in which rules may act.")


def is_open(window: Window, now: float) -> bool:
    """Whether a window is open at Unix time `now`; one that ends at its start lasts a day."""
    local = datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(window.time_zone))
    clock = local.time().replace(tzinfo=None)
    today, yesterday = DAYS[local.weekday()], DAYS[(local - timedelta(days=1)).weekday()]
    if window.start < window.end:
        return today in window.days and window.start <= clock < window.end
    return (today in window.days and clock >= window.start) or (
        yesterday in window.days and clock < window.end
    )


def storm_bound(config: RemediationConfig, hosts: int) -> float:
    """So many of `hosts` may want an action at once."""
    # Rounded, since 29% of 100 hosts is a little less than 29 to a float.
    return max(HOSTS_BEFORE_A_STORM, round(config.limits.storm_brake * hosts, 6))


def _storm_brake(
    _: RemediationRule, config: RemediationConfig, inputs: GuardInputs
) -> Block | None:
    if inputs.actor is Actor.PERSON:
        return None  # a person asks for one host, and sees which
    share = config.limits.storm_brake
    bound = storm_bound(config, inputs.hosts)
    if inputs.wanting > bound:
        return Block(
            Guard.STORM_BRAKE,
            f"{inputs.wanting} of {inputs.hosts} hosts want an action at once, more than "
            f"{share:.0%} of them: look for a common cause.",
        )
    if inputs.unheard and inputs.wanting + inputs.unheard > bound:
        return Block(
            Guard.STORM_BRAKE,
            f"{inputs.unheard} hosts have not been polled yet, so that it is not known how "
            "many want an action.",
        )
    return None


def _stopped(rule: RemediationRule, _: RemediationConfig, inputs: GuardInputs) -> Block | None:
    if inputs.rule is not None and inputs.rule.stopped:
        return Block(Guard.STOPPED, f"{inputs.rule.stopped} A person must resume {rule.name}.")
    return None


def _approval(rule: RemediationRule, _: RemediationConfig, inputs: GuardInputs) -> Block | None:
    if rule.approval == "none" or inputs.actor is Actor.PERSON or inputs.rule is None:
        return None
    match inputs.rule.approval:
        case "approved" if inputs.rule.approved_deed == deed_of(rule):
            return None
        case "approved":
            return Block(
                Guard.APPROVAL,
                f"What was approved was {inputs.rule.approved_deed or 'not told'}; the config "
                f"has it {deed_of(rule)} now. It may ask again after 24 hours.",
            )
        case "rejected":
            return Block(Guard.APPROVAL, "A person rejected it.")
        case _:
            return Block(Guard.APPROVAL, "It waits for a person to approve it.")


def _cooldown(rule: RemediationRule, _: RemediationConfig, inputs: GuardInputs) -> Block | None:
    last = None if inputs.rule is None else inputs.rule.last_begun
    until = cooldown_until(rule, last, inputs.now)
    if until is None:
        return None
    return Block(
        Guard.COOLDOWN,
        f"Its last action here was {duration(inputs.now - until + rule.cooldown)} ago, within "
        f"the cooldown of {duration(rule.cooldown)}.",
        until,
    )


def cooldown_until(rule: RemediationRule, last_begun: float | None, now: float) -> float | None:
    """Unix time from which a rule may act again; None when its cooldown is over, or never was.

    An action that lies ahead of the clock, which was set back, holds it no longer than one now.
    """
    if last_begun is None or now - last_begun >= rule.cooldown:
        return None
    return min(last_begun, now) + rule.cooldown


def _max_per_day(rule: RemediationRule, _: RemediationConfig, inputs: GuardInputs) -> Block | None:
    if inputs.rule is None or inputs.rule.begun_today < rule.max_per_day:
        return None
    return Block(
        Guard.MAX_PER_DAY,
        f"It has acted here {inputs.rule.begun_today} times within 24 hours; max_per_day is "
        f"{rule.max_per_day}.",
    )


def _actions_per_hour(
    _: RemediationRule, config: RemediationConfig, inputs: GuardInputs
) -> Block | None:
    limit = config.limits.actions_per_hour
    if inputs.fleet is None or inputs.fleet.begun_this_hour < limit:
        return None
    return Block(
        Guard.ACTIONS_PER_HOUR,
        f"Rules have begun {inputs.fleet.begun_this_hour} actions over the fleet within an "
        f"hour; actions_per_hour is {limit}.",
    )


def _actions_at_once(
    _: RemediationRule, config: RemediationConfig, inputs: GuardInputs
) -> Block | None:
    limit = config.limits.actions_at_once
    if inputs.running < limit:
        return None
    under_way = "1 action is" if inputs.running == 1 else f"{inputs.running} actions are"
    return Block(Guard.ACTIONS_AT_ONCE, f"{under_way} under way; actions_at_once is {limit}.")


_ORDER: tuple[Callable[[RemediationRule, RemediationConfig, GuardInputs], Block | None], ...] = (
    *(_mode, _request, _pause, _window, _storm_brake, _journal, _stopped, _approval, _cooldown),
    *(_max_per_day, _actions_per_hour, _actions_at_once),
)

_UNDER_WAY = (_mode, _request, _pause, _window, _storm_brake, _journal, _stopped)
"""Asked again before each message."""
