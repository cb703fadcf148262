"""How an action ended: list again, verify, and the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from exporter.conditions import Measurements
from exporter.config.remediation import ON_SERVICE, Verify
from exporter.config.selectors import EVERYTHING
from exporter.humanize import guess_words
from exporter.journal import Entry, Kind, Outcome
from exporter.journal.records import OutcomeRecord
from exporter.panel.errors import PanelError
from exporter.remediation import actions
from exporter.remediation.acting import Execution
from exporter.remediation.actions import RequestResult
from exporter.remediation.context import HostContext
from exporter.remediation.guards import FAILED_VERIFICATIONS
from exporter.remediation.listing import ListQuery
from exporter.remediation.outcome import (
    ActionOutcome,
    QueueDiff,
    nothing_asked,
    outcome_of_messages,
    queue_diff,
    stopped_by,
    was_meant_to_stop,
)
from exporter.snapshot import HostGoneError, Reason

LIST_AGAIN_AFTER = 5.0
"""Seconds after which a list that could not be had after an action is asked for once more."""

LACKING_AGAIN_AFTER = 1.0
"""The same for one that lacked a part of the queue: of a busy one mail may have come and gone
between the count and the list."""

LISTS_THAT_LACK = 3
"""So many are taken before nothing is known."""

VERIFY_EVERY = 15.0
"""Seconds between two polls while waiting for what `verify` expects."""


async def conclude(execution: Execution, results: Sequence[RequestResult]) -> Entry:
    """List again, verify, and write down how it ended.

    Raises:
        JournalError: it was not written; it is settled later by listing.
    """
    outcome = await _outcome(execution, results)
    # Before the outcome: with that the run is over, and nobody would stop the rule any more.
    if reason := await _reason_to_stop(execution, outcome):
        await execution.write(Kind.STOPPED, text=f"Stopped: {reason}")
    detail = outcome.record.to_detail()
    return await execution.write(
        Kind.OUTCOME, outcome=outcome.outcome, text=outcome.text, detail=detail
    )


async def _outcome(execution: Execution, results: Sequence[RequestResult]) -> ActionOutcome:
    spec, plan = execution.spec, execution.plan
    if execution.dry_run:
        record = OutcomeRecord(planned=len(plan.messages))
        return ActionOutcome(Outcome.DRY_RUN, f"Would {spec.describe(plan)}.", record)
    if spec.action in ON_SERVICE:
        return await _of_service(execution, results[0])
    return await _of_messages(execution, results)


async def _reason_to_stop(execution: Execution, outcome: ActionOutcome) -> str:
    """Return why the rule must not act again until a person says so; "" when it may."""
    base, context = execution.job.base, execution.context
    if not base.rule:
        return ""
    if outcome.record.frozen_gone_beyond_the_plan:
        # Exim removes frozen mail by itself, too: a person must see which of the two it was.
        return (
            "frozen messages were lost that were not meant, by this action or by the "
            "mail server itself (Exim: timeout_frozen_after)."
        )
    if outcome.outcome is Outcome.UNVERIFIED:
        facts = await context.journal.do(
            lambda journal: journal.rule_facts(context.host, base.rule, context.panel)
        )
        failed = facts.failed_verifications + 1
        if failed >= FAILED_VERIFICATIONS:
            return f"{failed} verifications in a row failed."
    return ""


async def _of_messages(execution: Execution, results: Sequence[RequestResult]) -> ActionOutcome:
    refused = next((r for r in results if r.reason is Reason.UNSUPPORTED), None)
    if refused is not None and execution.job.base.rule:
        await execution.write(Kind.DISABLED, text=f"Disabled here: {refused.text}")
    done_at = execution.context.monotonic()
    acted = any(result.what not in {"failed", "not_asked"} for result in results)
    asked = any(result.what != "not_asked" for result in results)
    seen = await _list_again(execution) if asked or execution.omissions else None
    waits = acted and not was_meant_to_stop(execution.stopped)
    verify = execution.spec.verify if waits else None
    effect = await effect_of(execution.context, verify, done_at)
    outcome = outcome_of_messages(
        execution.spec.action,
        execution.plan,
        results,
        seen,
        expected=effect.expected,
        omissions=execution.omissions,
        stopped=execution.stopped,
    )
    return _with_doubt(execution, outcome, effect)


async def _of_service(execution: Execution, result: RequestResult) -> ActionOutcome:
    context, service = execution.context, execution.spec.service
    record = OutcomeRecord(reply=result.what)
    if result.what == "not_asked":
        record = record.replace(stopped_by=stopped_by(execution.stopped))
        return nothing_asked(execution.stopped, record)
    if result.what == "failed":
        return ActionOutcome(Outcome.FAILED, f"Nothing was done. {result.text}", record)
    done_at = context.monotonic()
    try:
        state = await actions.service_state(context.client, service)
    except PanelError as error:
        text = f"Whether {service} runs could not be seen afterwards: {error}"
        return ActionOutcome(Outcome.UNKNOWN, text, record)
    text = f"{service} {state.words}."
    good = state.running is execution.spec.turns_on
    effect = await effect_of(context, execution.spec.verify, done_at)
    if effect.expected is False:
        good = False
        text += " What verify expects did not come true."
    outcome = ActionOutcome(Outcome.OK if good else Outcome.UNVERIFIED, text, record)
    return _with_doubt(execution, outcome, effect)


async def _list_again(execution: Execution) -> QueueDiff | None:
    """Return what became of the plan by a list taken now; None when no list shows it."""
    context, failed, lacking = execution.context, 0, 0
    while True:
        try:
            after = await context.list(ListQuery(EVERYTHING, 0, execution.plan.ids))
        except PanelError:
            failed += 1
            if failed > 1 or context.ends.is_set():
                return None
            await context.pause(LIST_AGAIN_AFTER)
            continue
        seen = queue_diff(execution.plan, after)
        if seen is not None or not after.is_whole or not after.unlisted:
            return seen
        lacking += 1
        if lacking >= LISTS_THAT_LACK or context.ends.is_set():
            return None
        await context.pause(LACKING_AGAIN_AFTER)


@dataclass(frozen=True, slots=True)
class Effect:
    """Whether what `verify` expects has come true."""

    expected: bool | None
    """None when nothing is expected, or that could not be seen."""
    guessed: tuple[str, ...] = ()
    """Fields, only guessed, that keep it from being known."""
    unseen: bool = False
    """Whether the host could not be polled to its end."""


async def effect_of(context: HostContext, verify: Verify | None, done_at: float) -> Effect:
    """Wait for what `verify` expects until its time is up, which counts from `done_at`.

    What is not known until then, or only by a guess, has not come true. The last poll begins when
    the time is up, however long the ones before it took.
    """
    if verify is None:
        return Effect(None)
    until = done_at + verify.within
    while not context.ends.is_set():
        left = until - context.monotonic()
        try:
            measurements = Measurements(await context.poll())
        except HostGoneError:
            break
        holds = measurements.hold(verify.expect, certain=True)
        if holds:
            return Effect(expected=True)
        if left <= 0:
            guessed = measurements.guessed(verify.expect) if holds is None else ()
            return Effect(expected=False, guessed=tuple(guessed))
        await context.pause(max(0.0, min(VERIFY_EVERY, until - context.monotonic())))
    return Effect(None, unseen=True)


def _with_doubt(execution: Execution, outcome: ActionOutcome, effect: Effect) -> ActionOutcome:
    """Add why it is not known whether the effect came true."""
    if effect.guessed:
        text = f"{outcome.text} {guess_words(execution.context.host, effect.guessed)}"
        return replace(outcome, text=text, record=outcome.record.replace(guessed=effect.guessed))
    if not effect.unseen:
        return outcome
    why = "the host left the config, or the daemon was ended"
    text = f"{outcome.text} What verify expects could not be looked at: {why}."
    result = Outcome.UNKNOWN if outcome.outcome is Outcome.OK else outcome.outcome
    return replace(outcome, outcome=result, text=text)
