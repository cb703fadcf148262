"""How the exporter itself is doing."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.source import look
from dashboards.source.assembly import Section
from dashboards.source.names import (
    BUILD,
    MISSED_POLLS,
    RELOAD_OK,
    RELOADED_AT,
    REQUEST_SECONDS,
    REQUESTS,
    STATE_USABLE,
)
from dashboards.source.panels import About, Query, lines, number
from dashboards.source.promql import RANGE, RATE, by, of_exporter
from dashboards.source.tables import Column, LabelColumn, rows


def exporter_itself() -> Section:
    """How the exporter is doing."""
    build = by("instance, version, pythonversion", of_exporter(BUILD))
    return Section(
        "The exporter itself",
        [
            number(
                About(
                    "Exporter",
                    "Whether Prometheus can scrape the exporter's /metrics.",
                    look.STATE,
                    "not scraped",
                ),
                f"min({of_exporter('up')} and on (job, instance)"
                f" last_over_time({of_exporter(BUILD)}[{RANGE}]))",
                mappings=look.UP,
                width=4,
            ),
            number(
                About(
                    "Last reload",
                    "Whether the last reload of the config was good; if not, the config before"
                    " it is in use.",
                    look.STATE,
                    "unknown",
                ),
                f"min({of_exporter(RELOAD_OK)})",
                mappings=look.RELOADED,
                width=4,
            ),
            number(
                About(
                    "Journal",
                    "Whether the journal and the files beside it can be relied on; while they"
                    " cannot, nothing acts.",
                    look.STATE,
                    "unknown",
                ),
                f"min({of_exporter(STATE_USABLE)})",
                mappings=look.USABLE,
                width=4,
            ),
            rows(
                About(
                    "Versions",
                    "Version of the exporter and of Python, and when the config in use was read.",
                    look.COUNT,
                    "unknown",
                ),
                [
                    LabelColumn("instance", "Exporter"),
                    LabelColumn("version", "Version"),
                    LabelColumn("pythonversion", "Python"),
                ],
                [
                    Column(
                        "Config read",
                        f"1000 * {by('instance', of_exporter(RELOADED_AT))}"
                        f" * on (instance) group_right () {build}",
                        units.DateTimeFromNow,
                    )
                ],
                sort="Exporter",
                descending=False,
                width=12,
                height=4,
            ),
            lines(
                About(
                    "Requests to panels",
                    "Requests to all panels by outcome: ok, or the reason of the error.",
                    units.RequestsPerSecond,
                    "No panel has been asked in this time.",
                ),
                Query(
                    by("outcome", f"rate({of_exporter(REQUESTS)}[{RATE}])", "sum"), "{{outcome}}"
                ),
                width=8,
            ),
            lines(
                About(
                    "Duration of requests",
                    "The time in which 95 of 100 requests to panels were answered, by operation.",
                    units.Seconds,
                    "No panel has been asked in this time.",
                ),
                Query(
                    "histogram_quantile(0.95, "
                    + by("le, operation", f"rate({of_exporter(REQUEST_SECONDS)}[{RATE}])", "sum")
                    + ") >= 0",  # drops the NaN of an operation that was not asked
                    "{{operation}}",
                ),
                width=8,
            ),
            lines(
                About(
                    "Polls that the exporter missed",
                    "Polls for which the exporter itself lacked open files. They say nothing of"
                    " the hosts.",
                    look.COUNT,
                    "The exporter was not scraped in this time.",
                ),
                Query(
                    by("instance", f"increase({of_exporter(MISSED_POLLS)}[{RATE}])"),
                    "{{instance}}",
                ),
                width=8,
            ),
            lines(
                About(
                    "Processor time",
                    "Share of one processor that the exporter uses.",
                    units.PercentUnit,
                    "The exporter was not scraped in this time.",
                ),
                Query(
                    by(
                        "instance",
                        f"rate({of_exporter('process_cpu_seconds_total')}[{RATE}])",
                    ),
                    "{{instance}}",
                ),
            ),
            lines(
                About(
                    "Memory",
                    "Resident memory of the exporter.",
                    units.BytesIEC,
                    "The exporter was not scraped in this time.",
                ),
                Query(by("instance", of_exporter("process_resident_memory_bytes")), "{{instance}}"),
            ),
        ],
        collapsed=True,
    )
