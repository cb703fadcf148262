"""What rules are requested to do, and what the journal says of it. Pure, but for the journal.

An alert that is sent again asks for nothing new: an incident is one firing of one alert.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from exporter.config.models import HostConfig
from exporter.config.remediation import RemediationRule
from exporter.journal import Actor, Entry, Journal, Kind
from exporter.journal.entries import Guard
from exporter.journal.records import IncidentRecord, IntentRecord
from exporter.remediation.guards import Block
from exporter.snapshot import PanelId

STANDS: Mapping[Guard, float] = {
    Guard.STORM_BRAKE: 3600.0,
    Guard.ACTIONS_AT_ONCE: 3600.0,
    Guard.HOST_BUSY: 3600.0,
    Guard.APPROVAL: 86400.0,
}
"""Seconds, from when it was asked, for which a request stands that these hold back: they pass by
themselves, or by a person's word. What any other says is the answer to it."""

LONGEST_TIME = 64
"""Characters that are kept of a time; no RFC 3339 time has as many."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One firing of one alert, from its beginning to its end."""

    key: str = ""
    """What makes it the same when it is sent again."""
    alert: str = ""
    """What sets its alert apart from others."""
    since: str = ""
    """When it began, as Alertmanager writes it (`startsAt`)."""

    @classmethod
    def made(cls, alert: str, since: str) -> Incident:
        """Return the incident of an alert (its fingerprint, or all labels) that began so.

        What is kept is short, and nothing that an alert's labels may hold.
        """
        return cls(_digest(f"{alert}\0{since}"), _digest(alert), since[:LONGEST_TIME])

    @classmethod
    def of(cls, detail: Mapping[str, object]) -> Incident:
        """Return the incident that the journal has kept so."""
        known = IncidentRecord.from_detail(detail)
        return cls(known.key or "", known.fingerprint or "", known.since or "")

    def detail(self, alert: str) -> dict[str, object]:
        """Return what the journal keeps of it; `alert` is the alert's name."""
        return IncidentRecord(alert, self.key, self.alert, self.since).to_detail()

    def is_over_with(self, ended: Incident) -> bool:
        """Return whether this one is over, since `ended` is: of its alert, and no later.

        An alert fires once at a time. Where it is not known which of two began first, it is
        over: nothing is done for an alert that may be no more.
        """
        if self.key == ended.key:
            return True
        if self.alert != ended.alert:
            return False
        mine, other = _time(self.since), _time(ended.since)
        return mine is None or other is None or mine <= other


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def _time(text: str) -> datetime | None:
    """Decode an RFC 3339 time, in UTC where it names no zone; None when it is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Request:
    """A wish that a rule acts, and the reason."""

    actor: Actor = Actor.RULE
    requester: str = ""
    """The user's or the alert's name."""
    why: Mapping[str, object] = field(default_factory=dict)
    """What was asked with, beside the rule's own readings."""
    dry_run: bool = False
    """Not to act although the mode would allow it."""

    @property
    def signature(self) -> str:
        """The actor as the journal names it."""
        return f"{self.actor}:{self.requester}" if self.requester else self.actor.value

    @property
    def incident(self) -> Incident:
        """The incident that it is about; without a key where no alert asks."""
        return Incident.of(self.why)

    @property
    def key(self) -> str:
        """What makes it the same when it is made again; "" where the rule itself wants to act."""
        return self.incident.key


class Taken(StrEnum):
    """What becomes of a request."""

    NEW = "asked"
    """It is looked at with the host's next poll."""
    BEFORE = "asked before"
    """It was made before, and answered, or waits for its answer, or was of another panel."""
    OVER = "resolved before"
    """The alert that asks was resolved, as was reported before."""


# --- entries of the journal ---------------------------------------------------------------------


def rule_entry(
    kind: Kind, host: HostConfig, rule: str, actor: str, text: str, **more: Any
) -> Entry:
    """Return an entry about a rule on a host; `more` as Entry has it."""
    return Entry(kind, host=host.name, panel=host.panel, rule=rule, actor=actor, text=text, **more)


