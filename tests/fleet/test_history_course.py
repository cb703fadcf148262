"""A history over any course of polls: its bounds, its order and what it costs."""

from __future__ import annotations

import math
import tracemalloc
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.fleet.history import COARSE, COARSE_STEP, FINE, History, thinned
from exporter.snapshot import HostSnapshot
from tests.builders import NOW, bad, good, queue, snapshot
from tests.examples import examples

MINUTE = 60.0
MOST = FINE + FINE // 4 + COARSE


def poll(at: float, messages: int | None = 5, **keys: int) -> HostSnapshot:
    """A poll; None: it failed."""
    if messages is None:
        return snapshot(bad("queue", at=at), at=at)
    return snapshot(good("queue", queue(messages, **keys), at=at), at=at)


def filled(count: int, step: float = MINUTE) -> History:
    history = History()
    for number in range(count):
        history.add(poll(NOW + number * step, number, entered=1, left=2))
    return history


def test_a_day_and_more_stays_bounded_and_covers_a_day() -> None:
    history = filled(3 * 1440)
    points = history.points()
    assert len(points) == len(history) <= MOST
    assert points[-1].messages == 3 * 1440 - 1
    assert points[-1].at - points[0].at >= 24 * 3600
    times = [point.at for point in points]
    assert times == sorted(set(times))
    # Of the last two hours each poll is there.
    assert [p.at for p in points[-FINE:]] == [points[-1].at - MINUTE * n for n in range(FINE)][::-1]


def test_a_gap_stays_a_gap() -> None:
    history = History()
    for number in range(400):
        history.add(poll(NOW + number * MINUTE, None if 100 <= number < 200 else 5))
    untold = [p for p in history.points() if math.isnan(p.messages)]
    hours = (untold[-1].at - untold[0].at) / 3600
    assert 1.2 < hours < 1.7
    assert math.isnan(thinned(untold).messages)
    assert not any(p.messages == 0 for p in history.points())


@settings(max_examples=examples(60))
@given(st.lists(st.tuples(st.floats(0.1, 5000), st.none() | st.integers(0, 10**6)), max_size=500))
def test_any_course_keeps_its_bounds_and_its_order(course: list[tuple[float, int | None]]) -> None:
    history, at = History(), NOW
    for pause, messages in course:
        at += pause
        history.add(poll(at, messages))
    points = history.points()
    assert len(points) <= MOST
    assert all(a.at < b.at for a, b in pairwise(points))
    told = [messages for _, messages in course if messages is not None]
    assert {p.messages for p in points if not math.isnan(p.messages)} <= set(map(float, told))
    if course:
        assert points[-1].at == at


def test_since_cuts_the_old_off_and_both_ways_tell_the_same() -> None:
    history = filled(1000)
    since = NOW + 900 * MINUTE
    points = history.points(since)
    assert [point.at >= since for point in points] == [True] * len(points)
    assert history.queue(since) == [(p.at, p.messages) for p in points]


def test_a_host_costs_little_memory() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        history = filled(1900)
        each = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # A thousand hosts in 20 MiB.
    assert each < 20_000, each
    assert len(history) > MOST - FINE // 2
    assert COARSE * COARSE_STEP == 86400
