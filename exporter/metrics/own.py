"""The exporter's metrics about itself, kept by prometheus-client: few series, any thread."""

from __future__ import annotations

import platform

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from exporter import __version__
from exporter.panel.protocol import Operation

_DURATION_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60)
"""A call of a real panel takes about 2.5 s."""


class OwnMetrics:
    """The exporter's metrics of itself, in a registry of their own."""

    def __init__(self) -> None:
        # One more series for each of ours, which Prometheus reads only behind a feature flag.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # not annotated there
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._requests = Counter(
            "brainycp_api_requests",
            "Requests to panels by operation and outcome (ok or an error reason).",
            ["operation", "outcome"],
            registry=registry,
        )
        self._durations = Histogram(
            "brainycp_api_request_duration_seconds",
            "Duration of requests to panels, waiting for a free slot not included.",
            ["operation"],
            buckets=_DURATION_BUCKETS,
            registry=registry,
        )
        self._missed = Counter(
            "brainycp_exporter_missed_polls",
            "Polls that were not made, since no more files may be open; they tell of no host.",
            registry=registry,
        )
        self._reload_ok = Gauge(
            "brainycp_config_last_reload_successful",
            "Whether the last reload of the config was successful.",
            registry=registry,
        )
        self._reload_at = Gauge(
            "brainycp_config_last_reload_success_timestamp_seconds",
            "Unix time of the last successful reload of the config.",
            registry=registry,
        )
        Gauge(
            "brainycp_exporter_build_info",
            "1, with the exporter's version and Python's.",
            ["version", "pythonversion"],
            registry=registry,
        ).labels(__version__, platform.python_version()).set(1)
        # Looking a label set up costs more than counting, and these are counted per request.
        self._outcomes: dict[tuple[str, str], Counter] = {}
        self._by_operation = {op: self._durations.labels(op.value) for op in Operation}

    def request(self, operation: Operation, outcome: str, seconds: float) -> None:
        """Count one request to a panel."""
        key = (operation, outcome)
        counter = self._outcomes.get(key)
        if counter is None:
            counter = self._outcomes[key] = self._requests.labels(operation.value, outcome)
        counter.inc()
        self._by_operation[operation].observe(seconds)

    def missed_poll(self) -> None:
        """Count a poll that the exporter could not make."""
        self._missed.inc()

    def reloaded(self, at: float, *, ok: bool) -> None:
        """Note the outcome of loading the config at Unix time `at`."""
        self._reload_ok.set(ok)
        if ok:
            self._reload_at.set(at)
