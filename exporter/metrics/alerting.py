"""The metrics of alerting, made at each scrape: few series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Fired = tuple[str, str, str]
"""Host, alert and severity."""


class AlertingCollector(Collector):
    """Shows alerts and deliveries to prometheus-client."""

    def __init__(
        self,
        firing: Callable[[], Iterable[Fired]],
        deliveries: Mapping[tuple[str, str], int],
        last_ok: Mapping[str, float],
    ) -> None:
        """Where the values are: by receiver and outcome, and by receiver the Unix time."""
        self._firing = firing
        self._deliveries = deliveries
        self._last_ok = last_ok

    def collect(self) -> Iterator[Metric]:
        """Every family, also those without a sample yet."""
        alerts = GaugeMetricFamily(
            "brainycp_alerts_firing",
            "Alerts of the daemon's own rules that fire.",
            labels=["host", "alert", "severity"],
        )
        for fired, count in Counter(self._firing()).items():
            alerts.add_metric(fired, count)
        yield alerts
        deliveries = CounterMetricFamily(
            "brainycp_notifications",
            "Attempts to tell a receiver of alerts, by outcome.",
            labels=["receiver", "outcome"],
        )
        for key, count in self._deliveries.items():
            deliveries.add_metric(key, count)
        yield deliveries
        last = GaugeMetricFamily(
            "brainycp_notification_last_success_timestamp_seconds",
            "Unix time at which a receiver was last told of alerts.",
            labels=["receiver"],
        )
        for receiver, at in self._last_ok.items():
            last.add_metric([receiver], at)
        yield last
