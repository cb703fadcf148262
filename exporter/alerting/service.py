"""The daemon's side of alerting: follows every poll, and keeps receivers told."""

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
from exporter.alerting.delivery_stats import DeliveryStats
from exporter.alerting.evaluator import AlertEvaluator
from exporter.alerting.notification_log import LogEntry
from exporter.alerting.notifier import Notifier
from exporter.alerting.persistence import ends_from, ends_value, told_from, told_value
from exporter.alerting.receivers import make_receiver
from exporter.alerting.trend import Trend
from exporter.alertmanager.alert import Alert
from exporter.alertmanager.client import AlertmanagerClient
from exporter.conditions import Beyond, Interval
from exporter.config.alerting import AlertmanagerConfig, ReceiverConfig, WebhookConfig
from exporter.config.files import file_exists
from exporter.config.models import Config
from exporter.fleet.store import HostRecord
from exporter.humanize import duration
from exporter.journal import JournalError
from exporter.journal.projection import JournalProjection
from exporter.journal.thread import JournalThread
from exporter.snapshot import QUEUE, HostSnapshot, QueueState

log = structlog.get_logger(__name__)

SHORTEST_PAUSE = 1.0
"""Seconds between two looks at what a receiver is to be told: alerts that begin one after the
other, as when a network goes down, are told together."""

LONGEST_PAUSE = 60.0
"""Seconds after which it is looked at in any case, whatever the clock was set to meanwhile."""

KEEP_EVERY = 60.0
"""Seconds between two writings of states that only time has changed."""

KEEP_SOON = 1.0
"""Seconds within which what polls have changed is written, together: with thousands of states that
takes tens of milliseconds, and when a network goes down many polls a second change some. What
somebody was told is written at once: else a crash would have it told twice."""

ALERTS, TOLD = "alert", "told"
"""Kinds of states in the state file."""


