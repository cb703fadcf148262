"""Mail services that do not run, and hosts that cannot be polled."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.source import links, look, occurrences
from dashboards.source.assembly import Section
from dashboards.source.panels import About, Query, bars, ranking, states
from dashboards.source.promql import RANGE, TOP, by, of_exporter, of_hosts, per_host
from dashboards.source.promql import services as states_of_services
from dashboards.source.tables import HOST_COLUMN, Column, LabelColumn, rows
from exporter.metrics import families as f


def services() -> Section:
    """Which services run where, and which did not."""
    service = states_of_services("host, service")
    running, installed = (
        by("host, service", f"avg_over_time({of_hosts(family)}[{RANGE}] @ end())", "min")
        for family in (f.SERVICE_UP, f.SERVICE_INSTALLED)
    )
    share = f"1 + {running} - {installed}"
    return Section(
        "Mail services",
        [
            rows(
                About(
                    "Services by host",
                    "What each host's panel says of its mail services; those whose clamav is"
                    " not installed or stopped first. A dash: it is not asked, or has not said.",
                    look.COUNT,
                    "–",
                ),
                [HOST_COLUMN],
                [
                    Column(
                        name,
                        states_of_services("host", f'service="{name}"'),
                        look.COUNT,
                        mappings=look.RUNNING,
                    )
                    for name in ("clamav", "spamassassin")
                ],
                sort="clamav",
                descending=False,
                width=10,
            ),
            states(
                About(
                    "Services that were stopped",
                    "Services that were stopped at some moment in this time, those that were it"
                    " longest.",
                    look.COUNT,
                    "No service is known to have been stopped in this time.",
                ),
                Query(
                    f"({service}) and on (host, service) (bottomk({TOP}, {share}) < 1)",
                    "{{host}} {{service}}",
                ),
                look.RUNNING,
                width=14,
                height=10,
            ).data_links([links.from_series()]),
        ],
    )


def failing() -> Section:
    """Which hosts cannot be polled, since when and why."""
    errors = occurrences.of_host(f.COLLECTOR_ERRORS)
    collector = by("host, collector", of_hosts(f.COLLECTOR_UP), "min")
    good = by("host, collector", of_hosts(f.LAST_SUCCESS))
    share = by("host", f"avg_over_time({of_hosts(f.UP)}[{RANGE}] @ end())", "min")
    return Section(
        "Failing hosts",
        [
            rows(
                About(
                    "Failing now",
                    "Collectors whose last poll failed. 'Last good poll' is empty when there has"
                    " been none since the exporter started.",
                    look.COUNT,
                    "–",
                ),
                [HOST_COLUMN, LabelColumn("collector", "Collector")],
                [
                    Column("State", f"{collector} == 0", look.COUNT, mappings=look.UP),
                    Column(
                        "Last good poll",
                        f"time() - {good} and on (host, collector) ({collector} == 0)",
                        units.Seconds,
                        steps=look.STALE,
                        decimals=0,
                    ),
                ],
                sort="Host",
                descending=False,
                width=12,
            ),
            rows(
                About(
                    "Failed polls by reason",
                    "Failed polls in this time, by host, collector and reason. README says what"
                    " each reason means; `brainycp-exporter poll HOST` says what to try.",
                    look.COUNT,
                    "No poll is known to have failed in this time.",
                ),
                [
                    HOST_COLUMN,
                    LabelColumn("collector", "Collector"),
                    LabelColumn("reason", "Reason"),
                ],
                [
                    Column(
                        "Failed polls",
                        f"{errors.in_range('host, collector, reason')} > 0",
                        look.COUNT,
                    )
                ],
                sort="Failed polls",
                width=12,
            ),
            rows(
                About(
                    "Targets not scraped",
                    "Scrape targets of the chosen jobs that Prometheus cannot scrape now. Where it"
                    " probes each host, a host whose poll did not end within the scrape timeout.",
                    look.STATE,
                    "No target is known that is not scraped.",
                ),
                [LabelColumn("job", "Job"), LabelColumn("instance", "Target")],
                [
                    Column(
                        "State",
                        by("job, instance", f"{of_exporter('up')} == 0"),
                        look.STATE,
                        mappings=look.UP,
                    )
                ],
                sort="Target",
                descending=False,
                width=6,
                height=9,
            ),
            ranking(
                About(
                    "Hosts by reason",
                    "How many hosts had a poll fail for each reason in this time.",
                    look.COUNT,
                    "No poll is known to have failed in this time.",
                ),
                Query(
                    f"sort_desc(count by (reason) ({errors.in_range('host, reason')} > 0))",
                    "{{reason}}",
                ),
            ),
            bars(
                About(
                    "Failed polls over time",
                    "Failed polls of all hosts by reason.",
                    look.COUNT,
                    "No poll is known to have failed in this time.",
                ),
                Query(
                    by("reason", f"{errors.per_step('host, collector, reason')} > 0", "sum"),
                    "{{reason}}",
                ),
            ),
            states(
                About(
                    "Hosts that were not up",
                    "Hosts that were not up at some moment in this time, those that were it"
                    " longest.",
                    look.COUNT,
                    "No host is known not to have been up in this time.",
                ),
                Query(
                    f"{per_host(f.UP, 'min')} and on (host) (bottomk({TOP}, {share}) < 1)",
                    "{{host}}",
                ),
                look.UP,
                width=24,
            ).data_links([links.from_series()]),
        ],
    )
