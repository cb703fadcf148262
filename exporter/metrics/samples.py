"""Families of prometheus-client with all their samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Samples = Iterable[tuple[Sequence[str], float]]
"""Label values, and what is measured for them."""


def gauge(name: str, help_text: str, labels: Sequence[str], samples: Samples) -> Metric:
    """Return a gauge with these samples."""
    return _filled(GaugeMetricFamily(name, help_text, labels=labels), samples)


def counter(name: str, help_text: str, labels: Sequence[str], samples: Samples) -> Metric:
    """Return a counter with these samples; its `name` goes without `_total`."""
    return _filled(CounterMetricFamily(name, help_text, labels=labels), samples)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: Samples) -> Metric:
    for values, measured in samples:
        family.add_metric(values, measured)
    return family
