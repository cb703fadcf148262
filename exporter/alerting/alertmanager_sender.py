"""Tells one Alertmanager of every alert, again and again: it forgets what it is not told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from exporter.alerting.delivery_stats import DeliveryStats
from exporter.alerting.evaluator import AlertEvaluator
from exporter.alerting.retry import deliver
from exporter.alertmanager.alert import Alert
from exporter.http.errors import DeliveryError

RESEND = 60.0
"""Seconds after which an alert is sent again."""

ENDS_AFTER = 4 * RESEND
"""Seconds after which an Alertmanager takes an alert for resolved that it is not told of again."""

RESOLVED_FOR = 300.0
"""Seconds for which a resolved alert is sent again: the first one may have got lost behind the
Alertmanager, as when it was restarted."""

TRY_AGAIN = 10.0
"""Seconds after which a delivery is tried anew that was given up."""

GIVE_UP_AFTER = 86400.0
"""Seconds after which an Alertmanager is not told any more that an alert resolved long ago."""


class Alertmanager(Protocol):
    """An Alertmanager, as far as it is told of alerts."""

    @property
    def name(self) -> str:
        """The label `receiver`."""

    async def send(self, alerts: Sequence[Alert], *, ends_at: float) -> None:
        """Tell alerts; those that fire end at Unix time `ends_at` unless they are told again.

        Raises:
            DeliveryError: they were not all taken.
        """

    async def close(self) -> None:
        """Let go of connections."""


class AlertmanagerSender:
    """One Alertmanager, and when it was told of what."""

    def __init__(
        self,
        alertmanager: Alertmanager,
        evaluator: AlertEvaluator,
        outcomes: DeliveryStats,
        clock: Callable[[], float],
        ended: Iterable[str] = (),
        *,
        on_told: Callable[[], None] = lambda: None,
    ) -> None:
        """What it works with.

        Args:
            alertmanager: who is told.
            evaluator: what there is to tell.
            outcomes: counts deliveries.
            clock: tells the Unix time.
            ended: the incidents whose end it was told before the start.
            on_told: called whenever it knows of another end.
        """
        self.alertmanager = alertmanager
        self._evaluator = evaluator
        self._outcomes = outcomes
        self._clock = clock
        self._on_told = on_told
        self._sent: dict[tuple[str, bool], float] = dict.fromkeys(
            ((incident, False) for incident in ended), 0.0
        )
        """By incident and whether it fires, Unix time at which that was last taken."""
        self._put_off = 0.0
        outcomes.expect(alertmanager.name)

    @property
    def name(self) -> str:
        """The Alertmanager's name."""
        return self.alertmanager.name

    @property
    def ended(self) -> list[str]:
        """The incidents whose end it was told."""
        return [incident for incident, firing in self._sent if not firing]

    async def step(self) -> float | None:
        """Tell what is due; when the next is, as Unix time, or None when nothing will be."""
        now = self._clock()
        self._follow_back(now)
        if now >= self._put_off and self._due(now):
            try:
                await deliver(self._send)
            except DeliveryError:
                self._put_off = self._clock() + TRY_AGAIN
        return self._next(self._clock())

    async def close(self) -> None:
        """Let go of connections."""
        await self.alertmanager.close()

    def _follow_back(self, now: float) -> None:
        """Wait for no time that a clock showed which was set back."""
        self._put_off = min(self._put_off, now + TRY_AGAIN)
        self._sent = {key: min(at, now) for key, at in self._sent.items()}

    def _wanted(self, now: float) -> list[Alert]:
        """What the Alertmanager should know: what fires, and what has just resolved."""
        firing = list(self._evaluator.firing())
        again = {alert.fingerprint for alert in firing}
        resolved = [
            alert
            for alert in self._evaluator.recent()
            # One that fires again has the same labels: its end would end the new one.
            if alert.fingerprint not in again and self._resolution_wanted(alert, now)
        ]
        return firing + resolved

    def _resolution_wanted(self, alert: Alert, now: float) -> bool:
        age = now - (alert.resolved_at or now)
        if (alert.incident, False) in self._sent:
            return age < RESOLVED_FOR
        # It may have passed on that it fires, and not have run since: then nothing but this
        # makes it pass on the end. One that knows the end would pass it on once more.
        return age < GIVE_UP_AFTER

    def _due(self, now: float) -> list[Alert]:
        return [
            alert
            for alert in self._wanted(now)
            if now >= self._sent.get((alert.incident, alert.firing), 0.0) + RESEND
        ]

    def _next(self, now: float) -> float | None:
        wanted = self._wanted(now)
        if not wanted:
            return None
        sent = (self._sent.get((alert.incident, alert.firing), 0.0) for alert in wanted)
        return max(min(sent) + RESEND, self._put_off)

    async def _send(self) -> None:
        now = self._clock()
        due = self._due(now)
        if not due:
            return
        try:
            await self.alertmanager.send(due, ends_at=now + ENDS_AFTER)
        except DeliveryError as error:
            self._outcomes.failed(self.name, error)
            raise
        self._outcomes.ok(self.name, self._clock())
        known = {(alert.incident, True) for alert in self._evaluator.firing()}
        known |= {(alert.incident, False) for alert in self._evaluator.recent()}
        self._sent = {key: at for key, at in self._sent.items() if key in known}
        news = any((alert.incident, False) not in self._sent for alert in due if not alert.firing)
        self._sent |= {(alert.incident, alert.firing): now for alert in due}
        if news:
            self._on_told()
