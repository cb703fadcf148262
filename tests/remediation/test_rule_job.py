"""What a rule's action goes by: the config as it stands before each message."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from exporter.config.remediation import RemediationConfig, RemediationRule
from exporter.journal.entries import Guard
from exporter.remediation.guard_inputs import GuardInputs, InForce
from exporter.remediation.requests import Request
from exporter.remediation.rule_job import RuleJob
from tests.builders import host
from tests.remediation.test_guards import config, rule
from tests.remediation.test_guards import inputs as guard_inputs


class Silences:
    """An Alertmanager that has a silence for every host."""

    def __init__(self) -> None:
        self.asked = 0

    async def silenced(self, host: str, labels: Mapping[str, str]) -> str:
        assert labels["host"] == host
        self.asked += 1
        return f"{host} is silenced."


async def test_a_rule_that_must_respect_silences_from_the_middle_on_does() -> None:
    silences, client = Silences(), SimpleNamespace(host=host("mx1"))
    context = cast(
        "Any",
        SimpleNamespace(
            alertmanagers=lambda: (silences,),
            client=client,
            host="mx1",
            panel=client.host.panel,
            monotonic=lambda: 0.0,
            ends=asyncio.Event(),
        ),
    )
    in_force: RemediationRule = rule()

    async def inputs() -> GuardInputs:
        section: RemediationConfig = config()
        return replace(guard_inputs(), in_force=InForce(section, in_force))

    job = RuleJob(context, config(), rule(), Request(), inputs)
    assert await job.before_message() is None
    assert silences.asked == 0
    in_force = rule(respect_silences=True)
    block = await job.before_message()
    assert block is not None
    assert (block.guard, block.reason, silences.asked) == (
        Guard.SILENCE,
        "mx1 is silenced.",
        1,
    )
