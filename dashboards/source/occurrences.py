"""Counts of rare events, whose counter only begins with the first of them.

To Prometheus a series that begins at 1 has not increased, so that increase() would not show the
one event that matters. Here the first value of a series counts too, if another series of the
same scrape, the witness, shows that the exporter had been scraped before it.
"""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.source import promql
from dashboards.source.names import BUILD, PAUSED
from dashboards.source.promql import RANGE, STEP, Metric, by, of_hosts
from exporter.metrics.families import HOST_INFO


@dataclass(frozen=True, slots=True)
class Occurrences:
    """How often something has happened."""

    counter: str
    """Selector of the counter."""
    witness: str
    """Selector of the series that is there whenever the exporter is scraped."""
    same: str
    """Labels that a counter shares with its witness."""

    def in_range(self, labels: str) -> str:
        """How many there were in the range, by labels: one number."""
        # Summed up: the witness' other labels may have changed within the range.
        scrapes = by(self.same, f"count_over_time({self.witness}[{RANGE}])", "sum")
        # One that was there when the range began has no first value in it, though it may have
        # fewer samples: after a restart the counter is gone until it happens again.
        began = (
            f"min_over_time({self.counter}[{RANGE}])"
            f" and (count_over_time({self.counter}[{RANGE}])"
            f" < on ({self.same}) group_left () {scrapes})"
            f" unless {self.counter} offset {RANGE}"
        )
        increase = f"increase({self.counter}[{RANGE}])"
        return by(labels, f"round((({began}) + {increase}) or ({began}) or {increase})")

    def per_step(self, labels: str) -> str:
        """How many there were since the step before, by labels: for bars over time.

        increase() over a step leaves out what happened between the last scrape of one step and
        the first of the next, and estimates; here every event is in one bar.
        """
        since = f"({self.counter} - {self.counter} offset {STEP}) >= 0"
        # New, or begun anew by a restart: all of it has happened since.
        anew = f"{self.counter} and on ({self.same}) {self.witness} offset {STEP}"
        return by(labels, f"({since}) or ({anew})")


def of_host(counter: Metric) -> Occurrences:
    """Of a counter that is made with a host's other values."""
    return Occurrences(of_hosts(counter), of_hosts(HOST_INFO), "job, instance, host")


def of_remediation(counter: str, *, host: bool) -> Occurrences:
    """Of a counter of remediation, with the label host or without."""
    selector = of_hosts(counter) if host else promql.of_exporter(counter)
    return Occurrences(selector, promql.of_exporter(PAUSED), "job, instance")


def of_exporter(counter: str, *matchers: str) -> Occurrences:
    """Of a counter that is about the exporter itself."""
    return Occurrences(
        promql.of_exporter(counter, *matchers), promql.of_exporter(BUILD), "job, instance"
    )
