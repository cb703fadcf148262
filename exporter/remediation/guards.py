"""Everything that keeps an action from being done. Pure: no clock, no panel, no journal.

A function returns the block of its guard, or None where that lets it pass; guards in their order
are a generator, and the first block counts. `check` is the one way to stop by a block. A guard
whose inputs are not known blocks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from statistics import median_high, median_low

from exporter.conditions import Measurements, failures_behind
from exporter.config.conditions import Condition
from exporter.config.remediation import Mode, RemediationConfig, RemediationRule
from exporter.config.selectors import Selector
from exporter.humanize import duration, guess_words, integer, untold_words
from exporter.journal import JournalError
from exporter.journal.entries import Actor, Guard, RuleFacts
from exporter.journal.host_lock import HostBusyError, LockFileError
from exporter.remediation.context import UnsettledError
from exporter.remediation.guard_inputs import GuardInputs, InForce, Silences
from exporter.remediation.listing import Listing
from exporter.remediation.selection import describe
from exporter.snapshot import HostGoneError, HostSnapshot, Message

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


class Blocked(Exception):  # noqa: N818 - no error: a guard did its work
    """A guard keeps an action from being done, or from going on."""

    def __init__(self, block: Block) -> None:
        super().__init__(block.reason)
        self.block = block


def check(block: Block | None) -> None:
    """Stop here if a guard blocks.

    Raises:
        Blocked: it does.
    """
    if block is not None:
        raise Blocked(block)


# --- before anything is asked of the panel ------------------------------------------------------


def first_block(
    rule: RemediationRule,
    config: RemediationConfig,
    inputs: GuardInputs,
    *,
    approval: bool = True,
) -> Block | None:
    """Return the first guard that blocks, in the order in which they are asked; None: none does.

    Without `approval`, whether a person has allowed it is not asked.
    """
    blocks = chain(_always(rule, config, inputs), _at_the_start(rule, config, inputs))
    return next((b for b in blocks if approval or b.guard is not Guard.APPROVAL), None)


def before_message(began: InForce, inputs: GuardInputs) -> Block | None:
    """Return the first guard that blocks the next message of an action that has begun.

    Asked by the config and the rule in force now; `began` are those by which it has begun. What
    counts actions, and approvals, was asked before the intent, which they count themselves; hosts
    that a reload has just brought make no storm before they are heard.
    """
    now, rule = inputs.in_force or began, began.rule
    assert rule is not None  # noqa: S101 - it has begun
    if now.against or now.rule is None:
        gone = f"{rule.name} is not for this host any more, or has left the config."
        return Block(Guard.CONDITION, now.against or gone)
    if _meaning(now.rule) != _meaning(rule):
        reason = f"{rule.name} means something else in the config that is in force now."
        return Block(Guard.CONDITION, reason)
    inputs = replace(inputs, withdrawn=inputs.alert_over, unheard=0)
    for block in _always(now.rule, now.config, inputs):
        return block
    mode = effective_mode(now.config)
    return None if mode == "enforce" else Block(Guard.MODE, f"remediation.mode is {mode} now.")


def _meaning(rule: RemediationRule) -> tuple[object, ...]:
    """Return what a rule does and to which messages, and whether a person must allow it."""
    return _action_text(rule), rule.selector, rule.approval


def begun_meanwhile(config: RemediationConfig, inputs: GuardInputs, acting: int) -> Block | None:
    """Return whether `acting` actions, perhaps not in the journal yet, use up the limits."""
    limits = config.limits
    if acting >= limits.actions_at_once:
        return Block(Guard.ACTIONS_AT_ONCE, "Another action has just begun.")
    if inputs.fleet and inputs.fleet.begun_this_hour + acting >= limits.actions_per_hour:
        reason = "What is under way may be the last action that actions_per_hour allows."
        return Block(Guard.ACTIONS_PER_HOUR, reason)
    return None


def silenced(silences: Silences | None) -> Block | None:
    """Block by a silence, or where none is known to be absent; None: the rule asks nobody."""
    if silences is None:
        return None
    reasons = [*silences.reasons]
    reasons += [f"Whether it is silenced is not known: {error}" for error in silences.errors]
    if not silences.alertmanagers:
        reasons = ["There is no Alertmanager that could be asked for silences."]
    return Block(Guard.SILENCE, reasons[0]) if reasons else None


# --- what an execution meets --------------------------------------------------------------------


ENDING = Block(Guard.CONDITION, "The exporter was told to end.")
OTHERS_BEGIN = Block(Guard.ACTIONS_AT_ONCE, "Other actions are about to begin.")

_BY_ERROR: Mapping[type[Exception], tuple[Guard, str]] = {
    HostBusyError: (Guard.HOST_BUSY, "Another action is under way on this host."),
    LockFileError: (Guard.HOST_BUSY, "{}"),
    UnsettledError: (
        Guard.UNSETTLED,
        (
            "What became of an earlier action, whose process ended in the middle, cannot be told "
            "yet: {}"
        ),
    ),
    JournalError: (Guard.JOURNAL, "{}"),
    HostGoneError: (Guard.CONDITION, "The host left the config."),
}
ERRORS = tuple(_BY_ERROR)
"""What ends an execution, and is a block."""


def of_error(error: Exception) -> Block:
    """Block for one of ERRORS."""
    guard, words = next(_BY_ERROR[kind] for kind in ERRORS if isinstance(error, kind))
    return Block(guard, words.format(error))


def no_turn(running: int, limit: int) -> Block:
    """Block, since as many actions are under way as may be."""
    under_way = "1 action is" if running == 1 else f"{running} actions are"
    return Block(Guard.ACTIONS_AT_ONCE, f"{under_way} under way; actions_at_once is {limit}.")


# --- the poll -----------------------------------------------------------------------------------


def condition(
    rule: RemediationRule, snapshot: HostSnapshot, why: Mapping[str, float | None]
) -> Block | None:
    """Block unless a rule's `when` surely holds by a poll, in which its readings are `why`."""
    measurements, when = Measurements(snapshot), rule.when
    holds = measurements.hold(when, rule.service, certain=True)
    if holds is True:
        return None
    if holds is False:
        return Block(Guard.CONDITION, f"Looked at again, it does not hold: {shown(why)}.")
    if measurements.hold(when) is not None:
        return conditions_guessed(snapshot.host, measurements.guessed(when), why)
    words = "".join(f" {each.message} {each.hint}" for each in failures_behind(snapshot, when))
    found = f"cannot be told whether it holds: {shown(why)}."
    return Block(Guard.CONDITION, f"Looked at again, it {found}{words}".rstrip())


