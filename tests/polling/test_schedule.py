"""When a host is polled next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.polling.schedule import (
    BACKOFF_CAP,
    IN_SLOT,
    JITTER,
    REST,
    backoff,
    first_poll,
    next_poll,
    slot,
)


def test_slots_spread_a_fleet_evenly_over_the_interval() -> None:
    places = sorted(slot(f"mx{i}", 60) for i in range(1000))
    assert places[0] >= 0
    assert places[-1] < 60
    in_each_tenth = [sum(i * 6 <= place < (i + 1) * 6 for place in places) for i in range(10)]
    assert all(60 < count < 140 for count in in_each_tenth)


def test_a_slot_is_the_same_at_each_start() -> None:
    assert slot("mx1", 60) == slot("mx1", 60)


@pytest.mark.parametrize(
    ("position", "hosts", "interval", "expected"),
    [(0, 1, 60, 0.0), (10, 100, 60, 0.2), (999, 1000, 60, 19.98), (4999, 5000, 60, 59.988)],
)
def test_first_polls_come_soon_and_one_after_the_other(
    position: int, hosts: int, interval: float, expected: float
) -> None:
    assert first_poll(position, hosts, interval) == pytest.approx(expected)


@given(
    start=st.floats(0, 1e7),
    took=st.floats(0, 1),
    interval=st.floats(1, 3600),
    place=st.floats(0, 1),
    jitters=st.lists(st.floats(0, 1), min_size=3, max_size=3),
)
def test_a_host_finds_its_slot_and_its_values_get_no_older_than_an_interval(
    start: float, took: float, interval: float, place: float, jitters: list[float]
) -> None:
    """Whenever its first poll began, while a poll takes less than half an interval."""
    last = start
    for jitter in jitters:
        now = last + took * interval * 0.499
        due = next_poll(now, last, place * interval, interval, 0, jitter)
        assert due >= now
        assert interval / 2 - 1e-3 <= due - last <= interval * (1 + IN_SLOT + JITTER) + 1e-3
        last = due
    off_slot = (last - place * interval) % interval
    assert min(off_slot, interval - off_slot) <= interval * (JITTER + IN_SLOT) + 1e-3


@given(
    now=st.floats(0, 1e7),
    ago=st.floats(0, 1e4),
    interval=st.floats(1, 3600),
    place=st.floats(0, 1),
    jitter=st.floats(0, 1),
    taken=st.booleans(),
)
def test_no_poll_is_planned_for_the_past_nor_for_long_after_the_next_slot(
    now: float, ago: float, interval: float, place: float, jitter: float, taken: bool
) -> None:
    last = max(0.0, now - ago)
    due = next_poll(now, last, place * interval, interval, 0, jitter, taken=taken)
    assert now - 1e-6 <= due <= now + interval * (1 + REST + JITTER) + 1e-3


def test_a_panel_whose_polls_take_longer_than_the_interval_gets_some_rest() -> None:
    assert next_poll(now=70, last_start=0, place=0, interval=60, failures=0, jitter=0) == 120
    assert next_poll(now=119.9, last_start=0, place=0, interval=60, failures=0, jitter=0) == 180


def test_a_poll_out_of_turn_takes_the_place_of_the_one_that_was_due() -> None:
    """It is waited for to come again, but not for long."""
    due = next_poll(now=60.1, last_start=30, place=0, interval=60, failures=0, jitter=0, taken=True)
    assert due == pytest.approx(96)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 60), (2, 120), (3, 240), (4, BACKOFF_CAP), (10_000, BACKOFF_CAP)]
)
def test_a_failing_host_is_asked_less_often_up_to_a_cap(failures: int, seconds: float) -> None:
    assert backoff(60, failures) == seconds


def test_a_host_polled_more_seldom_than_the_cap_keeps_its_interval() -> None:
    assert backoff(3600, 5) == 3600


def test_the_first_failure_does_not_delay_the_next_poll() -> None:
    assert next_poll(now=1, last_start=0, place=0, interval=60, failures=1, jitter=0) == 60


def test_back_off_is_spread_by_jitter() -> None:
    waits = [next_poll(0, 0, 0, 60, 3, jitter) for jitter in (0.0, 0.5, 1.0)]
    assert waits == pytest.approx([240, 216, 192])
