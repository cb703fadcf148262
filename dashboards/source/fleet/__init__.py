"""The dashboard of all hosts."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as model

from dashboards.source import links, marks, variables
from dashboards.source.assembly import assembled, new_dashboard
from dashboards.source.fleet.failing import failing, services
from dashboards.source.fleet.history import history
from dashboards.source.fleet.now import all_hosts, totals, worst_hosts
from dashboards.source.shared.alerts import alerts, notifications
from dashboards.source.shared.itself import exporter_itself
from dashboards.source.shared.remediation import remediation


def dashboard() -> model.Dashboard:
    """Built anew."""
    made = new_dashboard(
        "BrainyCP mail: fleet",
        links.FLEET_UID,
        "The mail queues and mail services of all BrainyCP panels that brainycp-exporter polls.",
        since="now-6h",
    )
    made = (
        made.variables(variables.of_dashboard(variables.hosts()))
        .annotations([marks.remediations(enabled=False)])
        .link(links.to_dashboard("One host", links.HOST_UID, "Everything about one host"))
    )
    return assembled(
        made,
        [
            totals(),
            worst_hosts(),
            all_hosts(),
            alerts(of_one_host=False),
            failing(),
            history(),
            services(),
            remediation(of_one_host=False),
            notifications(),
            exporter_itself(),
        ],
    )
