"""What the journal holds, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from exporter.snapshot import Message, PanelId


class Kind(StrEnum):
    """What kind of event an entry records."""

    INTENT = "intent"
    """An action is about to begin; its plan's messages stand with it."""
    REPLY = "reply"
    """What the panel answered to one request of an action, or that it did not."""
    OUTCOME = "outcome"
    """How an action ended; with it the intent is settled."""
    BLOCKED = "blocked"
    """A guard kept a rule from acting; written when the guard changes, not at each poll."""
    ASKED = "asked"
    """An Alertmanager or a person asked for a rule."""
    WITHDRAWN = "withdrawn"
    """The alert that asks for a rule was resolved; a later repeat of it asks for nothing."""
    APPROVAL_REQUESTED = "approval_requested"
    """A rule waits for a person; the messages that it would act on stand with it."""
    APPROVED = "approved"
    REJECTED = "rejected"
    LAPSED = "approval_lapsed"
    """What was asked for, or approved, counts no more: nobody wants the rule to act any more."""
    STOPPED = "stopped"
    """A rule stopped itself on a host: three verifications in a row failed."""
    DISABLED = "disabled"
    """The panel cannot do what the rule wants."""
    RULE_RESUMED = "rule_resumed"
    """A person allowed a stopped or disabled rule to act again."""
    PAUSED = "paused"
    """A person paused all remediation."""
    RESUMED = "resumed"


STANDING = frozenset({Kind.STOPPED, Kind.DISABLED, Kind.RULE_RESUMED, Kind.PAUSED, Kind.RESUMED})
"""Kinds that hold until another one ends them, however long ago they were written."""


class Guard(StrEnum):
    """The `guard` label of the contract."""

    MODE = "mode"
    PAUSE = "pause"
    WINDOW = "window"
    STORM_BRAKE = "storm_brake"
    STOPPED = "stopped"
    APPROVAL = "approval"
    COOLDOWN = "cooldown"
    MAX_PER_DAY = "max_per_day"
    ACTIONS_PER_HOUR = "actions_per_hour"
    ACTIONS_AT_ONCE = "actions_at_once"
    HOST_BUSY = "host_busy"
    JOURNAL = "journal"
    UNSETTLED = "unsettled"
    LAYOUT = "layout"
    CLOCK = "clock"
    LISTING = "listing"
    CONDITION = "condition"
    NOTHING_TO_DO = "nothing_to_do"
    MAX_MESSAGES = "max_messages"
    SILENCE = "silence"


class Outcome(StrEnum):
    """How an action ended: the `outcome` label of the contract."""

    OK = "ok"
    """Done, and what was to be verified holds. Of an action that was stopped in the middle by a
    guard, a person or its alert's end (detail `stopped_by`): that all it had asked for was done."""
    UNVERIFIED = "verify_failed"
    """Done, but what was expected afterwards does not hold."""
    FAILED = "failed"
    """The panel refused, or could not be asked."""
    UNKNOWN = "unknown"
    """The reply never came and listing could not show what became of it, or it could not
    be verified."""
    DRY_RUN = "dry_run"
    """Everything but the act."""


WELL = frozenset({Outcome.OK, Outcome.DRY_RUN})
"""Outcomes after which nobody needs to look."""


class Actor(StrEnum):
    """The person or thing that asked."""

    RULE = "rule"
    PERSON = "person"
    ALERTMANAGER = "alertmanager"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; `id` and `at` are the journal's once it is written."""

    kind: Kind
    run: str = ""
    """What ties an intent, its replies and its outcome together."""
    host: str = ""
    rule: str = ""
    """"" for what a person did without a rule."""
    action: str = ""
    mode: str = ""
    """`enforce` or `dry_run`."""
    actor: str = ""
    """An Actor, and behind a colon the user's name where it is known."""
    outcome: str = ""
    """An Outcome; for a reply what became of the message; for a block the guard's name."""
    text: str = ""
    """The sentence for a person."""
    detail: Mapping[str, object] = field(default_factory=dict)
    """Values and thresholds, counts, ids: plain JSON."""
    at: float = 0.0
    """Unix time."""
    id: int = 0
    panel: PanelId = field(default_factory=PanelId)
    """The panel that it is about; empty for what concerns none, and in entries of versions that
    did not write it down."""


def subject_of(entry: Entry) -> str:
    """Return the subject of an entry: the panel's url, or its host where it names no panel."""
    return entry.panel.url or _nameless(entry.host)


def subjects(host: str, panel: PanelId) -> tuple[str, ...]:
    """Return the subjects of the entries that concern a panel called `host` now."""
    return tuple(filter(None, (panel.url, _nameless(host))))


def concerns(entry: Entry, host: str, panel: PanelId | None) -> bool:
    """Return whether an entry counts for a panel called `host` now; by the name without one."""
    return entry.host == host if panel is None else subject_of(entry) in subjects(host, panel)


def _nameless(host: str) -> str:
    return f"host {host}"


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """What the journal knows of one rule on one host; what its guards go by."""

    last_begun: float | None = None
    """When its last action began, by the clock as it is now; dry runs count. One that is dated
    ahead of the clock counts from when that was first seen."""
    dated_ahead: bool = False
    """Whether such an action holds the rule back: a person may resume it."""
    newly_ahead: int = field(default=0, compare=False)
    """The newest of these, where it was not known before that it is dated ahead; 0 otherwise."""
    begun_today: int = 0
    """Actions begun within the last 24 hours."""
    stopped: str = ""
    """Why it is stopped or disabled here; "" when it is not."""
    failed_verifications: int = 0
    """Since the last good one, or since a person resumed the rule. What was stopped in the middle
    is neither, unless what it had asked for was not done."""
    approval: str = ""
    """"", `requested`, `approved` or `rejected`: the last word, unless an action has
    ended it or it has lapsed."""
    approval_run: str = ""
    """The request's own number, by which a person approves it."""
    approval_at: float = 0.0
    """When that was written."""
    approved: tuple[Message, ...] = ()
    """The messages that the person saw when approving, as they were then: ids are used again.
    Empty unless approved."""
    approved_listed_at: float = field(default=0.0, compare=False)
    """Unix time of the list that showed them; their ages count from there."""
    approved_action: str = ""
    """What the person approved to do to them; "" unless approved."""


@dataclass(frozen=True, slots=True)
class FleetFacts:
    """What the journal knows of the whole fleet."""

    begun_this_hour: int = 0
    """Actions of rules begun within the last hour, on any host."""
    paused: str = ""
    """The actor and time of a pause of remediation; "" without one."""
    newly_ahead: int = field(default=0, compare=False)
    """As in RuleFacts, of the actions of all rules."""


@dataclass(frozen=True, slots=True)
class Unsettled:
    """An intent whose outcome is not known: the process ended in the middle."""

    intent: Entry
    messages: tuple[Message, ...]
