"""Notifies one receiver of groups of alerts: at the right times, with what is so then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

from exporter.alerting.delivery import Receiver, SenderContext, deliver, finish
from exporter.alerting.notification_log import NotificationLogEntry, due_at, notification_of
from exporter.alerting.persistence import dump_alert, load
from exporter.alertmanager.alert import Alert, Notification, UnixTime
from exporter.http.errors import DeliveryError

RETRY_AFTER = 30.0
"""Seconds after which a delivery that was given up, or refused, is tried again."""


class _SavedEntry(msgspec.Struct):
    """An entry of a notification log as it is saved."""

    receiver: str
    group: str
    at: UnixTime
    firing: list[Alert]


class Notifier:
    """One receiver with its notification log.

    There is no queue that could overflow: a notification always holds the state as it is then, so
    that at most one for each group waits.
    """

    def __init__(
        self, receiver: Receiver, context: SenderContext, saved: Iterable[object] = ()
    ) -> None:
        """Start with what an earlier notifier has dumped."""
        self.receiver = receiver
        self.notification_log = {
            entry.group: NotificationLogEntry.of(entry.firing, entry.at)
            for value in saved
            if (entry := load(value, _SavedEntry)) is not None
        }
        """By group, what the receiver knows."""
        self._context = context
        self._clock = context.clock
        self._evaluator = context.evaluator
        self._not_before: dict[str, float] = {}
        """By group, Unix time before which a failed delivery is not tried again."""
        context.stats.register(receiver.name)

    @property
    def name(self) -> str:
        """The receiver's name."""
        return self.receiver.name

    def dump(self) -> dict[str, Any]:
        """Return what is saved over a restart, by key."""
        return {
            f"{self.name}/{group}": {
                "receiver": self.name,
                "group": group,
                "at": entry.sent_at,
                "firing": [dump_alert(alert) for alert in entry.firing.values()],
            }
            for group, entry in self.notification_log.items()
        }

    async def send_due(self) -> float | None:
        """Send what is due; return the Unix time of the next notification, None without one."""
        for group, at in sorted(self._due().items(), key=lambda item: item[1]):
            if at <= self._clock():
                await self._notify(group)
        return min(self._due().values(), default=None)

    async def close(self) -> None:
        """Close connections."""
        await self.receiver.close()

    def _firing(self) -> dict[str, list[Alert]]:
        groups: defaultdict[str, list[Alert]] = defaultdict(list)
        for alert in self._evaluator.firing():
            groups[alert.name].append(alert)
        return groups

    def _due(self) -> dict[str, float]:
        """Return by group the Unix time of its next notification."""
        now = self._clock()
        # A clock that was set back must not make anything wait longer than its interval.
        for entry in self.notification_log.values():
            entry.sent_at = min(entry.sent_at, now)
        for group, at in self._not_before.items():
            self._not_before[group] = min(at, now + RETRY_AFTER)
        groups, timing, due = self._firing(), self._context.timing(), {}
        for group in groups.keys() | self.notification_log.keys():
            next_at = due_at(self._entry(group), groups.get(group, []), timing, now)
            if next_at is not None:
                due[group] = max(next_at, self._not_before.get(group, next_at))
        return due

    def _entry(self, group: str) -> NotificationLogEntry:
        return self.notification_log.get(group, NotificationLogEntry())

    async def _notify(self, group: str) -> None:
        async def send() -> None:
            # What is so now, and not what was so at the first attempt.
            resolved = {alert.incident: alert for alert in self._evaluator.recent()}
            firing = self._firing().get(group, [])
            notification = notification_of(
                group, self._entry(group), firing, resolved, self._clock()
            )
            if notification is not None:
                await finish(self._send(group, notification))

        try:
            await deliver(send)
        except DeliveryError:
            self._not_before[group] = self._clock() + RETRY_AFTER
        else:
            self._not_before.pop(group, None)

    async def _send(self, group: str, notification: Notification) -> None:
        await self._context.attempt(self.name, self.receiver.send(notification))
        entry = NotificationLogEntry.of(notification.firing, self._clock())
        if entry.firing:
            self.notification_log[group] = entry
        else:
            self.notification_log.pop(group, None)
        self._context.on_change()
