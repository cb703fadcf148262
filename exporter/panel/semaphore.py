"""A number of slots that can change while they are in use; first come, first served."""

from __future__ import annotations

import asyncio
from collections import OrderedDict


class ResizableSemaphore:
    """Bounds how many hold a slot at once.

    Unlike asyncio.Semaphore it can be resized, as a reload of the config needs.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_use = 0
        # An ordered set: whoever gives up in the middle of the queue leaves it at once.
        self._waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    @property
    def in_use(self) -> int:
        """Slots held now; above the limit only after it was lowered."""
        return self._in_use

    async def acquire(self) -> None:
        """Take a slot, or wait for one. A wait that is cancelled takes none."""
        if self._in_use < self._limit and not self._waiting:
            self._in_use += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.pop(turn, None)
            else:
                self.release()  # it was handed over in the same moment
            raise

    def release(self) -> None:
        """Give a slot back."""
        self._in_use -= 1
        self._hand_over()

    def resize(self, limit: int) -> None:
        """Change how many there are; those held above a lower limit run out by themselves."""
        self._limit = limit
        self._hand_over()

    def _hand_over(self) -> None:
        while self._waiting and self._in_use < self._limit:
            turn, _ = self._waiting.popitem(last=False)
            if not turn.done():
                self._in_use += 1
                turn.set_result(None)
