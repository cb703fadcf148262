"""What is watched: each rule, or each service or collector of a rule that says "*"."""

from __future__ import annotations

from dataclasses import dataclass, replace

from exporter.config.alerting import AlertRule
from exporter.config.conditions import ANY, Condition
from exporter.config.models import HostConfig
from exporter.snapshot import COLLECTORS, SERVICES

_VALUES = {"service": SERVICES, "collector": COLLECTORS}


@dataclass(frozen=True, slots=True)
class RuleInstance:
    """One rule with one service or collector in the place of "*", where it has one."""

    rule: AlertRule
    when: tuple[Condition, ...]
    clear: tuple[Condition, ...]
    """Empty: it resolves when `when` surely does not hold."""
    label: str = ""
    """`service` or `collector`; else ""."""
    value: str = ""

    @property
    def key(self) -> str:
        """Unique among the watches of a host."""
        return f"{self.rule.name}/{self.value}" if self.label else self.rule.name

    @property
    def condition(self) -> str:
        """When it fires, in words."""
        return " and ".join(map(str, self.when))

    def labels_on(self, host: HostConfig) -> dict[str, str]:
        """All labels of its alerts on a host; what the exporter sets comes last."""
        labels = {**host.labels, **self.rule.labels}
        if self.label:
            labels[self.label] = self.value
        fixed = {"alertname": self.rule.name, "host": host.name, "severity": self.rule.severity}
        return labels | fixed


def watches_of(rule: AlertRule) -> tuple[RuleInstance, ...]:
    """The watches that a rule makes."""
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
