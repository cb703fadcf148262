"""Asks a panel every read-only operation once and reports how each reply was understood."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from exporter.config.models import Config, HostConfig
from exporter.humanize import duration, integer, quoted, size
from exporter.panel.client import PanelClient, PanelPool
from exporter.panel.decode import (
    ListOptions,
    MessageTable,
    decode_count_reply,
    decode_queue,
    decode_service_reply,
    known_beside_a_count,
    no_count,
    queue_stats,
)
from exporter.panel.decode.names import Key
from exporter.panel.decode.recognition import FieldReading, show_key
from exporter.panel.errors import PanelError
from exporter.panel.protocol import SERVICE_OPERATIONS, Operation, ServiceCommand
from exporter.panel.redaction import read_discreetly
from exporter.snapshot import LIST_FIELDS, SERVICES, Certainty, Failure, QueueStats, Reason


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


@dataclass(frozen=True, slots=True)
class FieldLine:
    """How one field of the rows was read."""

    name: str
    keys: tuple[Key, ...]
    """Where; () where it is not read, or the rows are text of the mail server's console."""
    certainty: Certainty | None
    """None where it is not read."""
    samples: tuple[object, ...] = ()
    """Up to three values as they came: whole, so for the operator's own eyes."""
    missing: str = ""
    """What would have to be known; "" where nothing is missing."""


