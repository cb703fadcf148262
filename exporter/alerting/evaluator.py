"""Which alerts of the fleet are pending, firing and resolved. No I/O: `now` is an argument."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from exporter.alerting.annotations import AnnotationContext, annotations_of
from exporter.alerting.persistence import dump_alert, load_alert
from exporter.alerting.rule_instances import RuleInstance, instances_of
from exporter.alertmanager.alert import LAST_TIME, Alert
from exporter.conditions import AlertOnly, Interval, Measurements
from exporter.config.conditions import Condition
from exporter.config.models import Config, HostConfig
from exporter.hold_timer import HoldTimer
from exporter.snapshot import HostSnapshot

RESOLVED_RETENTION = 7 * 86400.0
"""Seconds for which a resolved alert is remembered."""

MAX_RESOLVED = 2000
"""Resolved alerts that are remembered: those of a thousand hosts that came back together, and
others. No Alertmanager is sent what is forgotten; it takes it for resolved minutes later."""

Key = tuple[str, str]
"""A host, and the key of a rule instance."""


@dataclass(slots=True)
class AlertInstance:
    """The state of one rule instance on one host."""

    rule: RuleInstance
    labels: Mapping[str, str]
    timer: HoldTimer
    since: float | None = None
    """Unix time from which the conditions have held; None while they do not."""
    alert: Alert | None = None
    """While it fires."""

    @classmethod
    def new(
        cls, rule: RuleInstance, labels: Mapping[str, str], max_gap: float = 0.0
    ) -> AlertInstance:
        """Return one whose conditions have not held yet."""
        return cls(rule, labels, HoldTimer(rule.hold_duration, max_gap))


_NONE: dict[str, AlertInstance] = {}


@dataclass(frozen=True, slots=True)
class Pending:
    """Conditions that hold, but not for long enough yet."""

    host: str
    rule: RuleInstance
    labels: Mapping[str, str]
    since: float
    """Unix time."""
    remaining: float
    """Seconds for which they must still hold."""


class AlertEvaluator:
    """Every alert of the fleet."""

    def __init__(self, on_change: Callable[[Alert], None] = lambda _: None) -> None:
        """`on_change` is called with each alert that begins to fire, or has resolved."""
        self._on_change = on_change
        self._hosts: dict[str, dict[str, AlertInstance]] = {}
        self._firing: dict[Key, AlertInstance] = {}
        self._recent: dict[str, Alert] = {}
        """Resolved alerts by incident, in the order in which they resolved."""
        self._restored: dict[Key, Mapping[str, Any]] = {}
        """Saved by an earlier process, until the first config shows which rules still exist."""

    # --- the config ----------------------------------------------------------------------------

    def apply_config(self, config: Config, now: float) -> None:
        """Apply a config; alerts without a rule or host resolve."""
        rules = [instance for rule in config.alerting.in_force for instance in instances_of(rule)]
        before, self._hosts = self._hosts, {}
        for host in config.hosts:
            max_gap = config.poll.stale_after * config.interval_of(host)
            old = before.setdefault(host.name, {})
            instances = self._hosts[host.name] = {}
            for rule in rules:
                if rule.config.hosts.matches(host.name, host.labels):
                    instance = old.pop(rule.key, None) or self._restore(host.name, rule)
                    instances[rule.key] = self._reconfigured(instance, rule, host, max_gap, now)
        self._firing = {
            (host, key): instance
            for host, instances in self._hosts.items()
            for key, instance in instances.items()
            if instance.alert is not None
        }
        gone = [instance.alert for old in before.values() for instance in old.values()]
        gone += [load_alert(saved.get("alert")) for saved in self._restored.values()]
        self._restored = {}
        for alert in gone:
            if alert is not None:
                self._resolve(alert, now)

    def _reconfigured(
        self,
        instance: AlertInstance | None,
        rule: RuleInstance,
        host: HostConfig,
        max_gap: float,
        now: float,
    ) -> AlertInstance:
        """Return an instance as the config wants it; resolve its alert where that is another one.

        Receivers know an alert by its labels: with others it is another one.
        """
        labels = rule.labels_on(host)
        if instance is None:
            return AlertInstance.new(rule, labels, max_gap)
        alert = instance.alert
        if instance.rule.when != rule.when:
            # The condition that held is not the one that is evaluated now.
            if alert is not None:
                self._resolve(alert, now)
            return AlertInstance.new(rule, labels, max_gap)
        if alert is not None and dict(alert.labels) != labels:
            self._resolve(alert, now)
            alert = replace(alert, labels=labels, fired_at=now)
            self._on_change(alert)
        timer = replace(instance.timer, hold_duration=rule.hold_duration, max_gap=max_gap)
        return replace(instance, rule=rule, labels=labels, timer=timer, alert=alert)

    def _restore(self, host: str, rule: RuleInstance) -> AlertInstance | None:
        saved = self._restored.pop((host, rule.key), None)
        if saved is None:
            return None
        alert = load_alert(saved.get("alert"))
        if saved.get("when") != rule.condition:
            rule = replace(rule, when=())  # as at a reload: the saved state is of other conditions
        instance = AlertInstance.new(rule, alert.labels if alert is not None else {})
        instance.timer.held = _time(saved.get("held")) or 0.0
        instance.timer.last = _time(saved.get("last"))
        instance.since, instance.alert = _time(saved.get("since")), alert
        return instance

    def _resolve(self, alert: Alert, now: float) -> None:
        resolved = replace(alert, resolved_at=now)
        self._remember(resolved)
        self._on_change(resolved)

    def _remember(self, resolved: Alert) -> None:
        self._recent.pop(resolved.incident, None)
        self._recent[resolved.incident] = resolved
        while len(self._recent) > MAX_RESOLVED:
            del self._recent[next(iter(self._recent))]

    # --- polls ---------------------------------------------------------------------------------

    def on_snapshot(
        self,
        snapshot: HostSnapshot,
        alert_only: AlertOnly,
        now: float,
        context: Callable[[], AnnotationContext],
    ) -> bool:
        """Evaluate the rules of a host; return whether an alert became or ceased to be active.

        Args:
            snapshot: the poll.
            alert_only: the values that no poll reports.
            now: Unix time.
            context: returns what annotations need; called only for alerts that fire.
        """
        changed = False
        measurements = Measurements(snapshot, alert_only)
        for key, instance in self._hosts.get(snapshot.host, _NONE).items():
            holds = measurements.hold(instance.rule.when)
            if instance.alert is not None:
                if self._clears(instance, measurements, now, holds=holds):
                    del self._firing[snapshot.host, key]
                    changed = True
            elif holds is not False or instance.since is not None:
                changed = _pend(instance, now, holds=holds) or changed
            if instance.alert is not None:
                instance.alert = _annotated(instance, instance.alert, measurements, context())
                if (snapshot.host, key) not in self._firing:
                    self._firing[snapshot.host, key] = instance
                    self._on_change(instance.alert)
        return changed

    def _clears(
        self, instance: AlertInstance, measurements: Measurements, now: float, *, holds: bool | None
    ) -> bool:
        """Resolve an alert that surely may; return whether it did."""
        if instance.alert is None or holds is True:
            return False  # whatever `clear` says, which may compare other metrics
        if instance.rule.clear:
            clears = measurements.hold(instance.rule.clear) is True
        else:
            clears = holds is False
        if clears:
            self._resolve(instance.alert, now)
            instance.alert, instance.since = None, None
            instance.timer = HoldTimer(instance.timer.hold_duration, instance.timer.max_gap)
        return clears

    def forget_old(self, now: float) -> None:
        """Forget alerts that resolved longer ago than RESOLVED_RETENTION."""
        self._recent = {
            incident: alert
            for incident, alert in self._recent.items()
            if (alert.resolved_at or 0) >= now - RESOLVED_RETENTION
        }

    # --- the state -----------------------------------------------------------------------------

    def firing(self) -> Iterator[Alert]:
        """Yield every alert that fires."""
        for instance in self._firing.values():
            if instance.alert is not None:
                yield instance.alert

    def recent(self) -> Iterable[Alert]:
        """Return the resolved alerts, the last ones last."""
        return self._recent.values()

    def pending(self) -> Iterator[Pending]:
        """Yield what may fire soon."""
        for host, instances in self._hosts.items():
            for instance in instances.values():
                if instance.alert is None and instance.since is not None:
                    remaining = instance.timer.remaining()
                    yield Pending(host, instance.rule, instance.labels, instance.since, remaining)

    # --- over a restart ------------------------------------------------------------------------

    def dump(self) -> dict[str, dict[str, Any]]:
        """Return the state to save, by key: what is pending or firing, and what has resolved."""
        active = {
            f"{host}/{key}": {
                "host": host,
                "watch": key,
                "when": instance.rule.condition,
                "since": instance.since,
                "held": instance.timer.held,
                "last": instance.timer.last,
                "alert": None if instance.alert is None else dump_alert(instance.alert),
            }
            for host, instances in self._hosts.items()
            for key, instance in instances.items()
            if instance.since is not None or instance.alert is not None
        }
        return active | {key: {"resolved": dump_alert(a)} for key, a in self._recent.items()}

    def restore(self, saved: Iterable[Mapping[str, Any]]) -> None:
        """Take saved state; to be called before the first `apply_config`."""
        resolved = []
        for value in saved:
            if "resolved" in value:
                resolved.append(load_alert(value["resolved"]))
            elif isinstance(value.get("host"), str) and isinstance(value.get("watch"), str):
                self._restored[value["host"], value["watch"]] = value
        for alert in sorted(filter(None, resolved), key=lambda a: a.resolved_at or 0):
            self._remember(alert)


def _pend(instance: AlertInstance, now: float, *, holds: bool | None) -> bool:
    """Count a poll; return whether an alert began or ceased to be pending, or began to fire."""
    was_pending = instance.since is not None
    trips = instance.timer.advance(now, holds=holds)
    if holds is False:
        instance.since = None
    elif holds is True and (instance.since is None or not instance.timer.held):
        instance.since = now  # after a gap that is too long the time begins anew
    if trips:
        instance.alert = Alert(instance.labels, {}, instance.since or now, now)
        return True
    return was_pending != (instance.since is not None)


def _annotated(
    instance: AlertInstance, alert: Alert, measurements: Measurements, context: AnnotationContext
) -> Alert:
    """Return an alert with the annotations of a poll."""
    condition = instance.rule.when[0]
    interval = measurements.interval(condition)
    if interval is None:
        return alert  # the last annotations stand until something is known again
    since = instance.since if instance.since is not None else alert.since
    annotations = annotations_of(instance.rule, instance.labels, interval, since, context)
    weight = _weight(condition, interval)
    return replace(alert, annotations=annotations, weight=weight, url=context.url)


def _weight(condition: Condition, interval: Interval) -> float:
    """Return how far beyond its threshold a value is, as a multiple."""
    scale = max(abs(condition.value), 1.0)
    distance = interval.least - condition.value
    return (-distance if condition.operator.startswith("<") else distance) / scale


def _time(value: object) -> float | None:
    if isinstance(value, int | float) and 0 <= value <= LAST_TIME:
        return float(value)
    return None
