"""The queue over time, its ages and its domains."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

from grafana_foundation_sdk.builders import bargauge
from grafana_foundation_sdk.models import units

from dashboards.source import look
from dashboards.source.assembly import Section
from dashboards.source.host.texts import NOT_TOLD
from dashboards.source.panels import About, Query, age_heatmap, lines, ranking
from dashboards.source.promql import RANGE, by, of_hosts, per_host, rate, worst, worst_in_range
from exporter.metrics import families as f
from exporter.snapshot import AGE_BUCKETS

_AGES = f"{f.QUEUE_AGE.name}_bucket"


def queue() -> Section:
    """Length, arrivals and departures, oldest message and size over time."""
    entered, left = rate(f.QUEUE_ENTERED), rate(f.QUEUE_LEFT)
    return Section(
        "Queue",
        [
            lines(
                About(
                    "Queue",
                    "messages: as the panel counts them; listed: rows of its list. Where these two"
                    " differ for long, `brainycp-exporter diagnose` tells more.",
                    look.COUNT,
                    NOT_TOLD,
                ),
                Query(per_host(f.QUEUE_MESSAGES), "messages"),
                Query(per_host(f.QUEUE_LISTED), "listed"),
                Query(per_host(f.QUEUE_FROZEN), "frozen"),
                Query(per_host(f.QUEUE_BOUNCE), "bounces"),
            ),
            lines(
                About(
                    "Arrivals and departures",
                    "Messages that came into and left the queue, counted by their ids between"
                    " polls. Mail that came and went between two polls is in neither.",
                    units.MessagesPerSecond,
                    NOT_TOLD,
                ),
                Query(entered, "in"),
                Query(f"-{left}", "out"),
                Query(f"{entered} - {left}", "net"),
                signed=True,
            ),
            lines(
                About(
                    "Age of the oldest message",
                    "0 when the queue is empty.",
                    units.Seconds,
                    NOT_TOLD,
                ),
                Query(per_host(f.QUEUE_OLDEST), "oldest"),
                steps=look.OLDEST,
                height=7,
            ),
            lines(
                About(
                    "Size of the queue",
                    "Size of all messages in the queue, as far as the panel tells it.",
                    units.BytesIEC,
                    NOT_TOLD,
                ),
                Query(per_host(f.QUEUE_SIZE), "size"),
                height=7,
            ),
        ],
    )


def ages() -> Section:
    """How old the messages are, over time and now."""
    return Section(
        "Age of the messages",
        [
            age_heatmap(
                About(
                    "Age of the messages over time",
                    "How many messages were how old at each moment. A storm is a bright band that"
                    " climbs; a queue that is worked off stays bright at the bottom only.",
                    look.COUNT,
                    NOT_TOLD,
                ),
                Query(by("le", of_hosts(_AGES)), "{{le}}"),
                width=16,
                height=10,
            ),
            _by_age(),
        ],
    )


def domains_of_mail() -> Section:
    """Whose mail it is."""
    panels = []
    for role, title, whose in (
        ("sender", "Sender domains", "of the senders"),
        ("recipient", "Recipient domains", "of the recipients that still wait"),
    ):
        domains = of_hosts(f.QUEUE_DOMAIN, f'role="{role}"')
        highest = by("domain", f"max_over_time({domains}[{RANGE}] @ end())")
        panels += [
            ranking(
                About(
                    f"{title} now",
                    f"Domains {whose} with the most messages. The ten largest are told apart;"
                    " `other` is all the rest together.",
                    look.COUNT,
                    "No message tells a domain.",
                ),
                Query(worst(by("domain", domains)), "{{domain}}"),
                width=8,
            ),
            lines(
                About(
                    f"{title} over time",
                    f"Domains {whose} that had the most messages in this time. A gap: the domain"
                    " was not among the ten largest then.",
                    look.COUNT,
                    NOT_TOLD,
                ),
                Query(
                    worst_in_range(by("domain", domains), highest, labels="domain"), "{{domain}}"
                ),
                width=16,
            ),
        ]
    return Section("Domains", panels)


def _by_age() -> bargauge.Panel:
    bounds = [f"{float(bound)!r}" for bound in AGE_BUCKETS]
    younger = ["max(" + of_hosts(_AGES, f'le="{le}"') + ")" for le in (*bounds, "+Inf")]
    texts = [*(f"up to {_span(at)}" for at in AGE_BUCKETS), f"over {_span(AGE_BUCKETS[-1])}"]
    between = [f"{upper} - {lower}" for lower, upper in pairwise(younger)]
    return ranking(
        About(
            "Messages by age now",
            "How many messages are how old; each is in one bar only.",
            look.COUNT,
            NOT_TOLD,
        ),
        *map(Query, (younger[0], *between), texts),
        width=8,
        height=10,
    )


def _span(seconds: float) -> str:
    span = timedelta(seconds=seconds)
    if span.days:
        return f"{span.days} d"
    minutes = span.seconds // 60
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h"
