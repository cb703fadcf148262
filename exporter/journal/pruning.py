"""What the journal may forget: all that is old and on which no guard rests."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from exporter.journal.clock import Timeline
from exporter.journal.database import Database
from exporter.journal.entries import STANDING

DAY = 86400.0

KEPT_AT_LEAST = 2 * DAY
"""However soon pruning is to come: limits look back a day, and an approval that counts for a day
may be that of a request as old again."""

_AT_ONCE = 200
"""Entries in one transaction: others write in between."""


def prune(
    database: Database,
    before: float,
    now: float,
    timeline: Timeline,
    held: Callable[[], set[int]],
) -> int:
    """Delete what is older than `before` (Unix time) and holds no more; return how many that was.

    What the guards go by stays, however old: `held` returns it within a transaction. What was
    written before the clock was set is as old as the time that has passed since says.

    Raises:
        JournalError: it went no further; what was deleted until then is gone.
    """
    before = min(before, now - KEPT_AT_LEAST)
    spans = list(timeline.spans())
    # Before this all is old, in whichever span.
    oldest = min(before - shift for _, _, shift in spans)
    deleted = 0
    for begin, end, shift in spans:
        # In the order in which they were written, whatever the clock said: nothing goes before
        # what it came after. What was dated far ahead of the clock does not hold up the rest.
        young = database.rows(_FIRST_YOUNG, begin, end, before - shift, now - shift + DAY)
        bounds = {"after": begin, "end": young[0][0] - 1 if young else end}
        bounds |= {"before": before - shift, "oldest": oldest}
        deleted += _prune_span(database, bounds, held)
        if young:
            break
    return deleted


def _prune_span(database: Database, bounds: dict[str, Any], held: Callable[[], set[int]]) -> int:
    deleted = 0
    while True:
        with database.transaction() as connection:
            kept = held()  # by now: others write in between
            bounds["held"] = json.dumps(sorted(kept))
            rows = connection.execute(_OLD, bounds).fetchall()
            # Until the end of this transaction the triggers let go of what is older.
            connection.execute("UPDATE horizon SET before = ?", (bounds["before"],))
            gone = [(number,) for number, holds in rows if not holds and number not in kept]
            connection.executemany("DELETE FROM entries WHERE id = ?", gone)
            connection.execute("UPDATE horizon SET before = NULL")
        deleted += len(gone)
        if len(rows) < _AT_ONCE:
            return deleted
        bounds["after"] = rows[-1][0]


_FIRST_YOUNG = """
    SELECT id FROM entries NOT INDEXED WHERE id > ? AND id <= ? AND at >= ?
        -- What is dated far ahead holds up nothing, but for a word on an approval: it counts once
        -- its time comes, unless what ended it is still there.
        AND (at < ? OR kind IN ('approval_requested', 'approved', 'rejected'))
    ORDER BY id LIMIT 1
"""

_OLD = f"""
    SELECT old.id,
        -- What stands, or waits to be settled.
        old.kind IN ({", ".join(f"'{kind.value}'" for kind in sorted(STANDING))})
        OR EXISTS (SELECT 1 FROM unsettled WHERE entry = old.id)
        -- The outcome of an intent that stays.
        OR (old.kind = 'outcome' AND EXISTS (SELECT 1 FROM entries its
            WHERE its.run = old.run AND its.kind = 'intent'
                AND (its.at >= :oldest OR its.id IN (SELECT value FROM json_each(:held)))))
    FROM entries old WHERE old.id > :after AND old.id <= :end AND old.at < :before
    ORDER BY old.id LIMIT {_AT_ONCE}
"""  # noqa: S608 - constants
