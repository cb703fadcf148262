"""The journal: one writer at a time, readers at any time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from exporter.journal.clock import FirstSeen, JournalClock, Timeline
from exporter.journal.database import LAST_ID, Database
from exporter.journal.entries import (
    Entry,
    FleetFacts,
    Kind,
    RuleFacts,
    Unsettled,
    concerns,
)
from exporter.journal.file import JournalError, lock_file
from exporter.journal.host_lock import Announcement, LockFileError
from exporter.journal.projection import COUNTED, JournalProjection
from exporter.journal.pruning import prune
from exporter.journal.records import RequestRecord
from exporter.journal.rows import (
    ENTRY_COLUMNS,
    MESSAGE_COLUMNS,
    checksum_of,
    encodable,
    entry_of,
    message_of,
    message_row,
    readable_entry,
    state_of,
)
from exporter.snapshot import Message, PanelId

FIRST_SEEN = "first_seen"
"""The kind of the states that keep when actions were first seen to be dated ahead of the clock."""


class Journal:
    """An open journal. Not for several threads at once.

    Whatever is asked of it raises JournalError when it cannot be read, or was not written.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float],
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        self.path = database.path
        self._database = database
        self._clock = clock
        self._time = JournalClock(clock, monotonic)
        self._begin_anew()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] | None = None,
    ) -> Journal:
        """Open a journal for writing; one is made when there is none.

        A file that is damaged is left exactly as it is.

        Args:
            path: where it is.
            clock: returns the Unix time.
            monotonic: returns the seconds that pass, whatever the clock is set to, which no
                limit then follows; None for a clock that is not the machine's, and never set.

        Raises:
            JournalError: it is damaged, foreign, of a later version, or cannot be written.
        """
        if monotonic is None and clock is time.time:
            monotonic = time.monotonic
        return cls(Database.open(path), clock, monotonic)

    @classmethod
    def open_to_read(cls, path: Path) -> Journal:
        """Open a journal that may be written by another process meanwhile.

        Raises:
            JournalMissingError: there is none.
            JournalError: it cannot be read.
        """
        return cls(Database.open_to_read(path), time.time)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # --- writing -------------------------------------------------------------------------------

    def add(self, entry: Entry, messages: Iterable[Message] = ()) -> Entry:
        """Write one entry and the messages that belong to it; durable when this returns.

        Raises:
            JournalError: it was not written.
        """
        if entry.kind in _LETTING:
            self._database.demand_sound("written", begins=True)
        at = float(self._now())  # a jump of the clock is before this entry, or after it
        texts = (
            *(entry.kind.value, entry.run, entry.host, entry.rule, entry.action, entry.mode),
            *(entry.actor, entry.outcome, entry.text, json.dumps(entry.detail)),
            *(entry.panel.url, entry.panel.pin),
        )
        rows = [message_row(message) for message in messages]
        with self._database.transaction() as connection:
            number = self._last_id() + 1
            row = (number, at, *map(encodable, texts))
            connection.execute(
                f"INSERT INTO entries ({ENTRY_COLUMNS}, checksum) "  # noqa: S608 - constants
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, checksum_of(row, rows)),
            )
            connection.executemany(
                f"INSERT INTO messages (entry, position, {MESSAGE_COLUMNS}) "  # noqa: S608 - constants
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                ((number, position, *message) for position, message in enumerate(rows)),
            )
        if entry.kind not in _OF_THE_MOMENT and not self._database.writing:
            self._database.checkpoint()
        if entry.kind is Kind.REPLY:
            self.demand_sound()  # or there is no next message
        return replace(entry, id=number, at=at)

    @property
    def announcement(self) -> Announcement:
        """The announcement that a process has these files open."""
        return Announcement({lock_file(self.path)}, self._database.files)

    def is_used_otherwise(self) -> bool:
        """Return whether a process goes by other files, which were at the places of these before.

        It sees nothing of what is written here, until it looks at its files, and then it ends
        what it does.
        """
        try:
            return self.announcement.others_differ()
        except LockFileError:  # its folder has gone: whoever opens a journal there has another
            return True

    def demand_sound(self) -> None:
        """See that the files are those that were opened, and hold what was written into them.

        Raises:
            JournalError: nothing may be done by what they say.
        """
        self._database.demand_sound()

    def alone(self) -> AbstractContextManager[object]:
        """Let no other process write between what is read here and what is written for it.

        Raises:
            JournalError: nothing was written.
        """
        return self._database.transaction()

    def prune(self, before: float) -> int:
        """Delete what is older than `before` and holds no more; return the number of entries.

        What the guards go by stays, however old.

        Raises:
            JournalError: it went no further; what was deleted until then is gone.
        """
        now, timeline = self._now(), self.timeline()
        return prune(self._database, before, now, timeline, lambda: self._caught_up().held())

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
        readable: bool = False,
    ) -> list[Entry]:
        """Return entries in the order in which they were written.

        Args:
            host: of this host only.
            rule: of this rule only.
            run: of this run only.
            kinds: of these kinds only; all when empty.
            since: Unix time; none before it.
            after: an entry's id; none up to it.
            newest: at most so many, the last ones.
            readable: leave out what cannot be read, where entries are only shown.
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
        rest = f"WHERE {' AND '.join(wheres)} ORDER BY id DESC LIMIT ?"
        parameters.append(-1 if newest is None else newest)
        return self._entries(rest, *parameters, readable=readable)[::-1]

    def asked(self, host: str, rule: str, key: str) -> Entry | None:
        """Return the last time that a rule was asked for on a host with this `key`, if any."""
        asked = self._entries(_ASKED, host, rule, key)
        return asked[0] if asked else None

    def withdrawn(self, host: str, rule: str, alert: str) -> list[Entry]:
        """Return the ends of an alert that asked for a rule on a host.

        `alert` is in their detail `of`.
        """
        return self._entries(_WITHDRAWN, host, rule, alert)

    def messages(self, entry: int) -> list[Message]:
        """Return the messages that were written with an entry."""
        query = f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE entry = ? ORDER BY position"  # noqa: S608 - constants
        return self._database.read(message_of, query, entry)

    def unsettled(self, host: str | None = None, panel: PanelId | None = None) -> list[Unsettled]:
        """Return intents without an outcome: of a process that ended, or is still at it.

        Of all hosts, or of one. With `panel`, those that concern it: of its url under any name
        (`intent.panel` has the pin), and of the name where they name no panel.
        """
        with self._database.snapshot():
            intents = self._entries("WHERE id IN (SELECT entry FROM unsettled) ORDER BY id")
            return [
                Unsettled(intent, tuple(self.messages(intent.id)))
                for intent in intents
                if host is None or concerns(intent, host, panel)
            ]

    def rule_facts(self, host: str, rule: str, panel: PanelId | None = None) -> RuleFacts:
        """Return what the guards of a rule on a host go by.

        Args:
            host: its name.
            rule: the rule's.
            panel: the panel that the host is now. What restrains counts of it under any name,
                and of the name where entries name no panel; what authorises counts of the very
                same url and pin alone. Without it, all that was ever written of the name.

        Raises:
            JournalError: it cannot be read; then no guard can be sure.
        """
        with self._as_of_now() as (projection, now):
            facts = projection.rule_facts(host, rule, panel, now)
            approval = projection.approval(host, rule, panel, now)
            if (request := self._approved(approval)) is not None:
                record = RequestRecord.of(request)
                facts = replace(
                    facts,
                    approved=tuple(self.messages(request.id)),
                    approved_listed_at=request.at if record.listed_at is None else record.listed_at,
                    approved_action=record.action_text or "",
                )
        self._note_ahead(facts.newly_ahead, now)
        return facts

    def _approved(self, approval: Entry | None) -> Entry | None:
        """Return the request that was approved, of the very panel that the approval names."""
        if approval is None or approval.kind is not Kind.APPROVED:
            return None
        requests = self.entries(
            rule=approval.rule, run=approval.run, kinds=[Kind.APPROVAL_REQUESTED]
        )
        same = [
            request
            for request in requests
            if request.panel == approval.panel
            and (request.panel.url or request.host == approval.host)
        ]
        return same[-1] if same else None

    def fleet_facts(self) -> FleetFacts:
        """Return what the guards of every rule go by.

        Raises:
            JournalError: it cannot be read; then no guard can be sure.
        """
        with self._as_of_now() as (projection, now):
            facts = projection.fleet_facts(now)
        self._note_ahead(facts.newly_ahead, now)
        return facts

    def projection(self) -> JournalProjection:
        """Return what all entries come to that are in the journal now, sound or not."""
        with self._database.snapshot():
            return self._caught_up()

    @contextmanager
    def _as_of_now(self) -> Iterator[tuple[JournalProjection, float]]:
        """Show one state of a sound journal: its projection, and the Unix time."""
        self.demand_sound()
        now = self._now()
        with self._database.snapshot():
            yield self._caught_up(), now

    def _begin_anew(self) -> None:
        self._projection = JournalProjection()
        self._generation = self._database.generation
        # A look at every entry is as good as reading them, which costs much of it anew.
        self._database.on_verified = self._projection.apply

    def _caught_up(self) -> JournalProjection:
        """Return the projection with all entries that the database holds in this snapshot.

        Whichever process wrote them. Without a transaction of its own that was rolled back, and
        of nothing that was found to be damaged: then it begins anew.
        """
        if self._generation != self._database.generation:
            self._begin_anew()
        last = self._last_id()
        while self._projection.last_entry < last:
            news = self._entries(_NEWS, self._projection.last_entry)
            self._projection.add(news)
            if len(news) < _AT_ONCE:
                self._projection.last_entry = last  # the rest are of other kinds
        self._projection.timeline = self.timeline()
        return self._projection

    def _entries(self, rest: str, *parameters: object, readable: bool = False) -> list[Entry]:
        query = f"SELECT {ENTRY_COLUMNS} FROM entries {rest}"  # noqa: S608 - constants
        if readable:
            rows = self._database.rows(query.replace(ENTRY_COLUMNS, _AS_BYTES), *parameters)
            return [entry for entry in map(readable_entry, rows) if entry is not None]
        return self._database.read(entry_of, query, *parameters)

    # --- time ----------------------------------------------------------------------------------

    def _now(self) -> float:
        return self._time.now(self._last_id)

    def _last_id(self) -> int:
        return int(self._database.rows(LAST_ID)[0][0])

    def timeline(self) -> Timeline:
        """Return what is known of the clock that entries were dated by."""
        seen = {int(number): FirstSeen(*at) for number, at in self.states(FIRST_SEEN).items()}
        return Timeline(
            self._time.jumps,
            {intent: self._time.as_of_now(intent, noted) for intent, noted in seen.items()},
        )

    def _note_ahead(self, intent: int, now: float) -> None:
        """Keep when an action was first seen to be dated ahead of the clock."""
        if intent:
            with suppress(JournalError):  # it is open to read alone
                seen = FirstSeen(now, self._last_id())
                self.keep_states({FIRST_SEEN: {str(intent): [*seen]}})
                self._time.note(intent, seen)

    # --- what stands now -----------------------------------------------------------------------

    def states(self, kind: str) -> dict[str, Any]:
        """Return everything that was kept under a kind, by its key."""
        query = "SELECT key, value FROM states WHERE kind = ?"
        return dict(self._database.read(state_of, query, kind))

    def keep_states(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep plain JSON values, by kind and key; None removes what was kept there.

        Raises:
            JournalError: nothing of it was written.
        """
        delete = "DELETE FROM states WHERE kind = ? AND key = ?"
        insert = "INSERT OR REPLACE INTO states (kind, key, value) VALUES (?, ?, ?)"
        values_of = [(k, key, v) for k, values in changes.items() for key, v in values.items()]
        with self._database.transaction() as connection:
            for kind, key, value in values_of:
                if value is None:
                    connection.execute(delete, (kind, encodable(key)))
                else:
                    row = kind, encodable(key), encodable(json.dumps(value))
                    connection.execute(insert, row)


