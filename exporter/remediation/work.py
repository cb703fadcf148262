"""Doing what was decided: the intent, the act, the list after it, the outcome; all journalled.

The same for rules and for what a person does by hand.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from exporter.config.conditions import parse_condition
from exporter.config.remediation import ON_SERVICE, Action, RemediationRule, Verify
from exporter.config.selectors import Selector
from exporter.journal import Entry, Kind, Outcome, Unsettled
from exporter.journal.thread import JournalThread
from exporter.listing import Listing, ask_listing
from exporter.panel.client import PanelClient
from exporter.panel.errors import PanelError
from exporter.panel.protocol import MessageCommand
from exporter.panel.queue_decoder import QueueDecoder
from exporter.remediation import actions
from exporter.remediation.actions import Answer
from exporter.remediation.plan import (
    Aftermath,
    Plan,
    Verdict,
    aftermath,
    gone_of,
    verdict_on_messages,
)
from exporter.remediation.silence import KnowsSilences
from exporter.rules import holds
from exporter.snapshot import HostGoneError, HostSnapshot, Reason
from exporter.text import integer

LIST_AGAIN_AFTER = 5.0
"""Seconds after which a list that could not be had after an action is asked for once more."""

VERIFY_EVERY = 15.0
"""Seconds between two polls while waiting for what `verify` expects."""

EVERYTHING = Selector(everything=True)


@dataclass(frozen=True, slots=True)
class Bench:
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
    alertmanagers: Sequence[KnowsSilences] = ()
    """Who is asked about silences."""

    @property
    def host(self) -> str:
        """The host's name."""
        return self.client.host.name

    async def list(self, selector: Selector, *, most: int) -> Listing:
        """The queue now; at most `most` of the messages that are meant.

        Raises:
            PanelError: it could not be had.
        """
        return await ask_listing(self.client, self.decoder, selector, most=most)


@dataclass(frozen=True, slots=True)
class Deed:
    """What is to be done to a host, whoever wants it."""

    action: Action
    selector: Selector = EVERYTHING
    force: bool = False
    service: str = ""
    verify: Verify | None = None

    @classmethod
    def of(cls, rule: RemediationRule) -> Deed:
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
        return f"{verb} {what} ({plan.reason})"


OnAnswer = Callable[[Answer], Awaitable[bool]]


async def _go_on(_: Answer) -> bool:
    return True


class Work:
    """One deed on one host, from its intent to its outcome."""

    def __init__(
        self, bench: Bench, deed: Deed, plan: Plan, base: Entry, *, on_answer: OnAnswer = _go_on
    ) -> None:
        """What is done, and as whom.

        Args:
            bench: what it is done with.
            deed: what is to be done.
            plan: on exactly which messages.
            base: who, in which mode, by which rule: what all its entries share.
            on_answer: called for each answer of the panel once it is written down; says whether
                to go on with the next message.
        """
        self._bench = bench
        self._deed = deed
        self._plan = plan
        self._base = base
        self._on_answer = on_answer

    async def intend(self, text: str, detail: Mapping[str, object]) -> None:
        """Write down what is about to be done; it is on the disk when this returns.

        Raises:
            JournalError: it is not, so that nothing may be done.
        """
        more: dict[str, object] = {
            "planned": len(self._plan.messages),
            "reason": self._plan.reason,
        }
        if self._deed.service:
            more["service"] = self._deed.service
        if self._deed.verify is not None:
            more["verify"] = [str(condition) for condition in self._deed.verify.expect]
        await self.write(Kind.INTENT, text=text, detail={**detail, **more}, plan=self._plan)

    async def act(self) -> Verdict:
        """Do it, and look what came of it.

        Raises:
            JournalError: an answer could not be written down; no further message was sent.
        """
        deed, plan, client = self._deed, self._plan, self._bench.client
        if deed.action in ON_SERVICE:
            answer = await actions.switch_service(client, deed.service, on=deed.turns_on)
            await self._note(answer)
            return await self._after_service(answer)
        if plan.as_a_whole:
            answer = (
                await actions.delete_all(client, force=deed.force)
                if deed.action == "purge_all"
                else await actions.delete_frozen(client)
            )
            await self._note(answer)
            return await self._after_messages([answer])
        command = MessageCommand.RESHIP if deed.action == "retry" else MessageCommand.DELETE
        answers = await actions.on_each(
            client,
            command,
            plan.messages,
            parallel=self._bench.parallel,
            on_answer=self._note,
        )
        return await self._after_messages(answers)

    async def conclude(self, verdict: Verdict) -> Entry:
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

    async def _note(self, answer: Answer) -> bool:
        detail: dict[str, object] = {"id": answer.message_id} if answer.message_id else {}
        if answer.reason is not None:
            detail["reason"] = answer.reason.value
        await self.write(Kind.REPLY, outcome=answer.what, text=answer.text, detail=detail)
        return await self._on_answer(answer)

    # --- afterwards ----------------------------------------------------------------------------

    async def _after_messages(self, answers: list[Answer]) -> Verdict:
        refused = next((a for a in answers if a.reason is Reason.UNSUPPORTED), None)
        if refused is not None and self._base.rule:
            await self.write(Kind.DISABLED, text=f"Disabled here: {refused.text}")
        done_at = self._bench.monotonic()
        seen = await self._see()
        acted = any(answer.what not in {"failed", "not_asked"} for answer in answers)
        action, plan = self._deed.action, self._plan
        try:
            expected = await self._expected(done_at) if acted else None
        except HostGoneError:
            return _unseen(verdict_on_messages(action, plan, answers, seen, expected=None))
        return verdict_on_messages(action, plan, answers, seen, expected=expected)

    async def _see(self) -> Aftermath | None:
        for last_try in (False, True):
            try:
                return aftermath(self._plan, await self._bench.list(EVERYTHING, most=0))
            except PanelError:
                if not last_try:
                    await self._bench.sleep(LIST_AGAIN_AFTER)
        return None

    async def _after_service(self, answer: Answer) -> Verdict:
        service, wanted = self._deed.service, self._deed.turns_on
        detail: dict[str, object] = {"reply": answer.what}
        if answer.what == "failed":
            return Verdict(Outcome.FAILED, f"Nothing was done. {answer.text}", detail)
        done_at = self._bench.monotonic()
        try:
            state = await actions.service_state(self._bench.client, service)
        except PanelError as error:
            text = f"Whether {service} runs could not be seen afterwards: {error}"
            return Verdict(Outcome.UNKNOWN, text, detail)
        text = f"{service} {state.words}."
        good = state.running is wanted
        try:
            expected = await self._expected(done_at)
        except HostGoneError:
            return _unseen(Verdict(Outcome.OK if good else Outcome.UNVERIFIED, text, detail))
        good = good and expected is not False
        if expected is False:
            text += " What verify expects did not come true."
        return Verdict(Outcome.OK if good else Outcome.UNVERIFIED, text, detail)

    async def _expected(self, done_at: float) -> bool | None:
        """Whether what `verify` expects comes true; None when nothing is expected.

        Raises:
            HostGoneError: it left the config, or the daemon ends.
        """
        verify = self._deed.verify
        return None if verify is None else await comes_true(self._bench, verify, done_at)


