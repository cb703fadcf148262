"""Journals in real files, and a clock that a test sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from exporter.journal import Journal
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
def journal(open_journal: Opens) -> Journal:
    return open_journal()


@pytest.fixture
def reader(journal: Journal) -> Iterator[Journal]:
    """Reads what `journal` writes."""
    reader = Journal.open_to_read(journal.path)
    yield reader
    reader.close()
