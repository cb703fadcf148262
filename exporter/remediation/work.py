"""Doing what was decided: the intent, the act, the list after it, the outcome; all journalled.

The same for rules and for what a person does by hand.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from exporter.conditions import Measurements, holds
from exporter.config.conditions import parse_condition
from exporter.config.remediation import ON_SERVICE, Action, RemediationRule, Verify
from exporter.config.selectors import Selector
from exporter.humanize import guess_words, integer
from exporter.journal import Entry, Journal, Kind, Outcome, Unsettled
from exporter.journal.entries import Guard
from exporter.journal.records import IntentRecord, ReplyRecord
from exporter.journal.thread import JournalThread
from exporter.panel.client import PanelClient
from exporter.panel.errors import PanelError
from exporter.panel.protocol import MessageCommand
from exporter.panel.queue_decoder import QueueDecoder
from exporter.remediation import actions
from exporter.remediation.actions import RequestResult, Sender
from exporter.remediation.by_id import ById
from exporter.remediation.guards import Block
from exporter.remediation.listing import Listing, ask_listing
from exporter.remediation.orphans import outcome_unseen
from exporter.remediation.plan import (
    ActionOutcome,
    Omission,
    Plan,
    QueueDiff,
    gone_of,
    nothing_asked,
    ours,
    queue_diff,
    still_there,
    stopped_by,
    verdict_on_messages,
    was_meant_to_stop,
)
from exporter.remediation.silence_guard import KnowsSilences
from exporter.snapshot import HostGoneError, HostSnapshot, Message, PanelId, Reason

LIST_AGAIN_AFTER = 5.0
"""Seconds after which a list that could not be had after an action is asked for once more."""

LACKING_AGAIN_AFTER = 1.0
"""The same for one that lacked a part of the queue: of a busy one mail may have come and gone
between the count and the list."""

LISTS_THAT_LACK = 3
"""So many are taken before nothing is known."""

VERIFY_EVERY = 15.0
"""Seconds between two polls while waiting for what `verify` expects."""

EVERYTHING = Selector(everything=True)


@dataclass(frozen=True, slots=True)
class HostContext:
    """What actions on one host are done with."""

    journal: JournalThread
    client: PanelClient
    decoder: QueueDecoder
    poll: Callable[[str], Awaitable[HostSnapshot]]
    """Polls a host now; what it tells is no older than the call.

    Raises:
        HostGoneError: it left the config.
    """
    parallel: int
    """Requests in flight to the panel."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic
    """Tells the seconds that have passed, whatever the machine's clock is set to."""
    alertmanagers: Callable[[], Sequence[KnowsSilences]] = tuple
    """Who is asked about silences: those of the config in force."""
    ends: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once nothing more may be sent: the daemon ends, or a person has pressed Ctrl-C."""

    @property
    def host(self) -> str:
        """The host's name."""
        return self.client.host.name

    @property
    def panel(self) -> PanelId:
        """Which panel it is, whatever its name."""
        return self.client.host.panel

    async def list(
        self,
        selector: Selector,
        *,
        most: int,
        watch: frozenset[str] = frozenset(),
        guesses: bool = False,
    ) -> Listing:
        """The queue now; at most `most` of the messages that are meant, and those of these ids.

        With `guesses` also of those that are meant by a guess: to show them, not to act.

        Raises:
            PanelError: it could not be had.
        """
        listing = await ask_listing(
            self.client, self.decoder, selector, most=most, watch=watch, guesses=guesses
        )
        return replace(listing, heard=self.monotonic())

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until it is told to end."""
        if self.ends.is_set():
            return
        waits = [asyncio.ensure_future(each) for each in (self.sleep(seconds), self.ends.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """What is to be done to a host, whoever wants it."""

    action: Action
    selector: Selector = EVERYTHING
    force: bool = False
    service: str = ""
    verify: Verify | None = None

    @classmethod
    def of(cls, rule: RemediationRule) -> ActionSpec:
        """What a rule does."""
        return cls(rule.action, rule.selector, rule.force, rule.service or "", rule.verify)

    @property
    def turns_on(self) -> bool:
        """Whether a service is to run."""
        return self.action == "service_on"

    def describe(self, plan: Plan) -> str:
        """What it does, as the end of a sentence: `delete 12 messages (frozen)`."""
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


OnAnswer = Callable[[RequestResult], Awaitable[bool]]

Before = Callable[[], Awaitable[Block | None]]
"""Asked right before each request that changes something: what speaks against it now."""


async def _go_on(_: RequestResult) -> bool:
    return True


async def _nothing() -> None:
    return None


class Execution:
    """One deed on one host, from its intent to its outcome."""

    def __init__(
        self,
        bench: HostContext,
        spec: ActionSpec,
        plan: Plan,
        base: Entry,
        *,
        on_answer: OnAnswer = _go_on,
        before: Before = _nothing,
    ) -> None:
        """What is done, and as whom.

        Args:
            bench: what it is done with.
            spec: what is to be done.
            plan: on exactly which messages.
            base: who, in which mode, by which rule: what all its entries share.
            on_answer: called for each answer of the panel once it is written down; says whether
                to go on with the next message.
            before: tells what speaks against the next request, right before it is sent.
        """
        self._bench = bench
        self._spec = spec
        self._plan = plan
        self._base = base
        self._on_answer = on_answer
        self._before = before
        self._stopped: Block | None = None
        """What has stopped it in the middle."""
        self._omissions: list[Omission] = []
        self._guessed: list[str] = []
        """Fields, only guessed, that keep it from being known whether `verify` came true."""

    async def intend(self, text: str, detail: Mapping[str, object]) -> None:
        """Write down what is about to be done; it is on the disk when this returns.

        Raises:
            JournalError: it is not, so that nothing may be done.
        """
        more: dict[str, object] = {
            "planned": len(self._plan.messages),
            "reason": self._plan.reason,
        }
        if self._spec.action not in ON_SERVICE:
            more |= {"as_a_whole": self._plan.as_a_whole, "listed_at": self._plan.at}
            if self._plan.withheld:
                more["withheld"] = self._plan.withheld
        if self._spec.service:
            more["service"] = self._spec.service
        if self._spec.verify is not None:
            more["verify"] = [str(condition) for condition in self._spec.verify.expect]
        await self.write(Kind.INTENT, text=text, detail={**detail, **more}, plan=self._plan)

    async def act(self) -> ActionOutcome:
        """Do it, and look what came of it.

        Raises:
            JournalError: an answer could not be written down; no further message was sent.
        """
        spec = self._spec
        if spec.action not in ON_SERVICE and not self._plan.as_a_whole:
            return await self._after_messages(await self._by_id())
        answer = await self._one_request()
        if answer.what != "not_asked":
            await self._note(answer)
        if spec.action in ON_SERVICE:
            return await self._after_service(answer)
        return await self._after_messages([answer])

    async def _one_request(self) -> RequestResult:
        spec, client = self._spec, self._bench.client
        if not await self._may_send():
            return RequestResult("not_asked")
        if spec.action in ON_SERVICE:
            return await actions.switch_service(
                client, spec.service, on=spec.turns_on, before=self._may_send
            )
        if spec.action == "purge_all":
            return await actions.delete_all(client, force=spec.force, before=self._may_send)
        return await actions.delete_frozen(client, before=self._may_send)

    async def _by_id(self) -> list[RequestResult]:
        bench, spec = self._bench, self._spec
        sender = Sender(
            bench.client,
            MessageCommand.RESHIP if spec.action == "retry" else MessageCommand.DELETE,
            parallel=bench.parallel,
            on_answer=self._note,
            before=self._may_send,
            monotonic=bench.monotonic,
        )
        by_id = ById(
            self._plan,
            spec.selector,
            sender,
            look=lambda ids: bench.list(EVERYTHING, most=0, watch=ids),
            omit=self._omit,
            monotonic=bench.monotonic,
        )
        answers = await by_id.carry_out()
        self._stop(by_id.blind)
        return answers

    async def _may_send(self) -> bool:
        """Whether nothing speaks against the next request; once something has, for good."""
        if self._stopped is None:
            self._stop(self._ended() or await self._before() or self._ended())
        return self._stopped is None

    def _stop(self, block: Block | None) -> None:
        """Keep what stops it; of several that ask at once another may have been told so before."""
        self._stopped = self._stopped or block

    def _ended(self) -> Block | None:
        if self._bench.ends.is_set():
            return Block(Guard.CONDITION, "The exporter was told to end.")
        return None

    async def _omit(self, omissions: Sequence[Omission]) -> None:
        """Write down what is not asked for, since it is not what was planned any more."""
        entries = [
            replace(
                self._base,
                kind=Kind.REPLY,
                outcome=omission.what,
                text=omission.why,
                detail={"id": omission.message_id},
            )
            for omission in omissions
        ]
        self._omissions += omissions

        def write(journal: Journal) -> None:
            for entry in entries:
                journal.add(entry)

        if entries:
            await self._bench.journal.do(write)

    async def conclude(self, verdict: ActionOutcome) -> Entry:
        """Write down how it ended.

        Raises:
            JournalError: it was not written; it is settled later by listing.
        """
        return await self.write(
            Kind.OUTCOME, outcome=verdict.outcome, text=verdict.text, detail=verdict.detail
        )

    async def write(
        self,
        kind: Kind,
        *,
        text: str,
        outcome: str = "",
        detail: Mapping[str, object] | None = None,
        plan: Plan | None = None,
    ) -> Entry:
        """Write an entry of this work."""
        entry = replace(self._base, kind=kind, outcome=outcome, text=text, detail=detail or {})
        messages = plan.messages if plan is not None else ()
        return await self._bench.journal.do(lambda journal: journal.add(entry, messages))

    async def _note(self, answer: RequestResult) -> bool:
        detail: dict[str, object] = {"id": answer.message_id} if answer.message_id else {}
        if answer.reason is not None:
            detail["reason"] = answer.reason.value
        await self.write(Kind.REPLY, outcome=answer.what, text=answer.text, detail=detail)
        return await self._on_answer(answer)

    # --- afterwards ----------------------------------------------------------------------------

    async def _after_messages(self, answers: list[RequestResult]) -> ActionOutcome:
        refused = next((a for a in answers if a.reason is Reason.UNSUPPORTED), None)
        if refused is not None and self._base.rule:
            await self.write(Kind.DISABLED, text=f"Disabled here: {refused.text}")
        done_at = self._bench.monotonic()
        action, plan = self._spec.action, self._plan
        acted = any(answer.what not in {"failed", "not_asked"} for answer in answers)
        asked = any(answer.what != "not_asked" for answer in answers)
        seen = await self._see() if asked or self._omissions else None

        def verdict(*, expected: bool | None) -> ActionOutcome:
            return verdict_on_messages(
                action,
                plan,
                answers,
                seen,
                expected=expected,
                omissions=self._omissions,
                stopped=self._stopped,
            )

        try:
            waits = acted and not was_meant_to_stop(self._stopped)
            expected = await self._expected(done_at) if waits else None
        except HostGoneError:
            return _unseen(verdict(expected=None))
        return self._with_doubt(verdict(expected=expected), expected)

    async def _see(self) -> QueueDiff | None:
        """What became of the plan by a list taken now; None when no list tells."""
        bench, failed, lacking = self._bench, 0, 0
        while True:
            try:
                after = await bench.list(EVERYTHING, most=0, watch=self._plan.ids)
            except PanelError:
                failed += 1
                if failed > 1 or bench.ends.is_set():
                    return None
                await bench.pause(LIST_AGAIN_AFTER)
                continue
            seen = queue_diff(self._plan, after)
            if seen is not None or not after.is_whole or not after.unlisted:
                return seen
            lacking += 1
            if lacking >= LISTS_THAT_LACK or bench.ends.is_set():
                return None
            await bench.pause(LACKING_AGAIN_AFTER)

    async def _after_service(self, answer: RequestResult) -> ActionOutcome:
        service, wanted = self._spec.service, self._spec.turns_on
        detail: dict[str, object] = {"reply": answer.what}
        if answer.what == "not_asked":
            if self._stopped is not None:
                detail["stopped_by"] = stopped_by(self._stopped)
            return nothing_asked(self._stopped, detail)
        if answer.what == "failed":
            return ActionOutcome(Outcome.FAILED, f"Nothing was done. {answer.text}", detail)
        done_at = self._bench.monotonic()
        try:
            state = await actions.service_state(self._bench.client, service)
        except PanelError as error:
            text = f"Whether {service} runs could not be seen afterwards: {error}"
            return ActionOutcome(Outcome.UNKNOWN, text, detail)
        text = f"{service} {state.words}."
        good = state.running is wanted
        try:
            expected = await self._expected(done_at)
        except HostGoneError:
            return _unseen(ActionOutcome(Outcome.OK if good else Outcome.UNVERIFIED, text, detail))
        good = good and expected is not False
        if expected is False:
            text += " What verify expects did not come true."
        verdict = ActionOutcome(Outcome.OK if good else Outcome.UNVERIFIED, text, detail)
        return self._with_doubt(verdict, expected)

    def _with_doubt(self, verdict: ActionOutcome, expected: bool | None) -> ActionOutcome:  # noqa: FBT001
        """The same, with the fields for whose sake it is not known whether it came true."""
        if expected is not False or not self._guessed:
            return verdict
        text = f"{verdict.text} {guess_words(self._bench.host, self._guessed)}"
        return replace(verdict, text=text, detail={**verdict.detail, "guessed": self._guessed})

    async def _expected(self, done_at: float) -> bool | None:
        """Whether what `verify` expects comes true; None when nothing is expected.

        Raises:
            HostGoneError: it left the config, or the daemon ends.
        """
        verify = self._spec.verify
        if verify is None:
            return None
        return await comes_true(self._bench, verify, done_at, self._guessed)


async def comes_true(
    bench: HostContext, verify: Verify, done_at: float, guessed: list[str] | None = None
) -> bool:
    """Whether what `verify` expects comes true in its time, which counts from `done_at`.

    What cannot be told until then, or only by a guess, has not come true. The last poll begins
    when the time is up, however long the ones before it took. `guessed` is given the fields for
    whose sake that one could not tell.

    Raises:
        HostGoneError: it left the config, or the daemon ends.
    """
    until = done_at + verify.within
    while True:
        if bench.ends.is_set():
            raise HostGoneError(bench.host)
        left = until - bench.monotonic()
        figures = Measurements(await bench.poll(bench.host))
        verdict = figures.hold(verify.expect, certain=True)
        if verdict:
            return True
        if guessed is not None:
            guessed[:] = figures.guessed(verify.expect) if verdict is None else ()
        if left <= 0:
            return False
        await bench.pause(max(0.0, min(VERIFY_EVERY, until - bench.monotonic())))


def _unseen(verdict: ActionOutcome) -> ActionOutcome:
    """The same where nobody could look whether what `verify` expects came true."""
    outcome = Outcome.UNKNOWN if verdict.outcome is Outcome.OK else verdict.outcome
    why = "the host left the config, or the daemon was ended"
    text = f"{verdict.text} What verify expects could not be looked at: {why}."
    return replace(verdict, outcome=outcome, text=text)


async def settle(bench: HostContext, unsettled: Unsettled) -> Entry:
    """Find out what became of an action whose process ended in the middle, and write it down.

    Nothing is done again.

    Raises:
        PanelError: the panel could not be asked.
        HostGoneError: it left the config, or the daemon ends.
        JournalError: the outcome could not be written.
    """
    if unsettled.intent.panel != bench.panel:
        # Another panel's list says nothing of what was done to that one.
        entry = outcome_unseen(unsettled.intent, _not_here(unsettled.intent.panel, bench))
        return await bench.journal.do(lambda journal: journal.add(entry))
    verdict = await _settled(bench, unsettled)
    if verdict.outcome is Outcome.OK:
        verdict = await _verified(bench, unsettled.intent, verdict)
    entry = replace(
        unsettled.intent,
        kind=Kind.OUTCOME,
        outcome=verdict.outcome,
        text=f"Settled afterwards, since its process ended in the middle: {verdict.text}",
        detail={**verdict.detail, "settled": True},
    )
    return await bench.journal.do(lambda journal: journal.add(entry))


def _not_here(panel: PanelId, bench: HostContext) -> str:
    if not panel.url:
        return "an earlier version did not write down which panel it was"
    if panel.url != bench.panel.url:
        return f"it was on {panel.url}, and {bench.host} is {bench.panel.url} now"
    return f"{bench.host} has another certificate pinned now, so that it may be another server"


async def _settled(bench: HostContext, unsettled: Unsettled) -> ActionOutcome:
    intent, messages = unsettled.intent, unsettled.messages
    if intent.mode == "dry_run":
        return ActionOutcome(Outcome.DRY_RUN, "a dry run does nothing.", {})
    if intent.action in ON_SERVICE:
        service = IntentRecord.of(intent).service or ""
        state = await actions.service_state(bench.client, service)
        done = state.running is (intent.action == "service_on")
        text = f"{service} {state.words}."
        return ActionOutcome(Outcome.OK if done else Outcome.UNKNOWN, text, {})
    answers = await _answers(bench, intent)
    left_out = {answer.message_id for answer in answers if answer.what == "left_out"}
    planned = [message for message in messages if message.id not in left_out]
    watch = frozenset(message.id for message in planned)
    listing = await bench.list(EVERYTHING, most=0, watch=watch)
    if not listing.is_whole or listing.unparsed:
        return ActionOutcome(Outcome.UNKNOWN, "the queue could not be listed as a whole.", {})
    then = IntentRecord.of(intent).listed_at
    then = intent.at if then is None else then
    # The process before may have had another time: only who it is from, or its size, tells then
    # that what is there by an id is another message.
    gone = watch - still_there(planned, then, listing, timed=False)
    if gone and listing.unlisted:
        return ActionOutcome(Outcome.UNKNOWN, "the queue could not be listed as a whole.", {})
    detail: dict[str, object] = {"planned": len(messages), "gone": len(gone)}
    if left_out:
        detail["left_out"] = len(left_out)
    if intent.action != "retry":
        detail["removed"] = len(_removed(bench, intent, planned, answers, gone))
    text = f"{gone_of(len(gone), len(planned))}."
    absent = gone & {a.message_id for a in answers if a.what in {"gone", "left"}}
    done = len(gone) == len(planned) and 2 * len(absent) <= len(planned)
    return ActionOutcome(Outcome.OK if done else Outcome.UNKNOWN, text, detail)


@dataclass(frozen=True, slots=True)
class _Told:
    """What a reply says that is in the journal."""

    what: str
    message_id: str


async def _answers(bench: HostContext, intent: Entry) -> list[_Told]:
    replies = await bench.journal.do(
        lambda journal: journal.entries(run=intent.run, kinds=[Kind.REPLY])
    )
    return [_Told(reply.outcome, ReplyRecord.of(reply).id or "") for reply in replies]


def _removed(
    bench: HostContext,
    intent: Entry,
    planned: Sequence[Message],
    answers: Sequence[_Told],
    gone: frozenset[str],
) -> frozenset[str]:
    """Of the planned messages that are gone those that left by the action.

    What was never asked for has left by itself. They were asked for in their order, so that only
    the first of those without an answer may have been under way.
    """
    if IntentRecord.of(intent).as_a_whole is not False:
        return gone
    answered = {answer.message_id for answer in answers}
    under_way = [message.id for message in planned if message.id not in answered]
    return ours(answers, gone) | (gone & frozenset(under_way[: bench.parallel]))


async def _verified(bench: HostContext, intent: Entry, verdict: ActionOutcome) -> ActionOutcome:
    """The same, unless what `verify` expected does not hold now: nobody may have looked then."""
    if not intent.detail.get("verify"):
        return verdict
    expected = IntentRecord.of(intent).verify or ()  # of a form that only another version knows
    with suppress(ValueError):  # a figure that only another version knows
        conditions = [parse_condition(text) for text in expected]
        if conditions and holds(await bench.poll(bench.host), conditions, certain=True):
            return verdict
    text = f"{verdict.text} What verify expects is not seen to hold."
    return replace(verdict, outcome=Outcome.UNKNOWN, text=text)
