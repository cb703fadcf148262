"""Alerts in the words that Alertmanager's API and its webhook share: pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from yarl import URL

from exporter.alertmanager.alert import Alert

NEVER = "0001-01-01T00:00:00Z"
"""The time of what has not happened: Go's zero time."""


def rfc3339(at: float) -> str:
    """A Unix time to the millisecond, in UTC, as Go writes it: without zeros at the end."""
    moment = datetime.fromtimestamp(round(at * 1000) / 1000, UTC)
    text = moment.isoformat(timespec="milliseconds").removesuffix("+00:00")
    return text.rstrip("0").rstrip(".") + "Z" if "." in text else text + "Z"


def texts(values: Mapping[str, str]) -> dict[str, str]:
    """Labels or annotations as JSON can hold them: a panel's text may have lone surrogates."""
    return {name: values[name].encode("utf-8", "replace").decode() for name in sorted(values)}


def label_texts(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels, of which an empty one is as good as none: Alertmanager drops it."""
    return {name: value for name, value in texts(labels).items() if value}


def link(alert: Alert) -> str:
    """Its generatorURL, escaped; "" when it has none.

    Alertmanager refuses all alerts of a request of which one has no proper URL.
    """
    try:
        return str(URL(alert.url))
    except ValueError:
        return ""


def encode(value: object) -> bytes:
    """JSON."""
    return msgspec.json.encode(value)