@dataclass(slots=True)
class Diagnosis:
    """All findings of one host."""

    host: HostConfig
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the replies say only together."""
    fields: tuple[FieldLine, ...] = ()
    """How each field of a row was read; () where no list of rows came."""
    proposed_fields: dict[str, str | int] = field(default_factory=dict)
    """What to add under `fields` of the host; {} when there is nothing to propose."""
    verdict: str = ""
    """Whether all that a list shows is certain, or what is still in the way."""
    next_step: str = ""
    """What to do about a list that cannot be read at all; "" where it could be."""
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
    """Ask every read-only operation once; report what failed, and raise no PanelError."""
    async with PanelPool(config.poll) as pool:
        diagnoser = _Diagnoser(host, pool.client(host))
        await diagnoser.ask_queue()
        for service in SERVICES:
            await diagnoser.ask_service(service)
    return diagnoser.diagnosis


class _Diagnoser:
    """One host, asked operation after operation."""

    def __init__(self, host: HostConfig, client: PanelClient) -> None:
        self.diagnosis = Diagnosis(host)
        self._client = client
        self._count: int | None = None
        self._blank = False
        """Whether count_msg answered an empty text for the number."""

    async def ask_queue(self) -> None:
        """Ask count_msg and list_msg, and whether they agree."""
        await self._ask(Operation.COUNT, self._read_count)
        await self._ask(Operation.LIST, self._read_list)
        finding = self.diagnosis.findings[-1]
        failure = finding.failure
        unread = failure is not None and failure.reason in {Reason.UNEXPECTED, Reason.NOT_JSON}
        # An empty body is no shape: that the panel could not encode its list is reported as such.
        if unread and finding.body and finding.operation is Operation.LIST:
            self.diagnosis.next_step = self._next_step(rows=False)

    async def ask_service(self, service: str) -> None:
        """Ask what a mail service does."""
        operation = SERVICE_OPERATIONS[service]

        async def read(body: bytes) -> list[str]:
            return [f"{service} {decode_service_reply(body, operation).words}"]

        await self._ask(operation, read, ServiceCommand.STATUS)

    async def _ask(
        self,
        operation: Operation,
        read: Callable[[bytes], Awaitable[list[str]]],
        command: ServiceCommand | None = None,
    ) -> None:
        diagnosis, client = self.diagnosis, self._client
        if diagnosis.hopeless:
            return  # a wrong password sent four times may lock the account
        finding = Finding(operation)
        diagnosis.findings.append(finding)
        started = time.monotonic()
        try:
            reply = await client.request(operation, command=command)
            reply.release()  # one panel's replies are kept here as long as the command runs
            finding.body = reply.body
            finding.lines = await read_discreetly(reply.body, client.host.secret_values, read)
        except PanelError as error:
            finding.failure = error.failure
            answered = any(f.body is not None for f in diagnosis.findings)
            diagnosis.hopeless = error.concerns_all(answered=answered)
        finding.seconds = time.monotonic() - started
        diagnosis.certificate_expiry = client.certificate_expiry

    async def _read_count(self, body: bytes) -> list[str]:
        self._count = decode_count_reply(body)
        self._blank = self._count is None
        if self._count is None:
            return ["an empty text, which is 0 beside an empty list"]
        return [f"{integer(self._count)} messages"]

    async def _read_list(self, body: bytes) -> list[str]:
        host, diagnosis = self.diagnosis.host, self.diagnosis
        try:
            table = read_table(host, body)
        except PanelError as error:
            answered = self._blank or self._count is not None
            raise (known_beside_a_count(error) if answered else error) from None
        if self._blank and table.listed:
            raise no_count()
        stats = queue_stats(table)
        if self._count is not None and self._count != table.listed:
            diagnosis.notes.append(
                f"count_msg said {integer(self._count)}, list_msg has {integer(table.listed)} "
                "rows. Mail may have come or gone in between; if it stays so, the list is not "
                "whole. The queue's size is taken from count_msg."
            )
        diagnosis.understood = not (stats.unparsed or stats.lacking)
        diagnosis.fields = tuple(field_lines(host, table, stats))
        diagnosis.proposed_fields = proposals(host, table, diagnosis.fields)
        diagnosis.verdict = verdict(table, stats, diagnosis.fields)
        if table.listed and table.unparsed == table.listed:
            diagnosis.next_step = self._next_step(rows=True)
        return [*_rows(table), *_figures(stats)]

    def _next_step(self, *, rows: bool) -> str:
        """Return what to do about a list that says nothing."""
        host = self.diagnosis.host.name
        name = (
            f"or, where you see in them what is what, name `fields` of {host} and run this again"
            if rows
            else "for no `fields` can be named of a reply that holds no rows"
        )
        counted = "" if self._count is None else "the queue's size is still told by count_msg, and "
        return (
            f"This shape of list_msg is not known yet. Next: `diagnose {host} --save FILE`, read "
            f"FILE, and send it to the project, so that it becomes known; {name}. Until then "
            f"{counted}nothing acts on its messages."
        )


def read_table(host: HostConfig, body: bytes) -> MessageTable:
    """Return a reply to list_msg as a host's config has it read.

    Raises:
        PanelError: it is no list.
    """
    options = ListOptions(time.time(), host.field_keys, host.zone, host.frozen_values)
    return decode_queue(body, options)


def field_lines(host: HostConfig, table: MessageTable, stats: QueueStats) -> Iterator[FieldLine]:
    """Yield how each field was read."""
    how, lacking = dict(stats.certainty), dict(stats.lacking)
    understood = stats.listed - stats.unparsed
    candidates = _candidates(table)
    for reading in table.readings if table.listed else ():
        name = reading.field
        certainty = how.get(name, reading.certainty if not understood else None)
        missing = _missing(host, reading, certainty, candidates.get(name, ()))
        if not missing and lacking.get(name):
            missing = _missing_values(host, reading, lacking[name], understood)
        yield FieldLine(name, reading.keys, certainty, reading.samples, missing)


_ROLES = frozenset({"sender", "recipients"})


def _candidates(table: MessageTable) -> dict[str, tuple[Key, ...]]:
    """Return the keys that may hold a field, of fields for which there are several."""
    return {
        reading.field: tuple(dict.fromkeys([*reading.candidates, *reading.keys]))
        for reading in table.readings
        if len({*reading.candidates, *reading.keys}) > 1 and reading.candidates
    }


def _missing(
    host: HostConfig,
    reading: FieldReading,
    certainty: Certainty | None,
    candidates: tuple[Key, ...],
) -> str:
    """Return what would have to be known of a field to be sure of it."""
    given = host.field_keys.get(reading.field)
    if given is not None and given in candidates:
        rest = " and ".join(show_key(key) for key in candidates if key != given)
        return f"{rest} beside {show_key(given)} holds addresses, too: not all may be in one place"
    if given is not None and str(given).lower() not in {str(key).lower() for key in reading.keys}:
        return f"`fields` names {show_key(given)}, which no row has"
    if candidates:
        return f"{' and '.join(map(show_key, candidates))} may hold it: name one in `fields`"
    if certainty is Certainty.GUESSED:
        return "a person who confirms it in `fields`"
    if certainty is None:
        return reading.why or "not recognised: name it in `fields`"
    return ""


def _missing_values(host: HostConfig, reading: FieldReading, lacking: int, understood: int) -> str:
    """Return what would have to be known of a field that only some messages have."""
    name = reading.field
    if name == "frozen" and name in host.field_keys:
        return (
            f"{integer(lacking)} values tell nothing: say what they mean in `frozen_values` and "
            "`not_frozen_values`"
        )
    if name == "age" and host.zone is None and "zone" in reading.why:
        return "the host's `time_zone`: the dates name none"
    return f"not told by {integer(lacking)} of {integer(understood)} messages"


def proposals(
    host: HostConfig, table: MessageTable, lines: Sequence[FieldLine]
) -> dict[str, str | int]:
    """Return what may be added to the host's `fields`: where a field can only be in one place.

    What they say already is not said again, and what is named by the panel needs no word.
    """
    several = {*_candidates(table)}
    unknown = {line.name for line in lines if line.certainty is None}
    if unknown >= _ROLES:
        several |= _ROLES  # one column of addresses may be either
    sure = {line.name for line in lines if line.certainty is Certainty.NAMED}
    found = {
        name: key
        for name, key in table.proposed_fields.items()
        if name not in several | sure | host.field_keys.keys()
    }
    certain = {line.name for line in lines if line.certainty is Certainty.STRUCTURAL}
    found = {name: found[name] for name in LIST_FIELDS if name in found}
    # Of use only where it makes more certain than is certain already.
    return found if found.keys() - certain else {}


def verdict(table: MessageTable, stats: QueueStats, lines: Sequence[FieldLine]) -> str:
    """Return whether all that a list shows is certain, or what is still in the way."""
    if not table.listed:
        return "The queue is empty: what its rows look like is seen once there is mail."
    guessed = [line.name for line in lines if line.certainty is Certainty.GUESSED]
    unknown = [line.name for line in lines if line.certainty is None]
    named = "told by `fields`" in table.shape
    parts = []
    if guessed:
        parts.append(f"only guessed, so that nothing acts on it: {quoted(guessed)}")
    if unknown:
        parts.append(f"not told: {quoted(unknown)}")
    if stats.unparsed:
        reason = ", perhaps since a value is not what `fields` say" if named else ""
        parts.append(f"{integer(stats.unparsed)} rows not understood{reason}")
    parts += [
        f"`{name}` is told by {integer(stats.listed - stats.unparsed - count)} of "
        f"{integer(stats.listed - stats.unparsed)} messages"
        for name, count in stats.lacking
        if name not in unknown
    ]
    if parts:
        return f"Not certain yet: {'; '.join(parts)}."
    return "Certain: every field is named, or follows from the mail server's own grammar."


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
        f"{integer(count)} messages do not tell "
        + ("whether they are frozen" if name == "frozen" else f"their {name}")
        for name, count in stats.lacking
    ]
    return lines
