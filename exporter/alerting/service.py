"""The daemon's side of alerting: evaluates every poll, and keeps receivers notified."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import structlog

from exporter.alerting.alertmanager_sender import AlertmanagerSender
from exporter.alerting.annotations import AnnotationContext
from exporter.alerting.delivery import DeliveryStats, SenderContext, make_receiver
from exporter.alerting.evaluator import AlertEvaluator
from exporter.alerting.notifier import Notifier
from exporter.alerting.queue_growth import QueueGrowth
from exporter.alertmanager.alert import Alert
from exporter.alertmanager.client import AlertmanagerClient
from exporter.conditions import AlertOnly, Interval
from exporter.config.alerting import (
    AlertingConfig,
    AlertmanagerConfig,
    ReceiverConfig,
    WebhookConfig,
)
from exporter.config.file_watch import file_exists
from exporter.config.models import Config
from exporter.fleet.store import HostRecord
from exporter.humanize import duration
from exporter.journal import JournalError
from exporter.journal.projection import JournalProjection
from exporter.journal.thread import JournalThread
from exporter.snapshot import QUEUE, HostSnapshot, QueueState

log = structlog.get_logger(__name__)

SHORTEST_PAUSE = 1.0
"""Seconds between two deliveries to a receiver: alerts that begin one after the other, as when a
network goes down, are sent together."""

LONGEST_PAUSE = 60.0
"""Seconds after which a receiver is looked at in any case, whatever the clock was set to."""

SAVE_INTERVAL = 60.0
"""Seconds between two writings of states that only time has changed."""

SAVE_DELAY = 1.0
"""Seconds within which what polls have changed is written, together: with thousands of states that
takes tens of milliseconds, and when a network goes down many polls a second change some. That a
notification was accepted is written at once: else a crash would have it sent twice."""

ALERTS, NOTIFICATION_LOG = "alert", "told"
"""Kinds of states in the state file."""

Sender = AlertmanagerSender | Notifier


@dataclass(slots=True)
class _ReceiverTask:
    """The task that keeps one receiver notified."""

    config: ReceiverConfig
    sender: Sender
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nothing is being sent, and nothing new is known to be sent."""
    task: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


