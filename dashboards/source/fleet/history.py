"""How all hosts have been over the range."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.source import links, look
from dashboards.source.assembly import Section
from dashboards.source.panels import About, Query, lines
from dashboards.source.promql import (
    fleet,
    growth,
    highest,
    per_host,
    rate,
    swing,
    unknown_of,
    worst_in_range,
)
from exporter.metrics import families as f

_NOT_TOLD = "No panel has told this in this time."


def history() -> Section:
    """The whole fleet over time, and the few hosts that changed or had most."""
    return Section(
        "Queues over time",
        [
            lines(
                About(
                    "All queues",
                    "Messages in all queues that are known, and how many of them are frozen or"
                    " bounces. Where 'queues unknown' rises, a fall of the others need not be good"
                    " news.",
                    look.COUNT,
                    _NOT_TOLD,
                ),
                Query(fleet(per_host(f.QUEUE_MESSAGES)), "messages"),
                Query(fleet(per_host(f.QUEUE_FROZEN)), "frozen"),
                Query(fleet(per_host(f.QUEUE_BOUNCE)), "bounces"),
                Query(unknown_of(f.QUEUE_MESSAGES), "queues unknown"),
            ),
            lines(
                About(
                    "Arrivals and departures",
                    "Messages that came into and left all queues, counted by their ids between"
                    " polls. Mail that came and went between two polls is in neither.",
                    units.MessagesPerSecond,
                    _NOT_TOLD,
                ),
                Query(fleet(rate(f.QUEUE_ENTERED)), "in"),
                Query(f"-{fleet(rate(f.QUEUE_LEFT))}", "out"),
                Query(f"{fleet(rate(f.QUEUE_ENTERED))} - {fleet(rate(f.QUEUE_LEFT))}", "net"),
                signed=True,
            ),
            lines(
                About(
                    "Largest queues",
                    "The hosts whose queues were the largest in this time.",
                    look.COUNT,
                    _NOT_TOLD,
                ),
                Query(
                    worst_in_range(per_host(f.QUEUE_MESSAGES), highest(f.QUEUE_MESSAGES)),
                    "{{host}}",
                ),
                steps=look.MESSAGES,
            ).data_links([links.from_series()]),
            lines(
                About(
                    "Growth by host",
                    "How far queues were above their lowest of the time chosen as 'Growth over', at"
                    " each moment: of the hosts whose queues changed most in this time.",
                    look.COUNT,
                    _NOT_TOLD,
                ),
                Query(
                    worst_in_range(growth(), swing(f.QUEUE_MESSAGES)),
                    "{{host}}",
                ),
                steps=look.GROWTH,
            ).data_links([links.from_series()]),
            lines(
                About(
                    "Frozen by host",
                    "The hosts with the most frozen or held messages in this time.",
                    look.COUNT,
                    _NOT_TOLD,
                ),
                Query(
                    worst_in_range(per_host(f.QUEUE_FROZEN), highest(f.QUEUE_FROZEN)), "{{host}}"
                ),
                steps=look.FROZEN,
            ).data_links([links.from_series()]),
            lines(
                About(
                    "Oldest message by host",
                    "The hosts with the oldest messages in this time.",
                    units.Seconds,
                    _NOT_TOLD,
                ),
                Query(
                    worst_in_range(per_host(f.QUEUE_OLDEST), highest(f.QUEUE_OLDEST)), "{{host}}"
                ),
                steps=look.OLDEST,
            ).data_links([links.from_series()]),
        ],
    )
