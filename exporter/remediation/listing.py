"""The queue as it is now, message by message: what plans are made from and judged by."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from exporter.config.selectors import Selector
from exporter.panel.client import PanelClient
from exporter.panel.decode import (
    ListOptions,
    decode_count_reply,
    decode_queue,
    known_beside_a_count,
    no_count,
)
from exporter.panel.errors import PanelError
from exporter.panel.protocol import Operation
from exporter.panel.queue_decoder import QueueDecoder
from exporter.remediation.selection import sift
from exporter.snapshot import Message, Reason, is_whole_list


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What is to be known of the messages of a queue."""

    selector: Selector
    most: int
    """So many of the messages that it means, at most."""
    watch: frozenset[str] = frozenset()
    """Ids of messages to be known whether or not the selector means them."""
    guesses: bool = False
    """Whether the selector also takes what is only guessed: to show messages, not to act."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One count_msg and list_msg, and the messages that a selector means."""

    count: int
    """Messages by count_msg; by the lower of two answers where fewer were listed."""
    listed: int
    """Rows in the reply, understood or not."""
    unparsed: int
    """Rows that were not understood; no selector ever means them."""
    ids: frozenset[str]
    """Of every understood message."""
    frozen_ids: frozenset[str]
    """Of those that are known to be frozen; a guess is no knowledge."""
    frozen_unknown: int
    """Understood messages that may or may not be frozen: that is not known."""
    matching: int
    """Messages that the selector means."""
    chosen: tuple[Message, ...]
    """These, the oldest first; no more than were asked for."""
    clock_skew: float | None = field(default=None, kw_only=True, compare=False)
    """Seconds by which the panel's clock is ahead of ours; None where it sent no Date."""
    watched: tuple[Message, ...] = ()
    """The messages that were asked for by their ids, as they are now."""
    at: float = field(default=0.0, compare=False)
    """Unix time at which it was asked for; ages count from there."""
    heard: float | None = field(default=None, compare=False)
    """Monotonic time at which it had come, by which its age is judged."""
    took: float = field(default=0.0, compare=False)
    """Seconds that count_msg took: the panel's speed."""
    host: str = field(default="", compare=False)
    """Whose queue it is."""
    withheld: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By id, the messages that the selector may mean, where that is not known since these
    fields are only guessed."""
    untold: Mapping[str, int] = field(default_factory=dict)
    """By field, how many more messages the selector may mean, where the panel does not show
    it."""

    @property
    def guessed(self) -> frozenset[str]:
        """The fields that keep the selector from choosing messages."""
        return frozenset[str]().union(*set(self.withheld.values()))

    @property
    def is_whole(self) -> bool:
        """Whether the list can be all of the queue."""
        return is_whole_list(self.count, self.listed)

    @property
    def unlisted(self) -> int:
        """Messages that are there by count_msg, and in no row."""
        return max(0, self.count - self.listed)

    @property
    def is_all_frozen_mail(self) -> bool:
        """Whether the selector means all that deleting frozen mail would delete, and no more."""
        return (
            not self.unlisted
            and not self.unparsed
            and not self.frozen_unknown
            and not self.withheld
            and self.matching == len(self.chosen) == len(self.frozen_ids)
            and all(message.id in self.frozen_ids for message in self.chosen)
        )


EMPTY = Listing(0, 0, 0, frozenset(), frozenset(), 0, 0, ())


def read_listing(
    body: bytes,
    query: ListQuery,
    *,
    options: ListOptions,
    count: int,
) -> Listing:
    """Decode a reply to list_msg; pure, and fit to run in another process.

    Raises:
        PanelError: as `decode_queue`.
    """
    table = decode_queue(body, options)
    messages = [*table.messages()]
    found = sift(messages, query.selector, guesses=query.guesses)
    states = [None if "frozen" in message.guessed else message.frozen for message in messages]
    return Listing(
        count=count,
        listed=table.listed,
        unparsed=table.unparsed,
        ids=frozenset(table.ids),
        frozen_ids=frozenset(id_ for id_, frozen in zip(table.ids, states, strict=True) if frozen),
        frozen_unknown=states.count(None),
        matching=len(found.chosen),
        chosen=tuple(found.chosen[: query.most]),
        watched=tuple(m for m in messages if m.id in query.watch) if query.watch else (),
        at=options.now,
        withheld=found.withheld,
        untold=found.untold,
    )


async def ask_listing(client: PanelClient, decoder: QueueDecoder, query: ListQuery) -> Listing:
    """Ask the panel for its queue now.

    A queue that is empty by count_msg is listed all the same: that all is gone must not rest on
    one number.

    Raises:
        PanelError: it could not be asked, or its answers were not understood.
    """
    host = client.host
    began = time.monotonic()
    count = await client.call(Operation.COUNT, _read_count)
    took, at = time.monotonic() - began, time.time()
    decode = partial(
        read_listing,
        query=query,
        options=ListOptions(at, host.field_keys, host.zone, host.frozen_values),
        count=count or 0,
    )

    async def read(body: bytes) -> Listing:
        try:
            return replace(await decoder.run(decode, body), host=host.name)
        except PanelError as error:
            raise known_beside_a_count(error) from None

    try:
        listing = await client.call(Operation.LIST, read)
    except PanelError as error:
        # How a panel shows that there is nothing may be in no form of a list.
        if count == 0 and error.reason is Reason.UNEXPECTED:
            return replace(EMPTY, at=at, took=took, clock_skew=client.clock_skew)
        raise
    listing = replace(listing, took=took, clock_skew=client.clock_skew)
    if count is None and listing.listed:
        raise no_count()
    if not count or not listing.unlisted:
        return listing
    # What left the queue between the two is not missing in the list; that nothing is left, by
    # an empty text, is no number.
    again = await client.call(Operation.COUNT, _read_count)
    return listing if again is None else replace(listing, count=min(count, again))


async def ask_count(client: PanelClient) -> int:
    """Ask the panel how many messages its queue holds.

    Raises:
        PanelError: it could not be asked, or its answer was not understood.
    """
    count = await client.call(Operation.COUNT, _read_count)
    if count is not None:
        return count
    host = client.host

    async def read_listed(body: bytes) -> int:
        try:
            options = ListOptions(time.time(), host.field_keys, host.zone, host.frozen_values)
            table = decode_queue(body, options)
        except PanelError as error:
            raise known_beside_a_count(error) from None
        return table.listed

    if await client.call(Operation.LIST, read_listed):
        raise no_count()
    return 0


async def _read_count(body: bytes) -> int | None:
    return decode_count_reply(body)
