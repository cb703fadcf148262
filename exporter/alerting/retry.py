"""Tries a delivery again, where that may help."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import stamina
from stamina.instrumentation import set_on_retry_hooks

from exporter.http.errors import DeliveryError

TRY_FOR = 60.0
"""Seconds after which a delivery is given up for now; it stays due."""

LAST_ATTEMPT = 3.0
"""Seconds that an attempt gets to end when the daemon stops, or its receiver leaves the config."""

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


async def to_the_end(sending: Coroutine[Any, Any, None]) -> None:
    """Await one attempt that whoever cancels it lets end all the same, if it is soon.

    A receiver may have taken what it was sent, and would be told it twice if we did not know.
    """
    attempt = asyncio.ensure_future(sending)
    try:
        await asyncio.shield(attempt)
    except asyncio.CancelledError:
        if not attempt.done():
            await asyncio.wait([attempt], timeout=LAST_ATTEMPT)
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
        raise


def _may_pass(error: Exception) -> bool:
    return isinstance(error, DeliveryError) and error.retryable
