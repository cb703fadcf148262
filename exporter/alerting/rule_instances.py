"""Instances of alerting rules: one for each rule, or for each service or collector of its "*"."""

from __future__ import annotations

from dataclasses import dataclass, replace

from exporter.config.alerting import AlertRule
from exporter.config.conditions import ANY, Condition
from exporter.config.models import HostConfig
from exporter.snapshot import COLLECTORS, SERVICES

_VALUES = {"service": SERVICES, "collector": COLLECTORS}


@dataclass(frozen=True, slots=True)
class RuleInstance:
    """A rule with one service or collector in place of "*", where it has one."""

    config: AlertRule
    when: tuple[Condition, ...]
    clear: tuple[Condition, ...]
    """Empty: it resolves when `when` surely does not hold."""
    label: str = ""
    """`service` or `collector`; else ""."""
    value: str = ""

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.config.name

    @property
    def hold_duration(self) -> float:
        """Seconds for which `when` must hold."""
        return self.config.hold or 0.0

    @property
    def key(self) -> str:
        """Unique among the instances on a host."""
        return f"{self.name}/{self.value}" if self.label else self.name

    @property
    def condition(self) -> str:
        """`when` as text."""
        return " and ".join(map(str, self.when))

    def labels_on(self, host: HostConfig) -> dict[str, str]:
        """Return all labels of its alerts on a host; those that the exporter sets win."""
        labels = {**host.labels, **self.config.labels}
        if self.label:
            labels[self.label] = self.value
        fixed = {"alertname": self.name, "host": host.name, "severity": self.config.severity}
        return labels | fixed


def instances_of(rule: AlertRule) -> tuple[RuleInstance, ...]:
    """Return the instances of a rule."""
    label = rule.any_label
    if not label:
        return (RuleInstance(rule, rule.when, rule.clear),)
    return tuple(
        RuleInstance(rule, _with(value, rule.when), _with(value, rule.clear), label, value)
        for value in _VALUES[label]
    )


def _with(value: str, conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    return tuple(
        replace(c, label=value, text=c.text.replace(f'"{ANY}"', f'"{value}"'))
        if c.label == ANY
        else c
        for c in conditions
    )
