"""One poll of one panel: its collectors, one after the other over one connection."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import TypeVar

import structlog

from exporter.config.models import HostConfig
from exporter.panel.client import PanelClient
from exporter.panel.decode import (
    ListOptions,
    QueueUpdate,
    decode_count_reply,
    decode_queue_update,
    decode_service_reply,
    known_beside_a_count,
    no_count,
)
from exporter.panel.errors import PanelError
from exporter.panel.protocol import SERVICE_OPERATIONS, Operation, ServiceCommand
from exporter.panel.queue_decoder import INLINE_LIMIT, QueueDecoder
from exporter.panel.redaction import holds_secret, redact_text
from exporter.snapshot import (
    QUEUE,
    UNTOLD,
    CollectorResult,
    Failure,
    HostSnapshot,
    Mta,
    QueueState,
    Reason,
    ServiceState,
    is_whole_list,
)

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class QueueMemory:
    """What the next poll of a host needs to know of the last one."""

    ids: bytes | None = None
    """The ids of the last whole list, as the decoder packs them; None before the first."""
    unread: int = 0
    """Rows of it without an id that is understood."""
    mta: Mta | None = None
    same: tuple[HostConfig, bytes, QueueUpdate] | None = None
    """The last list whose meaning no clock changes: by which config it was read, its digest, and
    what it says."""


@dataclass(frozen=True, slots=True)
class PollContext:
    """Everything one poll needs."""

    host: HostConfig
    client: PanelClient
    decoder: QueueDecoder
    memory: QueueMemory
    detail_limit: int
    """Above this count list_msg is not asked."""
    answered: list[Operation] = field(default_factory=list)
    """What the panel has answered in this poll; each poll gets a context of its own."""


async def poll_host(context: PollContext) -> HostSnapshot:
    """Make one whole poll; raise nothing but a cancellation: what failed is in the snapshot."""
    context = replace(context, answered=[])
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
    expiry, mta = context.client.certificate_expiry, context.memory.mta
    skew = context.client.clock_skew
    return HostSnapshot(context.host.name, time.time(), results, expiry, mta, skew)


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
        value: QueueState | ServiceState | None = None
        failure: Failure | None = None
        try:
            value = await _ask(context, collector)
        except PanelError as error:
            failure = error.failure
            stop = failure if error.concerns_all(answered=bool(context.answered)) else None
        # Digits below these mean nothing and cost time at each exposition.
        took, now = round(time.monotonic() - started, 6), round(time.time(), 3)
        results.append(CollectorResult(collector, now, took, value, failure))
    return tuple(results)


async def _ask(context: PollContext, collector: str) -> QueueState | ServiceState:
    if collector == QUEUE:
        return await _queue(context)
    operation = SERVICE_OPERATIONS[collector]

    async def read(body: bytes) -> ServiceState:
        return _read_status(body, operation)

    return await _request(context, operation, read, ServiceCommand.STATUS)


async def _queue(context: PollContext) -> QueueState:
    messages = await _request(context, Operation.COUNT, _read_count)
    if messages is not None and messages > context.detail_limit:
        # The ids are unknown from here on: the next list starts counting anew.
        context.memory.ids = None
        return QueueState(messages, stats=None)

    async def read(body: bytes) -> QueueUpdate:
        return await _read_list(context, body)

    try:
        # That all is gone must not rest on one number; that there is still nothing may.
        asks = messages != 0 or context.memory.ids != b"" or context.memory.unread
        update = await (_request(context, Operation.LIST, read) if asks else read(_EMPTY_LIST))
    except PanelError as error:
        # How a panel shows that there is nothing may be in no form of a list.
        if messages != 0 or error.reason is not Reason.UNEXPECTED:
            raise
        update = await read(_EMPTY_LIST)
    if messages is None:
        if update.stats.listed:
            raise no_count()
        messages = 0
    return _queue_state(context, messages, update)


async def _read_list(context: PollContext, body: bytes) -> QueueUpdate:
    """Return what a reply to list_msg says; do not read again one that is as the last one was."""
    memory, host = context.memory, context.host
    digest = _digest(body)
    if digest and memory.same is not None and memory.same[:2] == (host, digest):
        update = memory.same[2]
        if memory.ids == update.ids:
            return replace(update, entered=0, left=0)
    options = ListOptions(time.time(), host.field_keys, host.zone, host.frozen_values)
    decode = partial(decode_queue_update, options=options, previous_ids=memory.ids)
    try:
        update = await context.decoder.run(decode, body)
    except PanelError as error:
        raise known_beside_a_count(error) from None
    update = _discreet(update, host)
    memory.same = (host, digest, update) if digest else None
    return update


_TELLS_A_TIME = re.compile(rb"[0-9]{10}|[0-9]:[0-9]|[:,\[]\s*-?[0-9.]+[eE]|\\u00[23]")
"""A Unix time or a time of day, in whatever way JSON can write it: how old a message is by it
changes from poll to poll."""


def _digest(body: bytes) -> bytes:
    """Return what distinguishes a short reply; b"" where its meaning depends on the clock, too."""
    if len(body) > INLINE_LIMIT or _TELLS_A_TIME.search(body):
        return b""
    return hashlib.blake2b(body, digest_size=16).digest()


def _queue_state(context: PollContext, messages: int, update: QueueUpdate) -> QueueState:
    """Return what both replies say; remember what the next poll needs to know of them."""
    if messages and not update.stats.listed:
        # A list without a row tells nothing of messages that are there by the other count: the
        # next one is compared with the one before.
        return QueueState(messages, UNTOLD, shape=update.shape, samples=update.samples)
    memory = context.memory
    memory.mta = update.stats.mta or memory.mta
    entered = left = None
    if is_whole_list(messages, update.stats.listed):
        # A message neither comes nor leaves when its row is understood, or is not any more.
        entered = _beyond(update.entered, memory.unread - update.unread)
        left = _beyond(update.left, update.unread - memory.unread)
        memory.ids, memory.unread = update.ids, update.unread
    return QueueState(
        messages, update.stats, entered, left, shape=update.shape, samples=update.samples
    )


def _discreet(update: QueueUpdate, host: HostConfig) -> QueueUpdate:
    """Return an update without secrets in what is shown: a key may be one, or a short row."""
    words, secrets = (update.shape, *update.samples), host.secret_values
    if not any(holds_secret(text, secrets) for text in words if text):
        return update
    shape, *samples = (redact_text(text, secrets) for text in words)
    return replace(update, shape=shape, samples=tuple(samples))


def _beyond(moved: int | None, explained: int) -> int | None:
    """Return how many of the messages that came or left are not those of so many rows."""
    return None if moved is None else max(0, moved - max(0, explained))


# Panels say the same poll after poll, and what these bytes mean does not change.
_count = lru_cache(maxsize=4096)(decode_count_reply)
_status = lru_cache(maxsize=1024)(decode_service_reply)

_SHORT = 2**10
"""Bytes of a reply that is remembered: thousands of long ones would take a gigabyte."""


async def _read_count(body: bytes) -> int | None:
    return (_count if len(body) <= _SHORT else decode_count_reply)(body)


def _read_status(body: bytes, operation: Operation) -> ServiceState:
    return (_status if len(body) <= _SHORT else decode_service_reply)(body, operation)


async def _request(
    context: PollContext,
    operation: Operation,
    read: Callable[[bytes], Awaitable[T]],
    command: ServiceCommand | None = None,
) -> T:
    def answered() -> None:
        context.answered.append(operation)

    return await context.client.call(operation, read, command=command, on_reply=answered)


_EMPTY_LIST = b'{"error": 100}'
"""What list_msg answers for an empty queue; after an empty list a 0 spares asking it again."""
