"""A receiver of Alertmanager's webhook JSON, version 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from yarl import URL

from exporter.alertmanager.alert import Alert, Notification
from exporter.alertmanager.payload import alert_payload, encodable, encodable_labels
from exporter.config.alerting import WebhookConfig
from exporter.http.endpoint import TIMEOUT, HttpEndpoint

MAX_ALERTS = 500
"""Alerts in one notification; the others are only counted."""


class Webhook:
    """One receiver of Alertmanager's webhook JSON."""

    def __init__(
        self, config: WebhookConfig, *, external_url: str = "", timeout: float = TIMEOUT
    ) -> None:
        """Make a receiver.

        Args:
            config: its address and login.
            external_url: where people reach the status page.
            timeout: seconds for one request.
        """
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
            DeliveryError: it was not accepted.
        """
        body = payload(notification, receiver=self.name, external_url=self._external_url)
        await self._endpoint.post(self._url, msgspec.json.encode(body))

    async def close(self) -> None:
        """Close connections."""
        await self._endpoint.close()


def payload(
    notification: Notification, *, receiver: str, external_url: str = ""
) -> dict[str, object]:
    """Return what Alertmanager posts with `group_by: [alertname]` and `max_alerts`."""
    alerts = notification.alerts[:MAX_ALERTS]
    group = encodable({"alertname": notification.group})
    quoted = msgspec.json.encode(group["alertname"]).decode()
    return {
        "receiver": receiver,
        "status": "firing" if any(alert.firing for alert in alerts) else "resolved",
        "alerts": [_alert(alert) for alert in alerts],
        "groupLabels": group,
        "commonLabels": _common([encodable_labels(alert.labels) for alert in alerts]),
        "commonAnnotations": _common([encodable(alert.annotations) for alert in alerts]),
        "externalURL": external_url,
        "version": "4",
        "groupKey": "{}:{alertname=" + quoted + "}",
        "truncatedAlerts": len(notification.alerts) - len(alerts),
    }


def _alert(alert: Alert) -> dict[str, object]:
    status = "firing" if alert.firing else "resolved"
    common = alert_payload(alert, alert.resolved_at)
    return {"status": status, **common, "fingerprint": alert.fingerprint}


def _common(all_values: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return what all have in common; to Alertmanager an absent value is an empty one."""
    first, *others = all_values
    return {
        name: value
        for name, value in first.items()
        if all(other.get(name, "") == value for other in others)
    }
