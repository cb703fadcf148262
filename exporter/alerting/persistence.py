"""Alerts, and what receivers know of them, as plain JSON for the state file."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from exporter.alerting.notification_log import LogEntry
from exporter.alertmanager.alert import Alert

LAST_TIME = 253402300799
"""The end of the year 9999: a later time cannot be told."""

_Time = Annotated[float, msgspec.Meta(ge=0, le=LAST_TIME)]


class _Saved(msgspec.Struct):
    labels: dict[str, str]
    annotations: dict[str, str]
    since: _Time
    fired_at: _Time
    resolved_at: _Time | None = None
    url: str = ""
    weight: float = 0.0


def alert_value(alert: Alert) -> dict[str, Any]:
    """An alert as plain values."""
    return {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "since": alert.since,
        "fired_at": alert.fired_at,
        "resolved_at": alert.resolved_at,
        "url": alert.url,
        "weight": alert.weight,
    }


def alert_from(value: object) -> Alert | None:
    """The alert that plain values say; None when they say none."""
    try:
        saved = msgspec.convert(value, _Saved)
    except msgspec.ValidationError:
        return None
    alert = _alert(saved)
    return alert if alert.name and alert.host else None


def _alert(saved: _Saved) -> Alert:
    return Alert(
        saved.labels,
        saved.annotations,
        saved.since,
        saved.fired_at,
        saved.resolved_at,
        saved.url,
        saved.weight,
    )


class _SavedTold(msgspec.Struct):
    receiver: str
    group: str
    at: _Time
    firing: list[_Saved]


def told_value(receiver: str, group: str, told: LogEntry) -> dict[str, Any]:
    """What a receiver knows of a group as plain values."""
    firing = [alert_value(alert) for alert in told.firing.values()]
    return {"receiver": receiver, "group": group, "at": told.at, "firing": firing}


class _SavedEnds(msgspec.Struct):
    receiver: str
    ended: list[str]


def ends_value(receiver: str, ended: list[str]) -> dict[str, Any]:
    """The incidents whose end an Alertmanager was told, as plain values."""
    return {"receiver": receiver, "ended": ended}


def ends_from(value: object) -> tuple[str, list[str]] | None:
    """Alertmanager and incidents, from plain values; None when they say none of it."""
    try:
        saved = msgspec.convert(value, _SavedEnds)
    except msgspec.ValidationError:
        return None
    return saved.receiver, saved.ended


def told_from(value: object) -> tuple[str, str, LogEntry] | None:
    """Receiver, group and what it knows, from plain values; None when they say none of it."""
    try:
        saved = msgspec.convert(value, _SavedTold)
    except msgspec.ValidationError:
        return None
    alerts = [_alert(alert) for alert in saved.firing]
    firing = {alert.incident: alert for alert in alerts}
    return saved.receiver, saved.group, LogEntry(saved.at, firing)
