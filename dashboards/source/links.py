"""Ways from one dashboard to the other, with the variables of both and the time range."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

FLEET_UID = "brainycp-fleet"
HOST_UID = "brainycp-host"

KEPT = ("datasource", "job", "label", "value", "top", "window")
"""All variables but the host: a filter is still there on the way back."""

_KEPT = "&".join(f"${{{name}:queryparam}}" for name in KEPT)


def _host_url(host: str) -> str:
    return f"/d/{HOST_UID}?{_KEPT}&var-host={host}&${{__url_time_range}}"


def from_series() -> build.DashboardLink:
    """From a series with the label host to that host's dashboard."""
    return (
        build.DashboardLink("Open ${__field.labels.host}")
        .type(model.DashboardLinkType.LINK)
        .url(_host_url("${__field.labels.host}"))
    )


def from_cell() -> model.DynamicConfigValue:
    """From a table's cell with a host's name to that host's dashboard."""
    link = {"title": "Open ${__value.raw}", "url": _host_url("${__value.raw}")}
    return model.DynamicConfigValue(id_val="links", value=[link])


def to_dashboard(title: str, uid: str, tooltip: str) -> build.DashboardLink:
    """A link at the top of a dashboard."""
    return (
        build.DashboardLink(title)
        .type(model.DashboardLinkType.LINK)
        .icon("dashboard")
        .tooltip(tooltip)
        .url(f"/d/{uid}?{_KEPT}")
        .keep_time(True)
    )
