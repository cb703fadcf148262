from __future__ import annotations

import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.pages.charts import (
    CHART_HEIGHT,
    CHART_WIDTH,
    SPARK_HEIGHT,
    SPARK_POINTS,
    SPARK_WIDTH,
    Line,
    Series,
    chart,
    count_axis,
    duration_axis,
    sparkline,
)
from exporter.web.pages.render import Renderer
from exporter.web.pages.rows import Row
from exporter.web.pages.translator import translator

GAP = math.nan
RENDERER = Renderer()


def drawn_whole(*lines: Series) -> ET.Element:
    drawn = draw(*lines)
    assert drawn is not None
    return drawn


def draw(*lines: Series, begin: float = 0, end: float = 100) -> ET.Element | None:
    named = [Line(f"line{i} <b>", "one", series) for i, series in enumerate(lines)]
    drawn = chart(
        named,
        begin,
        end,
        value=lambda value: f"{value:g}",
        tick=lambda value: f"{value:g}",
        axis=count_axis,
        moment=lambda at: f"at {at:g}",
    )
    if drawn is None:
        return None
    return ET.fromstring(RENDERER.macro("charts.html", "chart", drawn, named, "a <title>"))


def paths(element: ET.Element) -> list[str]:
    return [path.attrib["d"] for path in element.iter("path")]


def test_a_gap_stays_a_gap() -> None:
    (path,) = paths(drawn_whole([(0, 1), (20, 2), (40, GAP), (60, 3), (80, 4)]))
    assert re.findall("[ML]", path) == ["M", "L", "M", "L"]


def test_a_point_between_gaps_is_seen() -> None:
    (path,) = paths(drawn_whole([(0, 1), (20, GAP), (40, 2), (60, GAP)]))
    assert re.findall("[MLh]", path) == ["M", "h", "M", "h"]


def test_a_chart_begins_at_zero_and_ends_at_a_round_figure() -> None:
    drawn = drawn_whole([(0, 300), (100, 420)])
    ticks = [text.text for text in drawn.iter("text")]
    assert ticks == ["0", "300", "600", "at 0", "at 50", "at 100"]


@given(st.floats(0, 1e12, allow_nan=False))
def test_an_axis_holds_its_highest_and_tells_no_tick_that_is_rounded(most: float) -> None:
    top = count_axis(most)
    assert most <= top <= max(2.0, 2.5 * most)
    assert top / 2 == round(top / 2)


@pytest.mark.parametrize(
    ("most", "top"),
    [(0, 0.01), (0.03, 0.04), (0.7, 1), (2.5, 4), (61, 120), (7201, 14400), (90_000, 172_800)],
)
def test_an_axis_of_seconds_ends_where_people_count(most: float, top: float) -> None:
    assert duration_axis(most) == pytest.approx(top)


def test_each_moment_shows_every_line_that_has_a_value() -> None:
    drawn = drawn_whole([(0, 1), (50, 2)], [(0, 5), (50, GAP)])
    shown = [rect[0].text for rect in drawn.iter("rect")]
    assert shown == ["at 0\nline0 <b>: 1\nline1 <b>: 5", "at 50\nline0 <b>: 2"]


@pytest.mark.parametrize("series", [[], [(0.0, GAP), (50.0, GAP)], [(-5.0, 1.0)]])
def test_nothing_known_is_no_chart(series: Series) -> None:
    assert draw(series) is None


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.one_of(st.just(GAP), st.floats(0, 1e12, allow_nan=False))),
        max_size=30,
    ),
)
def test_whatever_is_known_is_drawn_inside_of_the_picture(
    points: list[tuple[float, float]],
) -> None:
    drawn = draw(sorted(points, key=lambda point: point[0]))
    if drawn is None:
        return
    width, height = map(float, drawn.attrib["viewBox"].split()[2:])
    for path in paths(drawn):
        for x, y in re.findall(r"[ML]([^,]+),([^MLh]+)", path):
            assert -1 <= float(x) <= width + 1
            assert -1 <= float(y) <= height + 1


def test_a_small_chart_shows_the_peaks_of_many_points() -> None:
    series = [(float(at), 1.0) for at in range(1000)]
    series[501] = (501.0, 900.0)
    points = re.findall(r"[ML][^,]+,([^ML]+)", sparkline(series, 0, 1000))
    assert 1 < len(points) <= SPARK_POINTS
    assert min(float(y) for y in points) == pytest.approx(1)


def test_a_small_chart_of_one_point_or_none_is_empty() -> None:
    for series in ([], [(5.0, 1.0)], [(1.0, GAP), (2.0, GAP), (3.0, 1.0)]):
        assert sparkline(series, 0, 10) == ""
    assert sparkline([(1.0, 1.0), (2.0, 2.0)], 5, 5) == ""


def test_a_chart_is_as_large_as_it_is_worked_out_for() -> None:
    row = Row("mx1 <b>", {}, "up", messages=2, points=((1.0, 1.0), (2.0, 2.0)))
    small = ET.fromstring(RENDERER.macro("charts.html", "spark", row, translator("en"), 3.0))
    assert small.attrib["viewBox"] == f"0 0 {SPARK_WIDTH} {SPARK_HEIGHT}"
    assert (small[0].text or "").startswith("Queue of mx1 <b> over the last 6 hours")
    assert [path[0] for path in paths(small)] == ["M"]
    large = drawn_whole([(0, 1), (100, 2)])
    assert large.attrib["viewBox"] == f"0 0 {CHART_WIDTH} {CHART_HEIGHT}"
    assert {line.attrib["x2"] for line in large.iter("line")} == {str(CHART_WIDTH - 8)}


def test_bars_are_a_list_that_can_be_read() -> None:
    def bars(values: list[tuple[str, int]]) -> ET.Element:
        return ET.fromstring(RENDERER.macro("charts.html", "bars", values, "t", translator("en")))

    drawn = bars([("<b>", 1500), ("none", 0)])
    assert [item[0].text for item in drawn] == ["<b>", "none"]
    assert [item[2].text for item in drawn] == ["1,500", "0"]
    assert [meter.attrib["value"] for meter in drawn.iter("meter")] == ["1500", "0"]
    assert [meter.attrib["max"] for meter in drawn.iter("meter")] == ["1500", "1500"]
    assert [meter.attrib["max"] for meter in bars([("none", 0)]).iter("meter")] == ["1"]
    assert len(bars([])) == 0
