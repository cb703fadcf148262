"""Counts deliveries by receiver and outcome, and tells the log when that changes."""

from __future__ import annotations

from collections import Counter

import structlog

from exporter.http.errors import DeliveryError

log = structlog.get_logger(__name__)

OK = "ok"


class DeliveryStats:
    """What became of deliveries, since the start."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        """By receiver and outcome."""
        self.last_ok: dict[str, float] = {}
        """By receiver: Unix time of the last good delivery."""
        self.failing: dict[str, DeliveryError] = {}
        """By receiver: why the last delivery failed; none where it was good."""

    def expect(self, receiver: str) -> None:
        """Show a receiver before it was told of anything."""
        self.counts[receiver, OK] += 0

    def ok(self, receiver: str, now: float) -> None:
        """Count a good delivery at Unix time `now`."""
        self.counts[receiver, OK] += 1
        self.last_ok[receiver] = now
        if self.failing.pop(receiver, None) is not None:
            log.info("a receiver of alerts takes them again", receiver=receiver)

    def failed(self, receiver: str, error: DeliveryError) -> None:
        """Count a failed attempt."""
        self.counts[receiver, error.reason] += 1
        before = self.failing.get(receiver)
        self.failing[receiver] = error
        if before is None or before.reason != error.reason:
            log.warning(
                "a receiver of alerts cannot be told",
                receiver=receiver,
                reason=error.reason,
                problem=error.message,
                hint=error.hint,
            )

    def forget(self, receiver: str) -> None:
        """The receiver left the config."""
        self.failing.pop(receiver, None)
        self.last_ok.pop(receiver, None)
        for key in [key for key in self.counts if key[0] == receiver]:
            del self.counts[key]
