"""What the journal may forget: all that is old and on which no guard rests."""

from __future__ import annotations

import re
from typing import Any

from exporter.journal.clock import Timeline
from exporter.journal.database import Database
from exporter.journal.entries import STANDING
from exporter.journal.schema import SUBJECT

DAY = 86400.0

KEPT_AT_LEAST = 2 * DAY
"""However soon pruning is to come: limits look back a day, and an approval that counts for a day
may be that of a request as old again."""

_AT_ONCE = 200
"""Entries in one transaction: others write in between."""


def prune(database: Database, before: float, now: float, timeline: Timeline) -> int:
    """Delete what is older than `before` (Unix time) and holds no more; how many entries that was.

    What the guards go by stays, however old. What was written before the clock was set is as old
    as the time that has passed since says.

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
        deleted += _prune_span(
            database,
            {
                "id": begin,
                "end": young[0][0] - 1 if young else end,
                "before": before - shift,
                "oldest": oldest,
            },
        )
        if young:
            break
    return deleted


def _prune_span(database: Database, bounds: dict[str, Any]) -> int:
    deleted = 0
    while True:
        with database.transaction():
            rows = database.connection.execute(_OLD, bounds).fetchall()
            # Until the end of this transaction the triggers let go of what is older.
            database.connection.execute("UPDATE horizon SET before = ?", (bounds["before"],))
            gone = [(number,) for number, holds in rows if not holds]
            database.connection.executemany("DELETE FROM entries WHERE id = ?", gone)
            database.connection.execute("UPDATE horizon SET before = NULL")
        deleted += len(gone)
        if len(rows) < _AT_ONCE:
            return deleted
        bounds["id"] = rows[-1][0]


_FIRST_YOUNG = """
    SELECT id FROM entries NOT INDEXED WHERE id > ? AND id <= ? AND at >= ?
        -- What is dated far ahead holds up nothing, but for a word on an approval: it counts once
        -- its time comes, unless what ended it is still there.
        AND (at < ? OR kind IN ('approval_requested', 'approved', 'rejected'))
    ORDER BY id LIMIT 1
"""


def _same(one: str, other: str) -> tuple[str, str]:
    """Two entries of one rule: by the name of the host, and by whom they are about.

    Facts are asked for by either.
    """
    rule = f"{one}.rule = {other}.rule"
    return (
        f"{one}.host = {other}.host AND {rule}",
        f"{_subject(one)} = {_subject(other)} AND {rule}",
    )


def _subject(name: str) -> str:
    return re.sub(r"\b(panel_url|host)\b(?! ')", rf"{name}.\1", SUBJECT)


def _last_of_its_rule(name: str) -> str:
    lasts = (
        f"""NOT EXISTS (SELECT 1 FROM entries later
            WHERE later.kind = 'intent' AND {same}
                AND (later.at, later.id) > ({name}.at, {name}.id))"""  # noqa: S608 - constants
        for same in _same("later", name)
    )
    return f"{name}.kind = 'intent' AND {name}.rule != '' AND ({' OR '.join(lasts)})"


def _after(what: str, condition: str) -> str:
    """Whether an entry of the old one's rule came after it, by its name and by whom it is about."""
    return " AND ".join(
        f"EXISTS (SELECT 1 FROM entries {what} WHERE {condition} AND {what}.id > old.id AND {same})"  # noqa: S608 - constants
        for same in _same(what, "old")
    )


# What was stopped in the middle is no good verification.
_GOOD_LATER = _after(
    "good",
    "good.kind = 'outcome' AND good.outcome = 'ok' "
    "AND json_extract(good.detail, '$.stopped_by') IS NULL",
)
_RESUMED_LATER = _after("resumed", "resumed.kind = 'rule_resumed'")

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
                AND (its.at >= :oldest OR {_last_of_its_rule("its")})))
        -- A failed verification of a row that has not ended.
        OR (old.kind = 'outcome' AND old.rule != '' AND old.outcome = 'verify_failed'
            AND NOT ({_GOOD_LATER}) AND NOT ({_RESUMED_LATER}))
        -- What ended the last row: failed ones before it may stay for another reason.
        OR (old.kind = 'outcome' AND old.rule != '' AND old.outcome = 'ok' AND NOT ({_GOOD_LATER})
            AND json_extract(old.detail, '$.stopped_by') IS NULL)
    FROM entries old WHERE old.id > :id AND old.id <= :end AND old.at < :before
    ORDER BY old.id LIMIT {_AT_ONCE}
"""  # noqa: S608 - constants
