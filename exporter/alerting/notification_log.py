"""When a receiver is notified of a group of alerts, and with which. Pure: `now` is an argument.

As in Alertmanager: the first notification of a group waits a little for others, later ones keep a
distance, what still fires is repeated after a while, and a resolution goes only to a receiver that
was notified of the firing alert.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from exporter.alertmanager.alert import Alert, Notification, badness
from exporter.config.alerting import AlertingConfig


@dataclass(slots=True)
class NotificationLogEntry:
    """The last notification of a group that a receiver accepted."""

    sent_at: float = 0.0
    """Unix time."""
    firing: dict[str, Alert] = field(default_factory=dict)
    """By incident: the alerts that it knows to fire."""

    @classmethod
    def of(cls, firing: Iterable[Alert], sent_at: float) -> NotificationLogEntry:
        """Return the entry of a notification of these alerts, accepted at Unix time `sent_at`."""
        return cls(sent_at, {alert.incident: alert for alert in firing})


def due_at(
    entry: NotificationLogEntry, firing: Sequence[Alert], timing: AlertingConfig, now: float
) -> float | None:
    """Return the Unix time of a group's next notification; None when there is none.

    Args:
        entry: what the receiver knows of the group.
        firing: the group's alerts that fire.
        timing: group_wait, group_interval and repeat_interval.
        now: Unix time.
    """
    if not entry.firing:
        first = min((alert.fired_at for alert in firing), default=None)
        if first is None:
            return None
        return now if first > now else first + timing.group_wait  # the clock may be set back
    if {alert.incident for alert in firing} != entry.firing.keys():
        return entry.sent_at + timing.group_interval
    return entry.sent_at + timing.repeat_interval


def notification_of(
    group: str,
    entry: NotificationLogEntry,
    firing: Sequence[Alert],
    resolved: Mapping[str, Alert],
    now: float,
) -> Notification | None:
    """Return a group's notification; None when there is nothing to notify of.

    Args:
        group: the rule's name.
        entry: what the receiver knows of the group.
        firing: the group's alerts that fire.
        resolved: the resolved alerts by incident, as far as they are remembered.
        now: Unix time.
    """
    alerts = {alert.incident: alert for alert in firing}
    for incident, known in entry.firing.items():
        if incident not in alerts:
            alerts[incident] = resolved.get(incident) or replace(known, resolved_at=now)
    if not alerts:
        return None
    return Notification(group, tuple(sorted(alerts.values(), key=badness)))
