"""Fills prometheus-client's families."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

F = TypeVar("F", CounterMetricFamily, GaugeMetricFamily)


def filled(family: F, samples: Iterable[tuple[Sequence[str], float]]) -> F:
    """The family with a sample for each of these label values."""
    for labels, value in samples:
        family.add_metric(labels, value)
    return family
