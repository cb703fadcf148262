"""An open journal file: queries, snapshots, transactions, and errors as sentences."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from exporter.journal import file
from exporter.journal.entries import Entry
from exporter.journal.file import DamagedError, explained
from exporter.journal.soundness import verify

T = TypeVar("T")

CHEAP = 0.05
"""Seconds that a look at all entries may take, for it to be done at every change by another
process: those may come by the hundred a second."""

VERIFIES_FOR = 0.1
"""Share of the time that dearer ones may take; before something begins there is always one."""


_State = tuple[int, file.Stamp]

LAST_ID = """
    SELECT max(ifnull((SELECT max(id) FROM entries), 0),
        ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'entries'), 0))
"""
"""The number of the newest entry that there ever was."""


class Database:
    """One connection to a journal file. Whatever fails is raised as a JournalError."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        *,
        files: file.Identity | None = None,
        still: file.Stamp | None = None,
    ) -> None:
        """Take over a connection.

        Args:
            path: the journal's.
            connection: to the file there.
            files: what the file must still be when it is written to.
            still: what it must still be for what the connection reads to be true.
        """
        self.path = path
        self.connection = connection
        self._files = files
        self._still = still
        self.writing = False
        """Whether a transaction is under way."""
        self._trusted: _State | None = None
        """How the file was when its content was found to be as it was written."""
        self._verified: tuple[float, float] = (0.0, 0.0)
        """Monotonic time at which that was looked at last, and the seconds that it took."""
        self._last = 0
        """The newest entry that there was when it was looked at last."""
        self._lacks = ""
        """How it was seen that entries which there were are not there any more."""
        self._lock: int | None = None
        """The file of the locks, held open so that no other file gets its number."""
        self._pin_lock()
        self._refused = False
        """Whether a write failed, and none has succeeded since."""
        self._damaged = False
        """Whether it was not found to be what was written when that was looked at last."""
        self.on_verified: Callable[[Entry], object] = id
        """Called with each entry as it is found to be what was written."""
        self.generation = 0
        """Changes when what was read before may not be what is there: it was rolled back, found
        damaged, or is another file."""

    @classmethod
    def open(cls, path: Path) -> Database:
        """Open it for writing; the file is made when there is none."""
        with explained(path, "written"):
            connection = file.open_to_write(path)
            return cls(path, connection, files=file.identity(path))

    @classmethod
    def open_to_read(cls, path: Path) -> Database:
        """Open it for reading alone, which leaves no trace."""
        with explained(path, "read"):
            connection, still = file.open_to_read(path)
        return cls(path, connection, still=still)

    @property
    def files(self) -> str:
        """The identity of the open files, except the lock file's."""
        return repr((self._files or ())[:-1])

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error):
            self.connection.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def rows(self, query: str, *parameters: object) -> list[Any]:
        """Return every row of an answer."""
        with explained(self.path, "read"):
            self._look_anew()
            return self.connection.execute(query, parameters).fetchall()

    def read(self, of: Callable[[Any], T], query: str, *parameters: object) -> list[T]:
        """Return every row as the value that `of` makes of it, or raises DamagedError of."""
        rows = self.rows(query, *parameters)
        with explained(self.path, "read"):
            return [of(row) for row in rows]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Show several queries one state, whatever another process writes in between."""
        if self.writing:
            yield  # a transaction does that, too
            return
        with explained(self.path, "read"):
            self._look_anew()
            self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self._roll_back()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write all or nothing; it is on the disk when this ends, and what is around it, too."""
        if self.writing:
            yield self.connection
            return
        with explained(self.path, "written"):
            self._refused = True  # unless it comes to its end
            self.connection.execute("BEGIN IMMEDIATE")
            self.writing = True
            changes = -1
            try:
                self._demand_identity()
                alone = self._trusted is not None and self._trusted == self._state()
                changes = self.connection.total_changes
                yield self.connection
                # A full disk shows only here.
                self.connection.execute("COMMIT")
            except sqlite3.Error:
                self.generation += 1
                self._roll_back()
                raise
            except BaseException:
                if self.connection.total_changes != changes:
                    self.generation += 1
                self._roll_back()
                self._refused = False  # it was not the journal that failed
                raise
            finally:
                self.writing = False
            self._refused = False
            if alone and not self._lacks:
                self._trusted = self._state()
                self._last = max(self._last, self._last_now())

    def checkpoint(self) -> None:
        """Bring what stands in the log into the file, so that a copy of that alone has it.

        What another process reads just now, or the disk has no room for, is left to the next
        time: it is on the disk already.
        """
        with suppress(sqlite3.Error, OSError):
            alone = self._trusted is not None and self._trusted == self._state()
            self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            if alone:
                self._trusted = self._state()

    def demand_sound(
        self, aim: Literal["read", "written"] = "read", *, begins: bool = False
    ) -> None:
        """See that the files are those that were opened, and hold what was written into them.

        While nobody else writes, this costs a few looks at the files' dates; after a change by
        another, a look at every entry: with `begins` always, else unless there was one just
        before.

        Raises:
            JournalError: they are not, or do not; what they say must not be relied on.
        """
        if self.writing:
            return  # it was seen when the transaction began
        with explained(self.path, aim):
            self._look_anew()
            state = self._state()
            self._demand_identity()
            if (state != self._trusted or self._lacks) and (
                begins or not self._waits_to_verify(state)
            ):
                began = time.monotonic()
                self._trusted = None
                was_damaged, self._damaged = self._damaged, True  # unless it is found to be sound
                self.generation += 1
                verify(self.path, self.on_verified)
                self._demand_all_that_was()
                self._damaged = False
                if not was_damaged:  # else what was read meanwhile may not be what is there now
                    self.generation -= 1
                self._trusted = state
                now = time.monotonic()
                self._verified = now, now - began
        if self._refused:
            with self.transaction() as connection:
                connection.execute("UPDATE horizon SET before = NULL")

    def _demand_all_that_was(self) -> None:
        """Demand that no older copy was put in place: what it lacks was done all the same."""
        last = self._last_now()
        if last < self._last and not self._lacks:
            # For good: what is written from now on does not bring back what it lacks.
            self._lacks = (
                f"it ends with entry {last}, and there was an entry {self._last}: an older copy "
                "was put in its place"
            )
        if self._lacks:
            raise DamagedError(self._lacks)
        self._last = last

    def _last_now(self) -> int:
        return int(self.connection.execute(LAST_ID).fetchone()[0])

    def _waits_to_verify(self, state: _State) -> bool:
        """Return whether another process is at it, and all was looked at just before.

        What is written in the orderly way goes to the log.
        """
        at, took = self._verified
        orderly = self._trusted is not None and self._trusted[1] == state[1]
        return orderly and took > CHEAP and time.monotonic() < at + took / VERIFIES_FOR

    def _state(self) -> _State:
        """Return what changes with all that another connection, or program, writes to the file."""
        version = self.connection.execute("PRAGMA data_version").fetchone()[0]
        return version, file.content_stamp(self.path)

    def _demand_identity(self) -> None:
        if self._files is not None:
            self._files = file.demand_identity(self.path, self._files)
            self._pin_lock()

    def _pin_lock(self) -> None:
        if self._files is not None and self._lock is None:
            with suppress(FileNotFoundError):
                self._lock = os.open(
                    file.lock_file(self.path), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
                )

    def _look_anew(self) -> None:
        """Open a file again that stood still when it was opened, and does no more."""
        if self._still is None or self.connection.in_transaction:
            return
        if file.stamp(self.path) != self._still:
            self.generation += 1
            self.connection.close()
            self.connection, self._still = file.open_to_read(self.path)

    def _roll_back(self) -> None:
        # After some errors SQLite has done so itself.
        with suppress(sqlite3.Error):
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
