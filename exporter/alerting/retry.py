"""Tries a delivery again, where that may help."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import stamina
from stamina.instrumentation import set_on_retry_hooks

from exporter.alerting.delivery import DeliveryError

TRY_FOR = 60.0
"""Seconds after which a delivery is given up for now; it stays due."""

# Each failed attempt is counted by us; stamina's own log line and counter would be its double.
set_on_retry_hooks([])


async def deliver(send: Callable[[], Awaitable[None]]) -> None:
    """Call `send`, again and again with growing pauses while it fails in a way that may pass.

    Raises:
        DeliveryError: the last failure.
    """
    async for attempt in stamina.retry_context(
        on=_may_pass, attempts=None, timeout=TRY_FOR, wait_initial=1.0, wait_max=20.0
    ):
        with attempt:
            await send()


def _may_pass(error: Exception) -> bool:
    return isinstance(error, DeliveryError) and error.retryable