def asked_entry(host: HostConfig, rule: str, request: Request) -> Entry:
    """Return the entry of a request."""
    actor = request.signature
    return rule_entry(Kind.ASKED, host, rule, actor, f"Asked for by {actor}.", detail=request.why)


def withdrawn_entry(host: str, panel: PanelId, rule: str, incident: Incident, alert: str) -> Entry:
    """Return the entry of an alert's end."""
    return Entry(
        Kind.WITHDRAWN,
        host=host,
        panel=panel,
        rule=rule,
        actor=Request(Actor.ALERTMANAGER, alert).signature,
        text="The alert that asks for it was resolved.",
        detail=incident.detail(alert),
    )


def blocked_entry(host: HostConfig, rule: RemediationRule, request: Request, block: Block) -> Entry:
    """Return the entry of a block."""
    return rule_entry(
        Kind.BLOCKED,
        host,
        rule.name,
        request.signature,
        block.reason,
        action=rule.action,
        outcome=block.guard.value,
        detail=dict(request.why),
    )


# --- what the journal knows of requests ---------------------------------------------------------


def record_request(journal: Journal, entry: Entry, started: int) -> Taken:
    """Write down a request that is new, and say what becomes of it.

    `started`: the last entry before this process was first asked. What an earlier process left
    without an answer is taken again, since with that process it was forgotten.
    """
    incident = incident_of(entry)
    if incident.key:
        if is_over(journal, entry.host, entry.rule, incident):
            return Taken.OVER
        before = journal.asked(entry.host, entry.rule, incident.key)
        if before is not None and (
            before.id > started or before.panel != entry.panel or _was_answered(journal, before)
        ):
            return Taken.BEFORE
    journal.add(entry)
    return Taken.NEW


def record_withdrawal(journal: Journal, entry: Entry, now: float, *, known_rule: bool) -> bool:
    """Write down the end of an alert; return whether another request is still unanswered."""
    incident = incident_of(entry)
    ended = journal.withdrawn(entry.host, entry.rule, incident.alert)
    known = any(incident_of(each).key == incident.key for each in ended)
    asked = journal.asked(entry.host, entry.rule, incident.key)
    # A rule may be away for a while; but nobody fills the journal with what never was.
    if not known and (known_rule or asked is not None):
        journal.add(entry)
    return _open_requests(journal, entry.host, entry.rule, now)


def _was_answered(journal: Journal, asked: Entry) -> bool:
    """Return whether a request led to an action, or to a block for good."""
    incident = incident_of(asked)
    later = journal.entries(
        host=asked.host, rule=asked.rule, kinds=[Kind.INTENT, Kind.BLOCKED], after=asked.id
    )
    return any(
        entry.kind is Kind.INTENT or entry.outcome not in STANDS
        for entry in later
        if incident_of(entry).key == incident.key
    )


def incident_of(entry: Entry) -> Incident:
    """Return the incident that was reported, or for which a rule acted or was held back."""
    acted = entry.kind is Kind.INTENT
    return Incident.of(IntentRecord.of(entry).why or {} if acted else entry.detail)


def is_over(journal: Journal, host: str, rule: str, incident: Incident) -> bool:
    """Return whether the alert of an incident was resolved."""
    ended = journal.withdrawn(host, rule, incident.alert)
    return any(incident.is_over_with(incident_of(entry)) for entry in ended)


def _open_requests(journal: Journal, host: str, rule: str, now: float) -> bool:
    """Return whether a request is unanswered that was made within the time for which it stands."""
    since = now - max(STANDS.values())
    return any(
        not _was_answered(journal, asked) and not is_over(journal, host, rule, incident_of(asked))
        for asked in journal.entries(host=host, rule=rule, kinds=[Kind.ASKED], since=since)
    )
