"""Alerts and notification logs as plain JSON for the state file. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from exporter.alerting.notification_log import NotificationLogEntry
from exporter.alertmanager.alert import Alert, UnixTime


def dump_alert(alert: Alert) -> dict[str, Any]:
    """Return an alert as plain values."""
    values: dict[str, Any] = msgspec.to_builtins(alert)
    del values["fingerprint"]  # follows from the labels
    return values


def load_alert(value: object) -> Alert | None:
    """Return the alert of plain values; None when they are none."""
    try:
        alert = msgspec.convert(value, Alert)
    except msgspec.ValidationError:
        return None
    return alert if alert.name and alert.host else None


class _SavedEntry(msgspec.Struct):
    receiver: str
    group: str
    at: UnixTime
    firing: list[Alert]


def dump_log_entry(receiver: str, group: str, entry: NotificationLogEntry) -> dict[str, Any]:
    """Return an entry of a receiver's notification log as plain values."""
    firing = [dump_alert(alert) for alert in entry.firing.values()]
    return {"receiver": receiver, "group": group, "at": entry.sent_at, "firing": firing}


def load_log_entry(value: object) -> tuple[str, str, NotificationLogEntry] | None:
    """Return receiver, group and entry of plain values; None when they are none."""
    try:
        saved = msgspec.convert(value, _SavedEntry)
    except msgspec.ValidationError:
        return None
    firing = {alert.incident: alert for alert in saved.firing}
    return saved.receiver, saved.group, NotificationLogEntry(saved.at, firing)


class _SavedResolved(msgspec.Struct):
    receiver: str
    ended: list[str]


def dump_resolved_sent(receiver: str, incidents: list[str]) -> dict[str, Any]:
    """Return the incidents whose resolution an Alertmanager has accepted as plain values."""
    return {"receiver": receiver, "ended": incidents}


def load_resolved_sent(value: object) -> tuple[str, list[str]] | None:
    """Return Alertmanager and incidents of plain values; None when they are none."""
    try:
        saved = msgspec.convert(value, _SavedResolved)
    except msgspec.ValidationError:
        return None
    return saved.receiver, saved.ended
