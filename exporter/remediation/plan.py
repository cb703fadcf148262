"""What is to be done to exactly which messages, and which of them are still those. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from exporter.config.remediation import ON_SERVICE, Action, RemediationRule, Verify
from exporter.config.selectors import ALL_FROZEN_MAIL, EVERYTHING, Selector
from exporter.humanize import integer
from exporter.remediation import guards
from exporter.remediation.guards import check
from exporter.remediation.identity import (
    ARRIVAL_SLACK,
    Sighting,
    change_of,
    other_message,
    without_guesses,
)
from exporter.remediation.listing import EMPTY, Listing
from exporter.remediation.selection import describe, select
from exporter.snapshot import Message

BATCH = 30.0
"""Seconds for which a list counts as fresh, and within which the messages sent by it are to be
answered."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Exactly what is to be acted on."""

    messages: tuple[Message, ...] = ()
    reason: str = ""
    """Why these."""
    as_a_whole: bool = False
    """Whether one operation on the whole queue does precisely this."""
    listing: Listing = field(default=EMPTY, compare=False)
    """The list that it was made from."""
    withheld: int = field(default=0, compare=False)
    """Messages that may be meant and are left out, since what they are is only guessed."""

    @property
    def ids(self) -> frozenset[str]:
        """Of the messages."""
        return frozenset(message.id for message in self.messages)

    @property
    def frozen_beyond(self) -> frozenset[str]:
        """Frozen messages that are not meant; they must still be there afterwards."""
        return self.listing.frozen_ids - self.ids

    def as_seen(self, now: Plan) -> Plan:
        """Return what stands of this plan after a person confirmed it: nothing unseen goes.

        `now` is the plan that would be made now: when it differs, this one goes by id.
        """
        return replace(self, as_a_whole=now.as_a_whole and now.ids == self.ids)

    def by_id_where_it_costs_little(self, action: str, parallel: int) -> Plan:
        """Return this plan, by id where other mail that may freeze meanwhile need not be risked.

        One operation for all frozen mail takes what freezes until then, too. By id it does not,
        and where one batch will do that takes no longer than BATCH.
        """
        others = self.listing.ids - self.ids
        short = len(self.messages) * self.listing.took / max(1, parallel) <= BATCH
        if action == "purge_frozen" and self.as_a_whole and others and short:
            return replace(self, as_a_whole=False)
        return self


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """What is to be done to a host, whoever requests it."""

    action: Action
    selector: Selector = EVERYTHING
    force: bool = False
    service: str = ""
    verify: Verify | None = None

    @classmethod
    def of(cls, rule: RemediationRule) -> ActionSpec:
        """Return what a rule does."""
        return cls(rule.action, rule.selector, rule.force, rule.service or "", rule.verify)

    @property
    def turns_on(self) -> bool:
        """Whether a service is to run."""
        return self.action == "service_on"

    def describe(self, plan: Plan) -> str:
        """Return what it does as the end of a sentence: `delete 12 messages (frozen)`."""
        if self.action in ON_SERVICE:
            return f"turn {self.service} {'on' if self.turns_on else 'off'}"
        verb = "retry" if self.action == "retry" else "delete"
        count = len(plan.messages)
        what = f"{integer(count)} {'message' if count == 1 else 'messages'}"
        more = ""
        if plan.withheld:
            are = "is" if plan.withheld == 1 else "are"
            more = f"; {integer(plan.withheld)} more {are} left out, since what they are is guessed"
        return f"{verb} {what} ({plan.reason}{more})"


def goes_as_a_whole(
    action: str, selector: Selector, listing: Listing, *, these_alone: bool
) -> bool:
    """Return whether one request is to do what is meant.

    `these_alone`: a person has named or approved messages, and not what may be frozen by then.
    """
    if action != "purge_frozen" or selector != ALL_FROZEN_MAIL or these_alone:
        return action == "purge_all"
    return bool(listing.chosen) and listing.is_all_frozen_mail


def plan_of(rule: RemediationRule, listing: Listing, approved: Sighting | None = None) -> Plan:
    """Return a rule's plan for a queue as it is.

    `approved`: the only messages that a person has allowed; None when nobody was asked.

    Raises:
        Blocked: there is none.
    """
    chosen = [m for m in listing.chosen if approved is None or approved.holds(m, listing.at)]
    check(next(guards.of_plan(rule, listing, chosen), None))
    seen = approved is not None
    whole = goes_as_a_whole(rule.action, rule.selector, listing, these_alone=seen)
    return Plan(tuple(chosen), describe(rule.selector), whole, listing, len(listing.withheld))


@dataclass(frozen=True, slots=True)
class Omission:
    """A planned message that is not asked for after all."""

    message_id: str
    what: Literal["left_out", "left"]
    """`left`: it has left the queue by itself."""
    why: str


def held_against(
    pending: Sequence[Message], plan: Plan, selector: Selector, fresh: Listing
) -> tuple[list[Message], list[Omission]]:
    """Return which messages still are what was planned, by a fresh whole list that watches them.

    What was thawed, has changed, or is another message by the same id is left out; so is what
    the selector does not mean any more. Where our clock was set meanwhile all are, since then the
    time of arrival does not show whether a message is the one before.
    """
    timed, then = is_timed_alike(plan.listing, fresh), plan.listing.at
    now = {message.id: message for message in fresh.watched}
    meaning = selector.model_copy(update={"limit": None})
    meant = {message.id for message in select(fresh.watched, meaning)}
    tells_all = not fresh.unlisted and fresh.unparsed <= plan.listing.unparsed
    kept: list[Message] = []
    omitted: list[Omission] = []
    for message in pending:
        seen = now.get(message.id)
        if seen is None and tells_all:
            omitted.append(Omission(message.id, "left", "It has left the queue by itself."))
        elif seen is None:
            why = "The list, which does not tell the whole queue, does not show it any more."
            omitted.append(Omission(message.id, "left_out", why))
        elif why := change_of(message, then, seen, fresh.at) if timed else _CLOCK_WAS_SET:
            omitted.append(Omission(message.id, "left_out", why))
        elif message.id not in meant:
            why = f"It is not {describe(meaning)} any more."
            omitted.append(Omission(message.id, "left_out", why))
        else:
            kept.append(message)
    return kept, omitted


_CLOCK_WAS_SET = (
    "This machine's clock was set meanwhile, so that it is not known whether it is that message."
)


def is_timed_alike(before: Listing, after: Listing) -> bool:
    """Return whether as much time passed by the clock between two lists as has really passed.

    Else the clock was set: a message that stays seems to have arrived at another time then.
    """
    if before.heard is None or after.heard is None:
        return True
    return abs((after.at - before.at) - (after.heard - before.heard)) <= ARRIVAL_SLACK


def still_there(
    planned: Sequence[Message], then: float, after: Listing, *, timed: bool
) -> frozenset[str]:
    """Return the messages seen at Unix time `then` that a list, which watches them, still holds.

    Another message by the id of one that has gone is not it; what is only guessed shows nothing,
    nor, unless the two are `timed` by one clock that was not set between them, does an arrival.
    """
    now = {message.id: without_guesses(message) for message in after.watched}
    if not timed:
        now = {id_: replace(message, age=None) for id_, message in now.items()}
    return frozenset(
        message.id
        for message in planned
        if message.id in after.ids
        and not (message.id in now and other_message(message, then, now[message.id], after.at))
    )
