"""How all hosts are now."""

from __future__ import annotations

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.models import units

from dashboards.source import links, look
from dashboards.source.assembly import Section
from dashboards.source.names import PAUSED, STOPPED, WAITING
from dashboards.source.panels import About, Query, number, ranking
from dashboards.source.promql import (
    by,
    fleet,
    growth,
    of_exporter,
    of_hosts,
    or_zero,
    per_host,
    rate,
    since_last_good,
    unknown_of,
    worst,
)
from dashboards.source.shared.alerts import all_alerts
from dashboards.source.tables import HOST_COLUMN, Column, rows
from exporter.metrics import families as f

_NOT_TOLD = "No panel has told this in this time."


def totals() -> Section:
    """The fleet in a few numbers."""
    return Section("Fleet", [*_state(), *_mail()])


def _state() -> list[stat.Panel]:
    up = per_host(f.UP, "min")
    running, installed = (
        by("host, service", of_hosts(family), "min")
        for family in (f.SERVICE_UP, f.SERVICE_INSTALLED)
    )
    stopped = f"{installed} - {running}"
    return [
        number(
            About(
                "Hosts up",
                "Hosts of which every enabled collector's last poll was good.",
                look.COUNT,
                "none polled",
            ),
            fleet(up),
            width=4,
        ),
        number(
            About(
                "Hosts not up",
                "Hosts of which at least one collector's last poll failed: the section"
                " 'Failing hosts' says which and why.",
                look.COUNT,
                "none polled",
            ),
            fleet(f"1 - {up}"),
            steps=look.ANY_IS_BAD,
            width=4,
        ),
        number(
            About(
                "Not scraped",
                "Scrape targets of the chosen jobs that Prometheus cannot scrape: an exporter, or"
                " a host whose poll did not end in time where Prometheus probes each host. Their"
                " hosts are in none of the other numbers.",
                look.COUNT,
                "no target",
            ),
            f"sum(1 - {of_exporter('up')})",
            steps=look.ANY_IS_BAD,
            width=4,
        ),
        number(
            About(
                "Services stopped",
                "Mail services (clamav, spamassassin) that a panel says do not run.",
                look.COUNT,
                "unknown",
            ),
            fleet(stopped),
            steps=look.ANY_IS_BAD,
            width=4,
        ),
        number(
            About(
                "Alerts firing",
                "Alerts that fire by the exporter's own rules and by those of Prometheus about"
                " these hosts and jobs: the section 'Alerts' has them.",
                look.COUNT,
                "unknown",
            ),
            all_alerts(),
            steps=look.ANY_IS_BAD,
            width=4,
        ),
        number(
            About(
                "Rules stopped",
                "Remediation rules that have stopped themselves on a host, or cannot act there,"
                " until somebody runs `brainycp-exporter remediation resume RULE HOST`.",
                look.COUNT,
                "unknown",
            ),
            or_zero(f"count({by('host, rule', of_hosts(STOPPED))})", PAUSED),
            steps=look.ANY_IS_BAD,
            width=4,
        ),
    ]


def _mail() -> list[stat.Panel]:
    return [
        number(
            About(
                "Messages",
                "Messages in all queues that are known, as the panels count them. The queue of a"
                " host that cannot be polled is in it until poll.stale_after, then no longer.",
                look.COUNT,
                "unknown",
            ),
            fleet(per_host(f.QUEUE_MESSAGES)),
            width=4,
        ),
        number(
            About(
                "Queues unknown",
                "Hosts whose queue is not known: not told by the panel, or too long ago. They are"
                " in no sum of messages, so that a fall of these need not be good news.",
                look.COUNT,
                "unknown",
            ),
            unknown_of(f.QUEUE_MESSAGES),
            steps=look.ANY_IS_ODD,
            width=4,
        ),
        number(
            About(
                "Frozen messages",
                "Frozen (Exim) or held (Postfix) messages in all queues that tell it.",
                look.COUNT,
                "unknown",
            ),
            fleet(per_host(f.QUEUE_FROZEN)),
            width=4,
        ),
        number(
            About(
                "Oldest message",
                "Age of the oldest message in any queue.",
                units.Seconds,
                "unknown",
            ),
            f"max({of_hosts(f.QUEUE_OLDEST)})",
            steps=look.OLDEST,
            width=4,
        ),
        number(
            About(
                "Largest growth",
                "Of the queue that has grown most: how far it is above its lowest of the time that"
                " is chosen above as 'Growth over'.",
                look.COUNT,
                "unknown",
            ),
            f"max({growth()})",
            steps=look.GROWTH,
            width=4,
        ),
        number(
            About(
                "Waiting for a person",
                "Actions that a remediation rule would do once a person approves them: the section"
                " 'Remediation' has them.",
                look.COUNT,
                "unknown",
            ),
            or_zero(f"count({by('host, rule', of_hosts(WAITING))})", PAUSED),
            steps=look.ANY_IS_ODD,
            width=4,
        ),
    ]