class AlertingService:
    """Every alert, every receiver, and what is saved of both over a restart."""

    def __init__(
        self,
        journal: JournalThread,
        projection: JournalProjection,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Start without a config.

        Args:
            journal: where states are saved.
            projection: what rules of remediation have done.
            clock: returns the Unix time.
        """
        self.evaluator = AlertEvaluator(_log_change)
        self.delivery_stats = DeliveryStats()
        self._journal = journal
        self._projection = projection
        self._clock = clock
        self._external_url = ""
        self._growths: dict[tuple[str, str], QueueGrowth] = {}
        """By host and URL: the queue of another panel is another queue."""
        self._receivers: dict[str, _ReceiverTask] = {}
        self._former: dict[str, Sender] = {}
        """By receiver: senders that were ended, until others take over what they dump."""
        self._restored: dict[str, list[object]] = {}
        """By receiver: what an earlier process has saved, until the first config."""
        self._save_requested = asyncio.Event()
        self._timing = AlertingConfig()
        self._context = SenderContext(
            self.evaluator,
            lambda: self._timing,
            self.delivery_stats,
            clock,
            on_change=self._save_requested.set,
        )
        self._saved: dict[str, dict[str, Any]] = {ALERTS: {}, NOTIFICATION_LOG: {}}
        """The content of the state file."""
        self._save_timer: asyncio.TimerHandle | None = None
        self._save_problem = ""

    # --- the config ----------------------------------------------------------------------------

    async def restore(self) -> None:
        """Load what an earlier process saved; to be called before the first `apply_config`."""
        if await asyncio.to_thread(file_exists, self._journal.path) is False:
            return
        try:
            alerts, entries = await self._journal.do(
                lambda journal: (journal.states(ALERTS), journal.states(NOTIFICATION_LOG))
            )
        except JournalError as error:
            self._log_save_problem(str(error))
            return
        self._saved = {ALERTS: alerts, NOTIFICATION_LOG: entries}
        self.evaluator.restore(value for value in alerts.values() if isinstance(value, dict))
        for value in entries.values():
            if isinstance(value, dict) and isinstance(name := value.get("receiver"), str):
                self._restored.setdefault(name, []).append(value)

    async def apply_config(self, config: Config, external_url: str) -> None:
        """Apply a config; unchanged receivers go on undisturbed.

        Args:
            config: hosts, rules and receivers.
            external_url: where people reach the status page.
        """
        moved = external_url != self._external_url
        self._external_url = external_url
        self.evaluator.apply_config(config, self._clock())
        queues = [(host.name, host.url) for host in config.hosts]
        self._growths = {queue: self._growths.get(queue, QueueGrowth()) for queue in queues}
        wanted = {receiver.receiver: receiver for receiver in config.alerting.receivers}
        await asyncio.gather(
            *(
                self._remove(name, receiver)
                for name, receiver in list(self._receivers.items())
                # A notification of a webhook names the external URL.
                if wanted.get(name) != receiver.config
                or (moved and isinstance(receiver.config, WebhookConfig))
            )
        )
        for name in self._former.keys() - wanted.keys():
            del self._former[name]
            self.delivery_stats.forget(name)
        self._timing = config.alerting
        for name, receiver_config in wanted.items():
            if name not in self._receivers:
                self._receivers[name] = self._add(receiver_config)
        self._restored = {}
        self._wake_receivers()
        self._save_requested.set()

    def _add(self, receiver: ReceiverConfig) -> _ReceiverTask:
        name = receiver.receiver
        former = self._former.pop(name, None)
        saved: Iterable[object] = former.dump().values() if former else self._restored.get(name, ())
        sender: Sender
        if isinstance(receiver, AlertmanagerConfig):
            sender = AlertmanagerSender(AlertmanagerClient(receiver), self._context, saved)
        else:
            sender = Notifier(make_receiver(receiver, self._external_url), self._context, saved)
        added = _ReceiverTask(receiver, sender)
        added.task = asyncio.create_task(self._keep_notified(added), name=f"notify {name}")
        return added

    async def _remove(self, name: str, receiver: _ReceiverTask) -> None:
        del self._receivers[name]
        # With another address it is still the same receiver to people. What it knows is dumped when
        # it is needed: a last attempt may still add to it.
        self._former[name] = receiver.sender
        await receiver.stop()
        await receiver.sender.close()

    @property
    def receiver_names(self) -> list[str]:
        """The names of the config's receivers."""
        return list(self._receivers)

    def alertmanagers(self) -> list[AlertmanagerClient]:
        """Return the Alertmanagers that may have silences."""
        return [
            receiver.sender.alertmanager
            for receiver in self._receivers.values()
            if isinstance(receiver.sender, AlertmanagerSender)
        ]

    # --- polls and deliveries ------------------------------------------------------------------

    def on_snapshot(self, record: HostRecord, snapshot: HostSnapshot) -> None:
        """Evaluate a poll, and wake receivers when an alert has changed."""
        now = self._clock()

        def context() -> AnnotationContext:
            url = f"{self._external_url}/hosts/{quote(snapshot.host)}"
            remediation = self._last_remediation(snapshot.host, now)
            return AnnotationContext(record, snapshot, now, remediation, url)

        alert_only = self._alert_only(record, snapshot)
        if self.evaluator.on_snapshot(snapshot, alert_only, now, context):
            self._wake_receivers()
            if self._save_timer is None:
                loop = asyncio.get_running_loop()
                self._save_timer = loop.call_later(SAVE_DELAY, self._save_requested.set)

    @property
    def idle(self) -> bool:
        """Whether nothing is being sent to any receiver."""
        return all(receiver.idle.is_set() for receiver in self._receivers.values())

    async def wait_idle(self) -> None:
        """Wait until nothing is being sent to any receiver."""
        for receiver in [*self._receivers.values()]:
            await receiver.idle.wait()

    def firing_labels(self) -> Iterable[tuple[str, str, str]]:
        """Return host, name and severity of each alert that fires."""
        return ((alert.host, alert.name, alert.severity) for alert in self.evaluator.firing())

    def _alert_only(self, record: HostRecord, snapshot: HostSnapshot) -> AlertOnly:
        growth = self._growths.get((record.host.name, record.host.url))
        queue = snapshot.result(QUEUE)
        values: dict[str, Interval | None] = {}
        if growth is not None and queue is not None and isinstance(queue.value, QueueState):
            values["queue_growth_messages"] = growth.add(queue.at, queue.value.messages)
        if self._projection.known:
            failed = float(self._projection.failed_lately(snapshot.host, self._clock()))
            stopped = float(self._projection.stopped_on(snapshot.host))
            values["remediation_failed"] = Interval(failed, failed)
            values["remediation_stopped"] = Interval(stopped, stopped)
        return values

    def _last_remediation(self, host: str, now: float) -> str:
        last = self._projection.last_on(host)
        if last is None:
            return ""
        rule, at, outcome = last
        return f"{rule}: {outcome}, {duration(now - at)} ago"

    def _wake_receivers(self) -> None:
        for receiver in self._receivers.values():
            receiver.idle.clear()
            receiver.changed.set()

    async def _keep_notified(self, receiver: _ReceiverTask) -> None:
        while True:
            receiver.changed.clear()
            try:
                due = await receiver.sender.send_due()
            except Exception:
                # A bug with one receiver must end neither the daemon nor other notifications.
                log.exception(
                    "a bug in the exporter ended a notification", receiver=receiver.sender.name
                )
                due = None
            if not receiver.changed.is_set():
                receiver.idle.set()
            await asyncio.sleep(SHORTEST_PAUSE)
            pause = LONGEST_PAUSE if due is None else due - self._clock()
            await _event_or_timeout(receiver.changed, min(max(0.0, pause), LONGEST_PAUSE))

    # --- over a restart ------------------------------------------------------------------------

    async def run(self) -> None:
        """Save states as they change; ends only by being cancelled."""
        while True:
            await _event_or_timeout(self._save_requested, SAVE_INTERVAL)
            self._save_requested.clear()
            self._cancel_save_timer()
            self.evaluator.forget_old(self._clock())
            await self.save()

    def _cancel_save_timer(self) -> None:
        if self._save_timer is not None:
            self._save_timer.cancel()
            self._save_timer = None

    async def save(self) -> None:
        """Write what has changed; a problem is logged and costs only the memory."""
        wanted = {ALERTS: self.evaluator.dump(), NOTIFICATION_LOG: self._dump_senders()}
        changes = {kind: _difference(self._saved[kind], wanted[kind]) for kind in wanted}
        if not any(changes.values()):
            return
        # Until it is known, and when this is cancelled, any of it may be written or not.
        self._saved = {kind: self._saved[kind] | dict.fromkeys(changes[kind]) for kind in changes}
        try:
            await self._journal.do(lambda journal: journal.keep_states(changes))
        except JournalError as error:
            self._log_save_problem(str(error))
        else:
            self._saved = wanted
            self._save_problem = ""

    def _dump_senders(self) -> dict[str, Any]:
        senders = [*self._former.values(), *(task.sender for task in self._receivers.values())]
        return {key: value for sender in senders for key, value in sender.dump().items()}

    def _log_save_problem(self, problem: str) -> None:
        if problem != self._save_problem:
            self._save_problem = problem
            log.warning("the states of alerts are not kept over a restart", problem=problem)

    async def stop(self) -> None:
        """Stop notifying, and save the states as they are."""
        await asyncio.gather(*(receiver.stop() for receiver in self._receivers.values()))
        self._cancel_save_timer()
        await self.save()
        for receiver in self._receivers.values():
            await receiver.sender.close()


def _log_change(alert: Alert) -> None:
    labels = {name: alert.labels[name] for name in ("service", "collector") if name in alert.labels}
    values = {"alert": alert.name, "host": alert.host, **labels, "severity": alert.severity}
    if alert.firing:
        log.warning("an alert fires", **values, summary=alert.annotations.get("summary", ""))
    else:
        log.info("an alert has resolved", **values)


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return what turns `before` into `after`: new and changed values, None for what is gone."""
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    return changed | {key: None for key in before if key not in after}


async def _event_or_timeout(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