async def comes_true(bench: Bench, verify: Verify, done_at: float) -> bool:
    """Whether what `verify` expects comes true in its time, which counts from `done_at`.

    What cannot be told until then has not come true. The last poll begins when the time is up,
    however long the ones before it took.

    Raises:
        HostGoneError: it left the config, or the daemon ends.
    """
    until = done_at + verify.within
    while True:
        left = until - bench.monotonic()
        if holds(await bench.poll(bench.host), verify.expect):
            return True
        if left <= 0:
            return False
        await bench.sleep(max(0.0, min(VERIFY_EVERY, until - bench.monotonic())))


def _unseen(verdict: Verdict) -> Verdict:
    """The same where nobody could look whether what `verify` expects came true."""
    outcome = Outcome.UNKNOWN if verdict.outcome is Outcome.OK else verdict.outcome
    why = "the host left the config, or the daemon was ended"
    text = f"{verdict.text} What verify expects could not be looked at: {why}."
    return replace(verdict, outcome=outcome, text=text)


async def settle(bench: Bench, unsettled: Unsettled) -> Entry:
    """Find out what became of an action whose process ended in the middle, and write it down.

    Nothing is done again.

    Raises:
        PanelError: the panel could not be asked.
        HostGoneError: it left the config, or the daemon ends.
        JournalError: the outcome could not be written.
    """
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


async def _settled(bench: Bench, unsettled: Unsettled) -> Verdict:
    intent, messages = unsettled.intent, unsettled.messages
    if intent.mode == "dry_run":
        return Verdict(Outcome.DRY_RUN, "a dry run does nothing.", {})
    if intent.action in ON_SERVICE:
        service = str(intent.detail.get("service", ""))
        state = await actions.service_state(bench.client, service)
        done = state.running is (intent.action == "service_on")
        text = f"{service} {state.words}."
        return Verdict(Outcome.OK if done else Outcome.UNKNOWN, text, {})
    listing = await bench.list(EVERYTHING, most=0)
    if not listing.is_whole or listing.unparsed:
        return Verdict(Outcome.UNKNOWN, "the queue could not be listed as a whole.", {})
    gone = sum(message.id not in listing.ids for message in messages)
    if gone and listing.unlisted >= gone:
        return Verdict(Outcome.UNKNOWN, "the queue could not be listed as a whole.", {})
    detail: dict[str, object] = {"planned": len(messages), "gone": gone}
    if intent.action != "retry":
        detail["removed"] = gone
    text = f"{gone_of(gone, len(messages))}."
    return Verdict(Outcome.OK if gone == len(messages) else Outcome.UNKNOWN, text, detail)


async def _verified(bench: Bench, intent: Entry, verdict: Verdict) -> Verdict:
    """The same, unless what `verify` expected does not hold now: nobody may have looked then."""
    expected = intent.detail.get("verify")
    if not isinstance(expected, list) or not expected:
        return verdict
    with suppress(ValueError):  # a figure that only another version knows
        conditions = [parse_condition(str(text)) for text in expected]
        if holds(await bench.poll(bench.host), conditions):
            return verdict
    text = f"{verdict.text} What verify expects is not seen to hold."
    return replace(verdict, outcome=Outcome.UNKNOWN, text=text)
