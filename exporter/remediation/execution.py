"""One action on one host, on one page: every step in its order; each may end it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from exporter.config.remediation import RemediationConfig, RemediationRule
from exporter.journal import Entry, JournalError, Kind
from exporter.journal.records import RequestRecord
from exporter.remediation import guards
from exporter.remediation.acting import NO_HOOKS, Execution, Hooks, Job, Why, act
from exporter.remediation.conclusion import conclude
from exporter.remediation.context import HostContext
from exporter.remediation.guards import Block, Blocked, action_text
from exporter.remediation.plan import Plan
from exporter.remediation.recovery import recover_unfinished
from exporter.remediation.requests import Request
from exporter.remediation.rule_job import Inputs, RuleJob


class Declined(Exception):  # noqa: N818 - no error: a person said no
    """A person was asked, and said no."""


class UnfinishedError(JournalError):
    """The journal failed after the intent: what was done is only known once it is settled."""


async def execute(context: HostContext, job: Job, hooks: Hooks = NO_HOOKS) -> Entry:
    """Do a job on a host unless a guard blocks; return the outcome.

    Whoever wants it: a rule, an alert, a person by an approval or by hand.

    Raises:
        Blocked: a guard blocks; nothing was done.
        Declined: a person said no.
        HostBusyError, LockFileError: somebody else is at work on the host, or that is not known.
        UnsettledError: what became of an earlier action is not known.
        HostGoneError: the host left the config, or the daemon ends.
        UnfinishedError: the journal failed after the intent.
        JournalError: it failed before, so that nothing was done.
    """
    with context.locks.hold(context.panel.url):  # alone on the host
        await recover_unfinished(context)  # 0 what a dead process left
        waits = await job.before_polling()  # 1 guards and silences; or a person must allow it
        why = await job.condition()  # 2 a poll that is no older than this, by which it must hold
        plan = await job.plan()  # 3 exactly these messages
        if waits is not None:
            await _request_approval(Execution(context, job, plan), why)
            raise Blocked(waits)
        plan = await _confirm(job, plan, hooks)
        execution = Execution(context, job, plan, hooks)
        with ExitStack() as turn:  # one of the actions that may run at once
            async with job.about_to_begin(turn):  # silences and guards again: time has passed
                hooks.on_begin(plan)
                await execution.begin(why)  # 4 intent and plan are durable, or nothing happens
            try:
                results = await act(execution)  # 5 guards before each message, each result written
                return await conclude(execution, results)  # 6 list again, verify, outcome
            except JournalError as error:
                raise UnfinishedError(str(error)) from error


async def _request_approval(execution: Execution, why: Why) -> None:
    """Ask a person to allow this plan; until then nothing is done."""
    spec, plan = execution.spec, execution.plan
    asks = RequestRecord(
        why=why,
        planned=len(plan.messages),
        action_text=action_text(spec.action, spec.service, spec.force),
        listed_at=plan.listing.at,
    )
    text = f"Asks to {spec.describe(plan)}."
    await execution.write(Kind.APPROVAL_REQUESTED, text=text, detail=asks.to_detail(), plan=plan)


async def _confirm(job: Job, plan: Plan, hooks: Hooks) -> Plan:
    """Show a person the plan; what of it stands once it was thought about."""
    if hooks.confirm is None:
        return plan
    if not await hooks.confirm(plan):
        raise Declined
    return await job.plan(plan) if plan.as_a_whole else plan


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """What came of an execution for a rule: a block, or an outcome."""

    block: Block | None = None
    outcome: Entry | None = None
    plan: Plan | None = None


async def execute_rule(
    context: HostContext,
    config: RemediationConfig,
    rule: RemediationRule,
    request: Request,
    inputs: Inputs,
    hooks: Hooks = NO_HOOKS,
) -> ExecutionResult:
    """Execute what a rule does; whatever keeps it from it is a block.

    Raises:
        Declined: a person said no.
    """
    job = RuleJob(context, config, rule, request, inputs)
    try:
        return ExecutionResult(outcome=await execute(context, job, hooks), plan=job.planned)
    except Blocked as blocked:
        block = blocked.block
    except guards.ERRORS as error:
        block = guards.of_error(error)
    return ExecutionResult(block, plan=job.planned)
