"""Journals in real files, and a clock that a test sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from exporter.journal import Journal
from exporter.journal.database import Database
from tests.builders import NOW


class Clock:
    """Unix time as a test wants it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder / "journal.sqlite"


Opens = Callable[[], Journal]


@pytest.fixture
def open_journal(path: Path, clock: Clock) -> Iterator[Opens]:
    """Opens the journal at `path`, as often as it is called."""
    with ExitStack() as stack:

        def opens() -> Journal:
            journal = Journal.open(path, clock=clock)
            stack.callback(journal.close)
            return journal

        yield opens


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """The file that `journal` has open."""
    database = Database.open(path)
    yield database
    database.close()


@pytest.fixture
def journal(database: Database, clock: Clock) -> Journal:
    return Journal(database, clock)


def quick_journal(
    path: Path, clock: Callable[[], float], monotonic: Callable[[], float] | None = None
) -> Journal:
    """Open a journal that need not outlive a power cut: no entry waits for the disk."""
    database = Database.open(path)
    database.connection.execute("PRAGMA synchronous = OFF")
    return Journal(database, clock, monotonic)


@pytest.fixture
def reader(journal: Journal) -> Iterator[Journal]:
    """Reads what `journal` writes."""
    reader = Journal.open_to_read(journal.path)
    yield reader
    reader.close()
