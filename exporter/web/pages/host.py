"""The page of one host: charts, ages, domains, services, failures, alerts, rules, journal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from exporter.alertmanager.alert import badness
from exporter.config.panel_api import API_PATH
from exporter.fleet.history import Point
from exporter.fleet.store import HostRecord
from exporter.fleet.view import problems
from exporter.journal import Entry
from exporter.remediation.rule_status import RuleStatus
from exporter.snapshot import AGE_BUCKETS, OTHER_DOMAIN, AgeHistogram, DomainCounts, in_order
from exporter.web.pages.change_feed import ChangeFeed
from exporter.web.pages.charts import Line, bars, chart, count_axis, duration_axis
from exporter.web.pages.render import Renderer
from exporter.web.pages.translator import Translator

LONGEST = 86400.0
"""Seconds that the charts go back."""


def host_html(
    renderer: Renderer,
    board: ChangeFeed,
    record: HostRecord,
    w: Translator,
    *,
    rules: Sequence[RuleStatus],
    entries: Sequence[Entry],
    trouble: str,
    seen: str,
) -> str:
    """The whole page.

    Args:
        renderer: makes HTML.
        board: what there is to see.
        record: the host.
        w: the reader's language.
        rules: how the rules stand on this host.
        entries: the newest entries of its journal.
        trouble: why these could not be read, if so.
        seen: where the board stood before anything of this was read.
    """
    sources, name = board.sources, record.host.name
    now = sources.clock()
    row = board.row(record)
    history = sources.histories.get(name)
    points = [] if history is None else history.points(now - LONGEST)
    queue = record.queue(now)
    stats = queue.stats if queue is not None else None
    spells = [] if history is None else list(reversed(history.spells))
    return renderer.html(
        "host.html",
        w,
        "../",
        watched=f"host:{name}",
        seen=seen,
        trouble=trouble,
        row=row,
        record=record,
        url=record.host.url.removesuffix(API_PATH),
        queue=queue,
        stats=stats,
        guessed=in_order(stats.guessed) if stats is not None else (),
        now=now,
        problems=problems(record),
        charts=list(_charts(points, now, w)),
        ages=_ages(stats.ages if stats is not None else None, w),
        senders=_domains(stats.sender_domains if stats is not None else None, w, "senders"),
        recipients=_domains(
            stats.recipient_domains if stats is not None else None, w, "recipients"
        ),
        spells=spells,
        alerts=row.alerts,
        recent=[a for a in reversed(list(sources.evaluator.recent())) if a.host == name][:10],
        rules=rules,
        entries=entries,
        badness=badness,
    )


def series_of(points: Sequence[Point], figure: str) -> list[tuple[float, float]]:
    """One figure of points over time."""
    return [(point.at, getattr(point, figure)) for point in points]


SHORTEST_SPAN = 5.0
"""Seconds over which a rate is told at least: what an action's own look finds a moment after a poll
would else be millions an hour."""


def per_hour(points: Sequence[Point], figure: str) -> list[tuple[float, float]]:
    """A count of what happened between points, as so many an hour.

    Points stand for times of different length, and what came while polls failed is counted by the
    next good one. Points close to the one before are told together with the next.
    """
    series: list[tuple[float, float]] = []
    since, counted = math.nan, 0.0
    for point in points:
        if math.isnan(point.messages):  # a failed poll; the next good one tells what came
            series.append((point.at, math.nan))
            continue
        counted += getattr(point, figure)
        span = point.at - since
        if math.isnan(counted) or not span < SHORTEST_SPAN:
            series.append((point.at, 3600 * counted / span))
            since, counted = point.at, 0.0
    return series


def _charts(points: Sequence[Point], now: float, w: Translator) -> Iterable[Mapping[str, Any]]:
    begin = points[0].at if points else now - 60
    for title, figures, value, tick, axis in (
        ("chart_queue", ("messages", "frozen"), w.number, w.short, count_axis),
        ("chart_oldest", ("oldest",), w.duration, w.duration, duration_axis),
        ("chart_traffic", ("entered", "left"), w.number, w.short, count_axis),
        ("chart_latency", ("latency",), w.duration, w.duration, duration_axis),
    ):
        series = per_hour if title == "chart_traffic" else series_of
        lines = [
            Line(w.t(f"line_{figure}"), style, series(points, figure))
            for figure, style in zip(figures, ("one", "two"), strict=False)
        ]
        drawn = chart(
            lines,
            begin,
            max(now, begin + 1),
            title=w.t(title),
            value=value,
            tick=tick,
            axis=axis,
            moment=_clock,
            empty=w.t("chart_empty"),
        )
        yield {"title": w.t(title), "svg": drawn, "lines": lines if len(lines) > 1 else []}


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M UTC")


def _ages(ages: AgeHistogram | None, w: Translator) -> Markup | None:
    if ages is None:
        return None
    names = [w.t("age_up_to", age=w.duration(bound)) for bound in AGE_BUCKETS]
    names.append(w.t("age_above", age=w.duration(AGE_BUCKETS[-1])))
    counted = [(n, float(c)) for n, c in zip(names, ages.counts, strict=True)]
    return bars(counted, title=w.t("ages"), value=w.number)


def _domains(counts: DomainCounts | None, w: Translator, title: str) -> Markup | None:
    if counts is None:
        return None
    named = [(domain, float(count)) for domain, count in counts.top if domain != OTHER_DOMAIN]
    if counts.other:
        named.append((w.t("other_domains"), float(counts.other)))
    return bars(named, title=w.t(title), value=w.number)