def conditions_guessed(host: str, fields: Collection[str], why: Mapping[str, object]) -> Block:
    """Block, since conditions rest on fields that are only guessed, whose readings are `why`."""
    known = {name: value for name, value in why.items() if isinstance(value, float | int | None)}
    return Block(Guard.LAYOUT, f"{guess_words(host, fields)} Guessed: {shown(known)}.")


def shown(why: Mapping[str, float | None]) -> str:
    """Return readings in words: `queue_frozen_messages > 500 (612)`."""
    parts = [
        f"{name} ({'not told' if value is None else f'{value:g}'})" for name, value in why.items()
    ]
    return ", ".join(parts) or "it was asked for"


# --- the list -----------------------------------------------------------------------------------


def not_listed(error: object, *, again: bool = False) -> Block:
    """Block, since the queue could not be listed for the plan, or between two batches of it."""
    more = " again before the next messages" if again else ""
    return Block(Guard.LISTING, f"The queue could not be listed{more}: {error}")


def not_whole_again(listing: Listing) -> Block | None:
    """Block where a list between two batches lacks a part of the queue."""
    if listing.is_whole:
        return None
    return Block(
        Guard.LISTING,
        f"Before the next messages count_msg told {integer(listing.count)} messages and "
        f"list_msg listed only {integer(listing.listed)}.",
    )


def of_plan(
    rule: RemediationRule, listing: Listing, chosen: Collection[Message]
) -> Iterator[Block]:
    """Yield what blocks a plan to act on the `chosen` messages of a list."""
    yield from _unseen(rule, listing)
    if listing.matching > rule.max_messages:
        reason = (
            f"The plan holds {integer(listing.matching)} messages; max_messages is "
            f"{integer(rule.max_messages)}."
        )
        yield Block(Guard.MAX_MESSAGES, reason)
    whole_queue = rule.action == "purge_all"
    # What may be meant and is not known to be would go with the whole queue.
    if listing.withheld and (whole_queue or not chosen):
        yield Block(Guard.LAYOUT, guess_words(listing.host, listing.guessed))
    if not chosen:
        seen = " and among those that were approved" if listing.chosen else ""
        meant = f"{describe(rule.selector)}{seen}"
        doubt = untold_words(listing.host, listing.untold) if listing.untold else ""
        known = f"known to be {meant}. {doubt}" if doubt else f"{meant}."
        yield Block(Guard.NOTHING_TO_DO, f"No message is {known}")
    if whole_queue and len(chosen) != len(listing.chosen):
        yield Block(Guard.APPROVAL, "The queue holds messages that the person has not seen.")


