"""Clocks that are set, and clocks that disagree, where nothing acts: values, dates, metrics."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.config.models import HostConfig
from exporter.fleet.store import HostRecord, fleet_skew
from exporter.panel.client import skew_of
from exporter.remediation.guards import own_clock_block
from exporter.snapshot import QUEUE, CollectorResult, HostSnapshot, QueueState
from tests.builders import NOW

HOST = HostConfig(name="mx1", url="http://mx1", username="u", password="p")


def record(passed: list[float]) -> HostRecord:
    """A host that was polled at NOW, whose values count for three minutes."""
    polled = HostRecord(HOST, 60.0, 3.0, monotonic=lambda: passed[0])
    result = CollectorResult(QUEUE, NOW, 1.0, QueueState(5, None))
    polled.add(HostSnapshot("mx1", NOW, (result,), clock_skew=1.5))
    return polled


@pytest.mark.parametrize("set_back", [0.0, 60.0, 3600.0, 95 * 86400.0])
def test_a_clock_set_back_keeps_no_stale_value(set_back: float) -> None:
    passed = [0.0]
    polled = record(passed)
    passed[0] = 179.0
    now = NOW + 179 - set_back
    assert polled.queue(now) is not None
    assert polled.next_stale_at(now) == pytest.approx(now + 1)
    passed[0] = 181.0
    assert polled.queue(NOW + 181 - set_back) is None
    assert polled.next_stale_at(NOW + 181 - set_back) == float("inf")


def test_a_jump_forward_leaves_no_value_that_may_be_old() -> None:
    polled = record([0.0])
    assert polled.queue(NOW + 3600) is None


@pytest.mark.parametrize(
    ("date", "skew"),
    [
        ("Fri, 15 Jan 2027 08:00:00 GMT", 0.5),
        ("Fri, 15 Jan 2027 08:06:40 GMT", 400.5),
        ("Fri, 15 Jan 2027 07:00:00 GMT", -3599.5),
        ("Thu, 01 Jan 1970 00:00:00 GMT", -NOW + 0.5),
        ("", None),
        ("soon", None),
        ("Fri, 15 Jan 2027", None),
        ("Fri, 99 Jan 2027 08:00:00 GMT", None),
        ("Fri, 15 Jan 2027 08:00:00 GMT" + " " * 10**5, None),
        ("\xe9", None),
    ],
)
def test_the_date_of_a_response_against_the_middle_of_the_request(
    date: str, skew: float | None
) -> None:
    assert skew_of(date, NOW) == skew


def test_the_fleets_clocks_are_as_most_of_them_are() -> None:
    polled = record([0.0])
    others = [replace(polled, clock_skew=skew) for skew in (None, 0.5, 95 * 86400.0)]
    assert fleet_skew([], NOW) is None
    assert fleet_skew(others[:1], NOW) is None
    assert fleet_skew([polled, *others], NOW) == 1.5


@pytest.mark.parametrize("jump", [3600.0, 95 * 86400.0])
def test_dates_from_before_our_clock_was_set_do_not_count(jump: float) -> None:
    """Panels may have ceased to answer: then nothing is forgotten for being old."""
    polled = record([0.0])
    assert fleet_skew([polled], NOW + 60) == 1.5
    assert fleet_skew([polled], NOW + 60 + jump) is None


def test_a_panels_skew_stays_until_its_next_date() -> None:
    polled = record([0.0])
    failed = HostSnapshot("mx1", NOW + 60, ())
    polled.add(failed)
    assert polled.clock_skew == 1.5
    polled.add(replace(failed, clock_skew=0.0))
    assert polled.clock_skew == 0.0


@pytest.mark.parametrize(
    ("skew", "skews", "blocks"),
    [
        # No panel sends a date.
        (None, [], False),
        # Of one panel: only a clock of ours that is ahead frees anything.
        (-400.0, [], True),
        (-400.0, [-400.0], True),
        (400.0, [400.0], False),
        # Of two it is not known which panel is right, unless they agree.
        (-9000.0, [-9000.0, 0.5], False),
        (-9000.0, [-9000.0, -8000.0], True),
        (9000.0, [9000.0, 8000.0], True),
        (9000.0, [9000.0, -9000.0], False),
        # The host's own clock is wrong, or the others' are.
        (-9000.0, [-9000.0, 0.5, 1.0], False),
        (0.5, [-9000.0, -9000.0, 0.5], False),
        (-9000.0, [-9000.0, -9000.0, 0.5], True),
        (9000.0, [9000.0, 9000.0, 0.5, 9000.0], True),
        # It sends none, but most others do.
        (None, [-9000.0, -9000.0, 0.5], True),
        (None, [0.5, 0.5], False),
        (-300.0, [-300.0, -300.0], False),
    ],
)
def test_whose_clock_seems_wrong(skew: float | None, skews: list[float], blocks: bool) -> None:
    block = own_clock_block(skew, skews)
    assert (block is not None) is blocks
    if block is not None:
        assert block.reason.startswith("This machine's clock seems to be wrong: it is ")
