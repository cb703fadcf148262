"""When a host is polled next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.schedule import BACKOFF_CAP, JITTER, backoff, first_poll, next_poll, slot


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
    now=st.floats(0, 1e7),
    ago=st.floats(0, 1e4),
    interval=st.floats(1, 3600),
    place=st.floats(0, 1),
    jitter=st.floats(0, 1),
)
def test_a_healthy_host_is_polled_in_its_slot_and_never_in_the_past(
    now: float, ago: float, interval: float, place: float, jitter: float
) -> None:
    last = max(0.0, now - ago)
    due = next_poll(now, last, place * interval, interval, 0, jitter)
    assert due >= now - 1e-6
    assert due - max(now, last + interval / 2) <= interval * (1 + JITTER) + 1e-6
    off_slot = (due - place * interval) % interval
    assert min(off_slot, interval - off_slot) <= interval * JITTER + 1e-3


def test_a_poll_out_of_turn_takes_the_place_of_one_less_than_half_an_interval_away() -> None:
    assert next_poll(now=45, last_start=45, place=0, interval=60, failures=0, jitter=0) == 120
    assert next_poll(now=20, last_start=20, place=0, interval=60, failures=0, jitter=0) == 60


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
