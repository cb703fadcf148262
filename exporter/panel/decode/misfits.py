"""Why a row is not understood: all reasons, and the last of them, a cell that does not fit.

| reason | made in |
| --- | --- |
| it is no JSON, or a text that is no output of a mail server | `list_payload`, `console` |
| it is neither object, array nor text; the list has too many forms | `row_batches` |
| its form has no place for ids, or a table has other headings than the first | `row_batches` |
| it has no valid id, or a short one among those of Exim | `row_batches` |
| it gives one field in two ways, and not the same | `rivals`, sorted out in `row_batches` |
| a message's last line counts more messages than were found | `row_batches` (console text) |
| a cell cannot be what its column holds | here |
| further rows of the message contradict it, or do not fit | `row_collector`, `TableBuilder` |

`RowCollector` counts them all. A repeated id alone is no reason: it is a further row of a message.

Rows that were cut at other places than their neighbours look alike as long as nobody looks at
every cell. One that cannot be what its column holds makes its row not understood, whatever the
majority of rows says. An empty cell never does that: it is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from exporter.panel.decode import cells
from exporter.panel.decode.message_table import ColumnBatch
from exporter.panel.decode.recognition import Layout

_ANY_ADDRESS = cells.ADDRESS | cells.NULL_SENDER | cells.MARKED_SENDER | cells.BRACKETED
_MIXED_ID = cells.SURE_ID | cells.MIXED_ID
_ANY_TIME = cells.DURATION | cells.DATE

_LARGEST_PLAIN = 10**9
"""Bytes. A number from here on may be a Unix time as well."""

FOREIGN = {
    "age": cells.SURE_ID | _ANY_ADDRESS,
    "size": cells.SURE_ID | _ANY_ADDRESS | cells.DATE,
    "sender": _MIXED_ID | cells.DATE,
    "recipients": cells.SURE_ID | cells.DATE | cells.NULL_SENDER | cells.MARKED_SENDER,
    "frozen": cells.SURE_ID,
}
"""What a value under a key of that name cannot be. It may well be what nobody can read."""

FOREIGN_AT_POSITION = {
    "age": _MIXED_ID | _ANY_ADDRESS,
    "size": _MIXED_ID | _ANY_ADDRESS | _ANY_TIME | cells.EPOCH,
    "sender": _MIXED_ID | _ANY_TIME | cells.SIZE_UNIT,
    "recipients": _MIXED_ID | _ANY_TIME | cells.SIZE_UNIT | cells.NULL_SENDER | cells.MARKED_SENDER,
    "frozen": _MIXED_ID | _ANY_TIME | cells.SIZE_UNIT | _ANY_ADDRESS,
}
"""What a cell in a column cannot be."""

FITTING_AT_POSITION = {
    "age": _ANY_TIME | cells.EPOCH,
    "size": cells.SIZE,
    "sender": _ANY_ADDRESS,
    "recipients": cells.ADDRESS | cells.MANY,
}
"""What a cell in a column has to be. Only words for states may be any."""


class FitCheck:
    """Compares rows with the layout that they are read by."""

    def __init__(self, now: float, layout: Layout) -> None:
        self._now = now
        self._layout = layout
        self._placed = {
            name for name, keys in layout.keys.items() if any(isinstance(key, int) for key in keys)
        }

    def misfits(self, columns: Mapping[str, Sequence[object]], batch: ColumnBatch) -> set[int]:
        """Return the rows with a cell that does not fit, among those not understood at once.

        Args:
            columns: the cells, by field.
            batch: what they were decoded as.
        """
        doubtful: dict[str, Sequence[int]] = {
            "age": _unread(batch.ages),
            "size": self._doubtful_sizes(columns.get("size", ()), batch.sizes),
            "sender": self._doubtful_senders(columns.get("sender", ()), batch.senders),
            "recipients": self._doubtful_recipients(batch.recipients),
            "frozen": _unread(batch.frozen),
        }
        return {
            row
            for name, rows in doubtful.items()
            if rows and name in columns
            for row in rows
            if columns[name][row] != "" and not self._fits(name, columns[name][row])
        }

    def _fits(self, name: str, cell: object) -> bool:
        several = len(self._layout.keys.get(name, ())) > 1  # columns for recipients, or for states
        if isinstance(cell, tuple) or (several and isinstance(cell, list)):
            return all(self._fits(name, one) for one in cell)
        bits = cells.looks(cell, self._now)
        if cell is None or bits & cells.BLANK:
            return True
        if name not in self._placed:
            return not bits & FOREIGN[name]
        return self._fits_position(name, cell, bits)

    def _fits_position(self, name: str, cell: object, bits: int) -> bool:
        if name == "age" and bits & cells.NUMBER and self._layout.bare_age_unit is not None:
            return True
        if name == "frozen" and bits & cells.STATE:
            return True
        if bits & FOREIGN_AT_POSITION[name] or (name == "sender" and bits & cells.MANY):
            return bool(name == "sender" and bits & cells.MARKED_SENDER)
        fitting = FITTING_AT_POSITION.get(name)
        if fitting is None or bits & fitting:
            return True
        # An address that is cut, or among words, is what belongs here, only not known.
        return name in ("sender", "recipients") and isinstance(cell, str) and "@" in cell

    def _doubtful_sizes(self, column: Sequence[object], sizes: list[int | None]) -> Sequence[int]:
        if "size" not in self._placed or not column:
            return _unread(sizes)
        largest = max(filter(None, sizes), default=0)
        try:
            together = "".join(cast("Sequence[str]", column))
        except TypeError:
            together = "" if set(map(type, column)) == {int} else "m"
        # A short age such as `7m` has small letters, which Exim's sizes have not.
        if largest < _LARGEST_PLAIN and (together.isupper() or together == together.upper()):
            return _unread(sizes)
        return range(len(sizes))

    def _doubtful_senders(
        self, column: Sequence[object], senders: list[str | None]
    ) -> Sequence[int]:
        """Return those that are unknown, and bare words, which may be a cell of another column."""
        known = [*filter(None, senders)]
        together = "\n".join(known)
        if together.count("@") == len(known) and '"' not in together:
            # One in each.
            empty = "" not in senders and senders.count(None) == column.count("")
            return () if empty else _unread(senders)
        return [
            row
            for row, sender in enumerate(senders)
            if sender is None or (sender and "@" not in sender)
        ]

    def _doubtful_recipients(
        self, recipients: list[str] | list[tuple[str, ...] | None]
    ) -> Sequence[int]:
        if not recipients or isinstance(recipients[0], str):
            return ()  # plain addresses, all of them
        if "recipients" not in self._placed:
            return _unread(recipients)
        return [
            row
            for row, addresses in enumerate(recipients)
            if addresses is None or not all("@" in address for address in addresses)
        ]


def _unread(column: Sequence[object]) -> Sequence[int]:
    if None not in column:
        return ()
    return [row for row, value in enumerate(column) if value is None]
