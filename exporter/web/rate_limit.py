"""The token bucket of the web config's rate_limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many requests are let in."""

    interval: float
    """Seconds after which one more request is let in."""
    burst: int
    """Requests let in at once after a quiet time."""


class TokenBucket:
    """Counts the requests of all clients together against a RateLimit."""

    def __init__(self, limit: RateLimit, now: float) -> None:
        self._limit = limit
        self._tokens = float(limit.burst)
        self._at = now

    def take(self, now: float) -> bool:
        """Whether a request at `now`, in seconds of a monotonic clock, is let in."""
        gained = (now - self._at) / self._limit.interval
        self._tokens = min(self._limit.burst, self._tokens + gained)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
