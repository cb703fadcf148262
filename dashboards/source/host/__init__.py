"""The dashboard of one host."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as model

from dashboards.source import links, marks, variables
from dashboards.source.assembly import assembled, for_one_host, new_dashboard
from dashboards.source.host.now import now
from dashboards.source.host.polling import polling, services, understanding
from dashboards.source.host.queue import ages, domains_of_mail, queue
from dashboards.source.shared.alerts import alerts
from dashboards.source.shared.remediation import remediation


def dashboard() -> model.Dashboard:
    """Built anew."""
    made = new_dashboard(
        "BrainyCP mail: host",
        links.HOST_UID,
        "The mail queue and the mail services of one BrainyCP panel that brainycp-exporter polls.",
        since="now-6h",
    )
    made = (
        made.variables(variables.of_dashboard(variables.host()))
        .annotations([marks.remediations(enabled=True), marks.not_up()])
        .link(links.to_dashboard("All hosts", links.FLEET_UID, "The whole fleet"))
    )
    whole = assembled(
        made,
        [
            now(),
            queue(),
            ages(),
            domains_of_mail(),
            services(),
            polling(),
            understanding(),
            alerts(of_one_host=True),
            remediation(of_one_host=True),
        ],
    )
    return for_one_host(whole)
