"""A fleet whose alerts are evaluated by a clock of the test's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from exporter.alerting.annotations import AnnotationContext
from exporter.alerting.delivery import DeliveryStats, SenderContext
from exporter.alerting.evaluator import AlertEvaluator
from exporter.alertmanager.alert import Alert, Notification
from exporter.conditions import Interval
from exporter.config.models import Config
from exporter.fleet.store import HostRecord
from exporter.http.errors import DeliveryError
from exporter.snapshot import CollectorResult
from tests.builders import NOW, good, host, queue, snapshot, stats

MINUTE = 60.0


def frozen(count: int, **keys: Any) -> CollectorResult:
    """The queue collector's good result with so many frozen messages."""
    listed = keys.pop("listed", 2000)
    return good("queue", queue(listed, stats=stats(listed=listed, frozen=count, **keys)))


class Site:
    """Hosts, rules and a clock."""

    def __init__(
        self,
        *rules: Mapping[str, Any],
        hosts: Sequence[str] = ("mx1",),
        builtin: bool = False,
        **keys: Any,
    ) -> None:
        self.now = NOW
        self.changes: list[Alert] = []
        self.evaluator = AlertEvaluator(self.changes.append)
        self.apply_config(*rules, hosts=hosts, builtin=builtin, **keys)

    def apply_config(
        self,
        *rules: Mapping[str, Any],
        hosts: Sequence[str] = ("mx1",),
        builtin: bool = False,
        **keys: Any,
    ) -> None:
        """Apply other rules or hosts."""
        alerting = {"rules": list(rules), "builtin_rules": builtin, **keys}
        self.config = Config.model_validate({"alerting": alerting}).model_copy(
            update={"hosts": tuple(host(name, labels={"dc": "msk1"}) for name in hosts)}
        )
        self.records = {h.name: HostRecord(h, 60.0, 3.0) for h in self.config.hosts}
        self.evaluator.apply_config(self.config, self.now)

    def poll(
        self, *results: CollectorResult, name: str = "mx1", alert_only: Any = None, **keys: Any
    ) -> bool:
        """A minute later the host is polled."""
        self.now += MINUTE
        poll = snapshot(*results, at=self.now, name=name, **keys)
        record = self.records[name]
        record.add(poll)
        context = AnnotationContext(
            record, poll, self.now, "purge: ok, 2h ago", f"https://page/{name}"
        )
        values = {k: Interval(v, v) for k, v in (alert_only or {}).items()}
        return self.evaluator.on_snapshot(poll, values, self.now, lambda: context)

    def clock(self) -> float:
        return self.now

    def context(
        self, stats: DeliveryStats, on_change: Callable[[], None] = lambda: None
    ) -> SenderContext:
        """What a sender of this site's alerts needs."""
        return SenderContext(
            self.evaluator, lambda: self.config.alerting, stats, self.clock, on_change
        )

    def firing(self) -> list[str]:
        """Host and rule of what fires."""
        return sorted(f"{alert.host} {alert.name}" for alert in self.evaluator.firing())

    def restarted(self) -> Site:
        """The same site after a restart: only what is saved is known."""
        import json

        saved = json.loads(json.dumps(self.evaluator.dump()))
        other = Site.__new__(Site)
        other.now, other.config, other.records = self.now, self.config, self.records
        other.changes = []
        other.evaluator = AlertEvaluator(other.changes.append)
        other.evaluator.restore(saved.values())
        other.evaluator.apply_config(self.config, self.now)
        return other


FROZEN: dict[str, Any] = {
    "name": "Frozen",
    "when": ["queue_frozen_messages > 200"],
    "clear": ["queue_frozen_messages < 100"],
    "for": "5m",
}
AT_ONCE: dict[str, Any] = {"name": "Frozen", "when": "queue_frozen_messages > 200"}


class FakeReceiver:
    """A receiver that accepts notifications, or fails as the test wants."""

    def __init__(self, name: str = "ops") -> None:
        self.name = name
        self.notifications: list[Notification] = []
        self.sent: list[tuple[list[Alert], float]] = []
        self.failures: list[DeliveryError] = []

    async def send(self, notification: Notification) -> None:
        self._fail()
        self.notifications.append(notification)

    async def close(self) -> None: ...

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


class FakeAlertmanager(FakeReceiver):
    """An Alertmanager that does so."""

    async def send(self, alerts: Sequence[Alert], *, ends_at: float) -> None:  # type: ignore[override]  # another protocol
        self._fail()
        self.sent.append((list(alerts), ends_at))


def refused(*, retryable: bool = False) -> DeliveryError:
    """A delivery that was not accepted."""
    return DeliveryError("http_status", "It says no.", retryable=retryable)
