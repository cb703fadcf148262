"""Whether a journal is what was written into it: each entry, by its checksum."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from exporter.journal import file
from exporter.journal.entries import Entry
from exporter.journal.file import DamagedError
from exporter.journal.rows import (
    ENTRY_COLUMNS,
    MESSAGE_COLUMNS,
    checksum_of,
    entry_of,
    message_of,
)

_AT_ONCE = 500
"""Rows fetched at a time: memory does not grow, and row by row takes a twentieth longer."""

_ENTRIES = f"SELECT {ENTRY_COLUMNS}, checksum FROM entries NOT INDEXED ORDER BY id"  # noqa: S608 - constants
_MESSAGES = f"SELECT entry, {MESSAGE_COLUMNS} FROM messages ORDER BY entry, position"  # noqa: S608 - constants
_FORGOTTEN = """
    SELECT id FROM entries intent INDEXED BY entries_by_kind
    WHERE kind = 'intent' AND id NOT IN (SELECT entry FROM unsettled) AND NOT EXISTS (
        SELECT 1 FROM entries WHERE run = intent.run AND kind = 'outcome')
    LIMIT 1
"""
"""An intent that is neither settled nor waits to be: each is put down in both places at once."""


def verify(path: Path, on_entry: Callable[[Entry], object] = id) -> None:
    """See that every entry can be read, and is what was written.

    `on_entry` is called with each in the order of writing, once it is known to be so; what comes
    after it may not be.

    100,000 entries with a message each take about a second, and no more memory than ten do. It
    looks at the file through a connection of its own, since an open one may go on to show pages
    that it has read before.

    Raises:
        DamagedError: something is not; the text quotes nothing of it.
        sqlite3.Error, OSError, Exception: as `file.open_to_read`.
    """
    connection, _ = file.open_to_read(path)
    with closing(connection):
        connection.execute("BEGIN")
        _verify_rows(connection, on_entry)
        forgotten = connection.execute(_FORGOTTEN).fetchone()
        if forgotten is not None:
            raise DamagedError(f"entry {forgotten[0]} is not known to be unsettled")


def _verify_rows(connection: sqlite3.Connection, on_entry: Callable[[Entry], object]) -> None:
    plans = groupby(_rows(connection, _MESSAGES), key=itemgetter(0))
    entry, messages = next(plans, (None, ()))
    summed = False
    for *row, checksum in _rows(connection, _ENTRIES):
        number = row[0]
        own = [message[1:] for message in messages] if entry == number else []
        if entry == number:
            entry, messages = next(plans, (None, ()))
        on_entry(_verified(row, own, checksum, summed=summed))
        summed = bool(checksum)
    if entry is not None:
        raise DamagedError("messages in it belong to no entry")


def _verified(
    row: Sequence[Any], messages: Sequence[Sequence[Any]], checksum: object, *, summed: bool
) -> Entry:
    entry = entry_of(row)
    # Versions before wrote none; but none of them wrote anything after this one did.
    unsummed = checksum == "" and not summed
    if not unsummed and checksum != checksum_of(row, messages):
        raise DamagedError(f"entry {row[0]} is not what was written")
    if unsummed:
        for message in messages:
            message_of(message)
    return entry


def _rows(connection: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    cursor = connection.execute(query)
    while rows := cursor.fetchmany(_AT_ONCE):
        yield from rows