def _unseen(rule: RemediationRule, listing: Listing) -> Iterator[Block]:
    if not listing.is_whole:
        reason = (
            f"count_msg tells {integer(listing.count)} messages and list_msg lists only "
            f"{integer(listing.listed)}: what the others are is not known."
        )
        yield Block(Guard.LISTING, reason)
    if rule.action == "purge_all" and (listing.unparsed or listing.unlisted):
        what = (
            f"{integer(listing.unparsed)} rows of list_msg were not understood"
            if listing.unparsed
            else f"{integer(listing.unlisted)} messages are not in list_msg's reply"
        )
        yield Block(Guard.LISTING, f"{what}, and purge_all would delete those too.")


def all_guessed(doubt: str, messages: Collection[Message]) -> Block | None:
    """Block where, by `doubt`, all that a person means is only guessed."""
    return Block(Guard.LAYOUT, doubt) if doubt and not messages else None


# --- clocks -------------------------------------------------------------------------------------


def clock_block(
    skew: float | None, selector: Selector, when: Iterable[Condition] = ()
) -> Block | None:
    """Block where anything is done by ages, and the panel's clock and ours do not agree.

    Whichever of the two clocks is wrong: by ours dates are read, and by the panel's it works out
    ages. `limit` goes by them, too: it means the oldest.
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
    """Block, whatever a rule goes by, where this machine's clock seems to be wrong.

    Cooldowns, limits of a day and windows go by it. It seems so where a panel's clock (`skew`)
    disagrees with it and so do, to the same side, those of most panels whose clocks are known
    (`skews`). Of a single panel it is not known which of the two is wrong: then nothing acts
    where ours is ahead, for only that would free a cooldown.
    """
    known = sorted(skews if skews or skew is None else [skew])
    if not known or (skew is not None and abs(skew) <= CLOCKS_AGREE_WITHIN):
        return None
    low, high = median_low(known), median_high(known)
    ahead = high < -CLOCKS_AGREE_WITHIN
    behind = low > CLOCKS_AGREE_WITHIN and len(known) > 1
    if not ahead and not behind:
        return None
    side = "ahead of" if ahead else "behind"
    whose = "the panel's" if len(known) == 1 else f"those of most of {len(known)} panels"
    return Block(
        Guard.CLOCK,
        f"This machine's clock seems to be wrong: it is {duration(abs(high if ahead else low))} "
        f"{side} {whose}; more than {duration(CLOCKS_AGREE_WITHIN)} is too much, since cooldowns, "
        "limits and windows go by it. `timedatectl` tells whether this machine's time is kept.",
    )


# --- the guards of a rule, in the order in which they are asked ----------------------------------


def _always(
    rule: RemediationRule, config: RemediationConfig, inputs: GuardInputs
) -> Iterator[Block]:
    """Yield what blocks a rule before it begins, and before each message."""
    if effective_mode(config) == "off":
        yield Block(Guard.MODE, "remediation.mode is off.")
    if inputs.withdrawn:
        yield Block(Guard.CONDITION, inputs.withdrawn)
    yield from _pause(config, inputs)
    if not config.in_a_window(inputs.now):
        yield Block(Guard.WINDOW, "It is outside of every window in which rules may act.")
    if inputs.actor is not Actor.PERSON:  # a person sees which host it is
        yield from _storm_brake(config, inputs)
    if inputs.rule is None or inputs.fleet is None:
        yield Block(Guard.JOURNAL, inputs.error or "The journal cannot be read.")
    elif inputs.rule.stopped:
        reason = f"{inputs.rule.stopped} A person must resume {rule.name}."
        yield Block(Guard.STOPPED, reason)


def _at_the_start(
    rule: RemediationRule, config: RemediationConfig, inputs: GuardInputs
) -> Iterator[Block]:
    """Yield what blocks a rule before it begins alone: what counts actions, and approvals."""
    facts, fleet, limits = inputs.rule, inputs.fleet, config.limits
    assert facts is not None and fleet is not None  # noqa: S101, PT018 - the guard `journal`
    if rule.approval != "none" and inputs.actor is not Actor.PERSON:
        yield from _approval(rule, facts)
    until = cooldown_until(rule, facts.last_begun, inputs.now)
    if until is not None:
        ago = duration(inputs.now - until + rule.cooldown)
        within = f"within the cooldown of {duration(rule.cooldown)}"
        yield Block(Guard.COOLDOWN, f"Its last action here was {ago} ago, {within}.", until)
    if facts.begun_today >= rule.max_per_day:
        reason = (
            f"It has acted here {facts.begun_today} times within 24 hours; max_per_day is "
            f"{rule.max_per_day}."
        )
        yield Block(Guard.MAX_PER_DAY, reason)
    if fleet.begun_this_hour >= limits.actions_per_hour:
        reason = (
            f"Rules have begun {fleet.begun_this_hour} actions over the fleet within an "
            f"hour; actions_per_hour is {limits.actions_per_hour}."
        )
        yield Block(Guard.ACTIONS_PER_HOUR, reason)
    if inputs.running >= limits.actions_at_once:
        yield no_turn(inputs.running, limits.actions_at_once)


def effective_mode(config: RemediationConfig) -> Mode:
    """Return the mode in force: without a word, nothing acts."""
    return config.mode or "off"


def _pause(config: RemediationConfig, inputs: GuardInputs) -> Iterator[Block]:
    if inputs.pause_file is None:
        reason = f"Whether the pause file {config.pause_file} exists cannot be known."
        yield Block(Guard.PAUSE, reason)
    if inputs.pause_file:
        yield Block(Guard.PAUSE, f"The pause file {config.pause_file} exists.")
    if inputs.fleet is not None and inputs.fleet.paused:
        yield Block(Guard.PAUSE, inputs.fleet.paused)


def storm_bound(config: RemediationConfig, hosts: int) -> float:
    """Return how many of `hosts` may want an action at once."""
    # Rounded, since 29% of 100 hosts is a little less than 29 to a float.
    return max(HOSTS_BEFORE_A_STORM, round(config.limits.storm_brake * hosts, 6))


def _storm_brake(config: RemediationConfig, inputs: GuardInputs) -> Iterator[Block]:
    share, bound = config.limits.storm_brake, storm_bound(config, inputs.hosts)
    if inputs.wanting > bound:
        reason = (
            f"{inputs.wanting} of {inputs.hosts} hosts want an action at once, more than "
            f"{share:.0%} of them: look for a common cause."
        )
        yield Block(Guard.STORM_BRAKE, reason)
    if inputs.unheard and inputs.wanting + inputs.unheard > bound:
        reason = (
            f"{inputs.unheard} hosts have not been polled yet, so that it is not known how "
            "many want an action."
        )
        yield Block(Guard.STORM_BRAKE, reason)


def action_text(action: str, service: str | None, force: bool) -> str:  # noqa: FBT001 - as configured
    """Return what is done, as an approval names it: `delete`, `service_on clamav`."""
    return " ".join(filter(None, (action, service, "force" if force else "")))


def _action_text(rule: RemediationRule) -> str:
    return action_text(rule.action, rule.service, rule.force)


def _approval(rule: RemediationRule, facts: RuleFacts) -> Iterator[Block]:
    approved, configured = facts.approved_action, _action_text(rule)
    if facts.approval == "rejected":
        yield Block(Guard.APPROVAL, "A person rejected it.")
    elif facts.approval != "approved":
        yield Block(Guard.APPROVAL, "It waits for a person to approve it.")
    elif approved != configured:
        reason = (
            f"What was approved was {approved or 'not told'}; the config has it {configured} now. "
            "It may ask again after 24 hours."
        )
        yield Block(Guard.APPROVAL, reason)


def cooldown_until(rule: RemediationRule, last_begun: float | None, now: float) -> float | None:
    """Return the Unix time from which a rule may act again; None when its cooldown is over.

    An action that lies ahead of the clock, which was set back, holds it no longer than one now.
    """
    if last_begun is None or now - last_begun >= rule.cooldown:
        return None
    return min(last_begun, now) + rule.cooldown
