"""States: what stands now, beside the history that is only added to."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from exporter.journal import Entry, Journal, JournalError, Kind


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def test_what_is_kept_outlives_the_process(file: Path) -> None:
    with closing(Journal.open(file)) as book:
        book.keep_states({"alert": {"a": {"since": 1.5}, "b": [1, "я"]}, "sent": {"a": 7}})
        book.keep_states({"alert": {"a": {"since": 2}, "b": None}, "sent": {}})
    with closing(Journal.open_to_read(file)) as book:
        assert book.states("alert") == {"a": {"since": 2}}
        assert book.states("sent") == {"a": 7}
        assert book.states("nothing") == {}


def test_all_of_it_is_kept_or_nothing(file: Path) -> None:
    with closing(Journal.open(file)) as book:
        book.keep_states({"alert": {"a": 1}})
        with pytest.raises(TypeError):
            book.keep_states({"alert": {"a": 2, "b": object()}})
        assert book.states("alert") == {"a": 1}


def test_no_text_keeps_a_state_out(file: Path) -> None:
    with closing(Journal.open(file)) as book:
        book.keep_states({"alert": {"\udcff": "\udcff"}})
        assert list(book.states("alert").values()) == ["\udcff"]
        book.keep_states({"alert": {"\udcff": None}})
        assert book.states("alert") == {}


def test_a_state_that_is_no_json_is_reported(file: Path) -> None:
    with closing(Journal.open(file)) as book:
        book.keep_states({"alert": {"a": 1}})
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("UPDATE states SET value = '{'")
    with closing(Journal.open(file)) as book, pytest.raises(JournalError, match="damaged"):
        book.states("alert")


@pytest.mark.parametrize("before", [1, 2])
def test_a_journal_of_a_version_before_is_brought_forward(
    before: int, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exporter.journal import file as opening
    from exporter.journal import schema

    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:before])
        patch.setattr(schema, "VERSION", before)
        patch.setattr(opening, "VERSION", before)
        Journal.open(file).close()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("INSERT INTO entries (at, kind, text) VALUES (1.5, 'paused', 'then')")
    with closing(Journal.open(file)) as book:
        assert book.entries() == [Entry(Kind.PAUSED, text="then", at=1.5, id=1)]
        assert book.states("alert") == {}
