"""Gathers what the guards look at: the fleet, the pause file, and what the journal knows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from exporter.config.files import file_exists
from exporter.config.models import HostConfig
from exporter.config.remediation import RemediationConfig, RemediationRule
from exporter.journal import Actor, JournalError
from exporter.journal.thread import JournalThread
from exporter.remediation.guards import GuardInputs


@dataclass(frozen=True, slots=True)
class Fleet:
    """What whoever asks knows of the fleet, each as in Situation."""

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
