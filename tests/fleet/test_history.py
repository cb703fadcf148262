from __future__ import annotations

import math

import pytest

from exporter.config.models import HostConfig
from exporter.fleet.history import COARSE, FINE, History, Point, point_of, thinned
from exporter.fleet.store import HostRecord
from exporter.snapshot import (
    UNTOLD,
    CollectorResult,
    Failure,
    HostSnapshot,
    QueueState,
    QueueStats,
    Reason,
)
from exporter.web.pages.host import per_hour
from exporter.web.pages.rows import growth_of
from tests import builders

NOW = 1_800_000_000.0
DOWN = Failure(Reason.CONNECT, "refused")


def poll(
    at: float,
    messages: int | None = 5,
    *,
    listed: bool = True,
    came: int | None = 0,
    failure: Failure = DOWN,
    collector: str = "queue",
) -> HostSnapshot:
    value = QueueState(messages or 0, QueueStats() if listed else None, came, came)
    good = messages is not None
    result = CollectorResult(collector, at, 0.5, value if good else None, None if good else failure)
    return HostSnapshot("mx1", at, (result,))


def history(*polls: HostSnapshot) -> History:
    made = History()
    for each in polls:
        made.add(each)
    return made


def entered(made: History) -> list[float | None]:
    return [None if math.isnan(p.entered) else p.entered for p in made.points()]


def test_it_is_bounded_and_its_peaks_and_sums_stay() -> None:
    made = history(*(poll(NOW + 60 * n, (n == 30 and 999) or 5, came=1) for n in range(3000)))
    assert len(made) <= FINE + FINE // 4 + COARSE
    early = history(*(poll(NOW + 60 * n, (n == 30 and 999) or 5, came=1) for n in range(600)))
    assert max(p.messages for p in early.points()) == 999
    assert sum(p.entered for p in early.points()) == 600


def test_arrivals_are_not_told_where_no_list_was_before() -> None:
    made = history(
        poll(NOW, came=None),
        poll(NOW + 60, came=3),
        poll(NOW + 120, None),
        poll(NOW + 180, came=0),
        poll(NOW + 240, 10**6, listed=False, came=None),
        poll(NOW + 300, came=2),
    )
    assert entered(made) == [None, 3, None, 0, None, 2]


def test_a_point_holds_what_a_poll_told_and_nothing_else() -> None:
    told = builders.stats(frozen=3, oldest_age=7200.0)
    services = builders.good("clamav", value=True)
    queue = builders.queue(9, stats=told, entered=2, left=0)
    good = builders.snapshot(builders.good("queue", queue), services)
    took = sum(result.duration for result in good.results)
    assert took > 0
    assert point_of(good) == Point(good.at, 9, 3, 7200.0, 2, 0, took)
    # Of a poll that failed how long it took is no panel's latency, and no figure is known.
    failed = point_of(builders.snapshot(builders.bad("queue"), at=NOW))
    assert failed.at == NOW
    assert all(map(math.isnan, failed[1:]))
    untold = builders.good("queue", builders.queue(9, stats=UNTOLD))
    point = point_of(builders.snapshot(untold))
    assert point.messages == 9
    assert all(map(math.isnan, (point.frozen, point.oldest)))


def test_a_clock_set_back_takes_along_what_lies_ahead_of_it() -> None:
    made = history(*(poll(NOW + 60 * n) for n in range(300)))
    made.add(poll(NOW + 90, 7))
    assert [p.at for p in made.points()] == sorted(p.at for p in made.points())
    assert made.points()[-1][:2] == (NOW + 90, 7)
    far = history(poll(NOW + 1e9), poll(NOW), poll(NOW + 60))
    assert [p.at for p in far.points()] == [NOW, NOW + 60]


def test_failures_are_spells_that_end() -> None:
    made = history(
        poll(NOW, None),
        poll(NOW + 60, None),
        poll(NOW + 120, None, failure=Failure(Reason.TIMEOUT, "slow")),
        poll(NOW + 180, collector="clamav"),
    )
    told = [(s.failure.message, s.begin - NOW, s.end and s.end - NOW) for s in made.spells]
    assert told == [("refused", 0, 120), ("slow", 120, 180)]


def test_a_rate_counts_each_point_by_the_time_that_it_stands_for() -> None:
    told = math.nan
    points = [
        Point(0, 5, entered=told),
        Point(60, 5, entered=1),
        Point(120),
        Point(180, 5, entered=4),
        Point(780, 5, entered=10),
    ]
    rates = [None if math.isnan(rate) else rate for _, rate in per_hour(points, "entered")]
    assert rates == [None, 60, None, 120, 60]


def test_what_is_seen_a_moment_after_a_poll_is_no_rate_of_millions() -> None:
    points = [
        Point(0, 3000),
        Point(60, 3000, left=0),
        Point(60.3, 60, left=2940),
        Point(62),
        Point(120, 60, left=60),
        Point(180, 60, left=1),
    ]
    rates = [(at, None if math.isnan(r) else r) for at, r in per_hour(points, "left")]
    assert rates == [(0, None), (60, 0), (62, None), (120, 180_000), (180, 60)]


def test_thinned_points_keep_the_highest_and_what_is_not_told_is_none() -> None:
    assert thinned([Point(1, 5, entered=1), Point(2, 9, entered=2), Point(3)])[:2] == (3, 9)
    assert math.isnan(thinned([Point(1), Point(2)]).messages)


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        ([0], None),
        ([600, 0], (2, 600)),
        ([7200, 3500, 60, 0], (3, 3500)),
        ([7200, 0], None),
    ],
)
def test_growth_needs_an_earlier_poll_of_the_hour(
    ages: list[int], expected: tuple[float, float] | None
) -> None:
    polls = [poll(NOW - age, 10 + n) for n, age in enumerate(ages)]
    polls[-1] = poll(NOW, 12 + (len(ages) == 4) * 2)
    host = HostConfig.model_validate(
        {"name": "mx1", "url": "https://a.example", "username": "u", "password": "p"}
    )
    record = HostRecord(host, 60, 3)
    for each in polls:
        record.add(each)
    assert growth_of(record, history(*polls), NOW + 30) == expected
    assert growth_of(record, None, NOW) is None
    assert growth_of(record, history(*polls), NOW + 999) is None, "a stale queue does not grow"
