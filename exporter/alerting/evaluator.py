"""Which alerts pend, fire and have resolved, over the fleet. No I/O: `now` is an argument."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from exporter.alerting.annotations import AnnotationContext, annotations_of
from exporter.alerting.persistence import LAST_TIME, alert_from, alert_value
from exporter.alerting.rule_instances import RuleInstance, watches_of
from exporter.alertmanager.alert import Alert
from exporter.conditions import Beyond, HoldTimer, Interval, Measurements
from exporter.config.conditions import Condition
from exporter.config.models import Config, HostConfig
from exporter.snapshot import HostSnapshot

RECENT = 7 * 86400.0
"""Seconds for which a resolved alert is remembered."""

MOST_RECENT = 2000
"""Resolved alerts that are remembered at most: those of a thousand hosts that came back together,
and others. Of what is forgotten no Alertmanager is told; it takes it for resolved minutes later."""

Key = tuple[str, str]
"""A host, and a watch's key."""


@dataclass(slots=True)
class AlertInstance:
    """How one watch stands on one host."""

    watch: RuleInstance
    labels: Mapping[str, str]
    clock: HoldTimer
    since: float | None = None
    """Unix time from which the conditions have held; None while they do not."""
    alert: Alert | None = None
    """While it fires."""


_NO_COURSES: dict[str, AlertInstance] = {}


@dataclass(frozen=True, slots=True)
class Pending:
    """Conditions that hold, but not for long enough yet."""

    host: str
    watch: RuleInstance
    labels: Mapping[str, str]
    since: float
    remaining: float
    """Seconds for which they must go on to hold."""


class AlertEvaluator:
    """Every alert of the fleet."""

    def __init__(self, on_change: Callable[[Alert], None] = lambda _: None) -> None:
        """`on_change` is called with each alert that begins to fire, or has resolved."""
        self._on_change = on_change
        self._hosts: dict[str, dict[str, AlertInstance]] = {}
        self._firing: dict[Key, AlertInstance] = {}
        self._recent: dict[str, Alert] = {}
        """Resolved ones by incident, in the order in which they resolved."""
        self._saved: dict[Key, dict[str, Any]] = {}
        """Of the time before the start, until the config tells which of it is still watched."""

    # --- the config ----------------------------------------------------------------------------

    def configure(self, config: Config, now: float) -> None:
        """Follow a config; what is watched no longer resolves."""
        watches = [watch for rule in config.alerting.in_force for watch in watches_of(rule)]
        before, self._hosts = self._hosts, {}
        for host in config.hosts:
            longest = config.poll.stale_after * config.interval_of(host)
            old = before.pop(host.name, {})
            courses = self._hosts[host.name] = {}
            for watch in watches:
                if watch.rule.hosts.matches(host.name, host.labels):
                    course = old.pop(watch.key, None) or self._restored(host.name, watch)
                    moved, ended = _moved(course, watch, host, longest, now)
                    courses[watch.key] = moved
                    if ended is not None:
                        self._end(ended)
                        if moved.alert is not None:
                            self._on_change(moved.alert)
            before[host.name] = old
        self._firing = {
            (host, key): course
            for host, courses in self._hosts.items()
            for key, course in courses.items()
            if course.alert is not None
        }
        left = [course.alert for courses in before.values() for course in courses.values()]
        left += [alert_from(saved.get("alert")) for saved in self._saved.values()]
        self._saved = {}
        for alert in left:
            if alert is not None:
                self._end(_resolved(alert, now))

    def _restored(self, host: str, watch: RuleInstance) -> AlertInstance | None:
        saved = self._saved.pop((host, watch.key), None)
        if saved is None:
            return None
        alert = alert_from(saved.get("alert"))
        if saved.get("when") != watch.condition:
            watch = replace(watch, when=())  # as at a reload: it was of other conditions
        clock = HoldTimer(watch.rule.hold or 0.0, 0.0, held=_number(saved.get("held")) or 0.0)
        clock.last = _number(saved.get("last"))
        labels = alert.labels if alert is not None else {}
        return AlertInstance(watch, labels, clock, _number(saved.get("since")), alert)

    def _end(self, alert: Alert) -> None:
        self._remember(alert)
        self._on_change(alert)

    def _remember(self, alert: Alert) -> None:
        self._recent.pop(alert.incident, None)
        self._recent[alert.incident] = alert
        while len(self._recent) > MOST_RECENT:
            del self._recent[next(iter(self._recent))]

    # --- what happens --------------------------------------------------------------------------

    def follow(
        self,
        snapshot: HostSnapshot,
        beyond: Beyond,
        now: float,
        facts: Callable[[], AnnotationContext],
    ) -> bool:
        """Take in a poll.

        Args:
            snapshot: the poll.
            beyond: the figures that no poll tells.
            now: Unix time.
            facts: tells what is known of the host; asked only for alerts that fire.

        Returns:
            Whether an alert began or ended to pend or fire.
        """
        changed = False
        figures = Measurements(snapshot, beyond)
        for key, course in self._hosts.get(snapshot.host, _NO_COURSES).items():
            verdict = figures.hold(course.watch.when)
            if course.alert is not None:
                if self._is_over(course, figures, now, verdict=verdict):
                    del self._firing[snapshot.host, key]
                    changed = True
            elif verdict is not False or course.since is not None:
                changed = _pend(course, now, verdict=verdict) or changed
            if course.alert is not None:
                course.alert = _as_now(course, course.alert, figures, facts())
                if (snapshot.host, key) not in self._firing:
                    self._firing[snapshot.host, key] = course
                    self._on_change(course.alert)
        return changed

    def _is_over(
        self, course: AlertInstance, figures: Measurements, now: float, *, verdict: bool | None
    ) -> bool:
        """An alert that fires resolves when it is sure that it may."""
        if course.alert is None or verdict is True:
            return False  # whatever `clear` says, which may be of other figures
        if course.watch.clear:
            clear = figures.hold(course.watch.clear)
        else:
            clear = None if verdict is None else not verdict
        if clear is not True:
            return False
        self._end(_resolved(course.alert, now))
        course.alert, course.since = None, None
        course.clock = HoldTimer(course.clock.needed, course.clock.longest)
        return True

    def forget_old(self, now: float) -> None:
        """Forget what resolved too long ago to matter."""
        old = [
            key for key, alert in self._recent.items() if (alert.resolved_at or 0) < now - RECENT
        ]
        for key in old:
            del self._recent[key]

    # --- what is known -------------------------------------------------------------------------

    def firing(self) -> Iterator[Alert]:
        """Every alert that fires."""
        for course in self._firing.values():
            if course.alert is not None:
                yield course.alert

    def recent(self) -> Iterable[Alert]:
        """The resolved ones, the last ones last."""
        return self._recent.values()

    def pending(self) -> Iterator[Pending]:
        """What may fire soon."""
        for host, courses in self._hosts.items():
            for course in courses.values():
                if course.alert is None and course.since is not None:
                    rest = course.clock.remaining()
                    yield Pending(host, course.watch, course.labels, course.since, rest)

    # --- over a restart ------------------------------------------------------------------------

    def saved(self) -> dict[str, dict[str, Any]]:
        """What is to be kept, by key: what pends or fires, and what has resolved."""
        courses = {
            f"{host}/{key}": {
                "host": host,
                "watch": key,
                "when": course.watch.condition,
                "since": course.since,
                "held": course.clock.held,
                "last": course.clock.last,
                "alert": None if course.alert is None else alert_value(course.alert),
            }
            for host, watched in self._hosts.items()
            for key, course in watched.items()
            if course.since is not None or course.alert is not None
        }
        return courses | {key: {"resolved": alert_value(a)} for key, a in self._recent.items()}

    def restore(self, saved: Iterable[Mapping[str, Any]]) -> None:
        """Take in what was kept; to be called before the first `configure`."""
        ended = []
        for value in saved:
            if "resolved" in value:
                ended.append(alert_from(value["resolved"]))
            elif isinstance(value.get("host"), str) and isinstance(value.get("watch"), str):
                self._saved[value["host"], value["watch"]] = dict(value)
        for alert in sorted((a for a in ended if a is not None), key=lambda a: a.resolved_at or 0):
            self._remember(alert)


