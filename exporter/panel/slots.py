"""How many requests may be in flight: to one panel, and to all of them together.

Panels that accept a connection and never answer must not hold the places of those that do.
Nothing is known of a panel at the start, so a request counts against the limit over all panels
only while it is young: one that has had no whole answer for some seconds makes room as soon as
another waits. A panel that was silent the last time has to begin in a small share of its own.
Everything together is bounded by the files that may be open: each request is one.
"""

from __future__ import annotations

import asyncio
import resource
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

YOUNG = 3.0
"""Seconds for which a request counts against the limit though others wait. A call of a real panel
takes about 2.5 s."""

SILENT_SHARE = 4
"""For this many places there is one more, for panels that did not answer the last time."""

FILES_FOR_THE_REST = 64
"""Files kept for the journal, standard error, the decoder, receivers of alerts, name servers."""

FILES_FOR_CLIENTS = 4096
"""Files kept for connections to the daemon itself, but no more than half of all."""


def requests_by_files(files: int) -> int:
    """Return how many requests may be in flight in a process that may open so many files.

    Args:
        files: the soft limit RLIMIT_NOFILE; negative for none.
    """
    if files < 0:
        return 2**20
    left = files - min(FILES_FOR_CLIENTS, files // 2)
    return max(2, left - min(FILES_FOR_THE_REST, files // 4))


_Turns = OrderedDict[asyncio.Future[T], None]
"""An ordered set: a waiter that gives up in the middle of the queue leaves it at once."""


async def _turn_in(
    waiting: _Turns[T], hand_over: Callable[[], None], give_back: Callable[[T], None]
) -> T:
    """Wait in a queue for what is handed over; a wait that is cancelled takes nothing."""
    turn: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    waiting[turn] = None
    hand_over()
    try:
        return await turn
    except asyncio.CancelledError:
        if turn.cancelled():
            waiting.pop(turn, None)
            hand_over()
        else:
            give_back(turn.result())  # it was handed over in the same moment
        raise


class ResizableSemaphore:
    """The slots of one panel; first come, first served.

    Unlike asyncio.Semaphore it can be resized while it is in use, as a reload of the config needs.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.in_use = 0
        """Slots held now; above the limit only after it was lowered."""
        self._waiting: _Turns[None] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot."""
        return len(self._waiting)

    async def acquire(self) -> None:
        """Take a slot, or wait for one. A wait that is cancelled takes none."""
        if self.in_use < self._limit and not self._waiting:
            self.in_use += 1
        else:
            await _turn_in(self._waiting, self._hand_over, lambda _: self.release())

    def release(self) -> None:
        """Give a slot back."""
        self.in_use -= 1
        self._hand_over()

    def resize(self, limit: int) -> None:
        """Change how many there are; those held above a lower limit run out by themselves."""
        self._limit = limit
        self._hand_over()

    def _hand_over(self) -> None:
        while self._waiting and self.in_use < self._limit:
            turn, _ = self._waiting.popitem(last=False)
            if not turn.done():
                self.in_use += 1
                turn.set_result(None)


@dataclass(slots=True, eq=False)
class Place:
    """The slot of one request among all that are in flight."""

    since: float
    """Time of the event loop's clock."""
    silent: bool
    """Whether it began in the share of the silent ones."""
    give_way: Callable[[], None] | None = None
    """Ends the request at once with an error; None while it may not be ended."""
    ending: bool = False
    """Whether it was asked to give way."""


class SharedSlots:
    """The places of the requests to all panels; first come, first served in each share."""

    def __init__(self, limit: int, *, young: float = YOUNG, files: int | None = None) -> None:
        """Make the slots.

        Args:
            limit: requests in flight that are young.
            young: seconds for which one is.
            files: requests in flight at all; by default what the limit of open files allows.
        """
        self._files = files
        # In the order of their beginning.
        self._young: OrderedDict[Place, None] = OrderedDict()
        self._old: OrderedDict[Place, None] = OrderedDict()
        self._silent: set[Place] = set()
        self._waiting: _Turns[Place] = OrderedDict()
        self._waiting_silent: _Turns[Place] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.resize(limit, young=young)

    @property
    def in_use(self) -> int:
        """Requests in flight."""
        return len(self._young) + len(self._old) + len(self._silent)

    @property
    def left(self) -> int:
        """Files that may be open beside those of the requests in flight."""
        return max(0, self._most - self.in_use)

    def resize(self, limit: int, *, young: float = YOUNG) -> None:
        """Apply a reloaded config; what is in flight above a lower limit runs out by itself."""
        self.young = young
        self._most = self._files or requests_by_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        limit = min(limit, self._most)
        self._share = max(1, limit // SILENT_SHARE)
        # Both shares fit, so that no request has to give way to the small one.
        self.limit = max(1, min(limit, self._most - self._share))
        """Young requests that may be in flight; less than asked for where files are few."""
        self._hand_over()

    async def acquire(self, *, silent: bool = False) -> Place:
        """Take a place, or wait for one. A wait that is cancelled takes none.

        Args:
            silent: the panel did not answer the last time.
        """
        waiting = self._waiting_silent if silent else self._waiting
        if not waiting and self._has_room(silent=silent):
            return self._grant(silent=silent)
        return await _turn_in(waiting, self._hand_over, self.release)

    def release(self, place: Place) -> None:
        """Give a place back."""
        if place.silent:
            self._silent.discard(place)
        elif place in self._young:
            del self._young[place]
        else:
            self._old.pop(place, None)
        if self._waiting or self._waiting_silent:
            self._hand_over()

    def _has_room(self, *, silent: bool) -> bool:
        if self.in_use >= self._most:
            return False
        return len(self._silent) < self._share if silent else len(self._young) < self.limit

    def _grant(self, *, silent: bool) -> Place:
        place = Place(self._loop.time(), silent)
        if silent:
            self._silent.add(place)
        else:
            self._young[place] = None
        return place

    def _hand_over(self) -> None:
        if self._waiting:
            self._set_aside()
        for silent, waiting in ((False, self._waiting), (True, self._waiting_silent)):
            while waiting and self._has_room(silent=silent):
                turn, _ = waiting.popitem(last=False)
                if not turn.done():
                    turn.set_result(self._grant(silent=silent))
        if self._waiting:
            self._make_way()
            self._look_again()

    def _set_aside(self) -> None:
        """Stop counting the requests that are no longer young, as long as others wait."""
        until = self._loop.time() - self.young
        while self._young and (place := next(iter(self._young))).since <= until:
            del self._young[place]
            self._old[place] = None

    def _make_way(self) -> None:
        """End the oldest requests for those that wait, where only files are wanting."""
        wanted = min(len(self._waiting), self.limit - len(self._young))
        if wanted <= 0:
            return
        wanted -= sum(place.ending for place in self._old)
        able = [p for p in self._old if p.give_way is not None and not p.ending]
        for place in able[: max(0, wanted)]:
            place.ending = True
            if place.give_way is not None:
                place.give_way()

    def _look_again(self) -> None:
        """Wake up when the next request stops being young."""
        self.close()
        if self._young:
            due = next(iter(self._young)).since + self.young
            self._timer = self._loop.call_at(due + 0.001, self._hand_over)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
