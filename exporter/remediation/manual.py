"""What a person does without a rule: the same steps, journalled alike, without a rule's guards."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from exporter.config.remediation import ON_SERVICE
from exporter.humanize import guess_words
from exporter.journal import Actor, Entry, JournalError, Kind
from exporter.journal.entries import Guard
from exporter.journal.host_lock import HostLocks
from exporter.remediation.guards import Block, clock_block
from exporter.remediation.listing import Listing
from exporter.remediation.plan import Plan, is_all_frozen_mail, plan_from
from exporter.remediation.run import Declined, OnBegin, settle_what_was_left
from exporter.remediation.selection import describe
from exporter.remediation.work import EVERYTHING, ActionSpec, Execution, HostContext, OnAnswer

ALL = 10**9
"""More messages than any list holds."""


class UnfinishedError(JournalError):
    """The journal failed after the intent: what was done is only known once it is settled."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be done, for the person to see."""

    plan: Plan
    listing: Listing | None = None
    """The queue that the plan was made from; None for services."""
    absent: frozenset[str] = frozenset()
    """Ids that were named and that no understood row of the queue has."""
    unmeant: frozenset[str] = frozenset()
    """Ids that were named and are in the queue, but are not what the selector means."""
    withheld: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By id, messages that may be meant, of which that is not known since these fields are only
    guessed: they are left out."""
    clock: Block | None = None
    """What keeps a person from going by ages, in the words that keep a rule from it."""

    @property
    def doubt(self) -> str:
        """What is left out for being only guessed, and how to confirm it; "" where nothing is."""
        if self.listing is None or not self.withheld:
            return ""
        return guess_words(self.listing.host, frozenset[str]().union(*self.withheld.values()))

    @property
    def block(self) -> Block | None:
        """What keeps a person from it as it would keep a rule.

        Clocks that disagree where it goes by ages, and guesses where all rests on them.
        """
        if self.clock is not None:
            return self.clock
        doubt = self.doubt
        return Block(Guard.LAYOUT, doubt) if doubt and not self.plan.messages else None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to act on."""
        if self.listing is None:
            return False
        # What was not understood is in no plan, but goes when the whole queue does.
        rest = self.listing.listed or self.listing.count
        return not self.plan.messages and not (self.plan.as_a_whole and rest)


Confirm = Callable[[Preview], Awaitable[bool]]
"""Shows a person what would be done, and asks."""


@dataclass(frozen=True, slots=True)
class ManualResult:
    """What came of it."""

    prospect: Preview
    outcome: Entry | None = None
    """None when there was nothing to do, or a guard spoke against it."""


async def prospect_of(
    bench: HostContext,
    spec: ActionSpec,
    only: frozenset[str] | None = None,
    *,
    guesses: bool = False,
) -> Preview:
    """What a deed would be done to now.

    With `only`, of what the selector means these ids alone. With `guesses` also what it means by
    a guess: to show it, not to act.

    Raises:
        PanelError: the queue cannot be listed.
    """
    if spec.action in ON_SERVICE:
        return Preview(Plan(reason=spec.service))
    # One request empties the whole queue, whatever the ids are; the plan shows what is there.
    guesses = guesses or spec.action == "purge_all"
    listing = await bench.list(spec.selector, most=ALL, guesses=guesses)
    chosen, withheld, reason = listing.chosen, listing.withheld, describe(spec.selector)
    if only is not None:
        chosen = tuple(message for message in chosen if message.id in only)
        withheld = {id_: fields for id_, fields in withheld.items() if id_ in only}
        named = "named by id"
        reason = named if spec.selector == EVERYTHING else f"{named}, {reason}"
    # Ids that a person names are these messages, not what may be frozen by then.
    all_frozen = only is None and is_all_frozen_mail(spec.action, spec.selector, listing)
    whole = spec.action == "purge_all" or (all_frozen and bool(chosen))
    plan = plan_from(listing, chosen, reason, whole=whole)
    plan = replace(plan, withheld=len(withheld))
    plan = plan.by_id_where_it_costs_little(spec.action, bench.parallel)
    missing = (only or frozenset()) - plan.ids
    unmeant = (missing & listing.ids) - withheld.keys()
    clock = clock_block(listing.clock_skew, spec.selector)
    return Preview(plan, listing, missing - listing.ids, unmeant, withheld, clock)


async def do_by_hand(
    bench: HostContext,
    locks: HostLocks,
    spec: ActionSpec,
    *,
    who: str,
    confirm: Confirm,
    on_begin: OnBegin,
    on_answer: OnAnswer,
    only: frozenset[str] | None = None,
) -> ManualResult:
    """Do what a person wants, alone on the host, and write it down.

    With `only`, of what the deed's selector means these ids alone.

    Raises:
        Declined: `confirm` said no.
        HostBusyError, LockFileError: somebody else is at work on the host.
        PanelError: the queue cannot be listed; nothing was done.
        UnfinishedError: the journal failed in the middle; what came of it is settled later.
        JournalError: it cannot be written down, so that nothing was done.
    """
    with locks.hold(bench.panel.url):
        await settle_what_was_left(bench)
        prospect = await prospect_of(bench, spec, only)
        base = Entry(
            Kind.INTENT,
            run=uuid.uuid4().hex,
            host=bench.host,
            action=spec.action,
            mode="enforce",
            actor=f"{Actor.PERSON}:{who}" if who else Actor.PERSON.value,
            panel=bench.client.host.panel,
        )
        if prospect.block is not None:
            await _note(bench, base, prospect.block)
            return ManualResult(prospect)
        if prospect.is_empty:
            return ManualResult(prospect)
        if not await confirm(prospect):
            raise Declined
        if prospect.plan.as_a_whole:
            prospect = _as_seen(spec, prospect, await prospect_of(bench, spec))
            if prospect.is_empty:
                return ManualResult(prospect)
        plan = prospect.plan
        work = Execution(bench, spec, plan, base, on_answer=on_answer)
        on_begin(plan)
        await work.intend(f"About to {spec.describe(plan)}, by hand.", {})
        try:
            outcome = await work.conclude(await work.act())
        except JournalError as error:
            raise UnfinishedError(str(error)) from error
        return ManualResult(prospect, outcome)


async def _note(bench: HostContext, base: Entry, block: Block) -> None:
    """Write down what held a person back, as it is written down of a rule."""
    entry = replace(
        base, kind=Kind.BLOCKED, run="", mode="", outcome=block.guard.value, text=block.reason
    )
    await bench.journal.do(lambda journal: journal.add(entry))


def _as_seen(spec: ActionSpec, seen: Preview, now: Preview) -> Preview:
    """What is done once a person has thought about it: nothing goes that he has not seen.

    But of a whole queue, as he was told, what came meanwhile: it is written down with the rest.
    """
    if spec.action == "purge_all":
        return now
    return replace(seen, plan=seen.plan.as_seen(now.plan))
