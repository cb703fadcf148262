"""Alerts as plain values, for the JSON API and the command."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from exporter.alerting.delivery import OK, DeliveryStats
from exporter.alerting.evaluator import AlertEvaluator
from exporter.alertmanager.alert import Alert, badness
from exporter.humanize import duration


def alerts_view(evaluator: AlertEvaluator) -> list[dict[str, Any]]:
    """Return firing alerts, the worst first, then pending and resolved ones, as plain values."""
    firing = sorted(evaluator.firing(), key=badness)
    pending = sorted(evaluator.pending(), key=lambda p: (p.remaining, p.host))
    resolved = reversed(list(evaluator.recent()))
    return [
        *map(alert_view, firing),
        *(
            {
                "state": "pending",
                "labels": dict(p.labels),
                "annotations": {"summary": f"fires in {duration(p.remaining)} if that goes on"},
                "since": _iso(p.since),
                "condition": p.rule.condition,
            }
            for p in pending
        ),
        *map(alert_view, resolved),
    ]


def alert_view(alert: Alert) -> dict[str, Any]:
    """Return a firing or resolved alert as plain values."""
    view: dict[str, Any] = {
        "state": "firing" if alert.firing else "resolved",
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "since": _iso(alert.since),
        "fired_at": _iso(alert.fired_at),
        "fingerprint": alert.fingerprint,
        "url": alert.url,
    }
    if alert.resolved_at is not None:
        view["resolved_at"] = _iso(alert.resolved_at)
    return view


def receivers_view(names: Iterable[str], stats: DeliveryStats) -> list[dict[str, Any]]:
    """Return receivers and how deliveries to them fare, as plain values."""
    return [_receiver_view(name, stats) for name in names]


def _receiver_view(name: str, stats: DeliveryStats) -> dict[str, Any]:
    failing = stats.failing.get(name)
    last = stats.last_ok.get(name)
    return {
        "receiver": name,
        "ok": stats.counts.get((name, OK), 0),
        "failed": sum(
            n
            for (receiver, outcome), n in stats.counts.items()
            if receiver == name and outcome != OK
        ),
        "last_success": None if last is None else _iso(last),
        "failure": None if failing is None else str(failing),
    }


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
