"""What a person decides: approvals, pauses, and that a stopped rule may go on.

Functions on an open journal, the same for the commands and for the page.
"""

from __future__ import annotations

import time
from dataclasses import replace

from exporter.config.models import HostConfig
from exporter.config.remediation import RemediationRule
from exporter.journal import Actor, Entry, Journal, Kind, RuleFacts
from exporter.remediation.requests import rule_entry


class NothingAskedError(Exception):
    """A rule asks a person for nothing on this host."""


class AskedAnewError(NothingAskedError):
    """A rule does not ask any more for what was decided, but for something else."""


def request_of(journal: Journal, rule: str, facts: RuleFacts) -> Entry | None:
    """Return the request that a rule's approval is about; None when there is none.

    Raises:
        JournalError: it cannot be read.
    """
    if not facts.approval:
        return None
    # Whatever the host was called then: the facts are those of the panel.
    found = journal.entries(
        rule=rule, run=facts.approval_run, kinds=[Kind.APPROVAL_REQUESTED], newest=1
    )
    return found[0] if found else None


def decide(
    journal: Journal,
    host: HostConfig,
    rule: RemediationRule,
    run: str,
    kind: Kind,
    actor: str,
    requester: str,
) -> None:
    """Approve or reject what a rule asked for with the request of number `run`.

    A decision that stands already is not written down again: that would renew it.

    Raises:
        NothingAskedError: it asks for nothing now.
        AskedAnewError: it asks for something else: a person may think for long.
        JournalError: it was not written down.
    """
    if kind is Kind.APPROVED:  # within a transaction it is not looked at whether it is sound
        journal.demand_sound()
    with journal.alone():
        facts = journal.rule_facts(host.name, rule.name, host.panel)
        request = request_of(journal, rule.name, facts)
        if request is None:
            raise NothingAskedError(f"{rule.name} asks for nothing on {host.name}.")
        if request.run != run:
            raise AskedAnewError(f"{rule.name} has asked anew on {host.name} meanwhile.")
        if facts.approval == kind.value:
            return
        word = "Approved" if kind is Kind.APPROVED else "Rejected"
        text, action = f"{word} by {requester}.", request.action
        journal.add(rule_entry(kind, host, rule.name, actor, text, run=run, action=action))


def expire(journal: Journal, host: HostConfig, rule: RemediationRule) -> None:
    """End what a rule asks a person for, or was approved to do: nobody wants it to act any more.

    Of the next trouble a person hears anew. A rejection stays: it holds the rule back.

    Raises:
        JournalError: it was not written down.
    """
    with journal.alone():
        facts = journal.rule_facts(host.name, rule.name, host.panel)
        if facts.approval not in {"requested", "approved"}:
            return
        text, run = f"What was {facts.approval} is not wanted any more.", facts.approval_run
        entry = rule_entry(Kind.LAPSED, host, rule.name, Actor.RULE.value, text, run=run)
        journal.add(replace(entry, action=rule.action))


def pause(journal: Journal, actor: str, requester: str, why: str) -> str:
    """Let nothing act from now on; return what was written down of it.

    Raises:
        JournalError: it was not written down.
    """
    # The guards quote it, wherever they are asked: no local time.
    at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    reason = f": {said}" if (said := why.strip().rstrip(".")) else ""
    text = f"Paused by {requester} at {at}{reason}."
    journal.add(Entry(Kind.PAUSED, actor=actor, text=text))
    return text


def resume(journal: Journal, actor: str, requester: str) -> str:
    """End a pause; return what it was, "" when there was none.

    Raises:
        JournalError: it was not written down.
    """
    paused = journal.fleet_facts().paused
    if paused:
        journal.add(Entry(Kind.RESUMED, actor=actor, text=f"Resumed by {requester}."))
    return paused


def resume_rule(journal: Journal, host: HostConfig, rule: str, actor: str, requester: str) -> str:
    """Let a rule go on that is stopped, or held back by an action dated ahead of the clock.

    Return why it was held back, "" when it was not.

    Raises:
        JournalError: it was not written down.
    """
    facts = journal.rule_facts(host.name, rule, host.panel)
    held = facts.stopped or (_AHEAD if facts.dated_ahead else "")
    if held:
        text = f"Resumed by {requester}."
        journal.add(rule_entry(Kind.RULE_RESUMED, host, rule, actor, text))
    return held


_AHEAD = "An action is dated ahead of the clock, which was set back."