_AS_BYTES = ", ".join(
    name if name in {"id", "at"} else f"CAST({name} AS BLOB)" for name in ENTRY_COLUMNS.split(", ")
)
"""The columns of an entry in a form that SQLite can give of any text."""

_LETTING = frozenset({Kind.INTENT, Kind.APPROVED, Kind.RULE_RESUMED, Kind.RESUMED})
"""Kinds that authorise an act: they are not written into a journal that is not sound."""

_OF_THE_MOMENT = frozenset({Kind.REPLY, Kind.BLOCKED, Kind.ASKED})
"""Kinds that no limit and no stop rests on: they wait in the log. Others are brought into the
file at once, so that a copy of it alone knows them."""

_ASKED = (
    "WHERE kind = 'asked' AND host = ? AND rule = ? AND json_extract(detail, '$.key') = ? "
    "ORDER BY id DESC LIMIT 1"
)
_WITHDRAWN = (
    "WHERE kind = 'withdrawn' AND host = ? AND rule = ? AND json_extract(detail, '$.of') = ? "
    "ORDER BY id"
)
_AT_ONCE = 1000
"""Entries read at a time: memory does not grow with the journal."""

_NEWS = (
    f"NOT INDEXED WHERE id > ? AND kind IN ({', '.join(repr(kind.value) for kind in COUNTED)}) "
    f"ORDER BY id LIMIT {_AT_ONCE}"
)
