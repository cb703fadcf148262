"""Charts as inline SVG: pure, from points to markup. Colours and sizes are the stylesheet's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

SPARK_WIDTH, SPARK_HEIGHT = 120, 28
SPARK_POINTS = 40
"""At most: a fleet page holds hundreds of them."""

CHART_WIDTH, CHART_HEIGHT = 440, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 8, 10, 26
"""Room around a chart for its axes."""

Series = Sequence[tuple[float, float]]
"""Times (Unix) and values, the oldest first; NaN where nothing is known."""


def sparkline(series: Series, begin: float, end: float, label: str) -> Markup:
    """Return a small chart without axes, from `begin` to `end`; `label` says it in words."""
    known = [value for at, value in series if at >= begin and not math.isnan(value)]
    if len(known) < 2 or end <= begin:
        return Markup(
            '<svg class="spark" role="img" viewBox="0 0 {} {}"><title>{}</title></svg>'
        ).format(SPARK_WIDTH, SPARK_HEIGHT, label)
    top = max(known) or 1.0
    path = _path(
        _highest(series, begin, end, SPARK_POINTS),
        lambda at: SPARK_WIDTH * (at - begin) / (end - begin),
        lambda value: SPARK_HEIGHT - 1 - (SPARK_HEIGHT - 2) * value / top,
    )
    return Markup(
        '<svg class="spark" role="img" viewBox="0 0 {} {}"><title>{}</title><path d="{}"/></svg>'
    ).format(SPARK_WIDTH, SPARK_HEIGHT, label, path)


def _highest(series: Series, begin: float, end: float, most: int) -> list[tuple[float, float]]:
    """Return at most `most` points: the highest of each part; a gap where all are NaN."""
    width = (end - begin) / most
    buckets: dict[int, tuple[float, float]] = {}
    for at, value in series:
        if at < begin:
            continue
        index = min(most - 1, int((at - begin) / width))
        known = buckets.get(index)
        if known is None or math.isnan(known[1]) or value > known[1]:
            buckets[index] = (at, value)
    return [buckets[index] for index in sorted(buckets)]


def _path(series: Series, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    """Return SVG path data, broken where a value is unknown; a point between two gaps is a dash."""
    runs: list[list[str]] = [[]]
    for at, value in series:
        if math.isnan(value):
            runs.append([])
        else:
            runs[-1].append(f"{x(at):.4g},{y(value):.4g}")
    return "".join(f"M{'L'.join(run)}{'h2' if len(run) == 1 else ''}" for run in runs if run)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart."""

    name: str
    """In the reader's language."""
    style: str
    """A class of the stylesheet: the colour and, since colour is not enough, the dash."""
    series: Series


def chart(
    lines: Sequence[Line],
    begin: float,
    end: float,
    *,
    title: str,
    value: Callable[[float], str],
    tick: Callable[[float], str],
    axis: Callable[[float], float],
    moment: Callable[[float], str],
    empty: str,
) -> Markup:
    """Return a chart with axes; each point shows its values on hover, also without a script.

    Args:
        lines: what is drawn.
        begin: Unix time at the left end.
        end: Unix time at the right end.
        title: what it shows, for screen readers.
        value: a value in words.
        tick: a value in few letters, beside the axis.
        axis: where the axis ends, for the highest value.
        moment: a time in words.
        empty: what to say when there is nothing to draw.
    """
    values = [v for line in lines for _, v in line.series if not math.isnan(v)]
    if not values:
        return Markup('<p class="empty">{}</p>').format(empty)
    top = axis(max(values))

    def x(at: float) -> float:
        return _LEFT + (CHART_WIDTH - _LEFT - _RIGHT) * (at - begin) / (end - begin)

    def y(amount: float) -> float:
        return CHART_HEIGHT - _BOTTOM - (CHART_HEIGHT - _BOTTOM - _TOP) * amount / top

    drawn = [
        Markup('<path class="line {}" d="{}"><title>{}</title></path>').format(
            line.style, _path(line.series, x, y), line.name
        )
        for line in lines
    ]
    axes = _grid(top, y, tick) + _times(begin, end, x, moment)
    parts = [axes, *drawn, _hovers(lines, begin, x, value, moment)]
    return Markup(
        '<svg class="chart" role="img" viewBox="0 0 {} {}" aria-label="{}">{}</svg>'
    ).format(CHART_WIDTH, CHART_HEIGHT, title, Markup().join(parts))


