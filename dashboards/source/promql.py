"""PromQL: selectors with the dashboards' variables, and the few forms in which they are used.

Everything is aggregated to the labels that are shown. So a host that is scraped twice (through
/metrics and through /probe, or by two exporters) counts once, and legends stay short.
"""

from __future__ import annotations

from typing import Literal

from exporter.metrics.families import (
    COLLECTOR_UP,
    HOST_INFO,
    LAST_SUCCESS,
    QUEUE_MESSAGES,
    SERVICE_INSTALLED,
    SERVICE_UP,
    Family,
)

JOB = 'job=~"$job"'
HOST = 'host=~"$host"'
ONE_HOST = 'host="$host"'

TOP = "$top"
"""How many hosts or domains a panel shows."""
WINDOW = "$window"
"""The time over which growth is measured."""
RANGE = "$__range"
RATE = "$__rate_interval"
STEP = "$__interval"
MIN_STEP = "1m"
"""The usual poll interval: between two polls a counter does not move."""

Aggregation = Literal["max", "min", "sum", "count"]
Metric = Family | str


def of_hosts(metric: Metric, *matchers: str) -> str:
    """The series of a metric that belong to the chosen jobs and hosts."""
    return of_exporter(metric, HOST, *matchers)


def of_exporter(metric: Metric, *matchers: str) -> str:
    """The series of a metric that belong to the chosen jobs."""
    name = metric if isinstance(metric, str) else metric.name
    return f"{name}{{{', '.join((JOB, *matchers))}}}"


def by(labels: str, expression: str, how: Aggregation = "max") -> str:
    """An aggregation that keeps these labels."""
    return f"{how} by ({labels}) ({expression})"


def services(labels: str, *matchers: str) -> str:
    """The states of services: 1 runs, 0 is stopped, -1 is not installed."""
    up, installed = (
        by(labels, of_hosts(m, *matchers), "min") for m in (SERVICE_UP, SERVICE_INSTALLED)
    )
    return f"{up} + {installed} - 1"


def per_host(metric: Metric, how: Aggregation = "max") -> str:
    """One series a host."""
    return by("host", of_hosts(metric), how)


def fleet(expression: str) -> str:
    """The sum over the hosts."""
    return f"sum({expression})"


def or_zero(expression: str, known: Metric) -> str:
    """0 where there are no series to count, but only if this metric shows that one would know."""
    return f"({expression}) or 0 * max({of_exporter(known)})"


def unknown_of(metric: Metric) -> str:
    """Of how many of the chosen hosts a figure is not known."""
    hosts = f"count({per_host(HOST_INFO)})"
    return f"{hosts} - (count({per_host(metric)}) or 0 * {hosts})"


def rate(counter: Metric) -> str:
    """How quickly a counter of a host rises, a second."""
    return by("host", f"rate({of_hosts(counter)}[{RATE}])")


def worst(expression: str) -> str:
    """The largest now, largest first."""
    return f"sort_desc(topk({TOP}, {expression}))"


def worst_in_range(expression: str, rank: str, labels: str = "host") -> str:
    """The same few series over the whole range: those that rank highest in it.

    A plain topk() chooses anew at each step, and a graph of it shows far more lines than k.
    """
    return f"{expression} and on ({labels}) topk({TOP}, {rank})"


def highest(metric: Metric) -> str:
    """The highest value of each host within the range."""
    return by("host", f"max_over_time({of_hosts(metric)}[{RANGE}] @ end())")


def swing(metric: Metric) -> str:
    """By how much each host's highest value in the range differs from its lowest."""
    lowest = by("host", f"min_over_time({of_hosts(metric)}[{RANGE}] @ end())", "min")
    return f"({highest(metric)} - {lowest})"


def growth() -> str:
    """How far each host's queue is above its lowest of the window: as the alerts have it.

    Nothing where its length is not known now. No estimate, as delta() would be.
    """
    queue = of_hosts(QUEUE_MESSAGES)
    return by("host", f"{queue} - min_over_time({queue}[{WINDOW}])")


def since_last_good() -> str:
    """Seconds since each host's last good poll, of the collector for which it is longest.

    Nothing where a collector has never had one: the others' would tell of a host in order.
    """
    good = by("host, collector", of_hosts(LAST_SUCCESS))
    never = f"{by('host, collector', of_hosts(COLLECTOR_UP))} unless on (host, collector) ({good})"
    return f"time() - {by('host', good, 'min')} unless on (host) ({never})"
