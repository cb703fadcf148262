"""The clock's jumps, as the time that really passes shows them. Pure but for the two clocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

JUMP = 2.0
"""Seconds by which the clock may differ from the time that passes: it is slewed."""

MOST_JUMPS = 100
"""Jumps that are kept; the oldest are joined, since each costs every question a look."""

LARGEST_INTEGER = 2**63 - 1
"""The largest that SQLite holds: beyond the id of any entry."""


class Jump(NamedTuple):
    """One time that the clock was set."""

    last: int
    """The last entry before it."""
    seconds: float
    """By how many seconds the clock went forward."""


class FirstSeen(NamedTuple):
    """When an action was first seen to be dated ahead of the clock."""

    at: float
    """Unix time."""
    last: int
    """The last entry at that time."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """What is known of the clock that entries were dated by."""

    jumps: tuple[Jump, ...] = ()
    first_seen: Mapping[int, FirstSeen] = field(default_factory=dict)
    """By the id of the intent."""

    def shift(self, entry: int) -> float:
        """Return the seconds to add to an entry's time, to have it by the clock as it is now."""
        return sum(jump.seconds for jump in self.jumps if entry <= jump.last)

    def spans(self) -> Iterator[tuple[int, int, float]]:
        """Return spans of entries with one shift: the entry before the first, the last, the shift.

        They are in the order in which the entries were written.
        """
        begin = -1
        for end in (*sorted({jump.last for jump in self.jumps}), LARGEST_INTEGER):
            yield begin, end, self.shift(end)
            begin = end


class JournalClock:
    """Where the clock was set while this process ran, by the ids of the entries written before.

    What was written before a jump is as old as it was: its time is moved along with the clock.
    """

    def __init__(
        self, clock: Callable[[], float], monotonic: Callable[[], float] | None = None
    ) -> None:
        """Begin now.

        Args:
            clock: returns the Unix time.
            monotonic: returns the seconds that pass, whatever the clock is set to; None where the
                clock is never set.
        """
        self._clock = clock
        self._monotonic = monotonic
        self._ahead = self._difference()
        self.jumps: tuple[Jump, ...] = ()
        """The jumps so far."""
        self._gained = 0.0
        """Seconds of all jumps together."""
        self._noted: dict[int, tuple[FirstSeen, float]] = {}
        """By intent, what this process noted, and the seconds of the jumps before."""

    def note(self, intent: int, seen: FirstSeen) -> None:
        """Remember between which jumps this process saw an action dated ahead.

        The last entry alone does not say it: there may be none between a jump and the note.
        """
        self._noted[intent] = seen, self._gained

    def as_of_now(self, intent: int, seen: FirstSeen) -> FirstSeen:
        """Return a note by the clock as it is now, where this process made it."""
        noted, gained = self._noted.get(intent, (None, 0.0))
        if noted != seen:
            return seen
        return FirstSeen(seen.at + self._gained - gained, LARGEST_INTEGER)

    def _difference(self) -> float:
        return 0.0 if self._monotonic is None else self._clock() - self._monotonic()

    def now(self, last_entry: Callable[[], int]) -> float:
        """Return the Unix time; `last_entry` is called when the clock was found to be set."""
        jumped = self._difference() - self._ahead
        if abs(jumped) > JUMP:
            self._ahead += jumped
            self._gained += jumped
            self.jumps += (Jump(last_entry(), jumped),)
            if len(self.jumps) > MOST_JUMPS:
                first, second, *rest = self.jumps
                self.jumps = (Jump(second.last, first.seconds + second.seconds), *rest)
        return self._clock()