def count_axis(most: float) -> float:
    """Return the end of an axis of counts: `most` or above, and half of it is whole, too."""
    return _scaled(most, least=2.0)


def duration_axis(most: float) -> float:
    """Return the end of an axis of seconds: `most` or above, and half of it is easily read, too."""
    if most <= 1:
        return _scaled(most, least=0.01)
    for seconds in _DURATIONS:
        if seconds >= most:
            return seconds
    return 86400 * _scaled(most / 86400, least=2.0)


_DURATIONS = (
    *(2.0, 4.0, 10.0, 20.0, 60.0, 120.0, 240.0, 600.0, 1200.0, 3600.0),
    *(2 * 3600.0, 4 * 3600.0, 8 * 3600.0, 12 * 3600.0, 86400.0),
)


def _scaled(value: float, *, least: float) -> float:
    """Return the first of 2, 4, 6 and 10 times a power of ten that is not below."""
    if not value > least:
        return least
    power = 10.0 ** math.floor(math.log10(value))
    return next((power * step for step in (1, 2, 4, 6, 10) if power * step >= value), 10 * power)


def _grid(top: float, y: Callable[[float], float], value: Callable[[float], str]) -> Markup:
    marks = []
    for share in (0.0, 0.5, 1.0):
        at = y(top * share)
        marks.append(
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
                '<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>'
            ).format(_LEFT, CHART_WIDTH - _RIGHT, at, at, _LEFT - 6, at + 4, value(top * share))
        )
    return Markup().join(marks)


def _times(
    begin: float, end: float, x: Callable[[float], float], moment: Callable[[float], str]
) -> Markup:
    marks = []
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        at = begin + (end - begin) * share
        marks.append(
            Markup(
                '<text class="tick" x="{:.1f}" y="{}" text-anchor="{}" data-time="{:.0f}">{}</text>'
            ).format(x(at), CHART_HEIGHT - 6, anchor, at, moment(at))
        )
    return Markup().join(marks)


def _hovers(
    lines: Sequence[Line],
    begin: float,
    x: Callable[[float], float],
    value: Callable[[float], str],
    moment: Callable[[float], str],
) -> Markup:
    """Return invisible columns, one for each moment, that show its values."""
    at_time: dict[float, list[str]] = {}
    for line in lines:
        for at, amount in line.series:
            if at >= begin and not math.isnan(amount):
                at_time.setdefault(at, []).append(f"{line.name}: {value(amount)}")
    times = sorted(at_time)
    columns = []
    for index, at in enumerate(times):
        left = x((times[index - 1] + at) / 2 if index else at) - (0 if index else 1)
        right = x((times[index + 1] + at) / 2 if index + 1 < len(times) else at) + 1
        columns.append(
            Markup(
                '<rect class="hover" x="{:.1f}" y="{}" width="{:.1f}" height="{}" '
                'data-time="{:.0f}"><title>{}\n{}</title></rect>'
            ).format(
                left,
                _TOP,
                max(0.5, right - left),
                CHART_HEIGHT - _TOP - _BOTTOM,
                at,
                moment(at),
                "\n".join(at_time[at]),
            )
        )
    return Markup().join(columns)


def bars(
    values: Sequence[tuple[str, float]], *, title: str, value: Callable[[float], str]
) -> Markup:
    """Return labelled horizontal bars as a list: readable as text, too."""
    top = max((amount for _, amount in values), default=0.0) or 1.0
    items = [
        Markup(
            '<li><span class="name">{}</span><meter aria-hidden="true" '
            'min="0" max="{:g}" value="{:g}"></meter>'
            '<span class="n">{}</span></li>'
        ).format(name, top, amount, value(amount))
        for name, amount in values
    ]
    return Markup('<ul class="bars" aria-label="{}">{}</ul>').format(title, Markup().join(items))