@dataclass(slots=True)
class _Teller:
    """The task that keeps one receiver told."""

    config: ReceiverConfig
    work: AlertmanagerSender | Notifier
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nothing is being sent, and nothing new is known to be sent."""
    task: asyncio.Task[None] | None = None


class AlertingService:
    """Every alert, everyone who is told, and what is kept of both over a restart."""

    def __init__(
        self,
        journal: JournalThread,
        projection: JournalProjection,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """What it works with.

        Args:
            journal: where states are kept.
            projection: what rules of remediation have done.
            clock: tells the Unix time.
        """
        self.evaluator = AlertEvaluator(_log_change)
        self.outcomes = DeliveryStats()
        self._journal = journal
        self._projection = projection
        self._clock = clock
        self._external_url = ""
        self._trends: dict[tuple[str, str], Trend] = {}
        """By host and URL: the queue of another panel is another queue."""
        self._tellers: dict[str, _Teller] = {}
        self._told: dict[str, dict[str, LogEntry]] = {}
        """By receiver and group: what is kept for receivers that are not told just now."""
        self._kept: dict[str, dict[str, Any]] = {ALERTS: {}, TOLD: {}}
        """What stands in the state file."""
        self._ends: dict[str, list[str]] = {}
        """The same of Alertmanagers: the incidents whose end they were told."""
        self._known: set[str] = set()
        """The names of the config's receivers."""
        self._to_keep = asyncio.Event()
        self._keep_soon: asyncio.TimerHandle | None = None
        self._trouble = ""

    # --- the config ----------------------------------------------------------------------------

    async def restore(self) -> None:
        """Take in what an earlier process kept; to be called before the first `configure`."""
        if await asyncio.to_thread(file_exists, self._journal.path) is False:
            return
        try:
            alerts, told = await self._journal.do(
                lambda journal: (journal.states(ALERTS), journal.states(TOLD))
            )
        except JournalError as error:
            self._tell_trouble(str(error))
            return
        self._kept = {ALERTS: alerts, TOLD: told}
        self.evaluator.restore(value for value in alerts.values() if isinstance(value, dict))
        for value in told.values():
            if (known := told_from(value)) is not None:
                receiver, group, state = known
                self._told.setdefault(receiver, {})[group] = state
            elif (ends := ends_from(value)) is not None:
                self._ends[ends[0]] = ends[1]

    async def configure(self, config: Config, external_url: str) -> None:
        """Follow a config; receivers that are as they were go on undisturbed.

        Args:
            config: hosts, rules and receivers.
            external_url: where people reach the status page.
        """
        moved = external_url != self._external_url
        self._external_url = external_url
        self.evaluator.configure(config, self._clock())
        queues = [(host.name, host.url) for host in config.hosts]
        self._trends = {queue: self._trends.get(queue, Trend()) for queue in queues}
        alerting = config.alerting
        wanted = {receiver.receiver: receiver for receiver in alerting.receivers}
        await asyncio.gather(
            *(
                self._dismiss(name, teller)
                for name, teller in list(self._tellers.items())
                # A notification of a webhook names the external URL.
                if wanted.get(name) != teller.config
                or (moved and isinstance(teller.config, WebhookConfig))
            )
        )
        for teller in self._tellers.values():
            if isinstance(teller.work, Notifier):
                teller.work.timing = alerting
        for name in (self._known | self._told.keys() | self._ends.keys()) - wanted.keys():
            self._told.pop(name, None)
            self._ends.pop(name, None)
            self.outcomes.forget(name)
        self._known = set(wanted)
        for name, receiver in wanted.items():
            if name not in self._tellers:
                self._tellers[name] = self._employ(receiver, config)
        self._announce()
        self._to_keep.set()

    def _employ(self, receiver: ReceiverConfig, config: Config) -> _Teller:
        work: AlertmanagerSender | Notifier
        if isinstance(receiver, AlertmanagerConfig):
            client = AlertmanagerClient(receiver)
            work = AlertmanagerSender(
                client,
                self.evaluator,
                self.outcomes,
                self._clock,
                self._ends.pop(receiver.receiver, ()),
                on_told=self._to_keep.set,
            )
        else:
            told = self._told.pop(receiver.receiver, {})
            work = Notifier(
                make_receiver(receiver, self._external_url),
                self.evaluator,
                config.alerting,
                self.outcomes,
                self._clock,
                told,
                on_told=self._to_keep.set,
            )
        teller = _Teller(receiver, work)
        teller.task = asyncio.create_task(self._keep_told(teller), name=f"tell {work.name}")
        return teller

    async def _dismiss(self, name: str, teller: _Teller) -> None:
        if isinstance(teller.work, Notifier):
            # A changed address is still the same receiver to people.
            self._told[name] = teller.work.told
        else:
            self._ends[name] = teller.work.ended
        del self._tellers[name]
        if teller.task is not None:
            teller.task.cancel()
            await asyncio.gather(teller.task, return_exceptions=True)
        await teller.work.close()

    @property
    def receivers(self) -> list[str]:
        """The names of those who are told."""
        return list(self._tellers)

    def alertmanagers(self) -> list[AlertmanagerClient]:
        """Those that can be asked about silences."""
        works = [teller.work for teller in self._tellers.values()]
        return [
            work.alertmanager
            for work in works
            if isinstance(work, AlertmanagerSender)
            and isinstance(work.alertmanager, AlertmanagerClient)
        ]

    # --- what happens --------------------------------------------------------------------------

    def observe(self, record: HostRecord, snapshot: HostSnapshot) -> None:
        """Take in a poll's outcome."""
        now = self._clock()

        def facts() -> AnnotationContext:
            url = f"{self._external_url}/hosts/{quote(snapshot.host)}"
            return AnnotationContext(
                record, snapshot, now, self._last_remediation(snapshot.host, now), url
            )

        if self.evaluator.follow(snapshot, self._beyond(record, snapshot), now, facts):
            self._announce()
            if self._keep_soon is None:
                loop = asyncio.get_running_loop()
                self._keep_soon = loop.call_later(KEEP_SOON, self._to_keep.set)

    @property
    def idle(self) -> bool:
        """Whether nothing is being sent to any receiver."""
        return all(teller.idle.is_set() for teller in self._tellers.values())

    async def wait_idle(self) -> None:
        """Wait until nothing is being sent to any receiver."""
        for teller in [*self._tellers.values()]:
            await teller.idle.wait()

    def fired(self) -> Iterable[tuple[str, str, str]]:
        """Host, name and severity of each alert that fires."""
        return ((alert.host, alert.name, alert.severity) for alert in self.evaluator.firing())

    def _beyond(self, record: HostRecord, snapshot: HostSnapshot) -> Beyond:
        trend = self._trends.get((record.host.name, record.host.url))
        queue = snapshot.result(QUEUE)
        known: dict[str, Interval | None] = {}
        if trend is not None and queue is not None and isinstance(queue.value, QueueState):
            known["queue_growth_messages"] = trend.add(queue.at, queue.value.messages)
        if self._projection.known:
            now = self._clock()
            failed = float(self._projection.failed_lately(snapshot.host, now))
            stopped = float(self._projection.stopped_on(snapshot.host))
            known["remediation_failed"] = Interval(failed, failed)
            known["remediation_stopped"] = Interval(stopped, stopped)
        return known

    def _last_remediation(self, host: str, now: float) -> str:
        last = self._projection.last_on(host)
        if last is None:
            return ""
        rule, at, outcome = last
        return f"{rule}: {outcome}, {duration(now - at)} ago"

    def _announce(self) -> None:
        for teller in self._tellers.values():
            teller.idle.clear()
            teller.changed.set()

    async def _keep_told(self, teller: _Teller) -> None:
        while True:
            teller.changed.clear()
            try:
                due = await teller.work.step()
            except Exception:
                # One receiver's bug must end neither the daemon nor what others are told.
                log.exception(
                    "a bug in the exporter ended a notification", receiver=teller.work.name
                )
                due = self._clock() + LONGEST_PAUSE
            if not teller.changed.is_set():
                teller.idle.set()
            await asyncio.sleep(SHORTEST_PAUSE)
            pause = LONGEST_PAUSE if due is None else due - self._clock()
            await _event_or_timeout(teller.changed, min(max(0.0, pause), LONGEST_PAUSE))

    # --- over a restart ------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the states of alerts as they change; ends only by being cancelled."""
        while True:
            await _event_or_timeout(self._to_keep, KEEP_EVERY)
            self._to_keep.clear()
            self._forget_to_keep_soon()
            self.evaluator.forget_old(self._clock())
            await self.keep()

    def _forget_to_keep_soon(self) -> None:
        if self._keep_soon is not None:
            self._keep_soon.cancel()
            self._keep_soon = None

    async def keep(self) -> None:
        """Write down what has changed; trouble is logged and costs only the memory."""
        wanted = {ALERTS: self.evaluator.saved(), TOLD: dict(self._told_values())}
        changes = {kind: _difference(self._kept[kind], wanted[kind]) for kind in wanted}
        if not any(changes.values()):
            return
        # Until it is known, and when this is cancelled, any of it may be written or not.
        self._kept = {kind: self._kept[kind] | dict.fromkeys(changes[kind]) for kind in changes}
        try:
            await self._journal.do(lambda journal: journal.keep_states(changes))
        except JournalError as error:
            self._tell_trouble(str(error))
        else:
            self._kept = wanted
            self._trouble = ""

    def _told_values(self) -> Iterable[tuple[str, dict[str, Any]]]:
        works = {name: teller.work for name, teller in self._tellers.items()}
        known = {name: work.told for name, work in works.items() if isinstance(work, Notifier)}
        for name, groups in (self._told | known).items():
            for group, told in groups.items():
                yield f"{name}/{group}", told_value(name, group, told)
        ends = {
            name: work.ended for name, work in works.items() if isinstance(work, AlertmanagerSender)
        }
        for name, ended in (self._ends | ends).items():
            yield name, ends_value(name, ended)

    def _tell_trouble(self, problem: str) -> None:
        if problem != self._trouble:
            self._trouble = problem
            log.warning("the states of alerts are not kept over a restart", problem=problem)

    async def stop(self) -> None:
        """Tell nobody any more, and keep the states as they are."""
        for teller in self._tellers.values():
            if teller.task is not None:
                teller.task.cancel()
        tasks = [teller.task for teller in self._tellers.values() if teller.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
        self._forget_to_keep_soon()
        await self.keep()
        for teller in self._tellers.values():
            await teller.work.close()


def _log_change(alert: Alert) -> None:
    labels = {name: alert.labels[name] for name in ("service", "collector") if name in alert.labels}
    told = {"alert": alert.name, "host": alert.host, **labels}
    if alert.firing:
        summary = alert.annotations.get("summary", "")
        log.warning("an alert fires", **told, severity=alert.severity, summary=summary)
    else:
        log.info("an alert has resolved", **told, severity=alert.severity)


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What makes `after` of `before`: values that are new or changed, None for what is gone."""
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    return changed | {key: None for key in before if key not in after}


async def _event_or_timeout(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
