"""Whatever writes to the file: what is written stays."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.journal import Entry, Journal, JournalError, Kind, Outcome
from exporter.journal.database import Database
from exporter.snapshot import Message
from tests.builders import NOW
from tests.journal.builders import content, entry, files, intent, outcome, plan, raw
from tests.journal.conftest import Clock, Opens

DAY = 86400.0


def test_an_entry_is_read_as_it_was_written(journal: Journal) -> None:
    written = journal.add(
        Entry(
            Kind.INTENT,
            run="r1",
            host="mx1",
            rule="purge",
            action="delete",
            mode="enforce",
            actor="person:anna",
            outcome="",
            text="Почта «стоит».",
            detail={"readings": {"queue_frozen_messages > 500": 812.0}, "ids": ["a"], "no": None},
        )
    )
    assert (written.id, written.at) == (1, NOW)
    assert journal.entries() == [written]


def test_the_journal_dates_and_numbers_entries_itself(journal: Journal, clock: Clock) -> None:
    clock.now = 12.5
    assert journal.add(replace(intent(), at=99.0, id=77)) == replace(intent(), at=12.5, id=1)


@pytest.mark.parametrize(
    "message",
    [
        Message("1abcde-000001-AB"),
        Message("1abcde-000001-AB", 0.0, 0, "", (), frozen=False),
        Message("1abcde-000001-AB", 86400.5, 2048, "ann@пример.рф", ("b@c", "d@e"), frozen=True),
        Message("4bXyZ1abcdz", None, None, None, ("b@c",)),
    ],
)
def test_a_message_is_read_as_it_was_written(journal: Journal, message: Message) -> None:
    assert journal.messages(journal.add(intent(), [message]).id) == [message]


def test_messages_keep_their_order_and_their_entry(journal: Journal) -> None:
    first = journal.add(intent("r1"), plan(30))
    second = journal.add(intent("r2"), reversed(plan(30)))
    assert journal.messages(first.id) == plan(30)
    assert journal.messages(second.id) == plan(30)[::-1]
    assert journal.messages(99) == []


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        (Message("a", size=10**30), Message("a", size=2**63 - 1)),
        (Message("a", sender="x\ud800@y"), Message("a", sender="x\\ud800@y")),
        (Message("a", recipients=("x\udc80",)), Message("a", recipients=("x\\udc80",))),
        (Message("a", age=float("nan")), Message("a")),
    ],
)
def test_values_that_a_file_cannot_hold_keep_no_entry_out(
    journal: Journal, message: Message, kept: Message
) -> None:
    written = journal.add(intent(text="\ud800"), [message])
    assert journal.messages(written.id) == [kept]
    assert [e.text for e in journal.entries()] == ["\\ud800"]


def test_entries_are_selected_by_each_property(journal: Journal, clock: Clock) -> None:
    for number, (host, rule, kind) in enumerate(
        [
            ("mx1", "purge", Kind.INTENT),
            ("mx2", "purge", Kind.INTENT),
            ("mx1", "", Kind.INTENT),
            ("mx1", "purge", Kind.OUTCOME),
            ("mx1", "retry", Kind.BLOCKED),
        ]
    ):
        clock.now = NOW + number
        journal.add(entry(kind, f"r{number}", host=host, rule=rule))

    def found(**keys: object) -> list[int]:
        return [e.id for e in journal.entries(**keys)]  # type: ignore[arg-type]

    assert found() == [1, 2, 3, 4, 5]
    assert found(host="mx1") == [1, 3, 4, 5]
    assert found(rule="purge") == [1, 2, 4]
    assert found(rule="") == [3]
    assert found(run="r3") == [4]
    assert found(kinds=[Kind.OUTCOME, Kind.BLOCKED]) == [4, 5]
    assert found(since=NOW + 3) == [4, 5]
    assert found(after=3) == [4, 5]
    assert found(newest=2) == [4, 5]
    assert found(newest=0) == []
    assert found(host="mx1", rule="purge", kinds=[Kind.INTENT], newest=1) == [1]
    assert found(host="nobody") == []


STATEMENTS = [
    "UPDATE entries SET text = 'It was not me.'",
    "UPDATE entries SET at = at - 1000000 WHERE id = 1",
    "UPDATE OR REPLACE entries SET id = 2 WHERE id = 1",
    "DELETE FROM entries",
    "DELETE FROM entries WHERE id = 3",
    "INSERT OR REPLACE INTO entries (id, at, kind) VALUES (3, 0, 'blocked')",
    "REPLACE INTO entries (id, at, kind) VALUES (1, 0, 'blocked')",
    "INSERT INTO entries (id, at, kind) VALUES (3, 0, '') ON CONFLICT DO UPDATE SET text = ''",
    "UPDATE messages SET message_id = 'x'",
    "DELETE FROM messages",
    "DELETE FROM messages WHERE entry = 1 AND position = 0",
    "INSERT OR REPLACE INTO messages (entry, position, message_id) VALUES (3, 0, 'x')",
    "INSERT INTO messages (entry, position, message_id) VALUES (1, 9, 'added later')",
    "INSERT INTO messages (entry, position, message_id) VALUES (99, 0, 'of nothing')",
    "DELETE FROM unsettled",
    "UPDATE unsettled SET run = 'other'",
]


@pytest.mark.parametrize("foreign_keys", ["ON", "OFF"])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_no_statement_changes_what_is_written(
    journal: Journal, statement: str, foreign_keys: str
) -> None:
    journal.add(intent("r1"), plan())
    journal.add(outcome("r1"))
    journal.add(intent("r2"), plan())
    before = content(journal.path)
    with raw(journal.path) as connection:
        connection.execute(f"PRAGMA foreign_keys = {foreign_keys}")
        with pytest.raises(sqlite3.IntegrityError, match="the journal is only added to"):
            connection.execute(statement)
    assert content(journal.path) == before


@pytest.mark.parametrize(
    "horizon", ["SELECT 1", "UPDATE horizon SET before = NULL", "DELETE FROM horizon"]
)
def test_what_is_old_stays_too_when_nobody_prunes(
    journal: Journal, clock: Clock, horizon: str
) -> None:
    journal.add(entry(Kind.BLOCKED))
    clock.now += 100 * DAY
    assert journal.prune(clock.now) == 1
    clock.now = NOW
    journal.add(entry(Kind.BLOCKED))
    with raw(journal.path) as connection:
        connection.execute(horizon)
        with pytest.raises(sqlite3.IntegrityError, match="the journal is only added to"):
            connection.execute("DELETE FROM entries")
    assert len(journal.entries()) == 1


@pytest.mark.parametrize("kind", ["stopped", "disabled", "rule_resumed", "paused", "resumed"])
def test_what_stands_cannot_go_even_while_pruning(journal: Journal, kind: str) -> None:
    journal.add(entry(Kind(kind)))
    with raw(journal.path) as connection:
        connection.execute("UPDATE horizon SET before = ?", (NOW + 1,))
        with pytest.raises(sqlite3.IntegrityError, match="the journal is only added to"):
            connection.execute("DELETE FROM entries")


def test_an_unsettled_intent_cannot_go_even_while_pruning(journal: Journal) -> None:
    journal.add(intent(), plan())
    with raw(journal.path) as connection:
        connection.execute("UPDATE horizon SET before = ?", (NOW + 1,))
        with pytest.raises(sqlite3.IntegrityError, match="the journal is only added to"):
            connection.execute("DELETE FROM entries")
    assert [u.messages for u in journal.unsettled()] == [tuple(plan())]


def test_numbers_are_not_given_twice(journal: Journal, clock: Clock) -> None:
    for _ in range(3):
        journal.add(entry(Kind.BLOCKED))
    clock.now += 100 * DAY
    assert journal.prune(clock.now) == 3
    assert journal.add(entry(Kind.BLOCKED)).id == 4


def test_foreign_keys_hold(journal: Journal, database: Database, clock: Clock) -> None:
    """For the journal's own connection; and after all that it does, none is broken."""
    with pytest.raises(sqlite3.IntegrityError):
        database.connection.execute("INSERT INTO unsettled VALUES (99, 'r')")
    for run in ("r1", "r2", "r3"):
        journal.add(intent(run), plan())
    journal.add(outcome("r1"))
    journal.add(outcome("r2", Outcome.FAILED))
    clock.now += 100 * DAY
    assert journal.prune(clock.now) > 0
    with raw(journal.path) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("kind", [Kind.INTENT, Kind.OUTCOME])
