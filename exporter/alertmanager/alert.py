"""An alert and a notification: plain, frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated

import msgspec

from exporter.config.alerting import SEVERITIES

LAST_TIME = 253402300799
"""The end of the year 9999 as Unix time: a later one has no date."""

UnixTime = Annotated[float, msgspec.Meta(ge=0, le=LAST_TIME)]
"""Seconds; the bounds are those of a saved one."""

_FNV_OFFSET, _FNV_PRIME, _64_BITS = 0xCBF29CE484222325, 0x100000001B3, 2**64 - 1


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """Return Alertmanager's fingerprint of an alert: FNV-1a over the sorted labels.

    Source: `labelSetToFingerprint` of prometheus/common, model/signature.go.
    """
    return _fingerprint(tuple(sorted(label for label in labels.items() if label[1])))


# An alert that fires is made anew at each poll, and its labels stay.
@lru_cache(maxsize=10_000)
def _fingerprint(labels: tuple[tuple[str, str], ...]) -> str:
    """Return that of sorted labels without empty ones, which count as absent."""
    value = _FNV_OFFSET
    for name, text in labels:
        for byte in (*name.encode(), 0xFF, *text.encode("utf-8", "replace"), 0xFF):
            value = ((value ^ byte) * _FNV_PRIME) & _64_BITS
    return f"{value:016x}"


@dataclass(frozen=True, slots=True)
class Alert:
    """One incident: it fires once and resolves once."""

    labels: Mapping[str, str]
    """All of them: alertname, host, severity and what the config adds."""
    annotations: Mapping[str, str]
    """summary, description and those of the rule, as last rendered."""
    since: UnixTime
    """Unix time from which its conditions have held."""
    fired_at: UnixTime
    """Unix time at which it began to fire."""
    resolved_at: UnixTime | None = None
    """Unix time at which it resolved; None while it fires."""
    url: str = ""
    """The host's page."""
    weight: float = 0.0
    """How far beyond its threshold it is: of two with the same severity the heavier is worse."""
    fingerprint: str = field(default="", init=False, compare=False)
    """Of the labels."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "fingerprint", fingerprint_of(self.labels))

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.labels.get("alertname", "")

    @property
    def host(self) -> str:
        """The host."""
        return self.labels.get("host", "")

    @property
    def severity(self) -> str:
        """critical, warning or info."""
        return self.labels.get("severity", "")

    @property
    def firing(self) -> bool:
        """Whether it still fires."""
        return self.resolved_at is None

    @property
    def incident(self) -> str:
        """A key that no other incident with the same labels has."""
        return f"{self.fingerprint}@{self.fired_at:.3f}"


def badness(alert: Alert) -> tuple[object, ...]:
    """Return a sort key: firing before resolved, the worst first, then by host."""
    rank = SEVERITIES.index(alert.severity) if alert.severity in SEVERITIES else len(SEVERITIES)
    return (not alert.firing, rank, -alert.weight, alert.host, alert.name)


@dataclass(frozen=True, slots=True)
class Notification:
    """One message to a receiver: the alerts of one group."""

    group: str
    """The rule's name: alerts of one rule are grouped."""
    alerts: tuple[Alert, ...]
    """The worst first; never empty."""

    @property
    def firing(self) -> tuple[Alert, ...]:
        """The alerts that fire."""
        return tuple(alert for alert in self.alerts if alert.firing)

    @property
    def resolved(self) -> tuple[Alert, ...]:
        """The alerts that have resolved."""
        return tuple(alert for alert in self.alerts if not alert.firing)