def _moved(
    course: AlertInstance | None, watch: RuleInstance, host: HostConfig, longest: float, now: float
) -> tuple[AlertInstance, Alert | None]:
    """A course as the config wants it, and the alert that ends thereby.

    Receivers know an alert by its labels: with others it is another one.
    """
    labels = watch.labels_on(host)
    if course is None:
        return AlertInstance(watch, labels, HoldTimer(watch.rule.hold or 0.0, longest)), None
    if course.watch.when != watch.when:
        # The condition that held is not the one that is asked for now.
        ended = None if course.alert is None else _resolved(course.alert, now)
        return AlertInstance(watch, labels, HoldTimer(watch.rule.hold or 0.0, longest)), ended
    ended = None
    alert = course.alert
    if alert is not None and dict(alert.labels) != labels:
        ended = _resolved(alert, now)
        alert = replace(alert, labels=labels, fired_at=now)
    clock = replace(course.clock, needed=watch.rule.hold or 0.0, longest=longest)
    return replace(course, watch=watch, labels=labels, clock=clock, alert=alert), ended


def _as_now(
    course: AlertInstance, alert: Alert, figures: Measurements, facts: AnnotationContext
) -> Alert:
    """An alert with its texts as a poll makes them."""
    known = figures.reading(course.watch.when[0])
    if known is None:
        return alert  # what was told last stands until something is known again
    since = course.since if course.since is not None else alert.since
    texts = annotations_of(course.watch, course.labels, known, since, facts)
    weight = _weight(course.watch.when[0], known)
    return replace(alert, annotations=texts, weight=weight, url=facts.url)


def _pend(course: AlertInstance, now: float, *, verdict: bool | None) -> bool:
    """Whether conditions began or ended to hold, or have held for long enough."""
    pended = course.since is not None
    course.clock.follow(now, verdict=verdict)
    if verdict is False:
        course.since = None
    elif verdict is True and (course.since is None or not course.clock.held):
        course.since = now  # a gap that is too long makes the time begin anew
    if verdict is True and course.clock.tripped:
        course.alert = Alert(course.labels, {}, course.since or now, now)
        return True
    return pended != (course.since is not None)


def _resolved(alert: Alert, now: float) -> Alert:
    return replace(alert, resolved_at=now)


def _weight(condition: Condition, known: Interval) -> float:
    """How far beyond its threshold a figure is, as a multiple."""
    scale = max(abs(condition.value), 1.0)
    distance = known.least - condition.value
    return (-distance if condition.operator.startswith("<") else distance) / scale


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and 0 <= value <= LAST_TIME:
        return float(value)
    return None
