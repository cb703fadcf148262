"""What holds for every decoded reply, whatever came in."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import tzinfo

from exporter.panel.decode import (
    ListOptions,
    QueueUpdate,
    anonymise_reply,
    decode_count,
    decode_queue,
    decode_queue_update,
    decode_reply,
    decode_service_reply,
    queue_stats,
)
from exporter.panel.errors import PanelError
from exporter.panel.protocol import Operation
from exporter.snapshot import (
    MESSAGE_FIELDS,
    TOP_DOMAINS,
    DomainCounts,
    Message,
    QueueStats,
    ServiceState,
)

_ID = re.compile(
    r"[0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[0-9A-Za-z]{6}-[0-9A-Za-z]{11}-[0-9A-Za-z]{4}"
    r"|[0-9A-F]{6,}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{12,}"
)
_DOMAIN = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_reply(
    body: bytes,
    now: float,
    fields: Mapping[str, str | int] | None = None,
    time_zone: tzinfo | None = None,
) -> None:
    """Every decoder over one body: only PanelError may escape, and results are within bounds."""
    options = ListOptions(now, fields or {}, time_zone)
    for operation in (Operation.COUNT, Operation.CLAMAV, Operation.CONTROL):
        try:
            reply = decode_reply(body, operation)
            if operation is Operation.COUNT:
                assert 0 <= decode_count(reply) <= 10**9
            elif operation is Operation.CLAMAV:
                state = decode_service_reply(body, operation)
                assert isinstance(state, ServiceState)
                assert state.installed or not state.running
        except PanelError as error:
            _check_error(error)
    assert isinstance(anonymise_reply(body, ["s3cret"]), str)
    try:
        table = decode_queue(body, options)
    except PanelError as error:
        _check_error(error)
        return
    messages = [*table.messages()]
    for message in messages:
        _check_message(message)
    assert len({message.id for message in messages}) == len(messages) == len(table)
    assert table.listed == len(messages) + table.unparsed
    assert table.unparsed >= 0
    assert len(table.samples) <= 3
    assert all(len(sample) <= 200 and not _CONTROL.search(sample) for sample in table.samples)
    assert not _CONTROL.search(table.shape)
    update = decode_queue_update(body, options, previous_ids=b"")
    _check_update(update, len(messages))
    _check_same(update.stats, queue_stats(table))


def _check_same(one: QueueStats, other: QueueStats) -> None:
    """Equal, but for the rounding of a sum made in another order."""
    if one.ages is not None and other.ages is not None:
        assert math.isclose(one.ages.total, other.ages.total, rel_tol=1e-9)
        other = replace(other, ages=replace(other.ages, total=one.ages.total))
    assert one == other


def _check_error(error: PanelError) -> None:
    assert len(error.message) < 1000
    assert not _CONTROL.search(error.message)


def _check_message(message: Message) -> None:
    assert _ID.fullmatch(message.id)
    assert message.age is None or 0 <= message.age <= 10 * 366 * 86400
    assert message.size is None or 0 <= message.size <= 2**50
    for address in (message.sender or "", *(message.recipients or ()), *message.delivered):
        assert "\n" not in address or '"' in address


def _check_update(update: QueueUpdate, understood: int) -> None:
    stats = update.stats
    assert update.entered == understood
    assert update.left == 0
    assert len(update.ids.split()) == understood
    check_stats(stats, understood)


def check_stats(stats: QueueStats, understood: int) -> None:
    """The figures agree with each other."""
    lacking = dict(stats.lacking)
    assert set(lacking) <= set(MESSAGE_FIELDS)
    assert stats.unparsed == stats.listed - understood
    decoded = {name: understood - lacking.get(name, 0) for name in MESSAGE_FIELDS}
    if stats.listed:
        figures = (
            stats.ages,
            stats.size_bytes,
            stats.bounces,
            stats.recipient_domains,
            stats.frozen,
        )
        for name, figure in zip(MESSAGE_FIELDS, figures, strict=True):
            assert (figure is None) == (decoded[name] == 0)
    assert 0 <= (stats.frozen or 0) <= decoded["frozen"]
    assert 0 <= (stats.bounces or 0) <= decoded["sender"]
    if stats.ages is not None:
        assert sum(stats.ages.counts) == decoded["age"]
        assert stats.oldest_age is not None
        assert stats.ages.total <= stats.oldest_age * max(1, decoded["age"]) * 1.000001
    for counts, limit in (
        (stats.sender_domains, decoded["sender"] - (stats.bounces or 0)),
        (stats.recipient_domains, None),
    ):
        if counts is not None:
            _check_domains(counts, limit)


def _check_domains(counts: DomainCounts, total: int | None) -> None:
    assert len(counts.top) <= TOP_DOMAINS
    assert counts.other >= 0
    numbers = [number for _, number in counts.top]
    assert numbers == sorted(numbers, reverse=True)
    assert all(number > 0 for number in numbers)
    assert all(_DOMAIN.fullmatch(domain) for domain, _ in counts.top)
    assert total is None or sum(numbers) + counts.other == total
