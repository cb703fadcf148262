"""What a receiver is to the rest, and how a delivery fails."""

from __future__ import annotations

from typing import Protocol

from exporter.alerting.alert import Notification


class DeliveryError(Exception):
    """A receiver was not told. Holds no secret: its URL may be one."""

    def __init__(self, reason: str, message: str, *, hint: str = "", retryable: bool) -> None:
        super().__init__(f"{message} {hint}".rstrip())
        self.reason = reason
        """The label `outcome`: a reason of the contract, or `failed`."""
        self.message = message
        self.hint = hint
        self.retryable = retryable
        """Whether the same notification may be taken later without anybody changing anything."""


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
