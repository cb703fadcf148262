"""The page of one host: charts, ages, domains, services, failures, alerts, rules, journal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from exporter.config.panel_api import API_PATH
from exporter.fleet.history import Point
from exporter.fleet.store import HostRecord
from exporter.fleet.view import problems
from exporter.snapshot import AGE_BUCKETS, OTHER_DOMAIN, AgeHistogram, DomainCounts, in_order
from exporter.web.pages.change_feed import ChangeFeed
from exporter.web.pages.charts import Line, chart, count_axis, duration_axis
from exporter.web.pages.translator import Translator

LONGEST = 86400.0
"""Seconds that the charts go back."""


def host_values(feed: ChangeFeed, record: HostRecord, tr: Translator) -> dict[str, Any]:
    """Return what the page shows of a host, but its rules and its journal."""
    data, name = feed.data, record.host.name
    now = data.clock()
    history = data.histories.get(name)
    queue = record.queue(now)
    stats = queue.stats if queue is not None else None
    return {
        "row": feed.row(record),
        "record": record,
        "url": record.host.url.removesuffix(API_PATH),
        "stats": stats,
        "guessed": in_order(stats.guessed) if stats else (),
        "problems": problems(record),
        "charts": list(_charts(history.points(now - LONGEST) if history else [], now, tr)),
        "bars": [
            ("ages", "age", _ages(stats.ages, tr)),
            ("senders", "sender", _domains(stats.sender_domains, tr)),
            ("recipients", "recipients", _domains(stats.recipient_domains, tr)),
        ]
        if stats
        else [],
        "spells": list(reversed(history.spells)) if history else [],
        "recent": [a for a in reversed(list(data.evaluator.recent())) if a.host == name][:10],
    }


def series_of(points: Sequence[Point], name: str) -> list[tuple[float, float]]:
    """Return one measurement of points over time."""
    return [(point.at, getattr(point, name)) for point in points]


SHORTEST_SPAN = 5.0
"""Seconds over which a rate is taken at least: what an action's own poll finds a moment after
another one would else be millions an hour."""


def per_hour(points: Sequence[Point], name: str) -> list[tuple[float, float]]:
    """Return a count of what happened between points, per hour.

    Points stand for times of different length, and what came while polls failed is counted by the
    next good one. Points close to the one before are counted with the next.
    """
    series: list[tuple[float, float]] = []
    since, counted = math.nan, 0.0
    for point in points:
        if math.isnan(point.messages):  # a failed poll; the next good one counts what came
            series.append((point.at, math.nan))
            continue
        counted += getattr(point, name)
        span = point.at - since
        if math.isnan(counted) or not span < SHORTEST_SPAN:
            series.append((point.at, 3600 * counted / span))
            since, counted = point.at, 0.0
    return series


def _charts(points: Sequence[Point], now: float, tr: Translator) -> Iterable[Mapping[str, Any]]:
    begin = points[0].at if points else now - 60
    for title, names, value, tick, axis in (
        ("chart_queue", ("messages", "frozen"), tr.number, tr.short, count_axis),
        ("chart_oldest", ("oldest",), tr.duration, tr.duration, duration_axis),
        ("chart_traffic", ("entered", "left"), tr.number, tr.short, count_axis),
        ("chart_latency", ("latency",), tr.duration, tr.duration, duration_axis),
    ):
        series = per_hour if title == "chart_traffic" else series_of
        lines = [
            Line(tr.text(f"line_{name}"), style, series(points, name))
            for name, style in zip(names, ("one", "two"), strict=False)
        ]
        drawn = chart(
            lines,
            begin,
            max(now, begin + 1),
            value=value,
            tick=tick,
            axis=axis,
            moment=_clock_time,
        )
        yield {"title": tr.text(title), "drawn": drawn, "lines": lines}


def _clock_time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M UTC")


def _ages(ages: AgeHistogram | None, tr: Translator) -> list[tuple[str, int]] | None:
    if ages is None:
        return None
    names = [tr.text("age_up_to", age=tr.duration(bound)) for bound in AGE_BUCKETS]
    names.append(tr.text("age_above", age=tr.duration(AGE_BUCKETS[-1])))
    return list(zip(names, ages.counts, strict=True))


def _domains(counts: DomainCounts | None, tr: Translator) -> list[tuple[str, int]] | None:
    if counts is None:
        return None
    named = [(domain, count) for domain, count in counts.top if domain != OTHER_DOMAIN]
    return [*named, (tr.text("other_domains"), counts.other)] if counts.other else named
