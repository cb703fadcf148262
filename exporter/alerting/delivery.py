"""Delivery of notifications: receivers, retries and statistics."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import stamina
import structlog
from stamina.instrumentation import set_on_retry_hooks

from exporter.alerting.evaluator import AlertEvaluator
from exporter.alerting.webhook import Webhook
from exporter.alertmanager.alert import Notification
from exporter.config.alerting import AlertingConfig, AppriseConfig, WebhookConfig
from exporter.http.errors import DeliveryError

log = structlog.get_logger(__name__)

OK = "ok"
"""The outcome of a good delivery."""

RETRY_FOR = 60.0
"""Seconds after which a delivery is given up for now; it stays due."""

FINISH_WITHIN = 3.0
"""Seconds that an attempt gets to end when the daemon stops, or its receiver leaves the config."""

# Each failed attempt is counted by us; stamina's own log line and counter would be its double.
set_on_retry_hooks([])


class Receiver(Protocol):
    """A receiver of notifications for people: a webhook, or one that Apprise knows."""

    @property
    def name(self) -> str:
        """The label `receiver`."""

    async def send(self, notification: Notification) -> None:
        """Send one notification.

        Raises:
            DeliveryError: it was not accepted.
        """

    async def close(self) -> None:
        """Close connections."""


def make_receiver(config: WebhookConfig | AppriseConfig, external_url: str) -> Receiver:
    """Make the receiver of a config; `external_url` is where people reach the status page."""
    if isinstance(config, WebhookConfig):
        return Webhook(config, external_url=external_url)
    from exporter.alerting.apprise import AppriseReceiver  # noqa: PLC0415 - an extra, and not small

    return AppriseReceiver(config)


async def deliver(send: Callable[[], Awaitable[None]]) -> None:
    """Call `send`, again with growing pauses while it fails in a way that may pass.

    Raises:
        DeliveryError: the last failure.
    """
    async for attempt in stamina.retry_context(
        on=_is_retryable, attempts=None, timeout=RETRY_FOR, wait_initial=1.0, wait_max=20.0
    ):
        with attempt:
            await send()


def _is_retryable(error: Exception) -> bool:
    return isinstance(error, DeliveryError) and error.retryable


async def finish(attempt: Coroutine[Any, Any, None]) -> None:
    """Await one attempt; when cancelled, still give it FINISH_WITHIN to end.

    Its receiver may have accepted the notification, and would get it twice if we did not know.
    """
    task = asyncio.ensure_future(attempt)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait([task], timeout=FINISH_WITHIN)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


class DeliveryStats:
    """Counts deliveries since the start; logs when a receiver begins or ceases to fail."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        """By receiver and outcome."""
        self.last_ok: dict[str, float] = {}
        """By receiver: Unix time of the last good delivery."""
        self.failing: dict[str, DeliveryError] = {}
        """By receiver: why the last delivery failed; absent where it was good."""

    def register(self, receiver: str) -> None:
        """Show a receiver before its first delivery."""
        self.counts[receiver, OK] += 0

    def succeeded(self, receiver: str, now: float) -> None:
        """Count a good delivery at Unix time `now`."""
        self.counts[receiver, OK] += 1
        self.last_ok[receiver] = now
        if self.failing.pop(receiver, None) is not None:
            log.info("a receiver of alerts takes them again", receiver=receiver)

    def failed(self, receiver: str, error: DeliveryError) -> None:
        """Count a failed attempt."""
        self.counts[receiver, error.reason] += 1
        before = self.failing.get(receiver)
        self.failing[receiver] = error
        if before is None or before.reason != error.reason:
            log.warning(
                "a receiver of alerts cannot be told",
                receiver=receiver,
                reason=error.reason,
                problem=error.message,
                hint=error.hint,
            )

    def forget(self, receiver: str) -> None:
        """Forget a receiver that left the config."""
        self.failing.pop(receiver, None)
        self.last_ok.pop(receiver, None)
        for key in [key for key in self.counts if key[0] == receiver]:
            del self.counts[key]


@dataclass(frozen=True, slots=True)
class SenderContext:
    """What every sender needs, of whatever kind its receiver is."""

    evaluator: AlertEvaluator
    """Its alerts are sent."""
    timing: Callable[[], AlertingConfig]
    """Returns group_wait, group_interval and repeat_interval."""
    stats: DeliveryStats
    clock: Callable[[], float]
    """Returns the Unix time."""
    on_change: Callable[[], None] = lambda: None
    """Called whenever what a sender dumps has changed by a delivery."""

    async def attempt(self, receiver: str, delivery: Awaitable[None]) -> None:
        """Await a delivery to a receiver, and count it.

        Raises:
            DeliveryError: it was not accepted.
        """
        try:
            await delivery
        except DeliveryError as error:
            self.stats.failed(receiver, error)
            raise
        self.stats.succeeded(receiver, self.clock())
