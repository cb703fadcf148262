"""One action on one host: its intent, and the requests that carry it out, each written down."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import Protocol

from exporter.config.remediation import ON_SERVICE
from exporter.config.selectors import EVERYTHING
from exporter.journal import Entry, Journal, Kind
from exporter.journal.records import IntentRecord, ReplyRecord
from exporter.panel.errors import PanelError
from exporter.panel.protocol import MessageCommand, Operation
from exporter.remediation import actions, guards
from exporter.remediation.actions import OnResult, RequestResult, Sender, with_the_rest
from exporter.remediation.context import HostContext
from exporter.remediation.guards import Block
from exporter.remediation.listing import Listing, ListQuery
from exporter.remediation.plan import BATCH, ActionSpec, Omission, Plan, held_against
from exporter.snapshot import Message

Why = Mapping[str, float | None]
"""What each condition of a rule said, by its words."""


def intent_entry(
    context: HostContext, spec: ActionSpec, actor: str, *, mode: str, rule: str = ""
) -> Entry:
    """Return what all entries of an execution share, with a number of its own."""
    return Entry(
        Kind.INTENT,
        run=uuid.uuid4().hex,
        host=context.host,
        panel=context.panel,
        rule=rule,
        action=spec.action,
        mode=mode,
        actor=actor,
    )


class Job(Protocol):
    """What is to be done to a host, at whose request, and what must hold before each step.

    Each step raises Blocked where a guard blocks.
    """

    spec: ActionSpec
    base: Entry
    """What all entries of the journal share: requester, mode, rule, run."""

    async def before_polling(self) -> Block | None:
        """Pass the guards; what is returned is only that nobody was asked for approval yet."""

    async def condition(self) -> Why:
        """Poll the host and see that the rule's condition holds; return what it reads."""

    async def plan(self, seen: Plan | None = None) -> Plan:
        """List the queue and plan; with the plan that a person has `seen`, what is left of it."""

    def about_to_begin(self, turn: ExitStack) -> AbstractAsyncContextManager[None]:
        """Pass the guards again and enter a turn; within it no other action begins."""

    def intent(self, plan: Plan, why: Why) -> tuple[str, IntentRecord]:
        """Return the text of the intent, and what is known of it before the plan."""

    async def before_message(self) -> Block | None:
        """Return what blocks the next request, right before it is sent."""


async def _go_on(_: RequestResult) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Hooks:
    """How a person takes part in an execution."""

    confirm: Callable[[Plan], Awaitable[bool]] | None = None
    """Show the plan and ask whether to go on; None where nobody is asked."""
    on_begin: Callable[[Plan], None] = lambda _: None
    """Called right before the intent is written: until then nothing was done."""
    on_result: OnResult = _go_on
    """Called for each result once it is written down; whether to go on with the next message."""


NO_HOOKS = Hooks()


@dataclass(eq=False)
class Execution:
    """One job with its plan, from the intent to the outcome: what the steps share."""

    context: HostContext
    job: Job
    plan: Plan
    hooks: Hooks = NO_HOOKS
    stopped: Block | None = None
    """What has stopped it in the middle."""
    omissions: list[Omission] = field(default_factory=list)
    """What was planned and not asked for, since it is not what was planned any more."""

    @property
    def spec(self) -> ActionSpec:
        """What is to be done."""
        return self.job.spec

    @property
    def dry_run(self) -> bool:
        """Whether nothing is sent that changes anything."""
        return self.job.base.mode == "dry_run"

    async def begin(self, why: Why) -> None:
        """Write down what is about to be done; it is on the disk when this returns.

        Raises:
            JournalError: it is not, so that nothing may be done.
        """
        spec, plan = self.spec, self.plan
        text, intent = self.job.intent(plan, why)
        intent = intent.replace(planned=len(plan.messages), reason=plan.reason)
        if spec.action in ON_SERVICE:
            intent = intent.replace(service=spec.service)
        else:
            whole, withheld = plan.as_a_whole, plan.withheld or None
            intent = intent.replace(as_a_whole=whole, listed_at=plan.listing.at, withheld=withheld)
        if spec.verify is not None:
            intent = intent.replace(verify=tuple(map(str, spec.verify.expect)))
        await self.write(Kind.INTENT, text=text, detail=intent.to_detail(), plan=plan)

    async def write(
        self,
        kind: Kind,
        *,
        text: str,
        outcome: str = "",
        detail: Mapping[str, object] | None = None,
        plan: Plan | None = None,
    ) -> Entry:
        """Write an entry of this execution.

        Raises:
            JournalError: it was not written.
        """
        entry = replace(self.job.base, kind=kind, outcome=outcome, text=text, detail=detail or {})
        messages = plan.messages if plan is not None else ()
        return await self.context.journal.do(lambda journal: journal.add(entry, messages))

    async def write_result(self, result: RequestResult) -> bool:
        """Write down what a request came to; whether to go on."""
        reason = None if result.reason is None else result.reason.value
        detail = ReplyRecord(result.message_id or None, reason).to_detail()
        await self.write(Kind.REPLY, outcome=result.what, text=result.text, detail=detail)
        return await self.hooks.on_result(result)

    async def omit(self, omissions: Sequence[Omission]) -> None:
        """Write down what is not asked for, since it is not what was planned any more."""
        self.omissions += omissions
        base = replace(self.job.base, kind=Kind.REPLY)

        def write(journal: Journal) -> None:
            for each in omissions:
                detail = ReplyRecord(each.message_id).to_detail()
                journal.add(replace(base, outcome=each.what, text=each.why, detail=detail))

        if omissions:
            await self.context.journal.do(write)

    async def may_send(self) -> bool:
        """Return whether the next request may be sent; once it may not, none may."""
        if self.stopped is None:
            self.stop(self._ending() or await self.job.before_message() or self._ending())
        return self.stopped is None

    def stop(self, block: Block | None) -> None:
        """Keep what stops it; of several that ask at once another may have met a block before."""
        self.stopped = self.stopped or block

    def _ending(self) -> Block | None:
        return guards.ENDING if self.context.ends.is_set() else None


