"""The journal: one writer at a time, readers at any time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from exporter.journal.clock import FirstSeen, JournalClock, Timeline
from exporter.journal.database import LAST_ID, Database
from exporter.journal.entries import (
    Entry,
    FleetFacts,
    Kind,
    RuleFacts,
    Unsettled,
    concerns,
    ends_approval,
    subjects,
)
from exporter.journal.file import JournalError, JournalMissingError, lock_file
from exporter.journal.host_lock import LockFileError, others_announce
from exporter.journal.pruning import prune
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
from exporter.journal.schema import SUBJECT
from exporter.snapshot import Message, PanelId

__all__ = ["Journal", "JournalError", "JournalMissingError"]

HOUR, DAY = 3600.0, 86400.0

APPROVAL_LASTS = DAY
"""Seconds after which an approval, or a request for one, counts no more."""


FIRST_SEEN = "first_seen"
"""The states that tell when actions were first seen to be dated ahead of the clock."""


class Journal:
    """An open journal. Not for several threads at once."""

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
            clock: tells the Unix time.
            monotonic: tells the seconds that pass, whatever the clock is set to, which no limit
                then follows; None for a clock that is not the machine's, and never set.

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
        told = [message_row(message) for message in messages]
        with self._database.transaction():
            ((last,),) = self._database.rows(LAST_ID)
            number = int(last) + 1
            row = (number, at, *map(encodable, texts))
            self._database.connection.execute(
                f"INSERT INTO entries ({ENTRY_COLUMNS}, checksum) "  # noqa: S608 - constants
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, checksum_of(row, told)),
            )
            self._database.connection.executemany(
                f"INSERT INTO messages (entry, position, {MESSAGE_COLUMNS}) "  # noqa: S608 - constants
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                ((number, position, *message) for position, message in enumerate(told)),
            )
        if entry.kind not in _OF_THE_MOMENT and not self._database.writing:
            self._database.checkpoint()
        if entry.kind is Kind.REPLY:
            self.demand_sound()  # or there is no next message
        return replace(entry, id=number, at=at)

    @property
    def files(self) -> str:
        """What tells the files that are open from others at their places."""
        return self._database.files

    def is_used_otherwise(self) -> bool:
        """Whether a process goes by other files, which were at the places of these before.

        It sees nothing of what is written here, until it looks at its files, and then it ends
        what it does.
        """
        try:
            return others_announce(lock_file(self.path), self.files)
        except LockFileError:  # its folder has gone: whoever opens a journal there has another
            return True

    def demand_sound(self) -> None:
        """See that the files are those that were opened, and hold what was written into them.

        Raises:
            JournalError: nothing may be done by what they say.
        """
        self._database.demand_sound()

    def alone(self) -> AbstractContextManager[None]:
        """Let no other process write between what is read here and what is written for it.

        Raises:
            JournalError: nothing was written.
        """
        return self._database.transaction()

    def prune(self, before: float) -> int:
        """Delete what is older than `before` and holds no more; how many entries that was.

        What the guards go by stays, however old.

        Raises:
            JournalError: it went no further; what was deleted until then is gone.
        """
        return prune(self._database, before, self._now(), self.timeline())

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
        """Entries in the order in which they were written.

        Args:
            host: of this host only.
            rule: of this rule only.
            run: of this run only.
            kinds: of these kinds only; all when empty.
            since: Unix time; none before it.
            after: an entry's id; none up to it.
            newest: at most so many, the last ones.
            readable: leave out what cannot be read, for who only shows it.

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
        rest = f"WHERE {' AND '.join(wheres)} ORDER BY id DESC LIMIT ?"
        parameters.append(-1 if newest is None else newest)
        return self._entries(rest, *parameters, readable=readable)[::-1]

    def asked(
        self, host: str, rule: str, key: str, *, since: float, panel: PanelId | None = None
    ) -> Entry | None:
        """The last time that a rule was asked for on a host with this `key`.

        None when it was not, at Unix time `since` or later. `panel` as in `rule_facts`.

        Raises:
            JournalError: it cannot be read.
        """
        asked = (
            entry
            for whose, subject in _whose(host, panel)
            for entry in self._entries(_ASKED.format(whose=whose), subject, rule, since, key)
        )
        return max(asked, key=lambda entry: entry.id, default=None)

    def newest(self, host: str, rule: str, panel: PanelId, kind: Kind) -> Entry | None:
        """The last entry of a kind that concerns a rule and a panel which is called `host` now.

        Raises:
            JournalError: it cannot be read.
        """
        return self._newest(_whose(host, panel), rule, [kind])

    def rules_known(self) -> list[Entry]:
        """The last entry of each rule on each panel that ever acted, was stopped or asked a person.

        Raises:
            JournalError: it cannot be read.
        """
        return self._entries(_RULES_KNOWN)

    def withdrawn(self, host: str, rule: str, alert: str) -> list[Entry]:
        """The ends of an alert that asked for a rule on a host; `alert` is in their detail `of`.

        Raises:
            JournalError: it cannot be read.
        """
        return self._entries(_WITHDRAWN, host, rule, alert)

    def messages(self, entry: int) -> list[Message]:
        """The messages that were written with an entry.

        Raises:
            JournalError: it cannot be read.
        """
        query = f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE entry = ? ORDER BY position"  # noqa: S608 - constants
        return self._database.read(message_of, query, entry)

    def rule_facts(self, host: str, rule: str, panel: PanelId | None = None) -> RuleFacts:
        """What the guards of a rule on a host go by.

        Args:
            host: its name.
            rule: the rule's.
            panel: the panel that the host is now. What restrains counts of it under any name,
                and of the name where entries tell no panel; what authorises counts of the very
                same url and pin alone. Without it, all that was ever written of the name.

        Raises:
            JournalError: it cannot be read; then no guard can be sure.
        """
        self.demand_sound()
        now = self._now()
        whose = _whose(host, panel)
        with self._database.snapshot():
            resumed = self._figures(_RESUMED, whose, rule)
            begun = self._begun(
                [(_OF_A_RULE.format(whose=one), (subject, rule)) for one, subject in whose],
                now,
                window=DAY,
                after=max(resumed, default=0),
            )
            ends = (*self._figures(_LAST_GOOD, whose, rule), *resumed)
            failed = self._figures(_FAILED_SINCE, whose, rule, max(ends, default=0))
            standing = self._newest(whose, rule, _STOPS)
            approval = self._approval(host, rule, panel, now)
            requests = self._approved(approval)
            approved = tuple(m for r in requests for m in self.messages(r.id))
            facts = RuleFacts(
                last_begun=begun.last,
                begun_today=begun.number,
                dated_ahead=bool(begun.unseen or begun.ahead),
                stopped=_unless(standing, Kind.RULE_RESUMED),
                failed_verifications=sum(failed),
                approval="" if approval is None else _APPROVALS[approval.kind],
                approval_run="" if approval is None else approval.run,
                approval_at=0.0 if approval is None else approval.at,
                approved_ids=frozenset(message.id for message in approved),
                approved=approved,
                approved_listed_at=next(map(_listed_at, requests), 0.0),
                approved_deed=next((str(r.detail.get("deed", "")) for r in requests), ""),
            )
        self._note_seen(begun, now)
        return facts

    def fleet_facts(self) -> FleetFacts:
        """What the guards of every rule go by.

        Raises:
            JournalError: it cannot be read; then no guard can be sure.
        """
        self.demand_sound()
        now = self._now()
        with self._database.snapshot():
            begun = self._begun([(_OF_RULES, ())], now, window=HOUR)
            pauses = [
                entry
                for kind in (Kind.PAUSED, Kind.RESUMED)
                for entry in self.entries(kinds=[kind], newest=1)
            ]
        newest = max(pauses, key=lambda entry: entry.id, default=None)
        self._note_seen(begun, now)
        return FleetFacts(begun.number, _unless(newest, Kind.RESUMED))

    # --- time ----------------------------------------------------------------------------------

    def _now(self) -> float:
        return self._time.now(lambda: int(self._database.rows(LAST_ID)[0][0]))

    def timeline(self) -> Timeline:
        """What is known of the clock that entries were dated by.

        Raises:
            JournalError: it cannot be read.
        """
        seen = {int(number): FirstSeen(*at) for number, at in self.states(FIRST_SEEN).items()}
        return Timeline(self._time.jumps, seen)

    def _begun(
        self,
        of: Iterable[tuple[str, tuple[str, ...]]],
        now: float,
        *,
        window: float,
        after: int = 0,
    ) -> _Begun:
        """When actions began, by the clock as it is now.

        One that is dated ahead of the clock, which was set back, counts from when it was first
        seen to be so; one up to the entry `after` not at all, for a person has seen to it.
        """
        lasts, count, ahead, newest = list[float](), 0, 0, 0
        for begin, end, shift in self.timeline().spans():
            until = now - shift
            for where, values in of:
                span = (*values, begin, end)
                ((last, number),) = self._database.rows(
                    _BEGUN.format(where=where), *span, until - window, until
                )
                count += number
                lasts += [] if last is None else [last + shift]
                if last is None:
                    found = self._database.rows(_LAST_BEGUN.format(where=where), *span, until)
                    lasts += [at + shift for (at,) in found]
                beyond = (*values, max(begin, after), end, until)
                ((more, latest),) = self._database.rows(_AHEAD.format(where=where), *beyond)
                ahead, newest = ahead + more, max(newest, latest or 0)
        begun = _Begun(max(lasts, default=None), count, ahead)
        if not ahead:
            return begun
        seen = self.states(FIRST_SEEN).get(str(newest))
        at = now if seen is None else seen[0] + self.timeline().shift(seen[1])
        unseen = newest if seen is None or at > now else 0
        at = min(at, now)
        return _Begun(max([*lasts, at]), count + ahead * (at > now - window), ahead, unseen)

    def _note_seen(self, begun: _Begun, now: float) -> None:
        """Keep when an action was first seen to be dated ahead of the clock."""
        if begun.unseen:
            ((last,),) = self._database.rows(LAST_ID)
            with suppress(JournalError):  # it is open to read alone
                self.keep_states({FIRST_SEEN: {str(begun.unseen): [now, last]}})

    def unsettled(self, host: str | None = None, panel: PanelId | None = None) -> list[Unsettled]:
        """Intents without an outcome: of a process that ended, or of one that is still at it.

        Of all hosts, or of one. With `panel`, those that concern it: of its url under any name
        (`intent.panel` tells the pin), and of the name where they tell no panel.

        Raises:
            JournalError: it cannot be read.
        """
        with self._database.snapshot():
            intents = self._entries("WHERE id IN (SELECT entry FROM unsettled) ORDER BY id")
            return [
                Unsettled(intent, tuple(self.messages(intent.id)))
                for intent in intents
                if host is None or concerns(intent, host, panel)
            ]

    def _approval(self, host: str, rule: str, panel: PanelId | None, now: float) -> Entry | None:
        """The last word on the last request.

        None when an action ended it, or it has lapsed, or its age is out of bounds.

        One that lies far ahead of the clock, which was set back, is no more to be relied on than
        one that is too old.
        """
        whose = _whose(host, panel)
        words = [
            self._entries(_WORD.format(whose=one, pinned=pinned), subject, rule, kind.value, *pin)
            for one, subject in whose
            for kind in (*_APPROVALS, Kind.LAPSED)
            for pinned, pin in (_pinned(kind, panel),)
        ]
        last = _last_word((entry for found in words for entry in found), panel)
        if last is None or last.kind is Kind.LAPSED:
            return None
        if abs(now - last.at - self.timeline().shift(last.id)) >= APPROVAL_LASTS:
            return None
        later = (
            intent
            for one, subject in whose
            for intent in self._entries(_INTENTS_AFTER.format(whose=one), subject, rule, last.id)
        )
        return None if any(ends_approval(last.kind, intent) for intent in later) else last

    def _approved(self, approval: Entry | None) -> list[Entry]:
        """The request that was approved, if any was: of the very panel that the approval names."""
        if approval is None or approval.kind is not Kind.APPROVED:
            return []
        requests = self.entries(
            rule=approval.rule, run=approval.run, kinds=[Kind.APPROVAL_REQUESTED]
        )
        same = [
            request
            for request in requests
            if request.panel == approval.panel
            and (request.panel.url or request.host == approval.host)
        ]
        return same[-1:]

    def _figures(self, query: str, whose: Whose, rule: str, *more: object) -> list[Any]:
        """What a query tells of each subject that counts, where it does."""
        asked = (
            self._database.rows(query.format(whose=one), subject, rule, *more)
            for one, subject in whose
        )
        return [figure for ((figure,),) in asked if figure is not None]

    def _newest(self, whose: Whose, rule: str, kinds: Iterable[Kind]) -> Entry | None:
        # One look each: for several kinds at once SQLite would sort all that there are.
        found = [
            entry
            for one, subject in whose
            for kind in kinds
            for entry in self._entries(
                _WORD.format(whose=one, pinned=""), subject, rule, kind.value
            )
        ]
        return max(found, key=lambda entry: entry.id, default=None)

    def _entries(self, rest: str, *parameters: object, readable: bool = False) -> list[Entry]:
        query = f"SELECT {ENTRY_COLUMNS} FROM entries {rest}"  # noqa: S608 - constants
        if readable:
            rows = self._database.rows(query.replace(ENTRY_COLUMNS, _AS_BYTES), *parameters)
            return [entry for entry in map(readable_entry, rows) if entry is not None]
        return self._database.read(entry_of, query, *parameters)

    # --- what stands now -----------------------------------------------------------------------

    def states(self, kind: str) -> dict[str, Any]:
        """Everything that was kept under a kind, by its key.

        Raises:
            JournalError: it cannot be read.
        """
        query = "SELECT key, value FROM states WHERE kind = ?"
        return dict(self._database.read(state_of, query, kind))

    def keep_states(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep plain JSON values, by kind and key; None removes what was kept there.

        Raises:
            JournalError: nothing of it was written.
        """
        told = [(k, key, v) for k, values in changes.items() for key, v in values.items()]
        with self._database.transaction():
            self._database.connection.executemany(
                "DELETE FROM states WHERE kind = ? AND key = ?",
                [(kind, encodable(key)) for kind, key, value in told if value is None],
            )
            self._database.connection.executemany(
                "INSERT OR REPLACE INTO states (kind, key, value) VALUES (?, ?, ?)",
                [
                    (kind, encodable(key), encodable(json.dumps(value)))
                    for kind, key, value in told
                    if value is not None
                ],
            )


_APPROVALS = {
    Kind.APPROVAL_REQUESTED: "requested",
    Kind.APPROVED: "approved",
    Kind.REJECTED: "rejected",
}
_AS_BYTES = ", ".join(
    name if name in {"id", "at"} else f"CAST({name} AS BLOB)" for name in ENTRY_COLUMNS.split(", ")
)
"""The columns of an entry in a form that SQLite can give of any text."""

_LETTING = frozenset({Kind.INTENT, Kind.APPROVED, Kind.RULE_RESUMED, Kind.RESUMED})
"""Kinds that let something be done: not written into a journal that is not sound."""

_OF_THE_MOMENT = frozenset({Kind.REPLY, Kind.BLOCKED, Kind.ASKED})
"""Kinds that no limit and no stop rests on: they wait in the log. Others are brought into the
file at once, so that a copy of it alone knows them."""

_STOPS = (Kind.STOPPED, Kind.DISABLED, Kind.RULE_RESUMED)

_ASKED = (
    "WHERE kind = 'asked' AND {whose} = ? AND rule = ? AND at >= ? "
    "AND json_extract(detail, '$.key') = ? ORDER BY id DESC LIMIT 1"
)
_RULES_KNOWN = (
    "WHERE id IN (SELECT max(id) FROM entries WHERE rule != '' AND kind IN ("
    "'intent', 'stopped', 'disabled', 'approval_requested', 'approved', 'rejected') "
    "GROUP BY rule, host, panel_url, panel_pin) ORDER BY id DESC"
)
_WITHDRAWN = (
    "WHERE kind = 'withdrawn' AND host = ? AND rule = ? AND json_extract(detail, '$.of') = ? "
    "ORDER BY id"
)
_OF_A_RULE = "entries WHERE kind = 'intent' AND {whose} = ? AND rule = ?"
_OF_RULES = "entries INDEXED BY intents_of_rules WHERE kind = 'intent' AND rule != ''"
_LAST_BEGUN = "SELECT at FROM {where} AND +id > ? AND +id <= ? AND at <= ? ORDER BY at DESC LIMIT 1"
_BEGUN = "SELECT max(at), count(*) FROM {where} AND +id > ? AND +id <= ? AND at > ? AND at <= ?"
_AHEAD = "SELECT count(*), max(id) FROM {where} AND +id > ? AND +id <= ? AND at > ?"


class _Begun(NamedTuple):
    """Actions begun."""

    last: float | None
    number: int
    """Within the window that was asked for."""
    ahead: int = 0
    """Dated ahead of the clock."""
    unseen: int = 0
    """The newest of these, where it was not known before that they are; 0 where it was."""


# Only a good verification or a person ends a row of failed ones: a run that did not come to
# verify, was not seen to, or was stopped in the middle, says nothing.
_LAST_GOOD = (
    "SELECT max(id) FROM entries "
    "WHERE kind = 'outcome' AND {whose} = ? AND rule = ? AND outcome = 'ok' "
    "AND json_extract(detail, '$.stopped_by') IS NULL"
)
_RESUMED = "SELECT max(id) FROM entries WHERE {whose} = ? AND rule = ? AND kind = 'rule_resumed'"
_FAILED_SINCE = (
    "SELECT count(*) FROM entries "
    "WHERE kind = 'outcome' AND {whose} = ? AND rule = ? AND outcome = 'verify_failed' AND id > ?"
)
_WORD = "WHERE {whose} = ? AND rule = ? AND kind = ?{pinned} ORDER BY id DESC LIMIT 1"
_INTENTS_AFTER = "WHERE {whose} = ? AND rule = ? AND kind = 'intent' AND id > ?"

Whose = Sequence[tuple[str, str]]
"""What is looked at in an entry, and what it must be."""


_AUTHORISING = frozenset({Kind.APPROVAL_REQUESTED, Kind.APPROVED})


def _last_word(words: Iterable[Entry], panel: PanelId | None) -> Entry | None:
    counted = [
        word
        for word in words
        if panel is None or word.kind not in _AUTHORISING or word.panel == panel
    ]
    return max(counted, key=lambda entry: entry.id, default=None)


def _whose(host: str, panel: PanelId | None) -> Whose:
    """By what the entries are found that count for a host; an index each for one look."""
    if panel is None:
        return (("host", host),)
    return tuple((SUBJECT, subject) for subject in subjects(host, panel))


def _pinned(kind: Kind, panel: PanelId | None) -> tuple[str, tuple[str, ...]]:
    """The rest of a query for a word on an approval: what authorises is of the very panel."""
    if panel is None or kind not in _AUTHORISING:
        return "", ()
    return " AND panel_url = ? AND panel_pin = ?", (panel.url, panel.pin)


def _listed_at(entry: Entry) -> float:
    """Unix time of the list that an entry's messages are of."""
    told = entry.detail.get("listed_at")
    return float(told) if isinstance(told, int | float) else entry.at


def _unless(entry: Entry | None, ends: Kind) -> str:
    """What an entry says that stands until one of kind `ends`; never "" while it does."""
    return "" if entry is None or entry.kind is ends else entry.text or f"{entry.kind.value}."
