"""What the guards look at: the fleet, the pause file, the journal's facts and silences."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    """Everything that the guards look at; nothing may act where it is not known."""

    now: float
    """Unix time."""
    hosts: int
    """Hosts of the fleet."""
    wanting: int = 0
    """Hosts with a rule that wants an action, or will by the next poll."""
    unheard: int = 0
    """Hosts that have not been polled yet, since the start or since they have a rule that is new
    or changed, so that it is not known what they want."""
    running: int = 0
    """Actions under way in this process."""
    skews: Sequence[float] = ()
    """By how many seconds the clocks of the panels are ahead of ours, where known."""
    actor: Actor = Actor.RULE
    pause_file: bool | None = None
    """Whether the pause file exists; None when that cannot be known."""
    rule: RuleFacts | None = None
    """None when the journal cannot be read."""
    fleet: FleetFacts | None = None
    error: str = ""
    """Why facts are missing."""
    withdrawn: str = ""
    """Why the request counts no more; "" while it does."""
    alert_over: str = ""
    """Why nobody wants an action any more that has begun, since its alert was resolved and nothing
    else asks for it; "" while that is not so."""
    in_force: InForce | None = None
    """None where the config cannot change."""


async def read_inputs(
    journal: JournalThread,
    config: RemediationConfig,
    host: HostConfig,
    rule: RemediationRule,
    known: GuardInputs,
) -> GuardInputs:
    """Return what is `known` with the pause file, and with what the journal holds of a rule."""
    try:
        facts, fleet = await journal.do(
            lambda journal: (
                journal.rule_facts(host.name, rule.name, host.panel),
                journal.fleet_facts(),
            )
        )
        known = replace(known, rule=facts, fleet=fleet)
    except JournalError as error:
        known = replace(known, error=str(error))
    return replace(known, pause_file=await asyncio.to_thread(file_exists, config.pause_file))


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
