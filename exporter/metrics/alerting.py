"""The metrics of alerting, made at each scrape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from exporter.metrics.samples import counter, gauge

FiringLabels = tuple[str, str, str]
"""Host, alert and severity."""


class AlertingCollector(Collector):
    """Collects alerts and deliveries for prometheus-client."""

    def __init__(
        self,
        firing: Callable[[], Iterable[FiringLabels]],
        deliveries: Mapping[tuple[str, str], int],
        last_ok: Mapping[str, float],
    ) -> None:
        """Collect from live values.

        Args:
            firing: returns the labels of each alert that fires.
            deliveries: by receiver and outcome.
            last_ok: by receiver, Unix time of the last good delivery.
        """
        self._firing = firing
        self._deliveries = deliveries
        self._last_ok = last_ok

    def collect(self) -> Iterator[Metric]:
        """Yield every family, also those without a sample yet."""
        yield gauge(
            "brainycp_alerts_firing",
            "Alerts of the daemon's own rules that fire.",
            ["host", "alert", "severity"],
            Counter(self._firing()).items(),
        )
        yield counter(
            "brainycp_notifications",
            "Attempts to tell a receiver of alerts, by outcome.",
            ["receiver", "outcome"],
            self._deliveries.items(),
        )
        yield gauge(
            "brainycp_notification_last_success_timestamp_seconds",
            "Unix time at which a receiver was last told of alerts.",
            ["receiver"],
            (([receiver], at) for receiver, at in self._last_ok.items()),
        )
