"""Entries, and files as they are."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from exporter.journal import Entry, Journal, Kind, Outcome
from exporter.snapshot import Message


def entry(kind: Kind, run: str = "r1", **keys: Any) -> Entry:
    """An entry of one rule on one host."""
    keys = {"host": "mx1", "rule": "purge", "action": "delete", "mode": "enforce"} | keys
    return Entry(kind, run, **keys)


def intent(run: str = "r1", **keys: Any) -> Entry:
    return entry(Kind.INTENT, run, **keys)


def outcome(run: str = "r1", how: Outcome = Outcome.OK, **keys: Any) -> Entry:
    return entry(Kind.OUTCOME, run, outcome=how.value, **keys)


def plan(count: int = 2) -> list[Message]:
    """So many messages, each unlike the others."""
    return [
        Message(
            f"1abcde-{number:06d}-AB", 60.0 * number, number, f"a{number}@example.com", ("b@c",)
        )
        for number in range(count)
    ]


def files(folder: Path) -> dict[str, str]:
    """Every file of a folder by the hash of its content."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """The file as any program sees it that knows SQLite and nothing of the journal."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        yield connection


def content(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, read without the journal's help."""
    with raw(path) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            name: connection.execute(f"SELECT * FROM {name}").fetchall()
            for (name,) in tables.fetchall()
        }


def filled(path: Path, runs: int = 200) -> None:
    """Write a journal of many pages, and close it."""
    journal = Journal.open(path)
    for run in range(runs):
        journal.add(intent(f"r{run}"), plan(20))
        journal.add(outcome(f"r{run}", text="Done. " * 50))
    journal.close()
