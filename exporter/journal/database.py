"""An open journal file: questions, snapshots and transactions, with troubles told in sentences."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from exporter.journal import file
from exporter.journal.file import explained

T = TypeVar("T")


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
        self._writing = False

    @classmethod
    def open(cls, path: Path) -> Database:
        """For writing; the file is made when there is none."""
        with explained(path, "written"):
            connection = file.open_to_write(path)
            return cls(path, connection, files=file.identity(path))

    @classmethod
    def open_to_read(cls, path: Path) -> Database:
        """For reading alone, which leaves no trace."""
        with explained(path, "read"):
            connection, still = file.open_to_read(path)
        return cls(path, connection, still=still)

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error):
            self.connection.close()

    def rows(self, query: str, *parameters: object) -> list[Any]:
        """Every row of an answer."""
        with explained(self.path, "read"):
            self._look_anew()
            return self.connection.execute(query, parameters).fetchall()

    def read(self, of: Callable[[Any], T], query: str, *parameters: object) -> list[T]:
        """Every row as the value that `of` makes of it; it raises DamagedError of nonsense."""
        rows = self.rows(query, *parameters)
        with explained(self.path, "read"):
            return [of(row) for row in rows]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Show several queries one state, whatever another process writes in between."""
        if self._writing:
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
    def transaction(self) -> Iterator[None]:
        """Write all or nothing; it is on the disk when this ends, and what is around it, too."""
        if self._writing:
            yield
            return
        with explained(self.path, "written"):
            self.connection.execute("BEGIN IMMEDIATE")
            self._writing = True
            try:
                if self._files is not None:
                    file.demand_identity(self.path, self._files)
                yield
                # A full disk shows only here.
                self.connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
            finally:
                self._writing = False

    def _look_anew(self) -> None:
        """Open a file again that stood still when it was opened, and does no more."""
        if self._still is None or self.connection.in_transaction:
            return
        if file.stamp(self.path) != self._still:
            self.connection.close()
            self.connection, self._still = file.open_to_read(self.path)

    def _roll_back(self) -> None:
        # After some errors SQLite has done so itself.
        with suppress(sqlite3.Error):
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