def test_an_outcome_without_a_run_settles_nothing(journal: Journal, kind: Kind) -> None:
    with pytest.raises(JournalError, match="cannot be written: CHECK constraint failed"):
        journal.add(entry(kind, run=""))
    assert journal.entries() == []


def test_an_entry_whose_messages_fail_is_not_written_either(journal: Journal) -> None:
    def messages() -> list[Message]:
        return [*plan(), Message(None)]  # type: ignore[arg-type]

    with pytest.raises(JournalError, match="NOT NULL"):
        journal.add(intent(), messages())
    assert content(journal.path)["entries"] == []
    assert journal.add(intent(), plan()).id == 1


def test_a_journal_that_is_closed_says_so(journal: Journal) -> None:
    journal.close()
    with pytest.raises(JournalError, match=r"cannot be written: Cannot operate on a closed"):
        journal.add(intent())
    with pytest.raises(JournalError, match=r"cannot be read: Cannot operate on a closed"):
        journal.entries()


@pytest.mark.parametrize("gone", ["journal.sqlite", "journal.sqlite-wal"])
@pytest.mark.parametrize("what", ["moved", "replaced"])
def test_nothing_is_written_to_a_file_that_is_not_the_journal_any_more(
    journal: Journal, open_journal: Opens, gone: str, what: str
) -> None:
    """An intent in a file that the next start does not find is none."""
    journal.add(intent())
    file = journal.path.with_name(gone)
    file.rename(file.with_name("aside"))
    if what == "replaced":
        file.write_bytes(file.with_name("aside").read_bytes())
    with pytest.raises(JournalError, match="moved, replaced or deleted while it was in use"):
        journal.add(intent())
    with pytest.raises(JournalError, match="moved, replaced or deleted while it was in use"):
        journal.prune(0)


def test_a_reader_cannot_write(journal: Journal, reader: Journal, path: Path) -> None:
    journal.add(intent())
    before = content(path)
    with pytest.raises(JournalError, match="cannot be written: attempt to write a readonly"):
        reader.add(intent("r2"))
    assert content(path) == before
    assert set(files(path.parent)) == {path.name, f"{path.name}-wal", f"{path.name}-shm"}
