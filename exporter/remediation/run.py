"""One run of one rule on one host: every step in its order, each of which may end it."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from exporter.conditions import Measurements, failures_behind, readings
from exporter.config.remediation import ON_SERVICE, RemediationConfig, RemediationRule
from exporter.humanize import guess_words
from exporter.journal import Actor, Entry, JournalError, Kind, Outcome
from exporter.journal.entries import Guard
from exporter.journal.host_lock import FLEET, TURN, HostBusyError, HostLocks, LockFileError
from exporter.panel.errors import PanelError
from exporter.remediation.guards import (
    FAILED_VERIFICATIONS,
    Block,
    GuardInputs,
    clock_block,
    deed_of,
    effective_mode,
    first_block,
    own_clock_block,
)
from exporter.remediation.identity import Sighting
from exporter.remediation.plan import ActionOutcome, Plan, plan_of
from exporter.remediation.silence_guard import silence_of
from exporter.remediation.under_way import UnderWay
from exporter.remediation.work import (
    EVERYTHING,
    ActionSpec,
    Execution,
    HostContext,
    OnAnswer,
    settle,
)
from exporter.snapshot import HostGoneError, HostSnapshot

TRIES_TO_BEGIN = 100
A_MOMENT = 0.05
"""Seconds between two of them; each run is at it for the time of one write."""


@dataclass(frozen=True, slots=True)
class Request:
    """Who wants a rule to act, and why."""

    actor: Actor = Actor.RULE
    who: str = ""
    """The user's or the alert's name."""
    why: Mapping[str, object] = field(default_factory=dict)
    """What was asked with, beside the rule's own readings."""
    dry_run: bool = False
    """Not to act although the mode would allow it."""

    @property
    def signature(self) -> str:
        """The actor as the journal names it."""
        return f"{self.actor}:{self.who}" if self.who else self.actor.value


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run: a block, or an outcome."""

    block: Block | None = None
    outcome: Entry | None = None
    plan: Plan | None = None


Look = Callable[[], Awaitable[GuardInputs]]
"""Tells the guards' situation as it is now."""

Confirm = Callable[[Plan], Awaitable[bool]]
"""Asks a person, who sees the plan, whether to go on."""

OnBegin = Callable[[Plan], None]
"""Called right before the intent is written: until then nothing was done."""


class _BlockedError(Exception):
    """Ends a run before it has acted."""

    def __init__(self, block: Block, plan: Plan | None = None) -> None:
        super().__init__(block.reason)
        self.block = block
        self.plan = plan


class Declined(Exception):  # noqa: N818 - no error: a person said no
    """The person who was asked said no."""


async def run_rule(
    bench: HostContext,
    locks: HostLocks,
    config: RemediationConfig,
    rule: RemediationRule,
    request: Request,
    look: Look,
    *,
    confirm: Confirm | None = None,
    on_begin: OnBegin | None = None,
    on_answer: OnAnswer | None = None,
) -> Result:
    """Let a rule act on a host if nothing speaks against it.

    The order: alone on the host; what an earlier process left is settled; guards, and silences;
    poll again and list again; the plan; silences and guards once more; intent and plan are
    durable; act, asking the guards before each message; list again; verify; the outcome is
    durable.

    Raises:
        Declined: `confirm` said no.
    """
    run = _Run(bench, locks, config, rule, request, look)
    run.on_begin, run.on_answer = on_begin, on_answer
    try:
        with locks.hold(bench.panel.url):
            return await run.to_its_end(confirm)
    except HostBusyError:
        return Result(Block(Guard.HOST_BUSY, "Another action is under way on this host."))
    except LockFileError as error:
        return Result(Block(Guard.HOST_BUSY, str(error)))
    except JournalError as error:
        return Result(Block(Guard.JOURNAL, str(error)), plan=run.plan)
    except HostGoneError:
        return Result(Block(Guard.CONDITION, "The host left the config."), plan=run.plan)
    except _BlockedError as blocked:
        return Result(blocked.block, plan=blocked.plan)


async def settle_what_was_left(bench: HostContext) -> bool:
    """Find out what became of actions on a panel whose process ended in the middle.

    Only for who holds the panel's lock: then every intent without an outcome is such a one.

    Returns:
        Whether there was any.

    Raises:
        PanelError: the panel could not be asked.
        HostGoneError: the host left the config, or the daemon ends.
        JournalError: the journal cannot be read or written.
    """
    left = await bench.journal.do(lambda journal: journal.unsettled(bench.host, bench.panel))
    for unsettled in left:
        await settle(bench, unsettled)
    return bool(left)


