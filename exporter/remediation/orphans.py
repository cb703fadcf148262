"""Actions that have no outcome, of panels of which nobody can find out any more what became."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from exporter.journal import Entry, Journal, Kind, Outcome
from exporter.journal.host_lock import HostBusyError, HostLocks, LockFileError
from exporter.journal.thread import JournalThread
from exporter.snapshot import PanelId


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
        with suppress(HostBusyError, LockFileError), locks.hold(_lock_of(intent)):
            await journal.do(partial(_close, intent=intent))
            closed += 1
    return closed == len(orphans)


def _is_orphan(intent: Entry, hosts: Mapping[str, PanelId]) -> bool:
    if not intent.panel.url:  # of a version that did not write it down
        return intent.host not in hosts
    return intent.panel not in hosts.values()


def _lock_of(intent: Entry) -> str:
    return intent.panel.url or intent.host


def _close(journal: Journal, intent: Entry) -> None:
    # Whoever was at it may have ended it just before its lock was free.
    with journal.alone():
        if any(one.intent.run == intent.run for one in journal.unsettled()):
            where = intent.panel.url or intent.host
            pinned = " with that certificate" if intent.panel.pin else ""
            why = f"no host of the config is {where}{pinned} now"
            journal.add(outcome_unseen(intent, why))


def outcome_unseen(intent: Entry, why: str) -> Entry:
    """The outcome of an action that was cut off, where its panel cannot be asked."""
    dry = intent.mode == "dry_run"
    what = "a dry run does nothing" if dry else f"what became of it is not known, since {why}"
    return replace(
        intent,
        kind=Kind.OUTCOME,
        outcome=Outcome.DRY_RUN if dry else Outcome.UNKNOWN,
        text=f"Settled afterwards, since its process ended in the middle: {what}.",
        detail={"settled": True},
    )
