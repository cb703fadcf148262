"""What a list of messages amounts to: figures for the snapshot, arrivals and departures."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop
from typing import cast

from exporter.panel.decode.columns import ListOptions
from exporter.panel.decode.message_table import (
    CERTAINTY_FIELDS,
    ColumnBatch,
    MessageTable,
    add_certainty,
    guessed_fields,
    mta_of,
)
from exporter.panel.decode.queue import decode_queue, read_queue
from exporter.snapshot import (
    AGE_BUCKETS,
    EMPTY_QUEUE,
    MESSAGE_FIELDS,
    TOP_DOMAINS,
    AgeHistogram,
    Certainty,
    DomainCounts,
    Mta,
    QueueStats,
)

# With a dot and a name at its end: no id, number or word of a text looks like that.
_DOMAIN = re.compile(
    r"(?=.{4,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]"
)

_MAX_ENCODED = 1000
"""Names beyond ASCII that are encoded, the largest: one takes as long as counting many."""


@dataclass(frozen=True, slots=True)
class QueueUpdate:
    """All that the poller keeps of a list: small, so that it travels between processes."""

    stats: QueueStats
    ids: bytes
    """The ids of the understood rows, one a line; what `previous_ids` takes next time."""
    entered: int | None = None
    """Ids that the list before did not hold; None when it is not known."""
    left: int | None = None
    """Ids that only the list before held."""
    unread: int = 0
    """Rows without a valid id: a message may be in each."""
    samples: tuple[str, ...] = ()
    shape: str = ""


def decode_queue_update(
    body: bytes, options: ListOptions, previous_ids: bytes | None = None
) -> QueueUpdate:
    """Return what `queue_stats` says of `decode_queue`, and what changed since `previous_ids`.

    Made to run in another process: bytes come in, a few figures go out.

    Raises:
        PanelError: as `decode_queue`.
    """
    figures = _Figures()
    collector, summary = read_queue(body, figures.add, options)
    ids: Sequence[str] = collector.ids
    unread = summary.unread
    if collector.repeated or collector.continued:
        # What further rows say of a message is known only at the end, and seldom needed.
        table = decode_queue(body, options)
        stats, ids, unread = queue_stats(table), table.ids, table.unread
    else:
        stats = figures.stats(summary.listed, mta_of(ids))
    entered = left = None
    if previous_ids is not None:
        before = set(previous_ids.decode().split())
        stayed = sum(map(before.__contains__, ids))
        entered, left = len(ids) - stayed, len(before) - stayed
    packed = "\n".join(ids).encode()
    return QueueUpdate(stats, packed, entered, left, unread, summary.samples, summary.shape)


def queue_stats(table: MessageTable) -> QueueStats:
    """Return the figures of a table. What no row shows is None; an empty list is all zeros."""
    figures = _Figures()
    figures.add(table)
    return figures.stats(table.listed, table.mta)


class _Figures:
    """Adds up messages, part by part."""

    def __init__(self) -> None:
        self._rows = 0
        self._missing = dict.fromkeys(MESSAGE_FIELDS, 0)
        self._frozen = self._bounces = self._size = 0
        self._oldest = 0.0
        self._age_counts = [0] * (len(AGE_BUCKETS) + 1)
        self._age_total = 0.0
        self._senders: Counter[str] = Counter()
        self._recipients: Counter[str] = Counter()
        self._certainty: dict[str, Certainty] = {}

    def add(self, part: ColumnBatch | MessageTable) -> None:
        """Count in some messages."""
        missing = dict(self._missing)
        self._rows += len(part.ids)
        self._missing["size"] += part.sizes.count(None)
        self._missing["sender"] += part.senders.count(None)
        self._missing["frozen"] += part.frozen.count(None)
        self._frozen += part.frozen.count(True)
        self._bounces += part.senders.count("")
        self._size += sum(filter(None, part.sizes))
        self._add_ages(part.ages)
        _count_domains(self._senders, filter(None, part.senders))
        self._add_recipients(part.recipients)
        guessed = guessed_fields(part)
        for name in CERTAINTY_FIELDS:
            unknown = self._missing[name] - missing[name] if name in missing else 0
            if unknown < len(part.ids):
                sure = Certainty.GUESSED if name in guessed else part.certainty.get(name)
                add_certainty(self._certainty, name, sure)

    def stats(self, listed: int, mta: Mta | None) -> QueueStats:
        """Return the figures of all that was counted in."""
        if not listed:
            return EMPTY_QUEUE
        known = {name for name in MESSAGE_FIELDS if self._missing[name] < self._rows}
        ages = AgeHistogram(tuple(self._age_counts), self._age_total)
        return QueueStats(
            listed=listed,
            unparsed=listed - self._rows,
            frozen=self._frozen if "frozen" in known else None,
            bounces=self._bounces if "sender" in known else None,
            size_bytes=self._size if "size" in known else None,
            oldest_age=self._oldest if "age" in known else None,
            ages=ages if "age" in known else None,
            sender_domains=_largest(self._senders) if "sender" in known else None,
            recipient_domains=_largest(self._recipients) if "recipients" in known else None,
            lacking=tuple((name, n) for name, n in self._missing.items() if n),
            mta=mta,
            certainty=tuple(
                (name, self._certainty[name])
                for name in CERTAINTY_FIELDS
                if name in self._certainty and (name == "id" or name in known)
            ),
        )

    def _add_ages(self, ages: Sequence[float | None]) -> None:
        # Many messages share an age written as text: each distinct one is looked up once.
        for age, messages in Counter(ages).items():
            if age is None:
                self._missing["age"] += messages
            else:
                self._age_counts[bisect_left(AGE_BUCKETS, age)] += messages
                self._age_total += age * messages
                self._oldest = max(self._oldest, age)

    def _add_recipients(self, recipients: Sequence[str] | Sequence[tuple[str, ...] | None]) -> None:
        """Count those that wait; a message counts once for each of its domains."""
        if recipients and isinstance(recipients[0], str):  # of a batch all are, then
            _count_domains(self._recipients, cast("Sequence[str]", recipients))
            return
        lists = cast("Sequence[tuple[str, ...] | None]", recipients)
        self._missing["recipients"] += lists.count(None)
        known = [*filter(None, lists)]
        _count_domains(self._recipients, [to[0] for to in known if len(to) == 1])
        for several in (to for to in known if len(to) > 1):
            self._recipients.update({_domain(address).lower() for address in several})


def _ascii(name: str) -> str:
    """Return a domain in lower case as DNS writes it, in punycode; "" when it cannot be one."""
    name = name.rstrip(".")
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii").lower() if len(name) <= 253 else ""
    except UnicodeError:
        return ""


def _domain(address: str) -> str:
    """Return the domain as written; "" without one."""
    return address.rpartition("@")[2] if "@" in address else ""


def _count_domains(counts: Counter[str], addresses: Iterable[str]) -> None:
    """Count addresses by domain as written; "" are those without one."""
    written = [*addresses]
    # Cut all at once: with exactly one "@" in each address every second piece is a domain, and
    # none of them holds a mark of where an address begins.
    pieces = "@\n".join(written).split("@")
    domains = pieces[1::2]
    if len(pieces) != 2 * len(written) or "\n" in "".join(domains):
        domains = [*map(_domain, written)]
    counts.update(domains)


def _largest(counts: Counter[str]) -> DomainCounts:
    """Return the largest valid domains; all else is other."""
    merged = _by_domain(counts)
    top: list[tuple[str, int]] = []
    # Of thousands of domains only the largest are looked at in order.
    rest = [(-messages, name) for name, messages in merged.items()]
    heapify(rest)
    while rest and len(top) < TOP_DOMAINS:
        messages, name = heappop(rest)
        if _DOMAIN.fullmatch(name):
            top.append((name, -messages))
    return DomainCounts(tuple(top), sum(merged.values()) - sum(messages for _, messages in top))


def _by_domain(counts: Mapping[str, int]) -> Mapping[str, int]:
    """Return messages by name in lower case as DNS writes it; "" is what is no name."""
    together = "\n".join(counts) + "\n"
    if together.isascii() and together == together.lower() and ".\n" not in together:
        return counts
    lower: Counter[str] = Counter()
    for name, messages in counts.items():
        lower[name.lower()] += messages
    beyond_ascii = Counter({n: messages for n, messages in lower.items() if not n.isascii()})
    encoded = dict(beyond_ascii.most_common(_MAX_ENCODED))
    merged: Counter[str] = Counter()
    for name, messages in lower.items():
        tried = name not in beyond_ascii or name in encoded
        merged[_ascii(name) if tried else ""] += messages
    return merged
