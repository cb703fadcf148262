"""The messages of one queue, listed when somebody looks, and kept in memory for a minute."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from exporter.config.explain import explain
from exporter.config.selectors import Selector
from exporter.listing import Listing
from exporter.selection import select
from exporter.snapshot import Message

KEPT_FOR = 60.0
"""Seconds for which a list is shown again: one costs the panel two calls."""

KEPT_HOSTS = 4
"""Hosts whose lists are kept at once."""

MOST_MESSAGES = 5000
"""Messages of a list that are kept, the oldest ones."""

PER_PAGE = 100

ListQueue = Callable[[str, Selector, int], Awaitable[Listing]]
"""The queue of a host now: its name, which messages, and how many of them at most.

Raises:
    PanelError: the panel could not be asked, or its reply was not understood.
    HostGoneError: the host left the config.
"""

_EVERYTHING = Selector(everything=True)
_TEXTS = ("older_than", "younger_than", "sender", "recipient", "larger_than")


@dataclass(frozen=True, slots=True)
class Listed:
    """A list and when it was had."""

    listing: Listing
    at: float
    """Unix time."""


class Lists:
    """The lists that are kept."""

    def __init__(self, list_queue: ListQueue, clock: Callable[[], float]) -> None:
        self._list_queue = list_queue
        self._clock = clock
        self._kept: OrderedDict[str, Listed] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, host: str) -> Listed:
        """A host's messages, at most MOST_MESSAGES, no older than KEPT_FOR.

        Raises:
            PanelError: the panel could not be asked.
            HostGoneError: the host left the config.
        """
        # One question at a time to a panel, however many look.
        lock = self._locks.setdefault(host, asyncio.Lock())
        try:
            async with lock:
                kept = self._kept.get(host)
                if kept is not None and 0 <= self._clock() - kept.at < KEPT_FOR:
                    return kept
                listing = await self._list_queue(host, _EVERYTHING, MOST_MESSAGES)
                fresh = self._kept[host] = Listed(listing, self._clock())
                self._kept.move_to_end(host)
                while len(self._kept) > KEPT_HOSTS:
                    self._kept.popitem(last=False)
                return fresh
        finally:
            if not lock.locked():
                self._locks.pop(host, None)

    def forget_old(self) -> None:
        """Let go of lists that are not shown again."""
        now = self._clock()
        for host in [h for h, kept in self._kept.items() if now - kept.at >= KEPT_FOR]:
            del self._kept[host]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a URL asks for."""

    selector: Selector | None
    """None: every message."""
    mistake: str = ""
    """Why it cannot be selected; then every message is shown."""
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wanted:
        """What a URL's query says, in the words of a rule's `select`."""
        values: dict[str, object] = {
            name: query[name].strip() for name in _TEXTS if query.get(name, "").strip()
        }
        values |= {
            name: query[name] == "yes"
            for name in ("frozen", "bounce")
            if query.get(name) in {"yes", "no"}
        }
        number = query.get("page", "1")
        page = int(number) if number.isascii() and number.isdigit() and len(number) < 7 else 1
        if not values:
            return cls(None, page=max(1, page))
        try:
            return cls(Selector.model_validate(values), page=max(1, page))
        except ValidationError as error:
            (first, *_) = error.errors(include_url=False, include_input=False)
            where = ".".join(map(str, first["loc"]))
            words = explain(Selector, first)
            return cls(None, f"{where}: {words}" if where else words)


@dataclass(frozen=True, slots=True)
class Shown:
    """The messages of one page."""

    messages: tuple[Message, ...]
    total: int
    """Messages that are meant, of those that are kept."""
    page: int
    pages: int


def shown(listed: Listed, wanted: Wanted) -> Shown:
    """The page that is wanted, the oldest messages first."""
    chosen = list(listed.listing.chosen)
    if wanted.selector is not None:
        chosen = select(chosen, wanted.selector)
    pages = max(1, math.ceil(len(chosen) / PER_PAGE))
    page = min(wanted.page, pages)
    begin = (page - 1) * PER_PAGE
    return Shown(tuple(chosen[begin : begin + PER_PAGE]), len(chosen), page, pages)
