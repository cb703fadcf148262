"""When a host is polled next: pure arithmetic over times in seconds."""

from __future__ import annotations

import zlib

JITTER = 0.05
"""Share of the interval by which a poll may come later than its slot."""

BACKOFF_CAP = 300.0
"""Seconds; a failing host is asked at least this often, or once an interval if that is longer."""

START_GAP = 0.02
"""Seconds between the first polls of two hosts after a start: a fleet of 1,000 is asked for the
first time within 20 s, not all at once and not only after an interval."""


def slot(name: str, interval: float) -> float:
    """A host's place in the interval: the same at each start, spread evenly over the hosts."""
    return zlib.crc32(name.encode()) / 2**32 * interval


def first_poll(position: int, hosts: int, interval: float) -> float:
    """Seconds from the start to the first poll of the host at `position` of `hosts`."""
    return min(START_GAP, interval / max(hosts, 1)) * position


def next_poll(
    now: float,
    last_start: float,
    place: float,
    interval: float,
    failures: int,
    jitter: float,
    least: float = 0.5,
) -> float:
    """The time of the next poll.

    Args:
        now: the time, on the clock that `last_start` is of.
        last_start: when the last poll began.
        place: the host's `slot`.
        interval: seconds between polls.
        failures: polls in a row that failed for the whole host; 0 after an answer.
        jitter: a random number from 0 to 1.
        least: the share of the interval that must lie between two polls; 0 after the first one,
            so that no host's values get older than an interval while it finds its slot.
    """
    if failures > 1:
        return max(now, last_start + backoff(interval, failures) * (1 - 0.2 * jitter))
    # A poll out of turn (/probe) takes the place of the scheduled one when that is less than
    # half an interval away.
    earliest = max(now, last_start + interval * least)
    periods = -((earliest - place) // -interval)
    return place + periods * interval + interval * JITTER * jitter


def backoff(interval: float, failures: int) -> float:
    """Seconds between polls after `failures` in a row; the first failure changes nothing."""
    cap = max(interval, BACKOFF_CAP)
    # The exponent is bounded because a host may fail for months.
    return min(cap, interval * 2.0 ** min(failures - 1, 32))
