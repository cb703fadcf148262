"""Decodes list_msg where it cannot stall the event loop."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import tzinfo
from functools import partial

from exporter.panel.decode import QueueUpdate, decode_queue_update
from exporter.panel.errors import PanelError
from exporter.snapshot import Reason

INLINE_LIMIT = 128 * 2**10
"""Bytes up to which a list is decoded on the event loop: about a millisecond of work, less than
handing it to another process takes."""


class QueueDecoder:
    """Small lists are decoded at once, large ones in a worker process.

    A thread would not do: no JSON parser releases the GIL, so it would hold up the event loop
    for the whole parse. The process is started at the first large list.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    async def decode(
        self,
        body: bytes,
        *,
        now: float,
        fields: Mapping[str, str | int],
        time_zone: tzinfo | None,
        previous_ids: bytes | None,
    ) -> QueueUpdate:
        """What `decode_queue_update` returns for these arguments.

        Raises:
            PanelError: when the reply is no list, or the worker process died over it.
        """
        work = partial(
            decode_queue_update,
            body,
            now=now,
            fields=fields,
            time_zone=time_zone,
            previous_ids=previous_ids,
        )
        if len(body) <= INLINE_LIMIT:
            return work()
        pool = self._pool = self._pool or _worker_pool()
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        except BrokenProcessPool:
            self._pool = None  # the next list gets a new process
            raise PanelError(
                Reason.UNEXPECTED,
                "The process that decodes large lists died over this reply.",
                hint="Is memory short? A lower poll.max_response bounds what decoding takes.",
                retryable=True,
            ) from None

    def close(self) -> None:
        """End the worker process."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def _worker_pool() -> ProcessPoolExecutor:
    # Forking a process that runs an event loop and threads is not safe; a fresh one is.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=_prepare_worker)


def _prepare_worker() -> None:
    # Decoding makes many objects and no cycles: the cyclic collector would only take time.
    gc.disable()
