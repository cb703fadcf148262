"""Tells one receiver of groups of alerts: at the right times, with what is so then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

from exporter.alerting.delivery import Receiver
from exporter.alerting.delivery_stats import DeliveryStats
from exporter.alerting.evaluator import AlertEvaluator
from exporter.alerting.notification_log import LogEntry, content, due_at, taken
from exporter.alerting.retry import deliver, to_the_end
from exporter.alertmanager.alert import Alert, Notification
from exporter.config.alerting import AlertingConfig
from exporter.http.errors import DeliveryError

TRY_AGAIN = 30.0
"""Seconds after which a delivery is tried anew that was given up, or refused."""


class Notifier:
    """One receiver, and what it knows.

    There is no queue that could overflow: what is told is always the state as it is then, so that
    at most one notification for each rule waits.
    """

    def __init__(
        self,
        receiver: Receiver,
        evaluator: AlertEvaluator,
        timing: AlertingConfig,
        outcomes: DeliveryStats,
        clock: Callable[[], float],
        told: Mapping[str, LogEntry] | None = None,
        *,
        on_told: Callable[[], None] = lambda: None,
    ) -> None:
        """What it works with.

        Args:
            receiver: who is told.
            evaluator: what there is to tell.
            timing: group_wait, group_interval and repeat_interval.
            outcomes: counts deliveries.
            clock: tells the Unix time.
            told: by group, what the receiver knows from before the start.
            on_told: called whenever it knows something else.
        """
        self.receiver = receiver
        self.told: dict[str, LogEntry] = dict(told or {})
        """By group, what the receiver knows."""
        self._evaluator = evaluator
        self.timing = timing
        """Followed from the next look on."""
        self._outcomes = outcomes
        self._clock = clock
        self._put_off: dict[str, float] = {}
        """By group, Unix time before which a delivery that failed is not tried again."""
        self._on_told = on_told
        outcomes.expect(receiver.name)

    @property
    def name(self) -> str:
        """The receiver's name."""
        return self.receiver.name

    async def step(self) -> float | None:
        """Tell what is due; when the next is, as Unix time, or None when nothing will be."""
        for group, at in sorted(self._due().items(), key=lambda item: item[1]):
            if at <= self._clock():
                await self._tell(group)
        return min(self._due().values(), default=None)

    async def close(self) -> None:
        """Let go of connections."""
        await self.receiver.close()

    def _firing(self) -> dict[str, list[Alert]]:
        groups: defaultdict[str, list[Alert]] = defaultdict(list)
        for alert in self._evaluator.firing():
            groups[alert.name].append(alert)
        return groups

    def _due(self) -> dict[str, float]:
        """By group, when it is to be told of next."""
        groups = self._firing()
        due: dict[str, float] = {}
        now = self._clock()
        self._follow_back(now)
        for group in groups.keys() | self.told.keys():
            at = due_at(self.told.get(group, LogEntry()), groups.get(group, []), self.timing, now)
            if at is not None:
                due[group] = max(at, self._put_off.get(group, at))
        return due

    def _follow_back(self, now: float) -> None:
        """Wait for no time that a clock showed which was set back."""
        for told in self.told.values():
            told.at = min(told.at, now)
        for group, at in self._put_off.items():
            self._put_off[group] = min(at, now + TRY_AGAIN)

    async def _tell(self, group: str) -> None:
        async def send() -> None:
            # What is so now, and not what was so at the first attempt.
            notification = self._content(group)
            if notification is None:
                return
            await to_the_end(self._send(group, notification))

        try:
            await deliver(send)
        except DeliveryError:
            self._put_off[group] = self._clock() + TRY_AGAIN
        else:
            self._put_off.pop(group, None)

    async def _send(self, group: str, notification: Notification) -> None:
        try:
            await self.receiver.send(notification)
        except DeliveryError as error:
            self._outcomes.failed(self.name, error)
            raise
        now = self._clock()
        self._outcomes.ok(self.name, now)
        self.told[group] = taken(notification, now)
        if not self.told[group].firing:
            del self.told[group]
        self._on_told()

    def _content(self, group: str) -> Notification | None:
        resolved = {alert.incident: alert for alert in self._evaluator.recent()}
        firing = self._firing().get(group, [])
        return content(group, self.told.get(group, LogEntry()), firing, resolved, self._clock())
