"""The messages of one queue, listed for a reader, and kept in memory for a minute."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate

from pydantic import ValidationError

from exporter.config.errors import explain
from exporter.config.selectors import EVERYTHING, Selector
from exporter.remediation.listing import Listing
from exporter.remediation.selection import select
from exporter.snapshot import Message, in_order
from exporter.web.pages.render import Paged, page_of, paged

KEPT_FOR = 60.0
"""Seconds for which a list is shown again: one costs the panel two calls."""

KEPT_HOSTS = 4
"""Hosts whose lists are kept at once."""

MAX_MESSAGES = 5000
"""Messages of a list that are kept, the oldest ones."""

MAX_ADDRESSES = 50_000
"""Recipients of all these together: the messages beyond are not kept. A pattern is tried with each
of them on the event loop, some 2 µs each."""

ListQueue = Callable[[str, Selector, int], Awaitable[Listing]]
"""Lists the queue of a host: its name, which messages, and how many of them at most.

Raises:
    PanelError: the panel could not be asked, or its reply was not understood.
    HostGoneError: the host left the config.
"""

_TEXTS = ("older_than", "younger_than", "sender", "recipient", "larger_than")


@dataclass(frozen=True, slots=True)
class Listed:
    """A list and when it was made."""

    listing: Listing
    at: float
    """Unix time."""


class ListingCache:
    """Lists queues, and keeps the lists of a few hosts for a while."""

    def __init__(self, list_queue: ListQueue, clock: Callable[[], float]) -> None:
        self._list_queue = list_queue
        self._clock = clock
        self._lists: OrderedDict[str, asyncio.Task[Listed]] = OrderedDict()
        """By host, those kept and those under way: all readers wait for the same one."""
        self._under_way: set[asyncio.Task[Listed]] = set()

    async def get(self, host: str) -> Listed:
        """Return a host's messages, at most MAX_MESSAGES, no older than KEPT_FOR.

        Raises:
            PanelError: the panel could not be asked.
            HostGoneError: the host left the config.
        """
        task = self._lists.get(host)
        if task is None or self._is_old(task):
            task = self._lists[host] = asyncio.create_task(self._list(host), name=f"list {host}")
            self._lists.move_to_end(host)
            self._under_way.add(task)
            task.add_done_callback(partial(self._ended, host))
        # Shielded: a reader that goes away does not take the list from the others.
        return await asyncio.shield(task)

    def _is_old(self, task: asyncio.Task[Listed]) -> bool:
        return task.done() and not 0 <= self._clock() - task.result().at < KEPT_FOR

    async def _list(self, host: str) -> Listed:
        listing = await self._list_queue(host, EVERYTHING, MAX_MESSAGES)
        # Of a very large queue the ids alone would take tens of MiB.
        listing = replace(
            listing, ids=frozenset(), frozen_ids=frozenset(), chosen=_kept(listing.chosen)
        )
        return Listed(listing, self._clock())

    def _ended(self, host: str, task: asyncio.Task[Listed]) -> None:
        self._under_way.discard(task)
        if task.cancelled() or task.exception() is not None:
            self._forget(host, task)
            return
        asyncio.get_running_loop().call_later(KEPT_FOR, self._forget, host, task)
        kept = [name for name, listed in self._lists.items() if listed.done()]
        for name in kept[:-KEPT_HOSTS]:
            del self._lists[name]

    def _forget(self, host: str, task: asyncio.Task[Listed]) -> None:
        if self._lists.get(host) is task:
            del self._lists[host]

    def forget_all(self) -> None:
        """Forget every list, also those that are under way: their panels may be others now."""
        self._lists.clear()

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _kept(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the first messages, as many as have MAX_ADDRESSES recipients together."""
    so_far = accumulate(len(message.recipients or ()) for message in messages)
    return tuple(m for m, count in zip(messages, so_far, strict=True) if count <= MAX_ADDRESSES)


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """The messages that a URL selects, and the page of them."""

    selector: Selector | None
    """None: every message."""
    mistake: str = ""
    """Why it cannot be selected; then every message is shown."""
    page: int = 1

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> MessageQuery:
        """Read a URL's query, in the words of a rule's `select`."""
        values: dict[str, object] = {n: v for n in _TEXTS if (v := query.get(n, "").strip())}
        for name in ("frozen", "bounce"):
            if query.get(name) in {"yes", "no"}:
                values[name] = query[name] == "yes"
        page = page_of(query)
        if not values:
            return cls(None, page=page)
        try:
            return cls(Selector.model_validate(values), page=page)
        except ValidationError as error:
            (first, *_) = error.errors(include_url=False, include_input=False)
            where = ".".join(map(str, first["loc"]))
            words = explain(Selector, first)
            return cls(None, f"{where}: {words}" if where else words)


def message_page(
    listed: Listed, query: MessageQuery, *, mask: bool
) -> tuple[Paged[Message], tuple[str, ...]]:
    """Return the page that a query names, the oldest first, and the fields that are only guessed.

    With `mask` their addresses are masked before they are selected by: patterns would otherwise
    find out, letter by letter, what is hidden.
    """
    chosen = list(listed.listing.chosen)
    if query.selector is not None:
        seen = map(masked_message, chosen) if mask else chosen
        chosen = select(seen, query.selector, guesses=True)
    guessed = frozenset[str]().union(*{message.guessed for message in chosen})
    return paged(chosen, query.page), in_order(guessed)


# --- addresses ---------------------------------------------------------------------------------

LONGEST = 200
"""Characters of an address that are shown."""


def shown_whole(address: str) -> str:
    """Return an address, cut where it is absurdly long."""
    return address if len(address) <= LONGEST else f"{address[:LONGEST]}…"


def masked(address: str) -> str:
    """Return `ann@example.com` as `a…@example.com`; what is no address is not shown."""
    local, at, domain = address.rpartition("@")
    if not at or not local:
        return "…"
    return shown_whole(f"{local[:1]}…@{domain}")


def masking(*, mask: bool) -> Callable[[str], str]:
    """Return the function that shows addresses."""
    return masked if mask else shown_whole


def masked_message(message: Message) -> Message:
    """Return a message with its addresses masked; bounces and unknowns stay what they are."""
    sender, recipients = message.sender, message.recipients
    return replace(
        message,
        sender=sender and masked(sender),
        recipients=recipients and tuple(map(masked, recipients)),
    )
