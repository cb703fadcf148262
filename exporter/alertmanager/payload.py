"""Alerts as the JSON that Alertmanager's API and its webhook share. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from yarl import URL

from exporter.alertmanager.alert import Alert

NEVER = "0001-01-01T00:00:00Z"
"""The time of what has not happened: Go's zero time."""


def rfc3339(at: float) -> str:
    """Return a Unix time to the millisecond, in UTC, as Go writes it: without zeros at the end."""
    moment = datetime.fromtimestamp(round(at * 1000) / 1000, UTC)
    text = moment.isoformat(timespec="milliseconds").removesuffix("+00:00")
    return text.rstrip("0").rstrip(".") + "Z" if "." in text else text + "Z"


def encodable(values: Mapping[str, str]) -> dict[str, str]:
    """Return labels or annotations that JSON can hold: a panel's text may have lone surrogates."""
    return {name: values[name].encode("utf-8", "replace").decode() for name in sorted(values)}


def encodable_labels(values: Mapping[str, str]) -> dict[str, str]:
    """Return labels without empty ones, which Alertmanager drops."""
    return {name: value for name, value in encodable(values).items() if value}


def alert_payload(alert: Alert, ends_at: float | None) -> dict[str, object]:
    """Return what the API and the webhook have in common; `ends_at` is None for "not yet"."""
    began = alert.fired_at if ends_at is None else min(alert.fired_at, ends_at)
    try:
        url = str(URL(alert.url))
    except ValueError:
        url = ""  # Alertmanager refuses all alerts of a request in which one has no proper URL
    return {
        "labels": encodable_labels(alert.labels),
        "annotations": encodable(alert.annotations),
        # One that ends before it begins is refused: the clock may have been set back.
        "startsAt": rfc3339(began),
        "endsAt": NEVER if ends_at is None else rfc3339(ends_at),
        "generatorURL": url,
    }
