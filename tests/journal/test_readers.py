"""Reading while another process writes, or after it died."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from exporter.journal import FleetFacts, Journal, JournalError, Kind, RuleFacts
from exporter.journal.database import Database
from tests.journal.builders import entry, files, filled, intent, outcome, plan, raw
from tests.journal.conftest import Opens
from tests.journal.processes import crashed, in_another_process, writer


@contextmanager
def reading(path: Path) -> Iterator[Journal]:
    reader = Journal.open_to_read(path)
    try:
        yield reader
    finally:
        reader.close()


def test_a_reader_sees_each_entry_whole_while_another_process_writes(path: Path) -> None:
    with writer(path, messages=50) as other:
        other.read(1)
        with reading(path) as reader:
            seen: list[int] = []
            looks = 0
            while len(seen) < 100:
                (written,) = other.read(1)
                new = reader.entries(after=seen[-1] if seen else 0)
                seen += [e.id for e in new]
                assert written in seen
                assert all(reader.messages(e.id) == plan(50) for e in new)
                looks += 1
        assert seen == list(range(1, len(seen) + 1))
        assert looks > 1


def test_a_reader_holds_up_no_writer(journal: Journal) -> None:
    journal.add(intent("r1"))
    read = Database.open_to_read(journal.path)
    with closing(Journal(read, time.time)) as reader:
        with read.snapshot():
            assert len(reader.entries()) == 1
            journal.add(intent("r2"))
            assert len(reader.entries()) == 1
        assert len(reader.entries()) == 2


def test_facts_are_of_one_moment(journal: Journal, database: Database, open_journal: Opens) -> None:
    """An approval that another process uses in between is not seen as both."""
    journal.add(entry(Kind.APPROVED, "a1"))
    other = open_journal()

    def trace(statement: str) -> None:
        if "FROM states" in statement and len(other.entries()) == 1:
            other.add(intent("r1", detail={"approval": "a1"}))

    database.connection.set_trace_callback(trace)
    facts = journal.rule_facts("mx1", "purge")
    database.connection.set_trace_callback(None)
    assert len(other.entries()) == 2
    assert (facts.last_begun, facts.begun_today, facts.approval) == (None, 0, "approved")
    facts = journal.rule_facts("mx1", "purge")
    assert (facts.begun_today, facts.approval) == (1, "")


def test_a_reader_reads_what_a_crashed_writer_left(path: Path) -> None:
    crashed(path, entries=3)
    before = files(path.parent)
    with reading(path) as reader:
        assert [u.messages for u in reader.unsettled()] == [tuple(plan(20))] * 3
        assert reader.rule_facts("mx1", "purge").begun_today == 3
    assert files(path.parent)[path.name] == before[path.name]
    assert files(path.parent)[f"{path.name}-wal"] == before[f"{path.name}-wal"]


def test_a_reader_leaves_no_files_beside_a_journal_at_rest(path: Path) -> None:
    filled(path, runs=2)
    before = files(path.parent)
    with reading(path) as reader:
        assert len(reader.entries()) == 4
        assert reader.unsettled() == []
        assert reader.rule_facts("mx1", "purge") != RuleFacts()
        assert reader.fleet_facts() == FleetFacts(begun_this_hour=2)
        assert files(path.parent) == before
    assert files(path.parent) == before


def test_a_reader_that_was_there_first_sees_what_is_written_later(
    path: Path, open_journal: Opens
) -> None:
    filled(path, runs=1)
    with reading(path) as reader:
        assert len(reader.entries()) == 2
        journal = open_journal()
        journal.add(entry(Kind.PAUSED, text="Paused."))
        assert len(reader.entries()) == 3
        assert reader.fleet_facts().paused == "Paused."
        journal.close()
        open_journal().add(entry(Kind.RESUMED))
        assert reader.fleet_facts().paused == ""


def test_a_reader_sees_what_was_written_and_closed_between_two_looks(path: Path) -> None:
    """Whoever wrote left no log; only the file itself shows it."""
    filled(path, runs=1)
    with reading(path) as reader:
        assert len(reader.entries()) == 2
        filled(path, runs=1)
        assert len(reader.entries()) == 4


def test_a_reader_outlives_a_writer_that_closes(journal: Journal, reader: Journal) -> None:
    journal.add(intent())
    assert len(reader.entries()) == 1
    journal.close()
    assert len(reader.entries()) == 1
    with raw(journal.path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_opening_a_journal_again_drops_no_lock_of_this_process(
    journal: Journal, open_journal: Opens
) -> None:
    """Without them another process that closes it takes itself for the last, and the log away."""
    journal.add(intent("r1"))
    open_journal().close()
    with reading(journal.path) as reader:
        assert len(reader.entries()) == 1
    assert in_another_process("filled(path, runs=1)\nprint('closed')", journal.path) == "closed"
    assert f"{journal.path.name}-wal" in files(journal.path.parent)
    journal.add(outcome("r1"))
    assert len(journal.entries()) == 4


@pytest.mark.parametrize("reads", ["entries", "unsettled", "fleet_facts"])
def test_a_reader_of_a_file_that_was_taken_away_says_so(path: Path, reads: str) -> None:
    filled(path, runs=1)
    with reading(path) as reader:
        path.unlink()
        with pytest.raises(JournalError, match=f"{path} cannot be read: No such file"):
            getattr(reader, reads)()
