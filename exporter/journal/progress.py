"""The clock's jumps, as the time that really passes shows them. Pure but for the two clocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

JUMP = 2.0
"""Seconds by which the clock may go otherwise than the time that passes: it is slewed."""

MOST_JUMPS = 100
"""Those before count as one with the next: each costs every question a look."""


class Progress:
    """Where the clock was set while this process ran, by the ids of the entries written before.

    What was written before a jump is as old as it was: its time is moved along with the clock.
    """

    def __init__(
        self, clock: Callable[[], float], monotonic: Callable[[], float] | None = None
    ) -> None:
        """Begin now.

        Args:
            clock: tells the Unix time.
            monotonic: tells the seconds that pass, whatever the clock is set to; None where the
                clock is never set.
        """
        self._clock = clock
        self._monotonic = monotonic
        self._ahead = self._difference()
        self._jumps: list[tuple[int, float]] = []
        """The last entry before each, and by how many seconds the clock went forward."""

    def _difference(self) -> float:
        return 0.0 if self._monotonic is None else self._clock() - self._monotonic()

    def now(self, last_entry: Callable[[], int]) -> float:
        """The Unix time; `last_entry` is asked when the clock was found to have been set."""
        jumped = self._difference() - self._ahead
        if abs(jumped) > JUMP:
            self._ahead += jumped
            self._jumps.append((last_entry(), jumped))
            if len(self._jumps) > MOST_JUMPS:
                (_, first), (entry, second) = self._jumps[:2]
                self._jumps[:2] = [(entry, first + second)]
        return self._clock()

    def shift(self, entry: int) -> float:
        """Seconds to add to the time of an entry, to have it by the clock as it is now."""
        return sum(jump for last, jump in self._jumps if entry <= last)

    def spans(self) -> Iterator[tuple[int, int, float]]:
        """Spans of entries that are moved alike: beyond the one, up to the other, and by what."""
        ends: Sequence[int] = sorted({last for last, _ in self._jumps})
        begin = -1
        for end in (*ends, 2**63 - 1):
            yield begin, end, self.shift(end)
            begin = end
