"""Panels as both dashboards have them.

Each has a title, a description, a unit, and a text for when there is nothing to show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, heatmap, stat, statetimeline
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus as prom
from grafana_foundation_sdk.builders import timeseries as graph
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.source import look
from dashboards.source.promql import MIN_STEP
from dashboards.source.variables import DATASOURCE


@dataclass(frozen=True, slots=True)
class About:
    """What every panel says of itself."""

    title: str
    description: str
    unit: str
    empty: str
    """Shown when there is nothing to show."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel and how its series are called."""

    expression: str
    legend: str = ""


class _PanelBuilder(Protocol):
    """What the SDK's builders of panels have in common."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: model.DataSourceRef) -> Self: ...
    def targets(self, targets: list[Builder[Dataquery]]) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def no_value(self, no_value: str) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...
    def decimals(self, decimals: float) -> Self: ...


P = TypeVar("P", bound=_PanelBuilder)


def framed(panel: P, about: About, width: int, height: int) -> P:
    """The panel with what every one has."""
    return (
        panel.title(about.title)
        .description(about.description)
        .datasource(DATASOURCE)
        .unit(about.unit)
        .no_value(about.empty)
        .span(width)
        .height(height)
    )


def _whole(panel: P, about: About) -> P:
    """The panel, without decimals if it shows counts: increase() estimates."""
    return panel.decimals(0) if about.unit == look.COUNT else panel


def _query(number: int, query: Query) -> prom.Dataquery:
    return (
        prom.Dataquery()
        .datasource(DATASOURCE)
        .ref_id(ascii_uppercase[number])
        .expr(query.expression)
        .interval(MIN_STEP)
        .legend_format(query.legend or "__auto")
    )


def now(*queries: Query, form: PromQueryFormat | None = None) -> list[Builder[Dataquery]]:
    """Queries for the values at the end of the range."""
    made = [_query(number, query).instant() for number, query in enumerate(queries)]
    return [target.format(form) if form else target for target in made]


def over_time(*queries: Query, form: PromQueryFormat | None = None) -> list[Builder[Dataquery]]:
    """Queries for the values over the range, not finer than the exporter polls."""
    made = [_query(number, query).range() for number, query in enumerate(queries)]
    return [target.format(form) if form else target for target in made]


def number(
    about: About,
    expression: str,
    *,
    steps: look.Steps = look.PLAIN,
    limits: build.ThresholdsConfig | None = None,
    mappings: Sequence[model.ValueMapping] = (),
    width: int = 3,
) -> stat.Panel:
    """One large number, as of now.

    It has no sparkline: that would need a query over the range, whose last value stays for as
    long as the range is when there is none any more.
    """
    panel = (
        framed(stat.Panel(), about, width, 4)
        .targets(now(Query(expression, about.title)))
        .thresholds(limits or look.thresholds(steps, below=look.GREEN if steps else look.TEXT))
        .mappings(list(mappings))
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .color_mode(c.BigValueColorMode.VALUE)
        .graph_mode(c.BigValueGraphMode.NONE)
        .text_mode(c.BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )
    return panel if mappings else panel.decimals(0 if about.unit == look.COUNT else 1)


def _legend(calcs: Sequence[str]) -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(c.LegendDisplayMode.TABLE if calcs else c.LegendDisplayMode.LIST)
        .placement(c.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(list(calcs))
    )


def lines(
    about: About,
    *queries: Query,
    steps: look.Steps | None = None,
    signed: bool = False,
    width: int = 12,
    height: int = 9,
) -> graph.Panel:
    """Lines over time; from zero on, unless they are signed. With steps these are drawn, too.

    Where a value is missing there is a gap. The legend tells no last value: where all series of
    a panel have ended, Grafana would show where they did as if it were now.
    """
    panel = (
        framed(graph.Panel(), about, width, height)
        .targets(over_time(*queries))
        .draw_style(c.GraphDrawStyle.LINE)
        .line_width(1)
        .fill_opacity(8)
        .show_points(c.VisibilityMode.AUTO)  # a value between two gaps is a point
        .span_nulls(False)
        .legend(_legend(("mean", "max")))
        .tooltip(
            common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI).sort(c.SortOrder.DESCENDING)
        )
        .thresholds(look.thresholds(steps or look.PLAIN))
        .thresholds_style(
            common.GraphThresholdsStyleConfig().mode(
                c.GraphThresholdsStyleMode.DASHED if steps else c.GraphThresholdsStyleMode.OFF
            )
        )
    )
    panel = _whole(panel, about)
    return panel.axis_centered_zero(True) if signed else panel.min(0)


def bars(about: About, *queries: Query, width: int = 12, height: int = 9) -> graph.Panel:
    """Stacked counts of events over time: a bar is what happened since the one before."""
    return (
        framed(graph.Panel(), about, width, height)
        .targets(over_time(*queries))
        .draw_style(c.GraphDrawStyle.BARS)
        .line_width(0)
        .fill_opacity(80)
        .stacking(common.StackingConfig().mode(c.StackingMode.NORMAL).group("A"))
        .legend(_legend(("sum",)))
        .tooltip(
            common.VizTooltipOptions()
            .mode(c.TooltipDisplayMode.MULTI)
            .sort(c.SortOrder.DESCENDING)
            .hide_zeros(True)
        )
        .thresholds(look.thresholds(look.PLAIN))
        .decimals(0)
        .min(0)
    )


def ranking(
    about: About,
    *queries: Query,
    steps: look.Steps = look.PLAIN,
    width: int = 6,
    height: int = 9,
) -> bargauge.Panel:
    """Horizontal bars, one for each series as of now, in the order of the queries."""
    panel = (
        framed(bargauge.Panel(), about, width, height)
        .targets(now(*queries))
        .thresholds(look.thresholds(steps))
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .orientation(c.VizOrientation.HORIZONTAL)
        .display_mode(c.BarGaugeDisplayMode.BASIC)
        .name_placement(c.BarGaugeNamePlacement.LEFT)
        .value_mode(c.BarGaugeValueMode.COLOR)
        .show_unfilled(True)
        .sizing(c.BarGaugeSizing.MANUAL)
        .min_viz_height(16)
        .max_viz_height(24)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .min(0)
    )
    return _whole(panel, about)


def states(
    about: About,
    query: Query,
    mappings: Sequence[model.ValueMapping],
    *,
    width: int = 12,
    height: int = 8,
) -> statetimeline.Panel:
    """A coloured band for each series over time, twenty to a page."""
    return (
        framed(statetimeline.Panel(), about, width, height)
        .targets(over_time(query))
        .mappings(list(mappings))
        .thresholds(look.thresholds(((1, look.GREEN),), below=look.RED))
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .min(0)
        .max(1)
        .merge_values(True)
        .show_value(c.VisibilityMode.NEVER)
        .line_width(0)
        .fill_opacity(80)
        .row_height(0.8)
        .per_page(20)
        .legend(_legend(()))
    )


def age_heatmap(about: About, query: Query, *, width: int, height: int) -> heatmap.Panel:
    """The buckets of a histogram over time, as they are: the counts are not summed up again."""
    return (
        framed(heatmap.Panel(), about, width, height)
        .targets(over_time(query, form=PromQueryFormat.HEATMAP))
        .calculate(False)
        .min(0)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heat.HeatmapColorMode.SCHEME)
            .scheme("Oranges")
            .scale(heat.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
            .steps(64)
            .reverse(False)
        )
        .y_axis(heatmap.YAxisConfig().unit("s").decimals(0).axis_placement(c.AxisPlacement.LEFT))
        .rows_frame(heatmap.RowsHeatmapOptions().layout(c.HeatmapCellLayout.AUTO))
        .cell_values(heatmap.CellValues().unit(about.unit).decimals(0))
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .hide_from(common.HideSeriesConfig().legend(False).tooltip(False).viz(False))
        .cell_gap(1)
        .mode(c.TooltipDisplayMode.SINGLE)
        .show_y_histogram()
        .show_color_scale(True)
        .show_legend()
    )
