"""Sends one Alertmanager every alert, again and again: it forgets what is not sent anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from exporter.alerting.delivery import SenderContext, deliver
from exporter.alerting.persistence import load
from exporter.alertmanager.alert import Alert
from exporter.alertmanager.client import AlertmanagerClient
from exporter.http.errors import DeliveryError

RESEND_DELAY = 60.0
"""Seconds after which an alert is sent again."""

ENDS_AFTER = 4 * RESEND_DELAY
"""Seconds after which an Alertmanager takes an alert for resolved that is not sent again."""

RESOLVED_RETENTION = 300.0
"""Seconds for which a resolved alert is sent again: the first one may have got lost behind the
Alertmanager, as when it was restarted."""

RETRY_AFTER = 10.0
"""Seconds after which a delivery that was given up is tried again."""

GIVE_UP_AFTER = 86400.0
"""Seconds after which a resolution that an Alertmanager never accepted is not sent any more."""


class _ResolvedSent(msgspec.Struct):
    """The incidents whose resolution an Alertmanager has accepted, as they are saved."""

    receiver: str
    ended: list[str]


class AlertmanagerSender:
    """One Alertmanager, and what it was sent and when."""

    def __init__(
        self, alertmanager: AlertmanagerClient, context: SenderContext, saved: Iterable[object] = ()
    ) -> None:
        """Start with what an earlier sender has dumped."""
        self.alertmanager = alertmanager
        self._context = context
        self._clock = context.clock
        self._evaluator = context.evaluator
        self._sent: dict[tuple[str, bool], float] = {
            (incident, False): 0.0
            for value in saved
            if (resolved := load(value, _ResolvedSent)) is not None
            for incident in resolved.ended
        }
        """By incident and whether it fires, Unix time at which that was last accepted."""
        self._not_before = 0.0
        """Unix time before which a failed delivery is not tried again."""
        context.stats.register(alertmanager.name)

    @property
    def name(self) -> str:
        """The Alertmanager's name."""
        return self.alertmanager.name

    def dump(self) -> dict[str, Any]:
        """Return what is saved over a restart, by key."""
        ended = [incident for incident, firing in self._sent if not firing]
        return {self.name: {"receiver": self.name, "ended": ended}}

    async def send_due(self) -> float | None:
        """Send what is due; return the Unix time of the next delivery, None without one."""
        now = self._clock()
        # A clock that was set back must not make anything wait longer than its interval.
        self._not_before = min(self._not_before, now + RETRY_AFTER)
        self._sent = {key: min(at, now) for key, at in self._sent.items()}
        if now >= self._not_before and self._due(now):
            try:
                await deliver(self._send)
            except DeliveryError:
                self._not_before = self._clock() + RETRY_AFTER
        wanted = self._wanted(self._clock())
        if not wanted:
            return None
        return max(min(map(self._sent_at, wanted)) + RESEND_DELAY, self._not_before)

    async def close(self) -> None:
        """Close connections."""
        await self.alertmanager.close()

    def _wanted(self, now: float) -> list[Alert]:
        """Return what the Alertmanager should know: what fires, and what has just resolved."""
        firing = list(self._evaluator.firing())
        firing_again = {alert.fingerprint for alert in firing}
        resolved = [
            alert
            for alert in self._evaluator.recent()
            # One that fires again has the same labels: its end would end the new one.
            if alert.fingerprint not in firing_again and self._is_resolution_wanted(alert, now)
        ]
        return firing + resolved

    def _is_resolution_wanted(self, alert: Alert, now: float) -> bool:
        age = now - (alert.resolved_at or now)
        if (alert.incident, False) in self._sent:
            return age < RESOLVED_RETENTION
        # It may have notified of the firing alert, and not have run since: then nothing but this
        # makes it notify of the end. One that knows the end would notify of it once more.
        return age < GIVE_UP_AFTER

    def _sent_at(self, alert: Alert) -> float:
        return self._sent.get((alert.incident, alert.firing), 0.0)

    def _due(self, now: float) -> list[Alert]:
        return [a for a in self._wanted(now) if now >= self._sent_at(a) + RESEND_DELAY]

    async def _send(self) -> None:
        now = self._clock()
        due = self._due(now)
        if not due:
            return
        await self._context.attempt(
            self.name, self.alertmanager.send(due, ends_at=now + ENDS_AFTER)
        )
        known = {(alert.incident, True) for alert in self._evaluator.firing()}
        known |= {(alert.incident, False) for alert in self._evaluator.recent()}
        self._sent = {key: at for key, at in self._sent.items() if key in known}
        is_news = any(
            (alert.incident, False) not in self._sent for alert in due if not alert.firing
        )
        self._sent |= {(alert.incident, alert.firing): now for alert in due}
        if is_news:
            self._context.on_change()
