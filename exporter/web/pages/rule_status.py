"""How a rule stands on a host, in words: what keeps it from acting, and for how long. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from exporter.config.remediation import RemediationRule
from exporter.journal import Kind
from exporter.journal.entries import Guard
from exporter.journal.projection import JournalProjection
from exporter.remediation.guards import cooldown_until
from exporter.remediation.rule_state import RuleState


@dataclass(frozen=True, slots=True)
class RuleStatus:
    """One rule on one host."""

    host: str
    rule: RemediationRule
    word: str
    """What it is at: stopped, waiting, approved, rejected, cooldown, counting, blocked, asked or
    calm."""
    reason: str = ""
    """A sentence of the exporter's, where there is one."""
    until: float | None = None
    """Unix time at which that ends by itself."""
    seconds: float | None = None
    """Seconds after which it would act, while its conditions are counted."""
    messages: int = 0
    """On which it would act, once approved."""
    last: tuple[float, str] | None = None
    """When its last action ended, and the outcome."""


_ORDER = (
    *("waiting", "stopped", "approved", "rejected", "blocked"),
    *("asked", "counting", "cooldown", "calm"),
)


def standing_of(
    host: str, rule: RemediationRule, state: RuleState, projection: JournalProjection, now: float
) -> RuleStatus:
    """How a rule stands on a host at Unix time `now`."""
    last = projection.last.get(host, {}).get(rule.name)
    word, values = _word(host, rule, state, projection, now)
    return RuleStatus(host, rule, word, last=last, **values)


def _word(
    host: str, rule: RemediationRule, state: RuleState, projection: JournalProjection, now: float
) -> tuple[str, dict[str, Any]]:
    """What a rule is at, and the values that belong to it: what a person must do comes first."""
    key, block = (host, rule.name), state.block
    until = cooldown_until(rule, projection.begun(key, now), now)
    stopped = projection.stopped(key)
    waits = projection.waits(key, now)
    asks_no_more = block is not None and block.guard is Guard.APPROVAL
    decided = projection.decided(key, now)
    cases: tuple[tuple[str, bool, Callable[[], dict[str, Any]]], ...] = (
        ("stopped", stopped is not None, lambda: {"reason": stopped}),
        ("waiting", waits is not None, lambda: {"messages": waits}),
        ("cooldown", until is not None, lambda: {"until": until}),
        # What was decided a moment ago; the guards look at it with the host's next poll.
        ("approved", asks_no_more and decided is Kind.APPROVED, dict),
        ("rejected", asks_no_more and decided is Kind.REJECTED, dict),
        (
            "blocked",
            block is not None,
            lambda: {"reason": block.reason if block else "", "until": block and block.until},
        ),
        ("asked", bool(state.asked), lambda: {"reason": _asker(state)}),
        (
            "counting",
            state.clock.last is not None,
            lambda: {"seconds": state.clock.remaining()},
        ),
    )
    for word, holds, values in cases:
        if holds:
            return word, values()
    return "calm", {}


def _asker(state: RuleState) -> str:
    request = state.next_request
    return request.signature if request is not None else ""


def standings(
    states: Iterable[tuple[str, RemediationRule, RuleState]],
    projection: JournalProjection,
    now: float,
) -> list[RuleStatus]:
    """Every rule on every host, those first that want somebody's eye."""
    found = [standing_of(host, rule, state, projection, now) for host, rule, state in states]
    return sorted(found, key=lambda s: (_ORDER.index(s.word), s.last is None, s.rule.name, s.host))
