"""The whole of /metrics: every host's text and the exporter's own metrics, joined and gzipped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from exporter.fleet.store import HostRecord, Store
from exporter.metrics.families import HOST_FAMILIES
from exporter.metrics.gzip_member import GzipHead, complete, compress_head
from exporter.metrics.host_text import HostFormatter, HostText

_THREAD_FROM = 2**20
"""Bytes from which compressing goes to a thread: half a millisecond of work."""

_HEADERS = {
    openmetrics: tuple(family.header(openmetrics=openmetrics) for family in HOST_FAMILIES)
    for openmetrics in (False, True)
}


def join_hosts(texts: Iterable[HostText], *, openmetrics: bool) -> bytes:
    """Return the hosts' samples grouped by family, as both formats demand."""
    parts: list[bytes] = []
    for header, column in zip(_HEADERS[openmetrics], zip(*texts, strict=True), strict=False):
        samples = "".join(column)
        if samples:
            parts += (header, samples.encode())
    return b"".join(parts)


@dataclass(slots=True)
class _Head:
    """The hosts' part of a page: the same until a host changes."""

    version: int
    text: bytes
    gzipped: GzipHead | None = None


class MetricsPage:
    """Keeps each host's text as of its last poll and joins them when asked.

    What a scrape costs does not depend on the number of samples as Python objects: unchanged
    hosts are bytes, and an unchanged page is neither joined nor compressed again.
    """

    def __init__(
        self,
        store: Store,
        registry: CollectorRegistry,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._looked = monotonic()
        self._store = store
        self._registry = registry
        self._clock = clock
        self._formatters: dict[str, HostFormatter] = {}
        self._texts: dict[str, HostText] = {}
        self._stale_at: dict[str, float] = {}
        self._next_stale_at = float("inf")
        self._looked_at = 0.0
        self._version = 0
        self._heads: dict[bool, _Head] = {}
        self._lock = asyncio.Lock()

    def refresh(self, record: HostRecord) -> None:
        """Make a host's text anew: after each of its polls."""
        now = self._clock()
        name = record.host.name
        self._texts[name] = self._formatters[name].text(record, now)
        stale_at = self._stale_at[name] = record.next_stale_at(now)
        self._next_stale_at = min(self._next_stale_at, stale_at)
        self._version += 1

    def rebuild(self) -> None:
        """Apply a reload: hosts that are gone leave, and each other one is rendered anew.

        Intervals may have changed, and with them when values go stale.
        """
        old = self._formatters
        self._formatters = {}
        self._texts, self._stale_at, self._next_stale_at = {}, {}, float("inf")
        self._version += 1
        for record in self._store:
            formatter = old.get(record.host.name)
            if formatter is None or formatter.host != record.host:
                formatter = HostFormatter(record.host)
            self._formatters[record.host.name] = formatter
            self.refresh(record)

    def host(self, name: str, *, openmetrics: bool) -> bytes:
        """Return one host's samples alone, as of its last poll: /probe has just had one.

        Raises:
            KeyError: when no such host is configured.
        """
        end = b"# EOF\n" if openmetrics else b""
        return join_hosts([self._texts[name]], openmetrics=openmetrics) + end

    async def render(self, *, openmetrics: bool, gzip: bool) -> bytes:
        """Return the page as of now, in one of the two formats, gzipped or not."""
        tail = self._own(openmetrics=openmetrics)
        async with self._lock:  # two scrapes at once must not compress the same page twice
            head = self._head(openmetrics=openmetrics)
            if not gzip:
                return head.text + tail
            if head.gzipped is None:
                head.gzipped = await _compressed(head.text)
        return complete(head.gzipped, tail)

    def _own(self, *, openmetrics: bool) -> bytes:
        return (generate_openmetrics if openmetrics else generate_latest)(self._registry)

    def _head(self, *, openmetrics: bool) -> _Head:
        self._drop_stale()
        head = self._heads.get(openmetrics)
        if head is None or head.version != self._version:
            text = join_hosts(self._texts.values(), openmetrics=openmetrics)
            head = self._heads[openmetrics] = _Head(self._version, text)
        return head

    def _drop_stale(self) -> None:
        now = self._clock()
        if now < self._looked_at or (now - self._looked_at) < self._monotonic() - self._looked - 1:
            # The clock was set back: work out anew when values go stale.
            self.rebuild()
        self._looked_at, self._looked = now, self._monotonic()
        if now < self._next_stale_at:
            return
        due = [name for name, at in self._stale_at.items() if at <= now]
        self._next_stale_at = min(
            (at for at in self._stale_at.values() if at > now), default=float("inf")
        )
        for name in due:
            record = self._store.get(name)
            if record is not None:
                self.refresh(record)


async def _compressed(text: bytes) -> GzipHead:
    if len(text) < _THREAD_FROM:
        return compress_head(text)
    return await asyncio.to_thread(compress_head, text)