async def act(execution: Execution) -> list[RequestResult]:
    """Send what was planned, and write each result down; a dry run sends nothing.

    Raises:
        JournalError: a result could not be written down; no further message was sent.
    """
    if execution.dry_run:
        return []
    if execution.spec.action not in ON_SERVICE and not execution.plan.as_a_whole:
        return await _by_id(execution)
    result = await _one_request(execution)
    if result.what != "not_asked":
        await execution.write_result(result)
    return [result]


async def _one_request(execution: Execution) -> RequestResult:
    spec, client, before = execution.spec, execution.context.client, execution.may_send
    if not await before():
        return RequestResult("not_asked")
    if spec.action in ON_SERVICE:
        return await actions.switch_service(client, spec.service, before, on=spec.turns_on)
    all_mail = spec.action == "purge_all"
    operation = Operation.DELETE_ALL if all_mail else Operation.DELETE_FROZEN
    return await actions.request_action(client, operation, before, force=all_mail and spec.force)


async def _by_id(execution: Execution) -> list[RequestResult]:
    """Send for each message that still is what was planned; `not_asked` for the rest.

    Before each batch the plan is held against the queue as it is: a plan of 10,000 messages takes
    hours at a panel's usual speed, and by then a message may have been thawed to be rescued, or
    its id may be another message's. The list that the plan was made from serves the first batch,
    if it is fresh.
    """
    context, spec, plan = execution.context, execution.spec, execution.plan
    sender = Sender(
        context.client,
        MessageCommand.RESHIP if spec.action == "retry" else MessageCommand.DELETE,
        parallel=context.parallel,
        on_result=execution.write_result,
        before=execution.may_send,
        monotonic=context.monotonic,
    )
    results: list[RequestResult] = []
    pending: Sequence[Message] = plan.messages
    heard = plan.listing.heard
    while pending and not sender.stopped:
        if heard is None or context.monotonic() + sender.seconds > heard + BATCH:
            fresh = await _list_again(execution, pending)
            if fresh is None:
                break
            heard = context.monotonic() if fresh.heard is None else fresh.heard
            pending, omitted = held_against(pending, plan, spec.selector, fresh)
            await execution.omit(omitted)
        sent = await sender.send(pending, until=heard + BATCH)
        results += sent
        asked = {result.message_id for result in sent}
        pending = [message for message in pending if message.id not in asked]
    return with_the_rest(results, pending)


async def _list_again(execution: Execution, pending: Sequence[Message]) -> Listing | None:
    """List the queue; None, and the execution is stopped, when it cannot be had as a whole."""
    watch = frozenset(message.id for message in pending)
    try:
        listing = await execution.context.list(ListQuery(EVERYTHING, 0, watch))
    except PanelError as error:
        execution.stop(guards.not_listed(error, again=True))
        return None
    block = guards.not_whole_again(listing)
    execution.stop(block)
    return listing if block is None else None
