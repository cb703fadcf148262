"""When a host is polled next: pure arithmetic over times in seconds."""

from __future__ import annotations

import zlib

IN_SLOT = 0.01
"""Share of the interval by which a poll may come before its slot and still be the slot's own:
timers are not exact."""

JITTER = 0.02
"""Share of the interval by which a poll may come later than its slot."""

REST = 0.1
"""Share of the interval for which a panel is left alone after a poll that took too long, and for
which a poll out of turn (/probe) is awaited once more before the schedule goes on."""

BACKOFF_CAP = 300.0
"""Seconds; a failing host is asked at least this often, or once an interval if that is longer."""

START_GAP = 0.02
"""Seconds between the first polls of two hosts after a start: a fleet of 1,000 is asked for the
first time within 20 s, not all at once and not only after an interval."""


def slot(name: str, interval: float) -> float:
    """Return a host's place in the interval: the same at each start, spread over the hosts."""
    return zlib.crc32(name.encode()) / 2**32 * interval


def first_poll(position: int, hosts: int, interval: float) -> float:
    """Return the seconds from the start to the first poll of the host at `position` of `hosts`."""
    return min(START_GAP, interval / max(hosts, 1)) * position


def next_poll(
    now: float,
    last_start: float,
    place: float,
    interval: float,
    failures: int,
    jitter: float,
    *,
    taken: bool = False,
) -> float:
    """Return the time of the next poll.

    Args:
        now: the time, on the clock that `last_start` is of.
        last_start: when the last poll began.
        place: the host's `slot`.
        interval: seconds between polls.
        failures: polls in a row that failed for the whole host; 0 after an answer.
        jitter: a random number from 0 to 1.
        taken: a poll out of turn (/probe) came in place of the one that was due. Another may
            come an interval later, and is given the time to.
    """
    if failures > 1:
        return max(now, last_start + backoff(interval, failures) * (1 - 0.2 * jitter))
    if taken:
        return max(now, last_start + interval * (1 + REST))
    late = interval * JITTER * jitter
    ahead = (place - last_start) % interval
    if ahead <= interval * IN_SLOT:
        ahead += interval
    elif ahead < interval / 2:
        # Out of its slot, a host finds it in two steps: neither asks it twice in short order,
        # nor do its values get older than an interval.
        ahead = (ahead + interval) / 2
    due = last_start + ahead + late
    if due < now:  # the poll took longer than that
        rest = (place - now) % interval
        due = now + (rest if rest >= interval * REST else rest + interval) + late
    return due


def backoff(interval: float, failures: int) -> float:
    """Return the seconds between polls after `failures` in a row; the first changes nothing."""
    cap = max(interval, BACKOFF_CAP)
    # The exponent is bounded because a host may fail for months.
    return min(cap, interval * 2.0 ** min(failures - 1, 32))
