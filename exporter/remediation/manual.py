"""What a person does without a rule: the same execution, without a rule's guards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

from exporter.config.remediation import ON_SERVICE
from exporter.config.selectors import EVERYTHING
from exporter.humanize import guess_words
from exporter.journal import Actor, Entry, Kind
from exporter.journal.records import IntentRecord
from exporter.remediation import guards
from exporter.remediation.acting import Hooks, Why, intent_entry
from exporter.remediation.context import HostContext, UnsettledError
from exporter.remediation.execution import execute
from exporter.remediation.guards import Block, Blocked, check, clock_block
from exporter.remediation.listing import Listing, ListQuery
from exporter.remediation.plan import ActionSpec, Plan, goes_as_a_whole
from exporter.remediation.requests import Request
from exporter.remediation.selection import describe

ALL = 10**9
"""More messages than any list holds."""


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
    """By id, messages that may be meant, where that is not known since these fields are only
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
        return self.clock or guards.all_guessed(self.doubt, self.plan.messages)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to act on."""
        if self.listing is None:
            return False
        # What was not understood is in no plan, but goes when the whole queue does.
        rest = self.listing.listed or self.listing.count
        return not self.plan.messages and not (self.plan.as_a_whole and rest)


@dataclass(frozen=True, slots=True)
class ManualResult:
    """What came of it."""

    preview: Preview
    outcome: Entry | None = None
    """None when there was nothing to do, or a guard spoke against it."""


async def preview_of(
    context: HostContext,
    spec: ActionSpec,
    only: frozenset[str] | None = None,
    *,
    guesses: bool = False,
) -> Preview:
    """Return what would be acted on now.

    With `only`, of what the selector means these ids alone. With `guesses` also what it means by
    a guess: to show it, not to act.

    Raises:
        PanelError: the queue cannot be listed.
    """
    if spec.action in ON_SERVICE:
        return Preview(Plan(reason=spec.service))
    # One request empties the whole queue, whatever the ids are; the plan shows what is there.
    guesses = guesses or spec.action == "purge_all"
    listing = await context.list(ListQuery(spec.selector, ALL, guesses=guesses))
    chosen, withheld, reason = listing.chosen, listing.withheld, describe(spec.selector)
    if only is not None:
        chosen = tuple(message for message in chosen if message.id in only)
        withheld = {id_: fields for id_, fields in withheld.items() if id_ in only}
        more = "" if spec.selector == EVERYTHING else f", {reason}"
        reason = f"named by id{more}"
    named = only is not None
    whole = goes_as_a_whole(spec.action, spec.selector, listing, these_alone=named)
    plan = Plan(chosen, reason, whole, listing, len(withheld))
    plan = plan.by_id_where_it_costs_little(spec.action, context.parallel)
    missing = (only or frozenset()) - plan.ids
    unmeant = (missing & listing.ids) - withheld.keys()
    clock = clock_block(listing.clock_skew, spec.selector)
    return Preview(plan, listing, missing - listing.ids, unmeant, withheld, clock)


class _NothingToDoError(Exception):
    """Nothing is meant, which holds nobody back."""


class ManualJob:
    """What a person wants done: no rule's guards, but nothing goes that was not seen."""

    def __init__(
        self, context: HostContext, spec: ActionSpec, requester: str, only: frozenset[str] | None
    ) -> None:
        self._context = context
        self._only = only
        self.spec = spec
        self.preview = Preview(Plan())
        actor = Request(Actor.PERSON, requester).signature
        self.base = intent_entry(context, spec, actor, mode="enforce")

    async def before_polling(self) -> Block | None:
        """Ask no guard."""
        return None

    async def condition(self) -> Why:
        """Ask for no condition."""
        return {}

    async def plan(self, seen: Plan | None = None) -> Plan:
        """Plan by the queue as it is now; of what a person has `seen`, nothing else goes.

        But of a whole queue, as the person was shown, what came meanwhile: it is written down with
        the rest.
        """
        if seen is None:
            self.preview = await preview_of(self._context, self.spec, self._only)
            check(self.preview.block)
        else:
            now = await preview_of(self._context, self.spec)
            whole = self.spec.action == "purge_all"
            self.preview = now if whole else replace(self.preview, plan=seen.as_seen(now.plan))
        if self.preview.is_empty:
            raise _NothingToDoError
        return self.preview.plan

    @asynccontextmanager
    async def about_to_begin(self, turn: ExitStack) -> AsyncIterator[None]:
        """Ask no guard, and take no turn of the rules'."""
        del turn
        yield

    def intent(self, plan: Plan, why: Why) -> tuple[str, IntentRecord]:
        """Return the text of the intent, and what is known of it before the plan."""
        del why
        return f"About to {self.spec.describe(plan)}, by hand.", IntentRecord()

    async def before_message(self) -> Block | None:
        """Ask no guard."""
        return None


async def do_by_hand(
    context: HostContext,
    spec: ActionSpec,
    *,
    requester: str,
    confirm: Callable[[Preview], Awaitable[bool]],
    hooks: Hooks,
    only: frozenset[str] | None = None,
) -> ManualResult:
    """Do what a person wants, alone on the host, and write it down.

    `confirm` shows the person what would be done, and asks. With `only`, of what the selector
    means these ids alone.

    Raises:
        Declined: `confirm` said no.
        HostBusyError, LockFileError: somebody else is at work on the host.
        PanelError: the queue cannot be listed; nothing was done.
        UnfinishedError: the journal failed in the middle; what came of it is settled later.
        JournalError: it cannot be written down, so that nothing was done.
    """
    job = ManualJob(context, spec, requester, only)
    hooks = replace(hooks, confirm=lambda _: confirm(job.preview))
    try:
        outcome = await execute(context, job, hooks)
    except Blocked as blocked:
        block = blocked.block
        entry = replace(
            job.base,
            kind=Kind.BLOCKED,
            run="",
            mode="",
            outcome=block.guard.value,
            text=block.reason,
        )
        await context.journal.do(lambda journal: journal.add(entry))
    except _NothingToDoError:
        pass
    except UnsettledError as unsettled:
        raise unsettled.error from None
    else:
        return ManualResult(job.preview, outcome)
    return ManualResult(job.preview)
