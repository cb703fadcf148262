"""A plan carried out message by message, held against the queue as it is before each batch.

A plan of 10,000 messages takes hours at a panel's usual speed: by then a message may have been
thawed to be rescued, or its id may be another message's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from exporter.config.selectors import Selector
from exporter.humanize import integer
from exporter.journal.entries import Guard
from exporter.panel.errors import PanelError
from exporter.remediation.actions import RequestResult, Sender, with_the_rest
from exporter.remediation.guards import Block
from exporter.remediation.listing import Listing
from exporter.remediation.plan import BATCH, Omission, Plan, held_against
from exporter.snapshot import Message

Look = Callable[[frozenset[str]], Awaitable[Listing]]
"""Lists the queue now, and shows the messages of these ids.

Raises:
    PanelError: it could not be had.
"""

Omit = Callable[[Sequence[Omission]], Awaitable[None]]
"""Writes down which messages are not asked for after all."""


class ById:
    """One plan, carried out by id."""

    def __init__(
        self,
        plan: Plan,
        selector: Selector,
        sender: Sender,
        *,
        look: Look,
        omit: Omit,
        monotonic: Callable[[], float],
    ) -> None:
        self._plan = plan
        self._selector = selector
        self._sender = sender
        self._look = look
        self._omit = omit
        self._monotonic = monotonic
        self.omissions: list[Omission] = []
        """What was planned and not asked for, since it is not what was planned any more."""
        self.blind: Block | None = None
        """Why it ended for want of a list; None when it did not."""

    async def carry_out(self) -> list[RequestResult]:
        """Send for each message that still is what was planned; `not_asked` for the rest.

        The list that the plan was made from serves the first batch, if it is fresh.
        """
        answers: list[RequestResult] = []
        pending: Sequence[Message] = self._plan.messages
        heard = self._plan.heard
        while pending and not self._sender.stopped:
            if heard is None or self._monotonic() + self._sender.seconds > heard + BATCH:
                fresh = await self._fresh(pending)
                if fresh is None:
                    break
                heard = self._monotonic() if fresh.heard is None else fresh.heard
                pending, omitted = held_against(pending, self._plan, self._selector, fresh)
                self.omissions += omitted
                await self._omit(omitted)
            sent = await self._sender.send(pending, until=heard + BATCH)
            answers += sent
            asked = {answer.message_id for answer in sent}
            pending = [message for message in pending if message.id not in asked]
        return with_the_rest(answers, pending)

    async def _fresh(self, pending: Sequence[Message]) -> Listing | None:
        """The queue now; None when it cannot be had, or is not all of it."""
        try:
            listing = await self._look(frozenset(message.id for message in pending))
        except PanelError as error:
            reason = f"The queue could not be listed again before the next messages: {error}"
            self.blind = Block(Guard.LISTING, reason)
            return None
        if not listing.is_whole:
            reason = (
                f"Before the next messages count_msg told {integer(listing.count)} messages and "
                f"list_msg listed only {integer(listing.listed)}."
            )
            self.blind = Block(Guard.LISTING, reason)
            return None
        return listing