class _Run:
    def __init__(
        self,
        bench: HostContext,
        locks: HostLocks,
        config: RemediationConfig,
        rule: RemediationRule,
        request: Request,
        look: Look,
    ) -> None:
        self.bench = bench
        self.locks = locks
        self.config = config
        self.rule = rule
        self.request = request
        self.look = look
        self.on_begin: OnBegin | None = None
        self.on_answer: OnAnswer | None = None
        self.plan: Plan | None = None
        self.approved: Sighting | None = None
        """The only messages that a person has allowed; None where nobody needs to."""
        dry = request.dry_run or effective_mode(config) != "enforce"
        self.base = Entry(
            Kind.INTENT,
            run=uuid.uuid4().hex,
            host=bench.host,
            rule=rule.name,
            action=rule.action,
            mode="dry_run" if dry else "enforce",
            actor=request.signature,
            panel=bench.client.host.panel,
        )

    async def to_its_end(self, confirm: Confirm | None) -> Result:
        try:
            await settle_what_was_left(self.bench)
        except PanelError as error:
            reason = (
                "What became of an earlier action, whose process ended in the middle, "
                f"cannot be told yet: {error}"
            )
            raise _BlockedError(Block(Guard.UNSETTLED, reason)) from None
        waits = await self._guards()
        await self._demand_no_silence()
        snapshot = await self.bench.poll(self.bench.host)
        why = readings(snapshot, self.rule.when)
        skew = snapshot.clock_skew
        selector = EVERYTHING if self.rule.action in ON_SERVICE else self.rule.selector
        clocks = clock_block(skew, selector, self.rule.when)
        clocks = clocks or own_clock_block(skew, (await self.look()).skews)
        if clocks is not None:
            raise _BlockedError(clocks)
        self._demand_that_it_holds(snapshot, why)
        plan = self.plan = await self._make_plan()
        spec = ActionSpec.of(self.rule)
        work = self._work(spec, plan)
        if waits is not None:
            text = f"Asks to {spec.describe(plan)}."
            detail = {"why": why, "planned": len(plan.messages), "deed": deed_of(self.rule)}
            detail["listed_at"] = plan.at
            await work.write(Kind.APPROVAL_REQUESTED, text=text, detail=detail, plan=plan)
            raise _BlockedError(waits, plan)
        if confirm is not None:
            if not await confirm(plan):
                raise Declined
            self.plan = await self._as_seen(plan)
            work = self._work(spec, self.plan)
        return Result(outcome=await self._carry_out(work, spec, why), plan=self.plan)

    def _work(self, spec: ActionSpec, plan: Plan) -> Execution:
        under_way = UnderWay(self.bench, self.config, self.rule, self.look)
        on_answer = {} if self.on_answer is None else {"on_answer": self.on_answer}
        return Execution(self.bench, spec, plan, self.base, before=under_way.block, **on_answer)

    def _demand_that_it_holds(
        self, snapshot: HostSnapshot, why: Mapping[str, float | None]
    ) -> None:
        """The rule's `when`, by a poll that is no older than the run; a guess is no knowledge."""
        figures, when = Measurements(snapshot), self.rule.when
        verdict = figures.hold(when, self.rule.service, certain=True)
        if verdict is True:
            return
        if verdict is None and figures.hold(when) is not None:
            raise _BlockedError(layout_block(self.bench.host, figures.guessed(when), why))
        unsure = verdict is None
        found = "cannot be told whether it holds" if unsure else "does not hold"
        failures = failures_behind(snapshot, when) if unsure else ()
        words = " ".join(f"{failure.message} {failure.hint}" for failure in failures)
        reason = f"Looked at again, it {found}: {shown(why)}. {words}".rstrip()
        raise _BlockedError(Block(Guard.CONDITION, reason))

    async def _carry_out(
        self, work: Execution, spec: ActionSpec, why: Mapping[str, float | None]
    ) -> Entry:
        assert self.plan is not None  # noqa: S101 - made before
        text = f"About to {spec.describe(self.plan)}: {shown(why)}."
        with ExitStack() as turn:
            await self._begin(work, text, why, turn)
            return await self._act(work, spec, self.plan)

    async def _act(self, work: Execution, spec: ActionSpec, plan: Plan) -> Entry:
        if self.base.mode == "dry_run":
            verdict = ActionOutcome(
                Outcome.DRY_RUN,
                f"Would {spec.describe(plan)}.",
                {"planned": len(plan.messages)},
            )
        else:
            verdict = await work.act()
        # Before the outcome: with that the run is over, and nobody would stop it any more.
        await self._stop_if_needed(work, verdict)
        return await work.conclude(verdict)

    async def _begin(
        self, work: Execution, text: str, why: Mapping[str, float | None], turn: ExitStack
    ) -> None:
        """The guards once more, for time has passed, and the intent; `turn` holds it afterwards.

        One run at a time over the fleet: else each of two would be the last that a limit allows.
        """
        await self._demand_no_silence()
        for _ in range(TRIES_TO_BEGIN):
            with suppress(HostBusyError), self.locks.hold(FLEET):
                waits = await self._guards()
                if waits is not None:  # the approval that there was counts no more
                    raise _BlockedError(waits, self.plan)
                self._take_turn(turn)
                detail: dict[str, object] = {
                    "why": {**why, **self.request.why},
                    "for_seconds": self.rule.hold,
                }
                if self.approved is not None:
                    detail["approval"] = True
                if self.on_begin is not None and self.plan is not None:
                    self.on_begin(self.plan)
                await work.intend(text, detail)
                return
            await self.bench.sleep(A_MOMENT)
        reason = "Other actions are about to begin."
        raise _BlockedError(Block(Guard.ACTIONS_AT_ONCE, reason), self.plan)

    def _take_turn(self, turn: ExitStack) -> None:
        """Be one of the actions that may run at once, counting those of other processes."""
        limit = self.config.limits.actions_at_once
        for number in range(limit):
            with suppress(HostBusyError):
                turn.enter_context(self.locks.hold(f"{TURN}{number}"))
                return
        reason = f"{limit} actions are under way; actions_at_once is {limit}."
        raise _BlockedError(Block(Guard.ACTIONS_AT_ONCE, reason), self.plan)

    async def _guards(self) -> Block | None:
        """Ask every guard; what is returned is only that nobody was asked to approve it yet."""
        inputs = await self.look()
        block = first_block(self.rule, self.config, inputs)
        facts = inputs.rule
        if facts is not None and facts.approval == "approved":
            seen = {message.id: message for message in facts.approved}
            self.approved = Sighting(facts.approved_listed_at, seen)
        if block is None:
            return None
        if block.guard is Guard.APPROVAL and facts is not None and not facts.approval:
            other = first_block(self.rule, self.config, inputs, approval=False)
            if other is None:
                return block
            block = other
        raise _BlockedError(block)

    async def _demand_no_silence(self) -> None:
        """A guard of its own: the others look at this machine alone, and cost nothing."""
        block = await silence_of(self.bench.alertmanagers(), self.bench.client.host, self.rule)
        if block is not None:
            raise _BlockedError(block, self.plan)

    async def _make_plan(self) -> Plan:
        rule = self.rule
        if rule.action in ON_SERVICE:
            return Plan(reason=f"{rule.service}")
        try:
            listing = await self.bench.list(rule.selector, most=rule.max_messages)
        except PanelError as error:
            reason = f"The queue could not be listed: {error}"
            raise _BlockedError(Block(Guard.LISTING, reason)) from None
        block = clock_block(listing.clock_skew, rule.selector, rule.when)
        if block is not None:
            raise _BlockedError(block)
        plan = plan_of(rule, listing, self.approved)
        if isinstance(plan, Block):
            raise _BlockedError(plan)
        return plan.by_id_where_it_costs_little(rule.action, self.bench.parallel)

    async def _as_seen(self, plan: Plan) -> Plan:
        """The plan once a person has thought about it: nothing goes that he has not seen.

        But of a whole queue, as he was told, what came meanwhile: it must be within the bounds.
        """
        if not plan.as_a_whole:
            return plan
        now = await self._make_plan()
        return now if self.rule.action == "purge_all" else plan.as_seen(now)

    async def _stop_if_needed(self, work: Execution, verdict: ActionOutcome) -> None:
        if verdict.detail.get("frozen_gone_beyond_the_plan"):
            # Exim removes frozen mail by itself, too: a person must tell the two apart.
            text = (
                "Stopped: frozen messages were lost that were not meant, by this action or by the "
                "mail server itself (Exim: timeout_frozen_after)."
            )
            await work.write(Kind.STOPPED, text=text)
        elif verdict.outcome is Outcome.UNVERIFIED:
            name, host, panel = self.rule.name, self.bench.host, self.bench.panel
            facts = await self.bench.journal.do(
                lambda journal: journal.rule_facts(host, name, panel)
            )
            failed = facts.failed_verifications + 1
            if failed >= FAILED_VERIFICATIONS:
                text = f"Stopped: {failed} verifications in a row failed."
                await work.write(Kind.STOPPED, text=text)


def layout_block(host: str, fields: Collection[str], why: Mapping[str, object]) -> Block:
    """That conditions rest on fields that are only guessed, with what they would say."""
    told = {name: value for name, value in why.items() if isinstance(value, float | int | None)}
    return Block(Guard.LAYOUT, f"{guess_words(host, fields)} Guessed: {shown(told)}.")


def shown(why: Mapping[str, float | None]) -> str:
    """Readings in words: `queue_frozen_messages > 500 (612)`."""
    parts = [
        f"{condition} ({'not told' if told is None else f'{told:g}'})"
        for condition, told in why.items()
    ]
    return ", ".join(parts) or "it was asked for"
