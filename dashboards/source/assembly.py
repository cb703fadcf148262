"""Putting panels together: sections, stable ids, and the JSON that Grafana imports."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import Dataquery

from dashboards.source.promql import HOST, ONE_HOST

GRAFANA = "11.6.0"
"""The version that the SDK in use describes. Newer ones migrate what has changed since."""


@dataclass(frozen=True, slots=True)
class Section:
    """Panels under a heading; a collapsed one asks nothing before it is opened."""

    title: str
    panels: Sequence[Builder[model.Panel]]
    collapsed: bool = False


def new_dashboard(title: str, uid: str, description: str, *, since: str) -> build.Dashboard:
    """An empty dashboard; `since` is where its time range begins."""
    return (
        build.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["brainycp", "mail"])
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time(since, "now")
        .refresh("1m")
    )


def assembled(dashboard: build.Dashboard, sections: Sequence[Section]) -> model.Dashboard:
    """The dashboard with its sections; every panel gets an id of its own."""
    for section in sections:
        row = build.Row(section.title).collapsed(section.collapsed)
        if section.collapsed:
            for panel in section.panels:
                row = row.with_panel(panel)
        dashboard = dashboard.with_row(row)
        if not section.collapsed:
            for panel in section.panels:
                dashboard = dashboard.with_panel(panel)
    made = dashboard.build()
    _identify(made)
    return made


def _identify(dashboard: model.Dashboard) -> None:
    """Give panels ids made of their titles, so that links to one outlive that others come."""
    seen: dict[int, str] = {}
    for panel in all_panels(dashboard):
        key = f"{'row ' if isinstance(panel, model.RowPanel) else ''}{panel.title}"
        panel.id_val = zlib.crc32(key.encode()) % 1_000_000 + 1
        if panel.id_val in seen:
            raise ValueError(f"two panels with one id: {seen[panel.id_val]!r} and {key!r}")
        seen[panel.id_val] = key
        if isinstance(panel, model.Panel):
            panel.plugin_version = GRAFANA


def for_one_host(dashboard: model.Dashboard) -> model.Dashboard:
    """Let every query take the host's name as it is.

    Grafana writes a variable with one value as it is, so that in a regular expression the dots
    of a host's name would match anything.
    """
    for panel in all_panels(dashboard):
        for target in (panel.targets or []) if isinstance(panel, model.Panel) else []:
            if isinstance(target, Dataquery):
                target.expr = target.expr.replace(HOST, ONE_HOST)
    for annotation in dashboard.annotations.list_val or []:
        annotation.expr = (annotation.expr or "").replace(HOST, ONE_HOST)
    return dashboard


def all_panels(dashboard: model.Dashboard) -> list[model.Panel | model.RowPanel]:
    """Every panel and row, also those inside collapsed rows."""
    found: list[model.Panel | model.RowPanel] = []
    for panel in dashboard.panels or []:
        found.append(panel)
        if isinstance(panel, model.RowPanel):
            found += panel.panels
    return found


def as_json(dashboard: model.Dashboard) -> str:
    """The text of the file."""
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"