def worst_hosts() -> Section:
    """The worst hosts in four respects; a click opens one."""
    return Section(
        "Worst hosts now",
        [
            ranking(
                About(
                    "Most messages",
                    "Hosts with the largest queues. A click opens the host.",
                    look.COUNT,
                    _NOT_TOLD,
                ),
                Query(worst(per_host(f.QUEUE_MESSAGES)), "{{host}}"),
                steps=look.MESSAGES,
            ).data_links([links.from_series()]),
            ranking(
                About(
                    "Most frozen",
                    "Hosts with the most frozen or held messages. A host that does not show what"
                    " is frozen is not among them.",
                    look.COUNT,
                    _NOT_TOLD,
                ),
                Query(worst(per_host(f.QUEUE_FROZEN)), "{{host}}"),
                steps=look.FROZEN,
            ).data_links([links.from_series()]),
            ranking(
                About(
                    "Oldest mail",
                    "Hosts with the oldest message.",
                    units.Seconds,
                    _NOT_TOLD,
                ),
                Query(worst(per_host(f.QUEUE_OLDEST)), "{{host}}"),
                steps=look.OLDEST,
            ).data_links([links.from_series()]),
            ranking(
                About(
                    "Fastest growing",
                    "Hosts whose queue has grown most: how far it is above its lowest of the time"
                    " chosen as 'Growth over'.",
                    look.COUNT,
                    "No queue is known to have grown in this time.",
                ),
                Query(worst(f"{growth()} > 0"), "{{host}}"),
                steps=look.GROWTH,
            ).data_links([links.from_series()]),
        ],
    )


def all_hosts() -> Section:
    """A table of every host."""
    return Section(
        "All hosts",
        [
            rows(
                About(
                    "Hosts",
                    "Every chosen host, the fullest queue first; each column sorts and filters."
                    " A dash is what the host's panel has not told, or too long ago; as the last"
                    " good poll: one of its collectors has had none since the exporter started.",
                    look.COUNT,
                    "–",
                ),
                [HOST_COLUMN],
                [
                    Column("Up", per_host(f.UP, "min"), look.COUNT, mappings=look.UP, width=70),
                    Column("Messages", per_host(f.QUEUE_MESSAGES), look.COUNT, steps=look.MESSAGES),
                    Column("Frozen", per_host(f.QUEUE_FROZEN), look.COUNT, steps=look.FROZEN),
                    Column("Bounces", per_host(f.QUEUE_BOUNCE), look.COUNT),
                    Column("Oldest", per_host(f.QUEUE_OLDEST), units.Seconds, steps=look.OLDEST),
                    Column("Growth", growth(), look.COUNT, steps=look.GROWTH, decimals=0),
                    Column("In", rate(f.QUEUE_ENTERED), units.MessagesPerSecond, decimals=2),
                    Column("Out", rate(f.QUEUE_LEFT), units.MessagesPerSecond, decimals=2),
                    Column(
                        "Not understood",
                        per_host(f.QUEUE_UNPARSED),
                        look.COUNT,
                        steps=look.ANY_IS_ODD,
                    ),
                    Column(
                        "Last good poll",
                        since_last_good(),
                        units.Seconds,
                        steps=look.STALE,
                        decimals=0,
                    ),
                    Column(
                        "Certificate",
                        f"{per_host(f.CERTIFICATE_EXPIRY)} - time()",
                        units.Seconds,
                        limits=look.CERTIFICATE,
                    ),
                ],
                sort="Messages",
                height=13,
            )
        ],
    )
