"""Asks a panel every read-only operation once and tells how each reply was understood."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from exporter.config.models import Config, HostConfig
from exporter.panel.client import PanelClient, PanelPool
from exporter.panel.decode import (
    MessageTable,
    decode_count_reply,
    decode_queue,
    decode_service_reply,
    queue_stats,
)
from exporter.panel.errors import PanelError
from exporter.panel.protocol import SERVICE_OPERATIONS, Operation, ServiceCommand
from exporter.panel.secrecy import read_discreetly
from exporter.snapshot import SERVICES, Failure, QueueStats
from exporter.text import duration, integer, size


@dataclass(slots=True)
class Finding:
    """One operation: what came back and what was made of it."""

    operation: Operation
    body: bytes | None = None
    """The raw reply; None when there was none."""
    seconds: float = 0.0
    lines: list[str] = field(default_factory=list)
    """How the reply was understood, for a person."""
    failure: Failure | None = None


@dataclass(slots=True)
class Diagnosis:
    """All findings of one host."""

    host: HostConfig
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the replies say only together."""
    proposed_fields: dict[str, str | int] = field(default_factory=dict)
    """What to write under `fields` of the host; {} when there is nothing to propose."""
    certificate_expiry: float | None = None
    hopeless: bool = False
    """Whether the panel refused in a way that concerns every operation, so that the rest was
    not asked."""
    understood: bool = True
    """Whether everything that came back was understood whole."""

    @property
    def ok(self) -> bool:
        """Whether every operation was answered and understood whole."""
        return self.understood and all(finding.failure is None for finding in self.findings)


async def diagnose_host(config: Config, host: HostConfig) -> Diagnosis:
    """Ask every read-only operation once. Never raises a PanelError: what failed is told."""
    diagnosis = Diagnosis(host)
    async with PanelPool(config.poll) as pool:
        client = pool.client(host)
        await _Queue(diagnosis, client).ask()
        for service in SERVICES:
            await _service(diagnosis, client, service)
        diagnosis.certificate_expiry = client.certificate_expiry
    return diagnosis


async def _ask(
    diagnosis: Diagnosis,
    client: PanelClient,
    operation: Operation,
    read: Callable[[bytes], list[str]],
    command: ServiceCommand | None = None,
) -> None:
    if diagnosis.hopeless:
        return  # a wrong password sent four times may lock the account
    finding = Finding(operation)
    diagnosis.findings.append(finding)
    started = time.monotonic()

    async def read_reply(body: bytes) -> list[str]:
        return read(body)

    try:
        reply = await client.request(operation, command=command)
        reply.release()  # one panel's replies are kept here as long as the command runs
        finding.body = reply.body
        finding.lines = await read_discreetly(reply.body, client.host.secret_values, read_reply)
    except PanelError as error:
        finding.failure = error.failure
        answered = any(f.body is not None for f in diagnosis.findings)
        diagnosis.hopeless = error.concerns_all(answered=answered)
    finding.seconds = time.monotonic() - started


async def _service(diagnosis: Diagnosis, client: PanelClient, service: str) -> None:
    operation = SERVICE_OPERATIONS[service]

    def read(body: bytes) -> list[str]:
        up = decode_service_reply(body, operation)
        return [f"{service} {'runs' if up else 'is stopped'}"]

    await _ask(diagnosis, client, operation, read, ServiceCommand.STATUS)


class _Queue:
    """count_msg and list_msg, and whether they agree."""

    def __init__(self, diagnosis: Diagnosis, client: PanelClient) -> None:
        self._diagnosis = diagnosis
        self._client = client
        self._count: int | None = None

    async def ask(self) -> None:
        await _ask(self._diagnosis, self._client, Operation.COUNT, self._read_count)
        await _ask(self._diagnosis, self._client, Operation.LIST, self._read_list)

    def _read_count(self, body: bytes) -> list[str]:
        self._count = decode_count_reply(body)
        return [f"{integer(self._count)} messages"]

    def _read_list(self, body: bytes) -> list[str]:
        host, diagnosis = self._diagnosis.host, self._diagnosis
        table = decode_queue(body, now=time.time(), fields=host.told_fields, time_zone=host.zone)
        stats = queue_stats(table)
        if self._count is not None and self._count != table.listed:
            diagnosis.notes.append(
                f"count_msg said {integer(self._count)}, list_msg has {integer(table.listed)} "
                "rows. Mail may have come or gone in between; if it stays so, the list is not "
                "whole. The queue's size is taken from count_msg."
            )
        if stats.unparsed or stats.lacking:
            diagnosis.understood = False
            diagnosis.proposed_fields = dict(table.proposed_fields)
        return [*_rows(table), *_figures(stats)]


def _rows(table: MessageTable) -> list[str]:
    lines = [f"{integer(table.listed)} rows, {integer(table.unparsed)} of them not understood"]
    if table.shape:
        lines.append(f"read as: {table.shape}")
    return lines + [f"not understood: {sample}" for sample in table.samples]


def _figures(stats: QueueStats) -> list[str]:
    figures = {
        "mail server": stats.mta,
        "frozen": None if stats.frozen is None else integer(stats.frozen),
        "bounces": None if stats.bounces is None else integer(stats.bounces),
        "size": None if stats.size_bytes is None else size(stats.size_bytes),
        "oldest": None if stats.oldest_age is None else duration(stats.oldest_age),
    }
    lines = [", ".join(f"{name} {value or 'not told'}" for name, value in figures.items())]
    lines += [
        f"{integer(count)} messages do not tell their {name}" for name, count in stats.lacking
    ]
    return lines
