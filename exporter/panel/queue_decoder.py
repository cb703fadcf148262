"""Decodes list_msg where it cannot stall the event loop."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import multiprocessing
import os
import signal
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import TypeVar

from exporter.panel.errors import WANT_OF_FILES, PanelError, no_files
from exporter.snapshot import Reason

INLINE_LIMIT = 64 * 2**10
"""Bytes up to which a list is decoded on the event loop: some milliseconds of work at most."""

DECODE_TIMEOUT = 30.0
"""Seconds that decoding one list may take; a list of 100,000 messages takes a third of one."""

_M_MMAP_THRESHOLD = -3
"""The option of mallopt(3): from how many bytes on a block is returned as soon as it is freed."""

_RETURNED_FROM = 2**20

_ENDING = frozenset({signal.SIGINT, signal.SIGTERM})

T = TypeVar("T")


class QueueDecoder:
    """Small lists are decoded at once, large ones in a worker process, one after the other.

    A thread would not do: no JSON parser releases the GIL, so it would hold up the event loop
    for the whole parse. The process is started at the first large list.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._turn = asyncio.Lock()

    async def run(self, decode: Callable[[bytes], T], body: bytes) -> T:
        """Return `decode(body)` for a reply to list_msg; both must travel between processes.

        Raises:
            PanelError: when the reply is no list, decoding it took too long or ended the worker
                process, or no more files may be opened.
        """
        if len(body) <= INLINE_LIMIT:
            return decode(body)
        # One at a time, so that a list that ends the worker takes no other list with it.
        async with self._turn:
            try:
                return await self._in_worker(decode, body)
            except OSError as error:
                if error.errno not in WANT_OF_FILES:
                    raise
                self.close()  # it may be half started
        raise no_files()

    async def _in_worker(self, decode: Callable[[bytes], T], body: bytes) -> T:
        try:
            future = _submit(self._worker(), decode, body)
        except BrokenProcessPool:  # it ended while it had nothing to do
            self.close()
            future = _submit(self._worker(), decode, body)
        try:
            async with asyncio.timeout(DECODE_TIMEOUT):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            self.close()
            problem = f"Decoding the list took longer than {DECODE_TIMEOUT:g} s."
        except BrokenProcessPool:
            self.close()
            problem = "The process that decodes large lists died over this reply."
        except asyncio.CancelledError:
            self.close()  # nobody waits for it any more, and it would keep the next list waiting
            raise
        raise PanelError(
            Reason.UNEXPECTED,
            problem,
            hint="A lower poll.max_response bounds what decoding may take.",
            retryable=True,
        )

    def _worker(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # Forking a process that runs an event loop and threads is not safe; a fresh one is.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_prepare_worker)
        return self._pool

    def close(self) -> None:
        """End the worker process, whatever it is at; the next large list gets a new one."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        # The executor offers no way to end a process that is at work.
        processes = list((pool._processes or {}).values())  # noqa: SLF001
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        for process in processes:
            process.join(1.0)


def _submit(pool: ProcessPoolExecutor, decode: Callable[[bytes], T], body: bytes) -> Future[T]:
    """Hand a reply over in a file in memory.

    Sent through the executor's pipe it would be copied three times on its way. The file stays
    open until the worker is done with it, even when nobody waits any more.
    """
    descriptor = os.memfd_create("list_msg")
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(body)
        path = f"/proc/{os.getpid()}/fd/{descriptor}"
        with _no_signals():  # a submit may start the worker
            future = pool.submit(_decode_file, decode, path)
    except BaseException:
        os.close(descriptor)
        raise
    future.add_done_callback(lambda _: os.close(descriptor))
    return future


@contextmanager
def _no_signals() -> Iterator[None]:
    """Hold signals to end back: a process that is started inherits that.

    A worker that is hit before it ignores them would print a traceback into the terminal.
    """
    # Its start lets them through again; so it has to run before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare_worker() -> None:
    # Decoding makes many objects and no cycles: the cyclic collector would only take time.
    gc.disable()
    # glibc would keep what one large list took, and lay the next one beside it.
    with suppress(AttributeError):  # other C libraries have no such option
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _RETURNED_FROM)
    # Ctrl-C and systemd signal every process of the group; it is the daemon that ends this one.
    for ending in _ENDING:
        signal.signal(ending, signal.SIG_IGN)


def _decode_file(decode: Callable[[bytes], T], path: str) -> T:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PanelError(Reason.UNEXPECTED, "The list was gone before it was decoded.")
        body = file.read()
    try:
        return decode(body)
    finally:
        gc.collect()  # what few cycles there are must not wait for the next list
