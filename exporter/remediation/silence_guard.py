"""Asks the Alertmanagers whether somebody wants a host left alone. What is not known blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from exporter.config.models import HostConfig
from exporter.config.remediation import RemediationRule
from exporter.http.errors import DeliveryError
from exporter.journal.entries import Guard
from exporter.remediation.guards import Block


class KnowsSilences(Protocol):
    """An Alertmanager, as far as it is asked."""

    async def silenced(self, host: str, labels: Mapping[str, str]) -> str:
        """Why nothing shall be done to a host; "" when nothing speaks against it.

        Raises:
            DeliveryError: it cannot be told.
        """


async def silence_of(
    alertmanagers: Sequence[KnowsSilences], host: HostConfig, rule: RemediationRule
) -> Block | None:
    """Whether a silence, or not knowing of one, keeps a rule from acting on a host now.

    A rule that does not respect silences asks nobody.
    """
    if not rule.respect_silences:
        return None
    if not alertmanagers:
        return Block(Guard.SILENCE, "There is no Alertmanager that could be asked for silences.")
    labels = {**host.labels, "host": host.name, "remediation": rule.name}
    answers = await asyncio.gather(
        *(alertmanager.silenced(host.name, labels) for alertmanager in alertmanagers),
        return_exceptions=True,
    )
    for answer in answers:
        if isinstance(answer, str) and answer:
            return Block(Guard.SILENCE, answer)
    for answer in answers:
        if isinstance(answer, DeliveryError):
            return Block(Guard.SILENCE, f"Whether it is silenced is not known: {answer}")
        if isinstance(answer, BaseException):
            raise answer
    return None
