"""Makes the receivers of groups of alerts."""

from __future__ import annotations

from exporter.alerting.delivery import Receiver
from exporter.alerting.webhook import Webhook
from exporter.config.alerting import AppriseConfig, WebhookConfig


def make_receiver(config: WebhookConfig | AppriseConfig, external_url: str) -> Receiver:
    """A webhook, or a receiver that Apprise knows.

    Args:
        config: which.
        external_url: where people reach the status page.
    """
    if isinstance(config, WebhookConfig):
        return Webhook(config, external_url=external_url)
    from exporter.alerting.apprise import AppriseReceiver  # noqa: PLC0415 - an extra, and not small

    return AppriseReceiver(config)
