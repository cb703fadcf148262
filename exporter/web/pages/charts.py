"""The geometry of charts, from points to the coordinates of SVG; charts.html draws them. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

SPARK_WIDTH, SPARK_HEIGHT = 120, 28
SPARK_POINTS = 40
"""At most: a fleet page holds hundreds of them."""

CHART_WIDTH, CHART_HEIGHT = 440, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 8, 10, 26
"""Room around a chart for its axes."""

Series = Sequence[tuple[float, float]]
"""Times (Unix) and values, the oldest first; NaN where nothing is known."""


def sparkline(series: Series, begin: float, end: float) -> str:
    """Return the path of a small chart without axes, from `begin` to `end`; "" without a line."""
    known = [value for at, value in series if at >= begin and not math.isnan(value)]
    if len(known) < 2 or end <= begin:
        return ""
    top = max(known) or 1.0
    return _path(
        _highest(series, begin, end, SPARK_POINTS),
        lambda at: SPARK_WIDTH * (at - begin) / (end - begin),
        lambda value: SPARK_HEIGHT - 1 - (SPARK_HEIGHT - 2) * value / top,
    )


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


@dataclass(frozen=True, slots=True)
class Chart:
    """What a chart consists of. Coordinates are those of SVG, times Unix times."""

    paths: list[str]
    """By line."""
    ticks: list[tuple[float, str]]
    """Of the axis of values: y and text."""
    times: list[tuple[float, str, int, str]]
    """Of the axis of time: x, anchor, time and text."""
    hovers: list[tuple[float, float, int, str]]
    """Invisible columns, one for each moment, that show its values: x, width, time and text."""


def chart(
    lines: Sequence[Line],
    begin: float,
    end: float,
    *,
    value: Callable[[float], str],
    tick: Callable[[float], str],
    axis: Callable[[float], float],
    moment: Callable[[float], str],
) -> Chart | None:
    """Return a chart with axes; None when there is nothing to draw.

    Args:
        lines: what is drawn.
        begin: Unix time at the left end.
        end: Unix time at the right end.
        value: a value in words.
        tick: a value in few letters, beside the axis.
        axis: where the axis ends, for the highest value.
        moment: a time in words.
    """
    drawn = [v for line in lines for at, v in line.series if at >= begin and not math.isnan(v)]
    if not drawn:
        return None
    top = axis(max(drawn))

    def x(at: float) -> float:
        return _LEFT + (CHART_WIDTH - _LEFT - _RIGHT) * (at - begin) / (end - begin)

    def y(amount: float) -> float:
        return CHART_HEIGHT - _BOTTOM - (CHART_HEIGHT - _BOTTOM - _TOP) * amount / top

    moments = [
        (begin + (end - begin) * share, anchor)
        for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    ]
    at_time: dict[float, list[str]] = {}
    for line in lines:
        for at, amount in line.series:
            if at >= begin and not math.isnan(amount):
                at_time.setdefault(at, [moment(at)]).append(f"{line.name}: {value(amount)}")
    times = sorted(at_time)
    # A column reaches half the way to those beside it; the outer ones, a little beyond.
    edges = [x((one + other) / 2) for one, other in pairwise(times)]
    columns = zip(times, [x(times[0]) - 1, *edges], [*edges, x(times[-1])], strict=True)
    return Chart(
        paths=[_path(line.series, x, y) for line in lines],
        ticks=[(round(y(top * share), 1), tick(top * share)) for share in (0.0, 0.5, 1.0)],
        times=[(round(x(at), 1), anchor, round(at), moment(at)) for at, anchor in moments],
        hovers=[
            (
                round(left, 1),
                round(max(0.5, right + 1 - left), 1),
                round(at),
                "\n".join(at_time[at]),
            )
            for at, left, right in columns
        ],
    )


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
