"""The journal: one writer at a time, readers at any time."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from exporter.journal import file
from exporter.journal.entries import (
    STANDING,
    Entry,
    FleetFacts,
    Kind,
    RuleFacts,
    Unsettled,
)
from exporter.journal.file import DamagedError, JournalError, JournalMissingError, explained
from exporter.snapshot import Message

__all__ = ["Journal", "JournalError", "JournalMissingError"]

HOUR, DAY = 3600.0, 86400.0

APPROVAL_LASTS = DAY
"""Seconds after which an approval, or a request for one, counts no more."""

KEPT_AT_LEAST = 2 * DAY
"""However soon pruning is to come: limits look back a day, and an approval that counts for a day
may be that of a request as old again."""

_COLUMNS = "id, at, kind, run, host, rule, action, mode, actor, outcome, text, detail"
_PRUNED_AT_ONCE = 200
_LARGEST_INTEGER = 2**63 - 1


class Journal:
    """An open journal. Not for several threads at once."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        clock: Callable[[], float],
        *,
        files: file.Identity | None = None,
        still: file.Stamp | None = None,
    ) -> None:
        self.path = path
        self._connection = connection
        self._clock = clock
        self._files = files
        self._still = still

    @classmethod
    def open(cls, path: Path, *, clock: Callable[[], float] = time.time) -> Journal:
        """Open a journal for writing; one is made when there is none.

        A file that is damaged is left exactly as it is.

        Raises:
            JournalError: it is damaged, foreign, of a later version, or cannot be written.
        """
        with explained(path, "written"):
            connection = file.open_to_write(path)
            return cls(path, connection, clock, files=file.identity(path))

    @classmethod
    def open_to_read(cls, path: Path) -> Journal:
        """Open a journal that may be written by another process meanwhile.

        Raises:
            JournalMissingError: there is none.
            JournalError: it cannot be read.
        """
        with explained(path, "read"):
            connection, still = file.open_to_read(path)
        return cls(path, connection, time.time, still=still)

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error):
            self._connection.close()

    # --- writing -------------------------------------------------------------------------------

    def add(self, entry: Entry, messages: Iterable[Message] = ()) -> Entry:
        """Write one entry and the messages that belong to it; durable when this returns.

        Raises:
            JournalError: it was not written.
        """
        at = self._clock()
        texts = (
            *(entry.kind.value, entry.run, entry.host, entry.rule, entry.action, entry.mode),
            *(entry.actor, entry.outcome, entry.text, json.dumps(entry.detail)),
        )
        with self._transaction():
            cursor = self._connection.execute(
                "INSERT INTO entries (at, kind, run, host, rule, action, mode, actor, outcome, "
                "text, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (at, *map(_encodable, texts)),
            )
            number = int(cursor.lastrowid or 0)
            self._connection.executemany(
                "INSERT INTO messages (entry, position, message_id, age, size, sender, recipients, "
                "frozen) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                ((number, position, *_row(m)) for position, m in enumerate(messages)),
            )
        return replace(entry, id=number, at=at)

    def prune(self, before: float) -> int:
        """Delete what is older than `before` and holds no more; how many entries that was.

        What the guards go by stays, however old.

        Raises:
            JournalError: it went no further; what was deleted until then is gone.
        """
        now = self._clock()
        before = min(before, now - KEPT_AT_LEAST)
        # In the order in which they were written, whatever the clock said: nothing goes before
        # what it came after. What was dated far ahead of the clock does not hold up the rest.
        young = self._rows(_FIRST_YOUNG, before, now + DAY)
        bounds = {"before": before, "end": young[0][0] if young else _LARGEST_INTEGER, "id": 0}
        deleted = 0
        while True:
            with self._transaction():
                rows = self._connection.execute(_OLD, bounds).fetchall()
                # Until the end of this transaction the triggers let go of what is older.
                self._connection.execute("UPDATE horizon SET before = ?", (before,))
                gone = [(number,) for number, holds in rows if not holds]
                self._connection.executemany("DELETE FROM entries WHERE id = ?", gone)
                self._connection.execute("UPDATE horizon SET before = NULL")
            deleted += len(gone)
            if len(rows) < _PRUNED_AT_ONCE:
                return deleted
            bounds["id"] = rows[-1][0]

    # --- reading -------------------------------------------------------------------------------

    def entries(
        self,
        *,
        host: str | None = None,
        rule: str | None = None,
        run: str | None = None,
        kinds: Sequence[Kind] = (),
        since: float = 0.0,
        after: int = 0,
        newest: int | None = None,
    ) -> list[Entry]:
        """Entries in the order in which they were written.

        Args:
            host: of this host only.
            rule: of this rule only.
            run: of this run only.
            kinds: of these kinds only; all when empty.
            since: Unix time; none before it.
            after: an entry's id; none up to it.
            newest: at most so many, the last ones.

        Raises:
            JournalError: it cannot be read.
        """
        wheres, parameters = ["id > ?"], list[object]([after])
        for column, value in (("host", host), ("rule", rule), ("run", run)):
            if value is not None:
                wheres.append(f"{column} = ?")
                parameters.append(value)
        if kinds:
            wheres.append(f"kind IN ({', '.join('?' * len(kinds))})")
            parameters += [kind.value for kind in kinds]
        if since:
            wheres.append("at >= ?")
            parameters.append(since)
        return self._entries(
            f"WHERE {' AND '.join(wheres)} ORDER BY id DESC LIMIT ?",
            *(*parameters, -1 if newest is None else newest),
        )[::-1]

    def asked_before(self, host: str, rule: str, key: str, *, since: float) -> bool:
        """Whether a rule was asked for on a host with this `key`, at Unix time `since` or later.

        Raises:
            JournalError: it cannot be read.
        """
        return bool(self._rows(_ASKED_BEFORE, host, rule, since, key))

    def messages(self, entry: int) -> list[Message]:
        """The messages that were written with an entry.

        Raises:
            JournalError: it cannot be read.
        """
        rows = self._rows(
            "SELECT message_id, age, size, sender, recipients, frozen FROM messages "
            "WHERE entry = ? ORDER BY position",
            entry,
        )
        with explained(self.path, "read"):
            return [_message(row) for row in rows]

    def rule_facts(self, host: str, rule: str) -> RuleFacts:
        """What the guards of a rule on a host go by.

        Raises:
            JournalError: it cannot be read; then no guard can be sure.
        """
        now = self._clock()
        with self._snapshot():
            ((last_begun,),) = self._rows(_LAST_BEGUN, host, rule)
            # What lies ahead of the clock, which was set back, still counts.
            ((begun_today,),) = self._rows(_BEGUN_SINCE, host, rule, now - DAY)
            ((failed,),) = self._rows(_FAILED_IN_A_ROW, *(host, rule) * 3)
            standing = self._newest(host, rule, _STOPS)
            approval = self._approval(host, rule, now)
            requests = self._approved(approval)
            return RuleFacts(
                last_begun=last_begun,
                begun_today=begun_today,
                stopped=_unless(standing, Kind.RULE_RESUMED),
                failed_verifications=failed,
                approval="" if approval is None else _APPROVALS[approval.kind],
                approval_run="" if approval is None else approval.run,
                approval_at=0.0 if approval is None else approval.at,
                approved_ids=frozenset(m.id for r in requests for m in self.messages(r.id)),
                approved_deed=next((str(r.detail.get("deed", "")) for r in requests), ""),
            )

    def fleet_facts(self) -> FleetFacts:
        """What the guards of every rule go by.

        Raises:
            JournalError: it cannot be read; then no guard can be sure.
        """
        now = self._clock()
        with self._snapshot():
            ((begun,),) = self._rows(_BEGUN_BY_RULES_SINCE, now - HOUR)
            pauses = [
                entry
                for kind in (Kind.PAUSED, Kind.RESUMED)
                for entry in self.entries(kinds=[kind], newest=1)
            ]
        newest = max(pauses, key=lambda entry: entry.id, default=None)
        return FleetFacts(begun, _unless(newest, Kind.RESUMED))

    def unsettled(self, host: str | None = None) -> list[Unsettled]:
        """Intents without an outcome: of a process that ended, or of one that is still at it.

        Raises:
            JournalError: it cannot be read.
        """
        with self._snapshot():
            intents = self._entries("WHERE id IN (SELECT entry FROM unsettled) ORDER BY id")
            return [
                Unsettled(intent, tuple(self.messages(intent.id)))
                for intent in intents
                if host is None or intent.host == host
            ]

    def _approval(self, host: str, rule: str, now: float) -> Entry | None:
        """The last word on the last request, unless it was used or its age is not within bounds.

        One that lies far ahead of the clock, which was set back, is no more to be relied on than
        one that is too old.
        """
        last = self._newest(host, rule, _APPROVALS)
        if last is None or abs(now - last.at) >= APPROVAL_LASTS:
            return None
        later = self.entries(host=host, rule=rule, kinds=[Kind.INTENT], after=last.id)
        return None if any(intent.detail.get("approval") for intent in later) else last

    def _approved(self, approval: Entry | None) -> list[Entry]:
        """The request that was approved, if any was."""
        if approval is None or approval.kind is not Kind.APPROVED:
            return []
        return self.entries(
            host=approval.host,
            rule=approval.rule,
            run=approval.run,
            kinds=[Kind.APPROVAL_REQUESTED],
            newest=1,
        )

    def _newest(self, host: str, rule: str, kinds: Iterable[Kind]) -> Entry | None:
        # One look each: for several kinds at once SQLite would sort all that there are.
        found = [
            entry
            for kind in kinds
            for entry in self.entries(host=host, rule=rule, kinds=[kind], newest=1)
        ]
        return max(found, key=lambda entry: entry.id, default=None)

    def _entries(self, rest: str, *parameters: object) -> list[Entry]:
        rows = self._rows(f"SELECT {_COLUMNS} FROM entries {rest}", *parameters)  # noqa: S608 - constants
        with explained(self.path, "read"):
            return [_entry(row) for row in rows]

    # --- what stands now -----------------------------------------------------------------------

    def states(self, kind: str) -> dict[str, Any]:
        """Everything that was kept under a kind, by its key.

        Raises:
            JournalError: it cannot be read.
        """
        rows = self._rows("SELECT key, value FROM states WHERE kind = ?", kind)
        with explained(self.path, "read"):
            return {key: _json(value) for key, value in rows}

    def keep_states(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep plain JSON values, by kind and key; None removes what was kept there.

        Raises:
            JournalError: nothing of it was written.
        """
        told = [(k, key, v) for k, values in changes.items() for key, v in values.items()]
        with self._transaction():
            self._connection.executemany(
                "DELETE FROM states WHERE kind = ? AND key = ?",
                [(kind, _encodable(key)) for kind, key, value in told if value is None],
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO states (kind, key, value) VALUES (?, ?, ?)",
                [
                    (kind, _encodable(key), _encodable(json.dumps(value)))
                    for kind, key, value in told
                    if value is not None
                ],
            )

    # --- the connection ------------------------------------------------------------------------

    def _rows(self, query: str, *parameters: object) -> list[Any]:
        with explained(self.path, "read"):
            self._look_anew()
            return self._connection.execute(query, parameters).fetchall()

    def _look_anew(self) -> None:
        """Open a file again that stood still when it was opened, and does no more."""
        if self._still is None or self._connection.in_transaction:
            return
        if file.stamp(self.path) != self._still:
            self._connection.close()
            self._connection, self._still = file.open_to_read(self.path)

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Show several queries one state, whatever another process writes in between."""
        with explained(self.path, "read"):
            self._look_anew()
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._roll_back()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with explained(self.path, "written"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                if self._files is not None:
                    file.demand_identity(self.path, self._files)
                yield
                # A full disk shows only here.
                self._connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        # After some errors SQLite has done so itself.
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


_APPROVALS = {
    Kind.APPROVAL_REQUESTED: "requested",
    Kind.APPROVED: "approved",
    Kind.REJECTED: "rejected",
}
_STOPS = (Kind.STOPPED, Kind.DISABLED, Kind.RULE_RESUMED)

_ASKED_BEFORE = (
    "SELECT 1 FROM entries WHERE kind = 'asked' AND host = ? AND rule = ? AND at >= ? "
    "AND json_extract(detail, '$.key') = ? LIMIT 1"
)
_LAST_BEGUN = "SELECT max(at) FROM entries WHERE kind = 'intent' AND host = ? AND rule = ?"
_BEGUN_SINCE = (
    "SELECT count(*) FROM entries WHERE kind = 'intent' AND host = ? AND rule = ? AND at > ?"
)
_BEGUN_BY_RULES_SINCE = (
    "SELECT count(*) FROM entries INDEXED BY intents_of_rules "
    "WHERE kind = 'intent' AND rule != '' AND at > ?"
)
_FAILED_IN_A_ROW = """
    SELECT count(*) FROM entries
    WHERE kind = 'outcome' AND host = ? AND rule = ? AND outcome = 'verify_failed' AND id > max(
        ifnull((SELECT max(id) FROM entries
            WHERE kind = 'outcome' AND host = ? AND rule = ? AND outcome = 'ok'), 0),
        ifnull((SELECT max(id) FROM entries
            WHERE kind = 'rule_resumed' AND host = ? AND rule = ?), 0))
"""
"""Only a good verification or a person ends the row: a run that did not come to verify, or was
not seen to, says nothing."""

_FIRST_YOUNG = "SELECT id FROM entries NOT INDEXED WHERE at >= ? AND at < ? ORDER BY id LIMIT 1"


def _last_of_its_rule(name: str) -> str:
    return f"""
        {name}.kind = 'intent' AND {name}.rule != '' AND NOT EXISTS (SELECT 1 FROM entries later
            WHERE later.kind = 'intent' AND later.host = {name}.host AND later.rule = {name}.rule
                AND (later.at, later.id) > ({name}.at, {name}.id))
    """  # noqa: S608 - constants


_OLD = f"""
    SELECT old.id,
        -- What stands, or waits to be settled.
        old.kind IN ({", ".join(f"'{kind.value}'" for kind in sorted(STANDING))})
        OR EXISTS (SELECT 1 FROM unsettled WHERE entry = old.id)
        -- A rule's last action: its cooldown may be longer than the journal is kept.
        OR ({_last_of_its_rule("old")})
        -- The outcome of an intent that stays.
        OR (old.kind = 'outcome' AND EXISTS (SELECT 1 FROM entries its
            WHERE its.run = old.run AND its.kind = 'intent'
                AND (its.at >= :before OR {_last_of_its_rule("its")})))
        -- A failed verification of a row that has not ended.
        OR (old.kind = 'outcome' AND old.rule != '' AND old.outcome = 'verify_failed'
            AND NOT EXISTS (SELECT 1 FROM entries good
                WHERE good.kind = 'outcome' AND good.host = old.host AND good.rule = old.rule
                    AND good.outcome = 'ok' AND good.id > old.id)
            AND NOT EXISTS (SELECT 1 FROM entries resumed
                WHERE resumed.kind = 'rule_resumed' AND resumed.host = old.host
                    AND resumed.rule = old.rule AND resumed.id > old.id))
    FROM entries old WHERE old.id > :id AND old.id < :end AND old.at < :before
    ORDER BY old.id LIMIT {_PRUNED_AT_ONCE}
"""  # noqa: S608 - constants


def _unless(entry: Entry | None, ends: Kind) -> str:
    """What an entry says that stands until one of kind `ends`; never "" while it does."""
    return "" if entry is None or entry.kind is ends else entry.text or f"{entry.kind.value}."


def _encodable(text: str) -> str:
    """The text with its lone surrogates escaped: no reply of a panel keeps an entry out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DamagedError(f"a state is no JSON: {error}") from None


def _row(message: Message) -> tuple[object, ...]:
    return (
        message.id,
        message.age,
        None if message.size is None else min(message.size, _LARGEST_INTEGER),
        None if message.sender is None else _encodable(message.sender),
        None if message.recipients is None else json.dumps([*map(_encodable, message.recipients)]),
        message.frozen,
    )


def _entry(row: Sequence[Any]) -> Entry:
    number, at, kind, run, host, rule, action, mode, actor, outcome, text, detail = row
    try:
        return Entry(
            kind=Kind(kind),
            run=run,
            host=host,
            rule=rule,
            action=action,
            mode=mode,
            actor=actor,
            outcome=outcome,
            text=text,
            detail={**json.loads(detail)},
            at=at,
            id=number,
        )
    except (TypeError, ValueError) as error:
        raise DamagedError(f"entry {number}: {error}") from None


def _message(row: Sequence[Any]) -> Message:
    message_id, age, size, sender, recipients, frozen = row
    try:
        return Message(
            message_id,
            age,
            size,
            sender,
            None if recipients is None else tuple(json.loads(recipients)),
            frozen=None if frozen is None else bool(frozen),
        )
    except (TypeError, ValueError) as error:
        raise DamagedError(f"message {message_id}: {error}") from None
