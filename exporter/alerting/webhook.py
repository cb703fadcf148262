"""A webhook, told in Alertmanager's own words: its webhook JSON, version 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from yarl import URL

from exporter.alertmanager.alert import Alert, Notification
from exporter.alertmanager.payload import NEVER, encode, label_texts, link, rfc3339, texts
from exporter.config.alerting import WebhookConfig
from exporter.http.endpoint import TIMEOUT, HttpEndpoint

MOST_ALERTS = 500
"""Alerts in one notification; of the others only the number is told."""


class Webhook:
    """One receiver of Alertmanager's webhook JSON."""

    def __init__(
        self, config: WebhookConfig, *, external_url: str = "", timeout: float = TIMEOUT
    ) -> None:
        """`external_url`: the page of this exporter. `timeout`: seconds for one request."""
        self._url = URL(config.address)
        self._external_url = external_url
        self._endpoint = HttpEndpoint(config.receiver, config, timeout=timeout)

    @property
    def name(self) -> str:
        """The label `receiver`."""
        return self._endpoint.name

    async def send(self, notification: Notification) -> None:
        """Post one notification.

        Raises:
            DeliveryError: it was not taken.
        """
        told = payload(notification, receiver=self.name, external_url=self._external_url)
        await self._endpoint.post(self._url, encode(told))

    async def close(self) -> None:
        """Let go of connections."""
        await self._endpoint.close()


def payload(
    notification: Notification, *, receiver: str, external_url: str = ""
) -> dict[str, object]:
    """What Alertmanager would post, with `group_by: [alertname]` and `max_alerts`."""
    alerts = notification.alerts[:MOST_ALERTS]
    group = texts({"alertname": notification.group})
    return {
        "receiver": receiver,
        "status": "firing" if any(alert.firing for alert in alerts) else "resolved",
        "alerts": [_told(alert) for alert in alerts],
        "groupLabels": group,
        "commonLabels": _common([label_texts(alert.labels) for alert in alerts]),
        "commonAnnotations": _common([texts(alert.annotations) for alert in alerts]),
        "externalURL": external_url,
        "version": "4",
        "groupKey": "{}:{alertname=" + _quoted(group["alertname"]) + "}",
        "truncatedAlerts": len(notification.alerts) - len(alerts),
    }


def _told(alert: Alert) -> dict[str, object]:
    ended = alert.resolved_at
    began = alert.fired_at if ended is None else min(alert.fired_at, ended)
    return {
        "status": "firing" if ended is None else "resolved",
        "labels": label_texts(alert.labels),
        "annotations": texts(alert.annotations),
        "startsAt": rfc3339(began),
        "endsAt": NEVER if ended is None else rfc3339(ended),
        "generatorURL": link(alert),
        "fingerprint": alert.fingerprint,
    }


def _common(all_values: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What is the same in all of them; to Alertmanager an absent value is an empty one."""
    first, *others = all_values
    return {
        name: value
        for name, value in first.items()
        if all(other.get(name, "") == value for other in others)
    }


def _quoted(value: str) -> str:
    return encode(value).decode()
