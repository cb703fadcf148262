"""One poll of one panel: its collectors, one after the other over one connection."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import structlog

from exporter.config.models import HostConfig
from exporter.panel.client import PanelClient
from exporter.panel.decode import Layouts, decode_count, decode_reply, decode_service_status
from exporter.panel.errors import PanelError
from exporter.panel.protocol import SERVICE_OPERATIONS, Operation, ServiceCommand
from exporter.panel.queue_decoder import QueueDecoder
from exporter.snapshot import (
    QUEUE,
    CollectorResult,
    Failure,
    HostSnapshot,
    Mta,
    QueueState,
    Reason,
)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class QueueMemory:
    """What the next poll of a host needs to know of the last one."""

    ids: bytes | None = None
    """The ids of the last list, as the decoder packs them; None before the first."""
    mta: Mta | None = None
    layouts: Layouts = field(default_factory=dict)
    """How the rows of its lists are read."""


@dataclass(frozen=True, slots=True)
class PollContext:
    """Everything one poll needs."""

    host: HostConfig
    client: PanelClient
    decoder: QueueDecoder
    memory: QueueMemory
    detail_limit: int
    """Above this count list_msg is not asked."""


async def poll_host(context: PollContext) -> HostSnapshot:
    """One whole poll. Never raises but for cancellation: what failed is in the snapshot."""
    try:
        results = await collect(context)
    except Exception:
        # A bug must neither end a schedule nor leave old values looking fresh.
        log.exception("a poll failed by a bug in the exporter", host=context.host.name)
        now = time.time()
        results = tuple(
            CollectorResult(collector, now, 0.0, failure=_BUG)
            for collector in context.host.collectors
        )
    return HostSnapshot(
        context.host.name,
        time.time(),
        results,
        context.client.certificate_expiry,
        context.memory.mta,
    )


_BUG = Failure(
    Reason.UNEXPECTED,
    "The exporter failed on this reply by a bug of its own.",
    "The log holds the traceback; please report it with what `diagnose --save` writes.",
    retryable=False,
)


async def collect(context: PollContext) -> tuple[CollectorResult, ...]:
    """Ask a panel for everything its collectors want.

    The requests go one after the other, so that they share one connection. What fails for the
    whole panel is not asked again for the other collectors: a wrong password sent three times
    may lock the account, and a dead panel would cost three timeouts.
    """
    results: list[CollectorResult] = []
    stop: Failure | None = None
    for collector in context.host.collectors:
        if stop is not None:
            results.append(CollectorResult(collector, time.time(), 0.0, failure=stop))
            continue
        started = time.monotonic()
        value: QueueState | bool | None = None
        failure: Failure | None = None
        try:
            value = await _ask(context, collector)
        except PanelError as error:
            failure = error.failure
            # A timeout of a later collector may be that service's alone.
            hung = error.reason is Reason.TIMEOUT and not results
            stop = failure if error.host_level or hung else None
        # Digits below these mean nothing and cost time at each exposition.
        took, now = round(time.monotonic() - started, 6), round(time.time(), 3)
        results.append(CollectorResult(collector, now, took, value, failure))
    return tuple(results)


async def _ask(context: PollContext, collector: str) -> QueueState | bool:
    if collector == QUEUE:
        return await _queue(context)
    operation = SERVICE_OPERATIONS[collector]
    reply = await context.client.request(operation, command=ServiceCommand.STATUS)
    return decode_service_status(decode_reply(reply.body, operation))


async def _queue(context: PollContext) -> QueueState:
    reply = await context.client.request(Operation.COUNT)
    messages = decode_count(decode_reply(reply.body, Operation.COUNT))
    if messages > context.detail_limit:
        # The ids are unknown from here on: the next list starts counting anew.
        context.memory.ids = None
        return QueueState(messages, stats=None)
    body = _EMPTY_LIST
    if messages:
        body = (await context.client.request(Operation.LIST)).body
    update = await context.decoder.decode(
        body,
        now=time.time(),
        fields=context.host.told_fields,
        time_zone=context.host.zone,
        previous_ids=context.memory.ids,
        known=context.memory.layouts,
    )
    context.memory.layouts = update.layouts
    context.memory.ids = update.ids
    context.memory.mta = update.stats.mta or context.memory.mta
    return QueueState(
        messages,
        update.stats,
        update.entered,
        update.left,
        shape=update.shape,
        samples=update.samples,
    )


_EMPTY_LIST = b'{"error": 100}'
"""What list_msg answers for an empty queue; count_msg's 0 spares asking it."""
