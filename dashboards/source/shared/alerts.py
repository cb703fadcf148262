"""What fires, and who is told of it."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.source import look, occurrences
from dashboards.source.assembly import Section
from dashboards.source.names import ALERTS_FIRING, BUILD, LAST_NOTIFICATION, NOTIFICATIONS
from dashboards.source.panels import About, Query, lines
from dashboards.source.promql import HOST, JOB, RATE, by, of_exporter, of_hosts, or_zero
from dashboards.source.shared.about_hosts import host_column, with_host
from dashboards.source.tables import Column, LabelColumn, rows


def alerts(*, of_one_host: bool) -> Section:
    """What fires: the exporter's own alerts, and those of Prometheus."""
    severity = LabelColumn("severity", "Severity", mappings=look.SEVERITY, width=120)
    own = by(with_host("alert, severity", of_one_host=of_one_host), of_hosts(ALERTS_FIRING))
    labels = with_host("alertname, severity", of_one_host=of_one_host)
    firing = _firing(of_one_host=of_one_host)
    since = f"1000 * (ALERTS_FOR_STATE and ignoring (alertstate) ({firing}))"
    return Section(
        "Alerts",
        [
            rows(
                About(
                    "Alerts of the exporter's own rules",
                    "What fires by alerting.rules of the exporter's config and by the rules that"
                    " are built in.",
                    look.COUNT,
                    "Nothing fires, or the exporter's /metrics is not scraped.",
                ),
                host_column([LabelColumn("alert", "Alert"), severity], of_one_host=of_one_host),
                [Column("Alerts", own, look.COUNT, width=90)],
                sort="Severity",
                descending=False,
                width=12,
                height=8,
            ),
            rows(
                About(
                    "Alerts of Prometheus",
                    "What fires by rules of Prometheus: alerts with one of these hosts in the"
                    " label `host`; on the dashboard of all hosts also those without a host whose"
                    " label `job` is a chosen job, as for an exporter that is down.",
                    look.COUNT,
                    "Nothing fires, or Prometheus has no rules about these hosts.",
                ),
                host_column([LabelColumn("alertname", "Alert"), severity], of_one_host=of_one_host),
                [
                    Column("Since", by(labels, since, "min"), units.DateTimeFromNow, width=160),
                    Column("Alerts", by(labels, firing, "count"), look.COUNT, width=90),
                ],
                sort="Severity",
                descending=False,
                width=12,
                height=8,
            ),
        ],
    )


def _firing(*, of_one_host: bool) -> str:
    about_hosts = f'ALERTS{{alertstate="firing", {HOST}}}'
    about_none = f'ALERTS{{alertstate="firing", {JOB}, host=""}}'
    return about_hosts if of_one_host else f"{about_hosts} or {about_none}"


def all_alerts() -> str:
    """How many fire, whoever decides it: by the exporter's rules and by those of Prometheus.

    Nothing where the exporter is not scraped and Prometheus has no alert about it either.
    """
    own = or_zero(f"sum({by('host, alert, severity', of_hosts(ALERTS_FIRING))})", BUILD)
    prometheus = f"(count({_firing(of_one_host=False)}) or vector(0))"
    return f"({own}) + {prometheus} or {prometheus} > 0"


def notifications() -> Section:
    """Who is told of the exporter's own alerts, and whether that works."""
    told, not_told = (
        occurrences.of_exporter(NOTIFICATIONS, f'outcome{sign}"ok"') for sign in ("=", "!=")
    )
    return Section(
        "Notifications",
        [
            rows(
                About(
                    "Receivers",
                    "Whom the exporter tells of its own alerts: Alertmanagers, webhooks and"
                    " Apprise. A dash: never, since the exporter started.",
                    look.COUNT,
                    "–",
                ),
                [LabelColumn("receiver", "Receiver")],
                [
                    Column("Told in this time", told.in_range("receiver"), look.COUNT),
                    Column(
                        "Failed in this time",
                        not_told.in_range("receiver"),
                        look.COUNT,
                        steps=look.ANY_IS_BAD,
                    ),
                    Column(
                        "Last told",
                        f"1000 * {by('receiver', of_exporter(LAST_NOTIFICATION))}",
                        units.DateTimeFromNow,
                    ),
                ],
                sort="Failed in this time",
                width=12,
                height=8,
            ),
            lines(
                About(
                    "Attempts to notify",
                    "Attempts to tell a receiver by outcome: ok, or the reason of the error.",
                    units.CountsPerSecond,
                    "The exporter has no receivers, or its /metrics is not scraped.",
                ),
                Query(
                    by("receiver, outcome", f"rate({of_exporter(NOTIFICATIONS)}[{RATE}])", "sum"),
                    "{{receiver}} {{outcome}}",
                ),
                height=8,
            ),
        ],
        collapsed=True,
    )
