"""The mail services, and how polling the panel goes."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.source import look, occurrences
from dashboards.source.assembly import Section
from dashboards.source.host.texts import NOT_TOLD
from dashboards.source.panels import About, Query, bars, lines, number, states
from dashboards.source.promql import by, of_hosts, per_host
from dashboards.source.promql import services as states_of_services
from dashboards.source.tables import Column, LabelColumn, rows
from exporter.metrics import families as f


def services() -> Section:
    """The mail services, the certificate, and what is known of the host."""
    return Section(
        "Mail services and certificate",
        [
            states(
                About(
                    "Services",
                    "What the panel says of its mail services.",
                    look.COUNT,
                    NOT_TOLD,
                ),
                Query(states_of_services("service"), "{{service}}"),
                look.RUNNING,
                height=6,
            ),
            number(
                About(
                    "Certificate expires in",
                    "How long the panel's certificate is still valid, whether or not it is"
                    " trusted. None for a panel that is asked over plain http.",
                    units.Seconds,
                    "no certificate",
                ),
                f"max({of_hosts(f.CERTIFICATE_EXPIRY)}) - time()",
                limits=look.CERTIFICATE,
                width=4,
            ).height(6),
            rows(
                About(
                    "About the host",
                    "The panel's address, its mail server, and labels that the config gives it.",
                    look.COUNT,
                    "The exporter does not know this host.",
                ),
                [LabelColumn("host", "Host"), LabelColumn("mta", "Mail server")],
                [
                    Column(
                        "Value",
                        f"max without (instance, job) ({of_hosts(f.HOST_INFO)})",
                        look.COUNT,
                    )
                ],
                sort="Host",
                hidden=("Value",),
                width=8,
                height=6,
            ),
        ],
    )


def polling() -> Section:
    """How long polls take, and why they fail."""
    errors = occurrences.of_host(f.COLLECTOR_ERRORS)
    return Section(
        "Polling",
        [
            states(
                About(
                    "Collectors",
                    "Whether the last poll of each collector was good.",
                    look.COUNT,
                    NOT_TOLD,
                ),
                Query(by("collector", of_hosts(f.COLLECTOR_UP), "min"), "{{collector}}"),
                look.UP,
                height=7,
            ),
            lines(
                About(
                    "Duration of polls",
                    "How long the last poll of each collector took: its calls, and waiting for"
                    " their turn.",
                    units.Seconds,
                    NOT_TOLD,
                ),
                Query(by("collector", of_hosts(f.COLLECTOR_DURATION)), "{{collector}}"),
                steps=look.LATENCY,
                height=7,
            ),
            states(
                About(
                    "Fields of the list",
                    "Whether it is certain which value of a row is what, or only guessed: nothing"
                    " acts on a guess. `diagnose` says how to confirm it.",
                    look.COUNT,
                    NOT_TOLD,
                ),
                Query(by("field", of_hosts(f.QUEUE_LAYOUT), "min"), "{{field}}"),
                look.CERTAIN,
                height=7,
            ),
            lines(
                About(
                    "Clock of the panel",
                    "By how much the panel's clock is ahead of the exporter's. Beyond five minutes"
                    " nothing acts by the age of mail.",
                    units.Seconds,
                    NOT_TOLD,
                ),
                Query(per_host(f.CLOCK_SKEW), "{{host}}"),
                height=7,
            ),
            bars(
                About(
                    "Failed polls by reason",
                    "Failed polls over time. README says what each reason means.",
                    look.COUNT,
                    "No poll is known to have failed in this time.",
                ),
                Query(
                    by("reason", f"{errors.per_step('collector, reason')} > 0", "sum"),
                    "{{reason}}",
                ),
                width=8,
            ),
            rows(
                About(
                    "Failed polls in this time",
                    "Failed polls by collector and reason.",
                    look.COUNT,
                    "No poll is known to have failed in this time.",
                ),
                [LabelColumn("collector", "Collector"), LabelColumn("reason", "Reason")],
                [Column("Failed polls", f"{errors.in_range('collector, reason')} > 0", look.COUNT)],
                sort="Failed polls",
                width=8,
                height=9,
            ),
            lines(
                About(
                    "Time since the last good poll",
                    "How old the values of each collector are. They leave after"
                    " poll.stale_after intervals.",
                    units.Seconds,
                    "There was no good poll in this time.",
                ),
                Query(f"time() - {by('collector', of_hosts(f.LAST_SUCCESS))}", "{{collector}}"),
                steps=look.STALE,
                width=8,
            ),
        ],
    )


def understanding() -> Section:
    """What of the panel's replies no figure covers."""
    return Section(
        "What was not understood",
        [
            lines(
                About(
                    "Rows that were not understood",
                    "Rows of the panel's list that no figure covers."
                    " `brainycp-exporter diagnose` shows them and proposes what to configure.",
                    look.COUNT,
                    NOT_TOLD,
                ),
                Query(per_host(f.QUEUE_UNPARSED), "not understood"),
                width=8,
                height=7,
            ),
            lines(
                About(
                    "Messages that lack a field",
                    "Understood messages of which the panel does not tell a field; figures made"
                    " from that field do not cover them.",
                    look.COUNT,
                    "No message is known to lack a field.",
                ),
                Query(by("field", of_hosts(f.QUEUE_INCOMPLETE)), "{{field}}"),
                width=8,
                height=7,
            ),
            states(
                About(
                    "Detail",
                    "Skipped: the queue was above poll.queue_detail_limit, so that only its"
                    " length is known.",
                    look.COUNT,
                    NOT_TOLD,
                ),
                Query(per_host(f.QUEUE_DETAIL_SKIPPED), "list"),
                look.values({"0": ("listed", look.GREEN), "1": ("skipped", look.ORANGE)}),
                width=8,
                height=7,
            ),
        ],
    )
