"""What a dead process, or a changed config, has left in the journal: settled, closed, or shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from exporter.conditions import Measurements
from exporter.config.conditions import parse_condition
from exporter.config.models import Config
from exporter.config.remediation import ON_SERVICE
from exporter.config.selectors import EVERYTHING
from exporter.humanize import duration
from exporter.journal import Entry, Journal, Kind, Outcome, RuleFacts, Unsettled
from exporter.journal.host_lock import HostBusyError, HostLocks, LockFileError
from exporter.journal.records import IntentRecord, OutcomeRecord, ReplyRecord
from exporter.journal.thread import JournalThread
from exporter.panel.errors import PanelError
from exporter.remediation import actions
from exporter.remediation.context import HostContext, UnsettledError
from exporter.remediation.listing import ListQuery
from exporter.remediation.outcome import ActionOutcome, gone_of, ours
from exporter.remediation.plan import still_there
from exporter.snapshot import Message, PanelId


async def recover_unfinished(context: HostContext) -> bool:
    """Find out what became of actions on a panel whose process ended in the middle.

    Only while the panel's lock is held: then every intent without an outcome is such a one.

    Returns:
        Whether there was any.

    Raises:
        UnsettledError: the panel could not be asked.
        HostGoneError: the host left the config, or the daemon ends.
        JournalError: the journal cannot be read or written.
    """
    left = await context.journal.do(lambda journal: journal.unsettled(context.host, context.panel))
    try:
        for unsettled in left:
            await _settle(context, unsettled)
    except PanelError as error:
        raise UnsettledError(error) from None
    return bool(left)


async def _settle(context: HostContext, unsettled: Unsettled) -> Entry:
    """Write down what became of one of them; nothing is done again."""
    intent = unsettled.intent
    if intent.mode == "dry_run" or intent.panel != context.panel:
        # Another panel's list says nothing of what was done to that one.
        outcome = _unseen(intent, _not_here(intent.panel, context))
    else:
        outcome = await _settled(context, unsettled)
    if outcome.outcome is Outcome.OK:
        outcome = await _verified(context, intent, outcome)
    entry = _settled_entry(intent, outcome)
    return await context.journal.do(lambda journal: journal.add(entry))


def _settled_entry(intent: Entry, outcome: ActionOutcome) -> Entry:
    return replace(
        intent,
        kind=Kind.OUTCOME,
        outcome=outcome.outcome,
        text=f"Settled afterwards, since its process ended in the middle: {outcome.text}",
        detail=outcome.record.replace(settled=True).to_detail(),
    )


def _unseen(intent: Entry, why: str) -> ActionOutcome:
    """Return the outcome of an action that was cut off, where its panel is not asked."""
    if intent.mode == "dry_run":
        return ActionOutcome(Outcome.DRY_RUN, "a dry run does nothing.")
    return ActionOutcome(Outcome.UNKNOWN, f"what became of it is not known, since {why}.")


def _not_here(panel: PanelId, context: HostContext) -> str:
    if not panel.url:
        return "an earlier version did not write down which panel it was"
    if panel.url != context.panel.url:
        return f"it was on {panel.url}, and {context.host} is {context.panel.url} now"
    return f"{context.host} has another certificate pinned now, so that it may be another server"


async def _settled(context: HostContext, unsettled: Unsettled) -> ActionOutcome:
    intent, messages = unsettled.intent, unsettled.messages
    if intent.action in ON_SERVICE:
        service = IntentRecord.of(intent).service or ""
        state = await actions.service_state(context.client, service)
        done = state.running is (intent.action == "service_on")
        text = f"{service} {state.words}."
        return ActionOutcome(Outcome.OK if done else Outcome.UNKNOWN, text)
    entries = await context.journal.do(
        lambda journal: journal.entries(run=intent.run, kinds=[Kind.REPLY])
    )
    replies = [(ReplyRecord.of(reply).id or "", reply.outcome) for reply in entries]
    left_out = {id_ for id_, what in replies if what == "left_out"}
    planned = [message for message in messages if message.id not in left_out]
    watch = frozenset(message.id for message in planned)
    listing = await context.list(ListQuery(EVERYTHING, 0, watch))
    listed_at = IntentRecord.of(intent).listed_at
    then = intent.at if listed_at is None else listed_at
    # The process before may have had another time: only its sender, or its size, shows then
    # that what is there by an id is another message.
    gone = watch - still_there(planned, then, listing, timed=False)
    if not listing.is_whole or listing.unparsed or (gone and listing.unlisted):
        return ActionOutcome(Outcome.UNKNOWN, "the queue could not be listed as a whole.")
    removed = None
    if intent.action != "retry":
        removed = len(_removed(context, intent, planned, replies, gone))
    known = OutcomeRecord(
        planned=len(messages), gone=len(gone), left_out=len(left_out) or None, removed=removed
    )
    text = f"{gone_of(len(gone), len(planned))}."
    absent = gone & {id_ for id_, what in replies if what in {"gone", "left"}}
    done = len(gone) == len(planned) and 2 * len(absent) <= len(planned)
    return ActionOutcome(Outcome.OK if done else Outcome.UNKNOWN, text, known)


def _removed(
    context: HostContext,
    intent: Entry,
    planned: Sequence[Message],
    replies: Sequence[tuple[str, str]],
    gone: frozenset[str],
) -> frozenset[str]:
    """Return, of the planned messages that are gone, those that left by the action.

    What was never asked for has left by itself. They were asked for in their order, so that only
    the first of those without a result may have been under way.
    """
    if IntentRecord.of(intent).as_a_whole is not False:
        return gone
    replied = {id_ for id_, _ in replies}
    under_way = [message.id for message in planned if message.id not in replied]
    return ours(replies, gone) | (gone & frozenset(under_way[: context.parallel]))


async def _verified(context: HostContext, intent: Entry, outcome: ActionOutcome) -> ActionOutcome:
    """Return the same, unless what `verify` expected does not hold: it may not have been polled."""
    expected = intent.detail.get("verify")  # as it is: what cannot be read must not pass for kept
    if not isinstance(expected, list) or not expected:
        return outcome
    with suppress(ValueError):  # a figure that only another version knows
        conditions = [parse_condition(str(text)) for text in expected]
        if Measurements(await context.poll()).hold(conditions, certain=True):
            return outcome
    text = f"{outcome.text} What verify expects is not seen to hold."
    return replace(outcome, outcome=Outcome.UNKNOWN, text=text)


# --- panels that have left the config ----------------------------------------------------------


async def close_orphans(
    journal: JournalThread, locks: HostLocks, hosts: Mapping[str, PanelId]
) -> bool:
    """Write down that nobody knows how actions ended on panels that no host is any more.

    A panel is its url and pin: another one's list says nothing of what was done to this one.
    `hosts` are those of the config, by name.

    Returns:
        Whether none is left; one that somebody is still at gets its outcome from there.

    Raises:
        JournalError: it cannot be read or written.
    """
    left = await journal.do(lambda journal: journal.unsettled())
    orphans = [one.intent for one in left if _is_orphan(one.intent, hosts)]
    closed = 0
    for intent in orphans:
        with suppress(HostBusyError, LockFileError), locks.hold(_where(intent)):
            await journal.do(partial(_close, intent=intent))
            closed += 1
    return closed == len(orphans)


def _is_orphan(intent: Entry, hosts: Mapping[str, PanelId]) -> bool:
    named = bool(intent.panel.url)  # but by a version that did not write it down
    return intent.panel not in hosts.values() if named else intent.host not in hosts


def _where(intent: Entry) -> str:
    return intent.panel.url or intent.host


def _close(journal: Journal, intent: Entry) -> None:
    # Whoever was at it may have ended it just before its lock was free.
    with journal.alone():
        if any(one.intent.run == intent.run for one in journal.unsettled()):
            pinned = " with that certificate" if intent.panel.pin else ""
            why = f"no host of the config is {_where(intent)}{pinned} now"
            journal.add(_settled_entry(intent, _unseen(intent, why)))


# --- rules and hosts that have other names ------------------------------------------------------

DAY = 86400.0

_APPROVALS = {
    "requested": "waits for approval",
    "approved": "is approved",
    "rejected": "was rejected",
}


@dataclass(frozen=True, slots=True)
class Lost:
    """What held a rule back, or let it act, on a panel, and does so no more by this config."""

    rule: str
    host: str
    """The name that it had."""
    panel: str
    """Its url; "" where an earlier version did not write it down."""
    what: str
    """The end of a sentence that begins with the rule."""
    why: str
    """Which part of it the config does not have."""

    def __str__(self) -> str:
        where = f"{self.host} ({self.panel})" if self.panel else self.host
        return (
            f"{self.rule} on {where} {self.what}. That counts no more, since {self.why}: "
            "to what was renamed, give the old name or url back, or see that it may begin anew."
        )


def lost_facts(journal: Journal, config: Config, now: float) -> list[Lost]:
    """Return stops, approvals and actions of the last day that no rule of the config goes by.

    Raises:
        JournalError: it cannot be read.
    """
    found: dict[tuple[str, str], Lost] = {}
    for entry in journal.projection().rules_known():
        key = entry.rule, entry.panel.url or f"\0{entry.host}"
        if key in found or not (why := _why_lost(config, entry)):
            continue
        facts = journal.rule_facts(entry.host, entry.rule, entry.panel)
        if what := " and ".join(_in_force(facts, now)):
            found[key] = Lost(entry.rule, entry.host, entry.panel.url, what, why)
    return [found[key] for key in sorted(found)]


def _why_lost(config: Config, entry: Entry) -> str:
    """Return why no rule goes by what an entry says; "" when one does."""
    rule = config.remediation.rule(entry.rule)
    if rule is None:
        return f"the config has no remediation rule {entry.rule}"
    url = entry.panel.url
    hosts = [h for h in config.hosts if (h.panel.url == url if url else h.name == entry.host)]
    if not hosts:
        return f"no host of the config {f'has the url {url}' if url else f'is {entry.host}'}"
    if not any(rule.hosts.matches(host.name, host.labels) for host in hosts):
        return f"{entry.rule} is not for {hosts[0].name} by its `hosts`"
    return ""


def _in_force(facts: RuleFacts, now: float) -> Iterator[str]:
    if facts.stopped:
        yield f"is stopped ({facts.stopped.rstrip('.')})"
    if facts.approval:
        yield _APPROVALS[facts.approval]
    if facts.last_begun is not None and abs(now - facts.last_begun) < DAY:
        ago = duration(max(0.0, now - facts.last_begun))
        yield f"acted {ago} ago, for which its cooldown and max_per_day count"
