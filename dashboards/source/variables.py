"""The variables at the top of the dashboards."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from dashboards.source.names import BUILD
from dashboards.source.promql import of_exporter
from exporter.metrics.families import HOST_INFO

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

_ALL = model.VariableOption(selected=True, text="All", value="$__all")
_FOLLOWING = model.VariableRefresh.ON_TIME_RANGE_CHANGED


def datasource() -> build.DatasourceVariable:
    """Which Prometheus."""
    return (
        build.DatasourceVariable("datasource")
        .label("Data source")
        .description("The Prometheus that scrapes the exporter.")
        .type("prometheus")
    )


def _query(name: str, label: str, description: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(DATASOURCE)
        .query(query)
        .refresh(_FOLLOWING)
        .sort(model.VariableSort.NATURAL_ASC)
    )


def job() -> build.QueryVariable:
    """Which scrape jobs; a host that is in several counts once."""
    return (
        _query(
            "job",
            "Job",
            "Scrape jobs of the exporter. A host that is in several of them counts once.",
            # Of the second where Prometheus probes the hosts and keeps the exporter's own alone.
            f'label_values({{__name__=~"{HOST_INFO.name}|{BUILD}"}}, job)',
        )
        .multi(True)
        .include_all(True)
        .current(_ALL)
    )


def label() -> build.QueryVariable:
    """Which label the next variable chooses by."""
    return (
        _query(
            "label",
            "Host label",
            "A label of brainycp_host_info to choose hosts by: those that the exporter's config"
            " gives them, and those that Prometheus adds.",
            # Grafana takes a metric's name there, no selector.
            f"label_names({HOST_INFO.name})",
        )
        # Prometheus renames to exported_… what it adds itself, with the same value.
        .regex("/^(?!__name__$|job$|exported_).*$/")
        .current(model.VariableOption(selected=True, text="host", value="host"))
    )


def value() -> build.QueryVariable:
    """Which values of that label the hosts must have."""
    return (
        _query(
            "value",
            "is",
            "Only hosts whose label has one of these values.",
            f"label_values({of_exporter(HOST_INFO)}, $label)",
        )
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(_ALL)
    )


def _host(description: str) -> build.QueryVariable:
    chosen = of_exporter(HOST_INFO, '$label=~"$value"')
    return _query("host", "Host", description, f"label_values({chosen}, host)")


def hosts() -> build.QueryVariable:
    """Which hosts of those that the label leaves."""
    return (
        _host("The hosts that the panels are about; All: every host that the label leaves.")
        .multi(True)
        .include_all(True)
        .current(_ALL)
    )


def host() -> build.QueryVariable:
    """Which one host of those that the label leaves."""
    return _host("The host that this dashboard is about.")


def top() -> build.CustomVariable:
    """How many lines and bars."""
    options = [
        model.VariableOption(selected=number == "10", text=number, value=number)
        for number in ("5", "10", "20", "50")
    ]
    return (
        build.CustomVariable("top")
        .label("Worst")
        .description("How many hosts or domains a graph or a ranking shows: the worst ones.")
        .values("5,10,20,50")
        .options(options)
        .current(options[1])
    )


def window() -> build.CustomVariable:
    """Over how long growth is measured."""
    options = [
        model.VariableOption(selected=text == "1h", text=text, value=text)
        for text in ("15m", "1h", "6h", "24h")
    ]
    return (
        build.CustomVariable("window")
        .label("Growth over")
        .description(
            "Growth is how far a queue is above its lowest of this time; with 1h as the alert"
            " MailQueueGrowing has it."
        )
        .values("15m,1h,6h,24h")
        .options(options)
        .current(options[1])
    )


def of_dashboard(host_or_hosts: build.QueryVariable) -> list[Builder[model.VariableModel]]:
    """Those of a dashboard, in the order in which they depend on one another."""
    return [datasource(), job(), label(), value(), host_or_hosts, top(), window()]
