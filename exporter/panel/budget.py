"""Bounds the bytes of replies that are held at once, over all panels.

A request with a long reply takes a share of the budget as the reply comes, and gives it back
when the reply was read. A request that finds no room waits: before it is sent where the last
reply was long, else in the middle of its reply, where TCP holds the panel back.

Nothing waits for ever: of the replies that are held, the one that began first may always grow. So
it ends, and then the next one is the first. All together are never more than the budget and one
`poll.max_response`, and a reply larger than the budget passes when its turn has come. Room may be
reserved for a request that waits for something else, its place among all. Such a request is not
counted as a reply that ends: it may wait for those that are in flight.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

FREE = 256 * 2**10
"""Bytes of a reply that are not counted: what is short never waits."""


@dataclass(slots=True, eq=False)
class Held:
    """The share of the budget that one reply has."""

    budget: Budget
    size: int = 0
    """Bytes of the budget."""
    used: int = 0
    """Bytes of the reply that are there; the first FREE of them cost nothing."""
    in_flight: bool = True
    """Whether nothing but room keeps its reply from coming."""

    def fits(self, more: int) -> bool:
        """Take `more` bytes if there is room for them now."""
        used = self.used + more
        lacking = used - FREE - self.size
        if lacking > 0 and not self.budget.take(self, lacking):
            return False
        self.used = used
        return True

    async def grow(self, more: int) -> None:
        """Take `more` bytes, when there is room for them."""
        used = self.used + more
        await self.budget.wait(self, used - FREE - self.size)
        self.used = used

    def settle(self) -> None:
        """Give back, as the reply is whole, what was reserved for more."""
        self.budget.shrink(self, max(0, self.used - FREE))

    def release(self) -> None:
        """Give everything back; nothing happens the second time."""
        self.budget.release(self)


class Budget:
    """Bytes of replies that may be held."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.in_use = 0
        """Bytes held, those that cost nothing left out."""
        self.peak = 0
        """The most that were."""
        # Those that hold something, in the order in which they began to.
        self._holders: OrderedDict[Held, None] = OrderedDict()
        self._growing: OrderedDict[Held, tuple[int, asyncio.Future[None]]] = OrderedDict()
        self._starting: OrderedDict[Held, tuple[int, asyncio.Future[None]]] = OrderedDict()

    def resize(self, limit: int) -> None:
        """Apply a reloaded config; what is held above a lower limit stays until it is read."""
        self._limit = limit
        self._hand_over()

    async def reserve(self, held: Held, expected: int) -> None:
        """Wait until a reply that is expected to be of this size has room, and take it.

        Until `take_off` nothing counts on this reply to come and to end.
        """
        if expected > FREE:
            held.in_flight = False
            await self.wait(held, expected - FREE)

    def take_off(self, held: Held) -> None:
        """Count on a reply whose request is sent now; those that came before it stay before it."""
        if not held.in_flight:
            held.in_flight = True
            if held in self._holders:
                self._holders.move_to_end(held)

    def take(self, held: Held, more: int) -> bool:
        """Take `more` bytes if there is room now; return whether there was."""
        if not self._may_have(held, more):
            return False
        self._grant(held, more)
        return True

    async def wait(self, held: Held, more: int) -> None:
        """Take `more` bytes when there is room; a wait that is cancelled takes none."""
        if more <= 0 or self.take(held, more):
            return
        waiting = self._growing if held in self._holders else self._starting
        turn = asyncio.get_running_loop().create_future()
        waiting[held] = more, turn
        try:
            await turn
        finally:
            # A request that gives up after its turn came gives the bytes back with `release`.
            if waiting.pop(held, None) is not None:
                self._hand_over()

    def shrink(self, held: Held, size: int) -> None:
        """Give back what a share holds beyond `size`."""
        if size < held.size:
            self.in_use -= held.size - size
            held.size = size
            self._hand_over()

    def release(self, held: Held) -> None:
        """Give back what a share holds."""
        self.in_use -= held.size
        held.size = held.used = 0
        if self._holders.pop(held, self) is not self:
            self._hand_over()

    def _may_have(self, held: Held, more: int) -> bool:
        if held in self._holders:
            room = not self._growing and self._has_room(more)
            return room or self._first() is held
        if not self._holders or (held.in_flight and self._first() is None):
            return True
        return not self._growing and not self._starting and self._has_room(more)

    def _first(self) -> Held | None:
        """Return the share that may always grow."""
        return next((held for held in self._holders if held.in_flight), None)

    def _has_room(self, more: int) -> bool:
        return self.in_use + more <= self._limit

    def _grant(self, held: Held, more: int) -> None:
        self._holders[held] = None
        held.size += more
        self.in_use += more
        self.peak = max(self.peak, self.in_use)

    def _hand_over(self) -> None:
        """Serve those that hold something first: all others wait for them."""
        first = self._first()
        if first is not None and first in self._growing:
            self._serve(self._growing, first)
        while self._growing:
            held = next(iter(self._growing))
            if not self._has_room(self._growing[held][0]):
                return
            self._serve(self._growing, held)
        while self._starting:
            held = next(iter(self._starting))
            if self._holders and not self._has_room(self._starting[held][0]):
                break
            self._serve(self._starting, held)
        if self._first() is None:  # all that is held waits to be sent: a reply that comes goes on
            able = next((held for held in self._starting if held.in_flight), None)
            if able is not None:
                self._serve(self._starting, able)

    def _serve(
        self, waiting: OrderedDict[Held, tuple[int, asyncio.Future[None]]], held: Held
    ) -> None:
        more, turn = waiting.pop(held)
        if not turn.done():
            self._grant(held, more)
            turn.set_result(None)
