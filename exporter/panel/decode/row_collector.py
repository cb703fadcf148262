"""A whole list: each message once, what contradicts itself left out, the rest counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import cast

from exporter.panel.decode.anonymise import anonymise_value
from exporter.panel.decode.columns import ColumnReader
from exporter.panel.decode.message_table import (
    COLUMNS,
    ColumnBatch,
    MessageTable,
    add_certainty,
    columns_by_field,
    guessed_fields,
    mta_of,
)
from exporter.panel.decode.names import FIELDS, Key, read_headings
from exporter.panel.decode.recognition import FieldReading, show_key
from exporter.panel.decode.row_batches import RefusedRows, RowBatch, RowForm, RowForms
from exporter.snapshot import Certainty, Mta

MAX_SAMPLES = 3

_NO_ZONE = "dates name no zone: ages stay unknown until the host's `time_zone` is set"


class RowCollector:
    """Takes in batches of rows, refuses rows that are not understood, hands the messages on."""

    def __init__(self, sink: Callable[[ColumnBatch], None]) -> None:
        self._sink = sink
        self.ids: list[str] = []
        """All that were handed on, in order."""
        self.repeated: set[str] = set()
        """Those that further rows have, too: a row may be there for each recipient."""
        self.again: list[ColumnBatch] = []
        """These further rows: they may contradict the first."""
        self.spoiled: set[str] = set()
        """Those of rows in which a cell does not fit, or that contradict themselves."""
        self.listed = 0
        """Rows in the reply, understood or not."""
        self.samples: list[str] = []
        """The first rows that were not understood, shortened and anonymised."""
        self.continued = False
        """Whether rows hold nothing but addresses: recipients of some message before."""
        self.console_messages = 0
        self._known: set[str | None] = set()
        """All ids, also those of rows that were not understood."""
        self._repeats = 0
        """Further rows of messages that were handed on."""

    @property
    def unread(self) -> int:
        """Rows that were not understood, further rows of a message aside: in each may be one."""
        return self.listed - len(self.ids) - self._repeats

    def add(self, batch: RowBatch) -> None:
        """Take in the rows with a valid id, and of several with the same id one."""
        self._known.update(batch.at_odds)
        self.spoiled.update(batch.at_odds)
        self.repeated.update(batch.at_odds)
        before = len(self.ids)
        refused = self._take(batch)
        if batch.rows:
            self.listed += len(batch.ids) - len(refused)
            self.refuse(RefusedRows(batch.decoded(refused), len(refused)))
        else:
            self.listed += len(batch.ids)
            self.console_messages += len(self.ids) - before

    def refuse(self, refused: RefusedRows) -> None:
        """Count rows that are not understood, headings aside, and keep the first of them."""
        rows = [row for row in refused.rows if not _is_heading(row)]
        self.listed += refused.count - len(refused.rows) + len(rows)
        for row in rows[: MAX_SAMPLES - len(self.samples)]:
            self.samples.append(anonymise_value(row))
        self.continued = self.continued or any(map(_holds_only_addresses, rows))

    def _take(self, batch: RowBatch) -> list[int]:
        """Return the positions of the rows that are refused."""
        ids, columns = batch.ids, batch.columns
        if not ids:
            return []
        new = None if self._known.isdisjoint(ids) else set(ids) - self._known
        before = len(self._known)
        self._known.update(ids)
        if len(self._known) - before == len(ids) and None not in self._known:
            return self._take_first(cast("list[str]", ids), columns, batch.reader)
        self._known.discard(None)
        new = set(ids) if new is None else new
        new.discard(None)
        first: list[int] = []
        refused: list[int] = []
        for row, id_ in enumerate(ids):
            (first if id_ in new else refused).append(row)
            new.discard(id_)
        again = [row for row in refused if ids[row] is not None]
        misfits = self._take_first(*_chosen(first, ids, columns), batch.reader) if first else []
        if again:
            own_ids, own_columns = _chosen(again, ids, columns)
            self.repeated.update(own_ids)
            self._repeats += len(own_ids)
            self.again.append(self._read(own_ids, own_columns, batch.reader)[0])
        return sorted([*refused, *(first[row] for row in misfits)])

    def _take_first(
        self, ids: list[str], columns: Mapping[str, Sequence[object]], reader: ColumnReader
    ) -> list[int]:
        part, misfits = self._read(ids, columns, reader)
        self.ids += part.ids
        self._sink(part)
        return misfits

    def _read(
        self, ids: list[str], columns: Mapping[str, Sequence[object]], reader: ColumnReader
    ) -> tuple[ColumnBatch, list[int]]:
        part, misfits = reader.read(ids, columns)
        self.spoiled.update(ids[row] for row in misfits)
        return part, sorted(misfits)


def _chosen(
    rows: Sequence[int], ids: Sequence[str | None], columns: Mapping[str, Sequence[object]]
) -> tuple[list[str], dict[str, list[object]]]:
    chosen = {name: [column[row] for row in rows] for name, column in columns.items()}
    return cast("list[str]", [ids[row] for row in rows]), chosen


def _is_heading(row: object) -> bool:
    return isinstance(row, list | tuple) and bool(read_headings(row))


def _holds_only_addresses(row: object) -> bool:
    """Return whether a row can be there for one more recipient of the message above it."""
    if not isinstance(row, dict | list | tuple):
        return False
    cells = row.values() if isinstance(row, dict) else row
    filled = [cell for cell in cells if cell is not None and cell != ""]
    return bool(filled) and all(isinstance(cell, str) and "@" in cell for cell in filled)


# --- the table --------------------------------------------------------------------------------


class TableBuilder:
    """Puts batches together to a table."""

    def __init__(self) -> None:
        self._recipients: list[tuple[str, ...] | None] = []
        self._whole = ColumnBatch([], [], [], [], self._recipients, {}, [], [])
        self._certainty: dict[str, Certainty] = {}

    def add(self, part: ColumnBatch) -> None:
        """Append the messages of a batch."""
        start = len(self._whole.ids)
        recipients = [(to,) if isinstance(to, str) else to for to in part.recipients]
        for name in COLUMNS:
            column = recipients if name == "recipients" else getattr(part, name)
            getattr(self._whole, name).extend(column)
        self._whole.delivered.update({start + row: to for row, to in part.delivered.items()})
        for name, column in columns_by_field(part).items():
            if name in part.certainty and any(value is not None for value in column):
                add_certainty(self._certainty, name, part.certainty[name])

    def build(self, summary: MessageTable, collector: RowCollector) -> MessageTable:
        """Return the table; the recipients of a message with further rows are unknown.

        A message is not understood when its rows contradict each other, nor when one of them
        does not fit.
        """
        if collector.continued:
            self._recipients[:] = [None] * len(self._recipients)
        whole = self._compared(collector)
        table = replace(
            summary,
            **{name: getattr(whole, name) for name in (*COLUMNS, "delivered")},
            unparsed=summary.listed - len(whole.ids),
            certainty=self._certainty,
            unread=summary.unread + len(collector.ids) - len(whole.ids),
        )
        return replace(table, readings=_with_certainty(summary.readings, table))

    def _compared(self, collector: RowCollector) -> ColumnBatch:
        """Return the messages with what their further rows, or misfits among these, take back."""
        whole = self._whole
        if not collector.repeated:
            return whole
        rows = {id_: row for row, id_ in enumerate(whole.ids) if id_ in collector.repeated}
        dropped = {row for id_, row in rows.items() if id_ in collector.spoiled}
        for part in collector.again:
            for further, id_ in enumerate(part.ids):
                row = rows.get(id_)
                if row is None:
                    continue
                if _contradict(whole, row, part, further):
                    dropped.add(row)
                self._recipients[row] = None
                whole.delivered.pop(row, None)
                whole.guessed[row] |= part.guessed[further]
        return whole.without(dropped)


def _with_certainty(
    readings: Sequence[FieldReading], table: MessageTable
) -> tuple[FieldReading, ...]:
    """Return the readings with how sure each field is in the rows that have it."""
    guessed, columns = guessed_fields(table), columns_by_field(table)
    sure = {
        name: Certainty.GUESSED if name in guessed else table.certainty.get(name)
        for name, column in columns.items()
        if any(value is not None for value in column)
    }
    return tuple(
        replace(reading, certainty=sure.get(reading.field, reading.certainty))
        for reading in readings
    )


def _contradict(one: ColumnBatch, row: int, other: ColumnBatch, further: int) -> bool:
    """Return whether two rows differ about one message, its recipients aside."""
    pairs = (
        (getattr(one, name)[row], getattr(other, name)[further])
        for name in ("ages", "sizes", "senders", "frozen")
    )
    return any(a is not None and b is not None and a != b for a, b in pairs)


# --- the summary ------------------------------------------------------------------------------


def summarise(
    collector: RowCollector,
    forms: RowForms,
    *,
    found: Sequence[str],
    explain: bool,
) -> MessageTable:
    """Return the table of a list without its messages.

    Args:
        collector: of all its rows.
        forms: of these rows.
        found: in words, where the rows were found.
        explain: whether to say how each field was read.
    """
    shapes = [*found]
    no_zone = forms.options.time_zone is None
    mta = mta_of(collector.ids)
    if collector.console_messages:
        command = "exim -bp" if mta is Mta.EXIM else "postqueue -p"
        shapes.append(f"{collector.console_messages} messages in console text of {command}")
        if mta is Mta.POSTFIX and no_zone:
            shapes.append(_NO_ZONE)
    for (kind, length), form in forms.used:
        label = f"arrays of {length}" if kind == "array" else "objects"
        shapes.append(f"{form.rows} {label}: {form.layout.described}")
        if form.layout.dates_without_zone and no_zone:
            shapes.append(_NO_ZONE)
    if not collector.listed:
        shapes.append("an empty list")
    in_use = [form for _, form in forms.used]
    readings: Sequence[FieldReading] = ()
    if explain and in_use:
        readings = [_reading(name, in_use[0]) for name in FIELDS]
    elif explain and collector.console_messages:
        why = dict.fromkeys(FIELDS, "the list does not show it")
        if mta is Mta.POSTFIX and no_zone:
            why["age"] = "the host's `time_zone`: the dates name none"
        readings = [FieldReading(name, (), Certainty.STRUCTURAL, (), why[name]) for name in FIELDS]
    elif explain:
        readings = [FieldReading(name) for name in FIELDS]
    return MessageTable(
        listed=collector.listed,
        unparsed=collector.listed - len(collector.ids),
        shape="; ".join(shapes),
        samples=tuple(collector.samples),
        proposed_fields=_agreed([form.layout.proposed for form in in_use]),
        readings=tuple(readings),
        unread=collector.unread,
    )


def _reading(name: str, form: RowForm) -> FieldReading:
    """Return how a field was read in the rows of the commonest form."""
    layout, columns = form.layout, form.samples
    keys = layout.keys.get(name, ())
    candidates = layout.candidates.get(name, ())
    samples: list[object] = []
    for cell in (cell for key in keys or candidates for cell in columns.get(key, ())):
        if cell is not None and cell not in samples and len(samples) < MAX_SAMPLES:
            samples.append(cell)
    doubts = [doubt for field_, doubt in layout.doubts if field_ == name]
    read = {key for several in layout.keys.values() for key in several}
    unread = [key for key in columns if key not in read]
    if not keys and not candidates and not doubts and 0 < len(unread) <= MAX_SAMPLES:
        # A person may know by sight what it is.
        texts: list[object] = [str(cell) for cell in columns[unread[0]] if cell not in (None, "")]
        samples = [*dict.fromkeys(texts)][:MAX_SAMPLES]
        doubts = [f"if {' or '.join(map(show_key, unread))} holds it, name it in `fields`"]
    why = "; ".join([*filter(None, [layout.why.get(name)]), *doubts])
    return FieldReading(name, keys, layout.certainty.get(name), tuple(samples), why, candidates)


def _agreed(proposals: Sequence[Mapping[str, Key]]) -> Mapping[str, Key]:
    """Return what the forms of a list propose, unless those after the first contradict it."""
    return {
        name: key
        for name, key in (proposals[0].items() if proposals else ())
        if all(other.get(name, key) == key for other in proposals)
    }
