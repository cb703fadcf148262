"""Tables: instant queries side by side, joined by their labels, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.source import links, look
from dashboards.source.panels import About, Query, framed, now


@dataclass(frozen=True, slots=True)
class Column:
    """A column with the value of a query."""

    title: str
    expression: str
    unit: str
    steps: look.Steps = look.PLAIN
    limits: build.ThresholdsConfig | None = None
    mappings: Sequence[model.ValueMapping] = ()
    decimals: int | None = None
    width: int | None = None


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """A column with the value of a label."""

    label: str
    title: str
    mappings: Sequence[model.ValueMapping] = ()
    links_to_host: bool = False
    width: int | None = None


HOST_COLUMN = LabelColumn("host", "Host", links_to_host=True)


def rows(
    about: About,
    labels: Sequence[LabelColumn],
    columns: Sequence[Column],
    *,
    sort: str,
    descending: bool = True,
    hidden: Sequence[str] = (),
    width: int = 24,
    height: int = 10,
) -> table.Panel:
    """A table with a row for each set of label values; fields that are no column may be hidden.

    What `about` says for when there is nothing to show also stands in each cell without a value.
    """
    panel = (
        framed(table.Panel(), about, width, height)
        .targets(now(*(Query(column.expression) for column in columns), form=PromQueryFormat.TABLE))
        .thresholds(look.thresholds(look.PLAIN))
        .filterable(True)
        .cell_height(c.TableCellHeight.SM)
        .footer(common.TableFooterOptions().show(False).reducer([]).enable_pagination(True))
        .sort_by([common.TableSortByFieldState().display_name(sort).desc(descending)])
        .transformations(_joined(labels, columns, hidden))
    )
    for label in labels:
        panel = panel.override_by_name(label.title, _label_properties(label))
    for column in columns:
        panel = panel.override_by_name(column.title, _value_properties(column))
    return panel


def _joined(
    labels: Sequence[LabelColumn], columns: Sequence[Column], hidden: Sequence[str]
) -> list[model.DataTransformerConfig]:
    # With one query Grafana calls its value "Value", with several "Value #A" and so on.
    values = (
        ["Value"]
        if len(columns) == 1
        else [f"Value #{letter}" for letter in ascii_uppercase[: len(columns)]]
    )
    fields = [label.label for label in labels] + values
    titles = [label.title for label in labels] + [column.title for column in columns]
    organised = {
        "excludeByName": dict.fromkeys(("Time", *hidden), True),
        "indexByName": {name: index for index, name in enumerate(fields)},
        "renameByName": dict(zip(fields, titles, strict=True)),
    }
    return [
        *([model.DataTransformerConfig(id_val="merge", options={})] if len(columns) > 1 else []),
        model.DataTransformerConfig(id_val="organize", options=organised),
    ]


def _property(name: str, value: object) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(id_val=name, value=value)


def _coloured() -> model.DynamicConfigValue:
    options = c.TableColoredBackgroundCellOptions(mode=c.TableCellBackgroundDisplayMode.BASIC)
    return _property("custom.cellOptions", options)


def _label_properties(label: LabelColumn) -> list[model.DynamicConfigValue]:
    properties: list[model.DynamicConfigValue] = []
    if label.links_to_host:
        properties.append(links.from_cell())
    if label.mappings:
        properties += [_property("mappings", list(label.mappings)), _coloured()]
    if label.width:
        properties.append(_property("custom.width", label.width))
    return properties


def _value_properties(column: Column) -> list[model.DynamicConfigValue]:
    properties = [_property("unit", column.unit)]
    if column.decimals is not None:
        properties.append(_property("decimals", column.decimals))
    if column.mappings:
        properties.append(_property("mappings", list(column.mappings)))
    if column.steps or column.limits:
        limits = column.limits or look.thresholds(column.steps)
        properties += [_property("thresholds", limits.build()), _coloured()]
    elif column.mappings:
        properties.append(_coloured())
    if column.width:
        properties.append(_property("custom.width", column.width))
    return properties
