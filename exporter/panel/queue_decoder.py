"""Decodes list_msg where it cannot stall the event loop."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import tzinfo
from functools import partial
from pathlib import Path

from exporter.panel.decode import Layouts, QueueUpdate, decode_queue_update
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
        known: Layouts | None = None,
    ) -> QueueUpdate:
        """What `decode_queue_update` returns for these arguments.

        Raises:
            PanelError: when the reply is no list, or the worker process died over it.
        """
        decode = partial(
            decode_queue_update,
            now=now,
            fields=fields,
            time_zone=time_zone,
            previous_ids=previous_ids,
            known=known,
        )
        if len(body) <= INLINE_LIMIT:
            return decode(body)
        pool = self._pool = self._pool or _worker_pool()
        loop = asyncio.get_running_loop()
        try:
            with _in_memory_file(body) as path:
                return await loop.run_in_executor(pool, _decode_file, decode, path)
        except BrokenProcessPool:
            if self._pool is pool:
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


@contextmanager
def _in_memory_file(body: bytes) -> Iterator[str]:
    """A path under which the worker reads the reply.

    Sent through the executor's pipe it would be copied three times on its way.
    """
    descriptor = os.memfd_create("list_msg")
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(body)
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _decode_file(decode: Callable[[bytes], QueueUpdate], path: str) -> QueueUpdate:
    try:
        return decode(Path(path).read_bytes())
    finally:
        gc.collect()  # what few cycles there are must not wait for the next list


def _prepare_worker() -> None:
    # Decoding makes many objects and no cycles: the cyclic collector would only take time.
    gc.disable()
    # Ctrl-C reaches every process of the terminal; it is the daemon that ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
