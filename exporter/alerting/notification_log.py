"""When a receiver is to be told of a group of alerts, and of what. Pure: `now` is an argument.

As Alertmanager does it: the first notification of a group waits a little for others, later ones
keep a distance, what still fires is told again after a while, and that something resolved is told
only to who knows that it fired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from exporter.alertmanager.alert import Alert, Notification, badness
from exporter.config.alerting import AlertingConfig


@dataclass(slots=True)
class LogEntry:
    """What a receiver knows of a group."""

    at: float = 0.0
    """Unix time of the last notification that it took."""
    firing: dict[str, Alert] = field(default_factory=dict)
    """By incident: what it was told of, and not yet that it resolved."""


def due_at(
    told: LogEntry, firing: Sequence[Alert], timing: AlertingConfig, now: float
) -> float | None:
    """Unix time at which a receiver is to be told of a group; None when there is nothing to tell.

    Args:
        told: what it knows of the group.
        firing: the group's alerts that fire.
        timing: group_wait, group_interval and repeat_interval.
        now: Unix time.
    """
    if not told.firing:
        first = min((alert.fired_at for alert in firing), default=None)
        if first is None:
            return None
        return now if first > now else first + timing.group_wait  # the clock may be set back
    if {alert.incident for alert in firing} != told.firing.keys():
        return told.at + timing.group_interval
    return told.at + timing.repeat_interval


def content(
    group: str, told: LogEntry, firing: Sequence[Alert], resolved: Mapping[str, Alert], now: float
) -> Notification | None:
    """What a receiver is to be told of a group; None when there is nothing.

    Args:
        group: the rule's name.
        told: what it knows of the group.
        firing: the group's alerts that fire.
        resolved: the resolved ones by incident, as far as they are remembered.
        now: Unix time.
    """
    alerts = {alert.incident: alert for alert in firing}
    for incident, known in told.firing.items():
        if incident not in alerts:
            alerts[incident] = resolved.get(incident) or replace(known, resolved_at=now)
    if not alerts:
        return None
    return Notification(group, tuple(sorted(alerts.values(), key=badness)))


def taken(notification: Notification, now: float) -> LogEntry:
    """What a receiver knows of a group once it took a notification at Unix time `now`."""
    return LogEntry(now, {alert.incident: alert for alert in notification.firing})
