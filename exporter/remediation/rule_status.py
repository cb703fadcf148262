"""The status of a rule on a host: what keeps it from acting, and for how long. Pure.

The page makes it of what a running daemon knows, the command line of the journal alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from exporter.config.remediation import RemediationRule
from exporter.journal import Entry, RuleFacts
from exporter.journal.entries import Guard
from exporter.journal.projection import JournalProjection, is_bad_news
from exporter.remediation.guards import cooldown_until
from exporter.remediation.rule_state import RuleState

HELD_BACK_SHOWN = 86400.0
"""Seconds for which a block of the journal is shown: it is written down only when it begins."""

_SHOWN_OTHERWISE = {
    *(Guard.MODE, Guard.PAUSE, Guard.WINDOW, Guard.STOPPED),
    *(Guard.APPROVAL, Guard.COOLDOWN, Guard.MAX_PER_DAY),
}
"""Guards whose outcome can be worked out anew from the journal and the config."""

_ORDER = (
    *("waiting", "stopped", "approved", "rejected", "blocked"),
    *("asked", "counting", "cooldown", "calm"),
)
"""Every word of a status; first what needs somebody's attention."""


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A guard that kept a rule from acting."""

    guard: str
    reason: str
    at: float | None = None
    """Unix time at which that was written down, where it is read from the journal."""
    until: float | None = None
    """Unix time at which it ends by itself, where a daemon knows that."""


@dataclass(frozen=True, slots=True)
class RuleStatus:
    """One rule on one host at one moment."""

    host: str
    rule: RemediationRule
    now: float
    """Unix time."""
    facts: RuleFacts
    last: tuple[float, str] | None = None
    """When its last action ended, and the outcome."""
    messages: int = 0
    """Messages that it asks a person to approve."""
    held_back: HeldBack | None = None
    """What held it back the last time; of the journal it may have passed since."""
    unsettled: bool = False
    """Whether an action of the journal has no outcome: it is under way, or was cut off."""
    requester: str | None = None
    """The actor that asks a running daemon for it; None when nobody does, or no daemon runs."""
    due_in: float | None = None
    """Seconds after which it would act; None unless a daemon times its conditions."""

    @property
    def cooldown_until(self) -> float | None:
        """Unix time until which it may not act again; None when it may."""
        return cooldown_until(self.rule, self.facts.last_begun, self.now)

    @property
    def no_more_today(self) -> bool:
        """Whether it has acted as often as it may within 24 hours."""
        return self.facts.begun_today >= self.rule.max_per_day

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to say of it, as far as the journal knows."""
        return not (
            self.unsettled
            or self.facts.stopped
            or self.facts.approval
            or self.cooldown_until is not None
            or self.no_more_today
            or self.held_back is not None
            or (self.last is not None and is_bad_news(self.last[1], self.last[0], self.now))
        )

    @property
    def word(self) -> str:
        """What it is at, one of _ORDER: what a person must do comes first."""
        approval, held_back = self.facts.approval, self.held_back
        if self.facts.stopped:
            return "stopped"
        if approval == "requested":
            return "waiting"
        if self.cooldown_until is not None:
            return "cooldown"
        if held_back is not None:
            # A decision of a moment ago: the guards look at it with the host's next poll.
            decided = approval and held_back.guard == Guard.APPROVAL.value
            return approval if decided else "blocked"
        if self.requester is not None:
            return "asked"
        return "calm" if self.due_in is None else "counting"

    @property
    def reason(self) -> str:
        """A sentence of the exporter's that belongs to `word`, where there is one."""
        blocked = self.held_back.reason if self.held_back is not None else ""
        by_word = {"stopped": self.facts.stopped, "blocked": blocked, "asked": self.requester}
        return by_word.get(self.word) or ""

    @property
    def until(self) -> float | None:
        """Unix time at which what `word` names ends by itself, where that is known."""
        blocked = self.held_back.until if self.held_back is not None else None
        return {"cooldown": self.cooldown_until, "blocked": blocked}.get(self.word)


def live_status(
    host: str, state: RuleState, projection: JournalProjection, now: float
) -> RuleStatus:
    """Return the status of a rule on a host as a running daemon knows it at Unix time `now`."""
    rule, block, request = state.rule, state.held.block, state.next_request
    key = host, rule.name
    return RuleStatus(
        host,
        rule,
        now,
        projection.facts(key, now),
        last=projection.last.get(host, {}).get(rule.name),
        messages=projection.waits(key, now) or 0,
        held_back=(
            None if block is None else HeldBack(block.guard.value, block.reason, until=block.until)
        ),
        requester=None if request is None else request.signature,
        due_in=None if state.timer.last is None else state.timer.remaining(),
    )


def live_statuses(
    states: Iterable[tuple[str, RuleState]],
    projection: JournalProjection,
    now: float,
) -> list[RuleStatus]:
    """Return the status of every rule on every host, those first that need attention."""
    found = [live_status(host, state, projection, now) for host, state in states]
    return sorted(found, key=lambda s: (_ORDER.index(s.word), s.last is None, s.rule.name, s.host))


def held_back_by(block: Entry | None, facts: RuleFacts, now: float) -> HeldBack | None:
    """Return what the last block of the journal says of now.

    None where it is old, the rule has acted since, or the facts and the config say it themselves.
    """
    if block is None or block.outcome in _SHOWN_OTHERWISE or now - block.at > HELD_BACK_SHOWN:
        return None
    if facts.last_begun is not None and facts.last_begun > block.at:
        return None
    return HeldBack(block.outcome, block.text, at=block.at)
