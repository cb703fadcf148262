"""How long conditions have held: the `for` of alerts and of rules that act. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class HoldTimer:
    """How long conditions have held, counted over the polls that decide it.

    A poll that cannot decide stops the timer: the time up to the next one that can counts neither
    for nor against. After a gap longer than `max_gap` the timer starts anew.
    """

    hold_duration: float
    """Seconds that they must hold."""
    max_gap: float
    """Seconds without a deciding poll up to which the data is unbroken. After a longer gap they
    must hold for the whole duration again: polls were missed."""
    held: float = 0.0
    """Seconds that they have held."""
    tripped: bool = False
    last: float | None = None
    """When a poll last found that they hold; None since one found that they do not."""
    running: bool = False
    """Whether the previous poll found that they hold."""

    def advance(self, now: float, *, holds: bool | None) -> bool:
        """Count a poll at the time `now`; return whether they have held long enough and still do.

        `now` is always of the same clock, and of a monotonic one where something acts: the
        machine's may be set, which must neither shorten nor lengthen a hold duration.
        """
        if holds is None:
            self.running = False
            return False
        if holds is False:
            self.held, self.last, self.tripped, self.running = 0.0, None, False, False
            return False
        gap = 0.0 if self.last is None else now - self.last
        if gap > self.max_gap:
            self.held = 0.0
        elif self.running:
            self.held += max(0.0, gap)
        self.last, self.running = now, True
        self.tripped = self.held >= self.hold_duration
        return self.tripped

    def remaining(self) -> float:
        """Return the seconds for which they must still hold; 0 once tripped."""
        return max(0.0, self.hold_duration - self.held)
