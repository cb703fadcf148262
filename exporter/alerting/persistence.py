"""Saved values of the state file. Pure."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from exporter.alertmanager.alert import Alert

T = TypeVar("T")


def load(value: object, kind: type[T]) -> T | None:
    """Return plain values as `kind`; None when they are none."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None


def dump_alert(alert: Alert) -> dict[str, Any]:
    """Return an alert as plain values."""
    values: dict[str, Any] = msgspec.to_builtins(alert)
    del values["fingerprint"]  # follows from the labels
    return values


def load_alert(value: object) -> Alert | None:
    """Return the alert of plain values; None when they are none."""
    alert = load(value, Alert)
    return alert if alert is not None and alert.name and alert.host else None
