"""What the guards look at: the fleet, the pause file, the journal's facts and silences."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from exporter.config.file_watch import file_exists
from exporter.config.models import HostConfig
from exporter.config.remediation import RemediationConfig, RemediationRule
from exporter.http.errors import DeliveryError
from exporter.journal import Actor, JournalError
from exporter.journal.entries import FleetFacts, RuleFacts
from exporter.journal.thread import JournalThread
from exporter.remediation.context import HostContext


@dataclass(frozen=True, slots=True)
class InForce:
    """The config as it stands now, for an action that has begun by an earlier one."""

    config: RemediationConfig
    rule: RemediationRule | None
    """The rule of the same name, if it is for the host; None when it is not any more."""
    against: str = ""
    """Why the action must not go on: its host has left, or is another panel."""


@dataclass(frozen=True, slots=True)
class GuardInputs:
    """Everything that the guards look at."""

    now: float
    """Unix time."""
    pause_file: bool | None
    """Whether the pause file exists; None when that cannot be known."""
    hosts: int
    """Hosts of the fleet."""
    wanting: int
    """Hosts with a rule that wants an action, or will by the next poll."""
    unheard: int
    """Hosts that have not been polled yet, since the start or since they have a rule that is new
    or changed, so that it is not known what they want."""
    running: int
    """Actions under way in this process."""
    rule: RuleFacts | None
    """None when the journal cannot be read."""
    fleet: FleetFacts | None
    actor: Actor = Actor.RULE
    errors: Sequence[str] = field(default_factory=tuple)
    """Why facts are missing."""
    withdrawn: str = ""
    """Why the request counts no more; "" while it does."""
    alert_over: str = ""
    """Why nobody wants an action any more that has begun, since its alert was resolved and nothing
    else asks for it; "" while that is not so."""
    skews: Sequence[float] = field(default_factory=tuple)
    """By how many seconds the clocks of the panels are ahead of ours, where known."""
    in_force: InForce | None = None
    """None where the config cannot change."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is known of the fleet; each value as in `GuardInputs`."""

    hosts: int
    wanting: int = 0
    unheard: int = 0
    running: int = 0
    skews: Sequence[float] = ()


async def guard_inputs(
    journal: JournalThread,
    config: RemediationConfig,
    host: HostConfig,
    rule: RemediationRule,
    fleet: Fleet,
    *,
    now: float,
    actor: Actor,
) -> GuardInputs:
    """The situation of a rule on a host at Unix time `now`, for whoever wants it to act."""
    errors: list[str] = []
    facts = None
    try:
        facts = await journal.do(
            lambda journal: (
                journal.rule_facts(host.name, rule.name, host.panel),
                journal.fleet_facts(),
            )
        )
    except JournalError as error:
        errors.append(str(error))
    return GuardInputs(
        now=now,
        pause_file=await asyncio.to_thread(file_exists, config.pause_file),
        hosts=fleet.hosts,
        wanting=fleet.wanting,
        unheard=fleet.unheard,
        running=fleet.running,
        skews=fleet.skews,
        rule=facts[0] if facts else None,
        fleet=facts[1] if facts else None,
        actor=actor,
        errors=errors,
    )


@dataclass(frozen=True, slots=True)
class Silences:
    """What the Alertmanagers reply about one rule on one host."""

    alertmanagers: int
    """How many were asked."""
    reasons: Sequence[str] = ()
    """Why the host is to be left alone, of each silence that says so."""
    errors: Sequence[str] = ()
    """Why an Alertmanager's reply is not known."""


async def ask_silences(context: HostContext, rule: RemediationRule) -> Silences | None:
    """Ask all Alertmanagers at once; None for a rule that does not respect silences."""
    if not rule.respect_silences:
        return None
    host, alertmanagers = context.client.host, context.alertmanagers()
    labels = {**host.labels, "host": host.name, "remediation": rule.name}
    replies = await asyncio.gather(
        *(alertmanager.silenced(host.name, labels) for alertmanager in alertmanagers),
        return_exceptions=True,
    )
    reasons = [reply for reply in replies if isinstance(reply, str) and reply]
    errors = [str(reply) for reply in replies if isinstance(reply, DeliveryError)]
    for reply in () if reasons else replies:
        if isinstance(reply, BaseException) and not isinstance(reply, DeliveryError):
            raise reply
    return Silences(len(alertmanagers), reasons, errors)
