"""The journal on a thread of its own: the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from exporter.journal.file import JournalError, lock_file
from exporter.journal.host_lock import LockFileError, open_lock_file
from exporter.journal.store import Journal

T = TypeVar("T")

TRY_AGAIN = 30.0
"""Seconds after which a journal that could not be opened is tried again: somebody may have
moved a damaged file away, or made room on the disk."""


class JournalThread:
    """One journal, opened when it is first needed, for the tasks of one event loop."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        """Take the `path`, `clock` and `monotonic` of `Journal.open`."""
        self.path = path
        self._clock = clock
        self._monotonic = monotonic
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._journal: Journal | None = None
        self._failed: tuple[float, JournalError] | None = None
        self._announced: int | None = None
        self.problem = ""
        """Why the journal cannot be used, by what was tried last; "" while it can."""

    async def do(self, work: Callable[[Journal], T]) -> T:
        """Return `work(journal)`, done on the journal's thread one after the other.

        Work that has begun ends, whether or not its caller still waits.

        Raises:
            JournalError: the journal cannot be opened, read or written, or was closed.
        """
        loop = asyncio.get_running_loop()
        try:
            done = loop.run_in_executor(self._thread, self._do, work)
        except RuntimeError:  # a caller that was cancelled does not keep its work from going on
            raise JournalError("The journal is closed: the exporter is ending.") from None
        return await done

    def _do(self, work: Callable[[Journal], T]) -> T:
        try:
            return work(self._opened())
        except JournalError as error:
            self.problem = str(error)
            raise

    async def demand_usable(self) -> None:
        """See that the journal can be relied on, and written where it could not be before.

        Raises:
            JournalError: it cannot.
        """
        await self.do(Journal.demand_sound)
        self.problem = ""

    def _opened(self) -> Journal:
        if self._journal is None:
            if self._failed is not None and time.monotonic() < self._failed[0] + TRY_AGAIN:
                raise JournalError(str(self._failed[1]))
            try:
                self._journal = Journal.open(
                    self.path, clock=self._clock, monotonic=self._monotonic
                )
            except JournalError as error:
                self._failed = time.monotonic(), error
                raise
            self._failed = None
            with suppress(LockFileError):  # whoever wants to act says so
                self._announced = open_lock_file(lock_file(self.path))
                self._journal.announcement.say(self._announced)
        return self._journal

    async def close(self) -> None:
        """Let begun work end, then close the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        if self._journal is not None:
            self._journal.close()
        if self._announced is not None:
            os.close(self._announced)
            self._announced = None
