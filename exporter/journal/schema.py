"""The tables of the state file, version by version.

Entries are only ever added: triggers refuse every change, and every deletion but that of what
is older than the horizon that pruning sets for as long as it deletes.
"""

from __future__ import annotations

import sqlite3
from typing import ClassVar

APPLICATION_ID = 0x62637078
"""Marks a SQLite file as one of ours ("bcpx"), so that no other program's file is written to."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,
        kind TEXT NOT NULL,
        run TEXT NOT NULL DEFAULT '',
        host TEXT NOT NULL DEFAULT '',
        rule TEXT NOT NULL DEFAULT '',
        action TEXT NOT NULL DEFAULT '',
        mode TEXT NOT NULL DEFAULT '',
        actor TEXT NOT NULL DEFAULT '',
        outcome TEXT NOT NULL DEFAULT '',
        text TEXT NOT NULL DEFAULT '',
        detail TEXT NOT NULL DEFAULT '{}',
        -- Without a run an outcome would settle intents that it knows nothing of.
        CHECK (run != '' OR kind NOT IN ('intent', 'outcome'))
    );
    -- The id is the last column of every index: each is in the order in which was written.
    CREATE INDEX entries_of_a_rule ON entries (host, rule, kind);
    CREATE INDEX entries_of_a_run ON entries (run, kind);
    CREATE INDEX entries_by_kind ON entries (kind);
    CREATE INDEX entries_by_time ON entries (at);
    CREATE INDEX intents_of_a_rule ON entries (host, rule, at) WHERE kind = 'intent';
    CREATE INDEX intents_of_rules ON entries (at) WHERE kind = 'intent' AND rule != '';
    CREATE INDEX outcomes_of_a_rule ON entries (host, rule, outcome) WHERE kind = 'outcome';

    CREATE TABLE messages (
        entry INTEGER NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        sender TEXT,
        recipients TEXT,
        age REAL,
        size INTEGER,
        frozen INTEGER,
        PRIMARY KEY (entry, position)
    ) WITHOUT ROWID;

    -- Intents without an outcome, so that nobody has to look for them among all the others.
    CREATE TABLE unsettled (entry INTEGER PRIMARY KEY REFERENCES entries (id), run TEXT NOT NULL);
    CREATE INDEX unsettled_by_run ON unsettled (run);
    CREATE TRIGGER an_intent_is_unsettled AFTER INSERT ON entries WHEN NEW.kind = 'intent'
        BEGIN INSERT INTO unsettled VALUES (NEW.id, NEW.run); END;
    CREATE TRIGGER an_outcome_settles AFTER INSERT ON entries WHEN NEW.kind = 'outcome'
        BEGIN DELETE FROM unsettled WHERE run = NEW.run; END;

    -- What is older may be deleted; NULL, which is nothing, unless pruning is at it.
    CREATE TABLE horizon (only INTEGER PRIMARY KEY CHECK (only = 1), before REAL);
    INSERT INTO horizon VALUES (1, NULL);

    CREATE TRIGGER entries_stay BEFORE UPDATE ON entries
        BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
    CREATE TRIGGER entries_are_kept BEFORE DELETE ON entries
        WHEN NOT ifnull(OLD.at < (SELECT before FROM horizon), 0)
            OR OLD.kind IN ('stopped', 'disabled', 'rule_resumed', 'paused', 'resumed')
            OR EXISTS (SELECT 1 FROM unsettled WHERE entry = OLD.id)
        BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
    -- INSERT OR REPLACE deletes without asking the trigger above.
    CREATE TRIGGER entries_are_not_replaced BEFORE INSERT ON entries
        WHEN EXISTS (SELECT 1 FROM entries WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;

    CREATE TRIGGER messages_stay BEFORE UPDATE ON messages
        BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
    CREATE TRIGGER messages_are_kept BEFORE DELETE ON messages
        WHEN EXISTS (SELECT 1 FROM entries WHERE id = OLD.entry)
        BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
    CREATE TRIGGER messages_come_with_their_entry BEFORE INSERT ON messages
        WHEN NEW.entry IS NOT (SELECT max(id) FROM entries) OR EXISTS (
            SELECT 1 FROM messages WHERE entry = NEW.entry AND position = NEW.position)
        BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;

    CREATE TRIGGER the_unsettled_stay BEFORE UPDATE ON unsettled
        BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
    CREATE TRIGGER only_an_outcome_settles BEFORE DELETE ON unsettled
        WHEN NOT EXISTS (SELECT 1 FROM entries WHERE run = OLD.run AND kind = 'outcome')
        BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;
    """,
    """
    -- What stands now and is no history: the alerts' states.
    CREATE TABLE states (
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (kind, key)
    ) WITHOUT ROWID;
    """,
    """
    -- The panel that an entry is about: a name may be given to another one.
    ALTER TABLE entries ADD COLUMN panel_url TEXT NOT NULL DEFAULT '';
    ALTER TABLE entries ADD COLUMN panel_pin TEXT NOT NULL DEFAULT '';
    -- Of the entry and its messages; '' in entries of versions that wrote none.
    ALTER TABLE entries ADD COLUMN checksum TEXT NOT NULL DEFAULT '';
    -- By the subject of an entry.
    CREATE INDEX entries_of_a_panel ON entries (
        (CASE panel_url WHEN '' THEN 'host ' || host ELSE panel_url END), rule, kind);
    CREATE INDEX intents_of_a_panel ON entries (
        (CASE panel_url WHEN '' THEN 'host ' || host ELSE panel_url END), rule, at)
        WHERE kind = 'intent';
    CREATE INDEX outcomes_of_a_panel ON entries (
        (CASE panel_url WHEN '' THEN 'host ' || host ELSE panel_url END), rule, outcome)
        WHERE kind = 'outcome';
    """,
)
"""Each brings a journal of the version before it to the next; SQLite's user_version counts."""

VERSION = len(MIGRATIONS)


class UnusableFileError(Exception):
    """The file cannot be used as the journal."""

    sentence: ClassVar[str]
    """What the operator reads: of the journal's `path`, with the text of the `error`."""


class NewerJournalError(UnusableFileError):
    """The journal was written by a later version of the exporter."""

    sentence = (
        "The journal {path} was written by a later version of the exporter. "
        "Install that version, or name another state.path."
    )


class ForeignFileError(UnusableFileError):
    """The file is a database of some other program."""

    sentence = "{path} is a database of another program. Name another state.path."


def version_of(connection: sqlite3.Connection) -> int:
    """Return a journal's version; 0 for an empty file. Call it inside a transaction.

    Raises:
        NewerJournalError, ForeignFileError: it is none that can be used.
        sqlite3.Error: the file cannot be read.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    owner = int(connection.execute("PRAGMA application_id").fetchone()[0])
    empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if owner != APPLICATION_ID and not (owner == 0 and version == 0 and empty):
        raise ForeignFileError
    if version > VERSION:
        raise NewerJournalError
    return version


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a journal to VERSION; an empty file becomes one.

    Raises:
        NewerJournalError, ForeignFileError: nothing was changed.
        sqlite3.Error: the file cannot be read or written.
    """
    # One transaction, so that a crash leaves the version before; IMMEDIATE, so that of two
    # processes that start at once the second waits and then finds it done.
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in MIGRATIONS[version_of(connection) :]:
            for statement in _statements(step):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        # This writes even when there was nothing to bring forward: that the journal cannot be
        # written is known now and not only at the first intent.
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    """Return the statements of a script; executescript would commit before it runs."""
    found: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found
