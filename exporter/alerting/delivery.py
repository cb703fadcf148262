"""What a receiver is to the rest."""

from __future__ import annotations

from typing import Protocol

from exporter.alertmanager.alert import Notification


class Receiver(Protocol):
    """Someone who is told of groups of alerts: a webhook, or what Apprise knows."""

    @property
    def name(self) -> str:
        """The label `receiver`."""

    async def send(self, notification: Notification) -> None:
        """Tell one notification.

        Raises:
            DeliveryError: it was not taken.
        """

    async def close(self) -> None:
        """Let go of connections."""
