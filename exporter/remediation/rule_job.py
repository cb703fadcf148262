"""What a rule's execution asks before each step: the guards, with their inputs of that moment."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from exporter.conditions import readings
from exporter.config.remediation import ON_SERVICE, RemediationConfig, RemediationRule
from exporter.config.selectors import EVERYTHING
from exporter.journal.entries import Guard
from exporter.journal.host_lock import FLEET, TURN, HostBusyError
from exporter.journal.records import IntentRecord
from exporter.panel.errors import PanelError
from exporter.remediation import guards
from exporter.remediation.acting import Why, intent_entry
from exporter.remediation.context import HostContext
from exporter.remediation.guard_inputs import GuardInputs, InForce, ask_silences
from exporter.remediation.guards import Block, Blocked, check, clock_block, effective_mode
from exporter.remediation.identity import Sighting
from exporter.remediation.listing import ListQuery
from exporter.remediation.plan import ActionSpec, Plan, plan_of
from exporter.remediation.requests import Request

Inputs = Callable[[], Awaitable[GuardInputs]]
"""Return what the guards look at as it is now."""

TRIES_TO_BEGIN = 100
A_MOMENT = 0.05
"""Seconds between two of them; each execution holds the fleet's lock for the time of one write."""

SILENCE_REST = 1.0
"""The most seconds between two questions about silences."""

SILENCE_SHARE = 3.0
"""They are asked again after so many times the seconds that the last reply took: a fleet's
Alertmanagers are not asked for each of thousands of messages, nor is the action held up."""


@dataclass(eq=False)
class RuleJob:
    """A rule that acts on a host, by the config in force when it begins."""

    context: HostContext
    config: RemediationConfig
    rule: RemediationRule
    request: Request
    inputs: Inputs
    planned: Plan | None = None
    """The plan that was made last."""
    _approved: Sighting | None = None
    """The only messages that a person has allowed; None where nobody needs to."""
    _ask_silences_at: float = -math.inf
    """Monotonic time from which silences are asked again while messages are sent."""

    def __post_init__(self) -> None:
        """Number the execution."""
        rule, request = self.rule, self.request
        self.spec = ActionSpec.of(rule)
        dry = request.dry_run or effective_mode(self.config) != "enforce"
        mode, actor = "dry_run" if dry else "enforce", request.signature
        self.base = intent_entry(self.context, self.spec, actor, rule=rule.name, mode=mode)

    async def before_polling(self) -> Block | None:
        """Pass the guards and silences; return that a person must be asked first, if so."""
        waits = await self._guards()
        check(await self._silenced())
        return waits

    async def condition(self) -> Why:
        """Poll the host and see that the rule's `when` holds; return what it reads."""
        rule = self.rule
        snapshot = await self.context.poll()
        why = readings(snapshot, rule.when)
        selector = EVERYTHING if rule.action in ON_SERVICE else rule.selector
        check(clock_block(snapshot.clock_skew, selector, rule.when))
        check(guards.own_clock_block(snapshot.clock_skew, (await self.inputs()).skews))
        check(guards.condition(rule, snapshot, why))
        return why

    async def plan(self, seen: Plan | None = None) -> Plan:
        """Plan by the queue as it is now; of what a person has `seen`, nothing else goes.

        But of a whole queue, as the person was shown, what came meanwhile: it must be within the
        bounds.
        """
        rule, context = self.rule, self.context
        if rule.action in ON_SERVICE:
            self.planned = Plan(reason=f"{rule.service}")
            return self.planned
        try:
            listing = await context.list(ListQuery(rule.selector, rule.max_messages))
        except PanelError as error:
            raise Blocked(guards.not_listed(error)) from None
        check(clock_block(listing.clock_skew, rule.selector, rule.when))
        plan = plan_of(rule, listing, self._approved)
        plan = plan.by_id_where_it_costs_little(rule.action, context.parallel)
        whole_queue = rule.action == "purge_all"
        self.planned = plan if seen is None or whole_queue else seen.as_seen(plan)
        return self.planned

    @asynccontextmanager
    async def about_to_begin(self, turn: ExitStack) -> AsyncIterator[None]:
        """Pass silences and guards once more; the turn is held as long as the action takes.

        One execution at a time over the fleet: else each of two would be the last that a limit
        allows.
        """
        check(await self._silenced())
        with ExitStack() as alone:
            for _ in range(TRIES_TO_BEGIN):
                if self._hold_one(alone, [FLEET]):
                    break
                await self.context.sleep(A_MOMENT)
            else:
                raise Blocked(guards.OTHERS_BEGIN)
            check(await self._guards())  # the approval that there was may count no more
            # One of the actions that may run at once, counting those of other processes.
            limit = self.config.limits.actions_at_once
            if not self._hold_one(turn, (f"{TURN}{number}" for number in range(limit))):
                raise Blocked(guards.no_turn(limit, limit))
            yield

    def _hold_one(self, held: ExitStack, keys: Iterable[str]) -> bool:
        for key in keys:
            with suppress(HostBusyError):
                held.enter_context(self.context.locks.hold(key))
                return True
        return False

    def intent(self, plan: Plan, why: Why) -> tuple[str, IntentRecord]:
        """Return the text of the intent, and what is known of it before the plan."""
        intent = IntentRecord(
            why={**why, **self.request.why},
            for_seconds=self.rule.hold,
            approval=True if self._approved is not None else None,
        )
        return f"About to {self.spec.describe(plan)}: {guards.shown(why)}.", intent

    async def before_message(self) -> Block | None:
        """Return what speaks against the next message; None when nothing does."""
        began = InForce(self.config, self.rule)
        inputs = await self.inputs()
        block = guards.before_message(began, inputs)
        if block is not None or self.context.monotonic() < self._ask_silences_at:
            return block
        rule = (inputs.in_force or began).rule
        if rule is None or not rule.respect_silences:
            return None
        asked_at = self.context.monotonic()
        block = guards.silenced(await ask_silences(self.context, rule))
        ended_at = self.context.monotonic()
        rest = min(SILENCE_REST, SILENCE_SHARE * (ended_at - asked_at))
        self._ask_silences_at = ended_at + rest
        # The reply may have taken its time.
        return block or guards.before_message(began, await self.inputs())

    async def _guards(self) -> Block | None:
        """Pass every guard; what is returned is only that nobody was asked to approve it yet."""
        inputs = await self.inputs()
        block = guards.first_block(self.rule, self.config, inputs)
        facts = inputs.rule
        if facts is not None and facts.approval == "approved":
            seen = {message.id: message for message in facts.approved}
            self._approved = Sighting(facts.approved_listed_at, seen)
        if block is None or block.guard is not Guard.APPROVAL or facts is None or facts.approval:
            check(block)
            return None
        check(guards.first_block(self.rule, self.config, inputs, approval=False))
        return block

    async def _silenced(self) -> Block | None:
        """Ask the Alertmanagers: the other guards look at this machine alone, and cost nothing."""
        return guards.silenced(await ask_silences(self.context, self.rule))
