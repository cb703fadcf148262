"""Sections of a list as batches of rows of one form, cut into the columns of their fields.

A form is recognised by a sample of its rows, once; each of its batches is cut the same way.
Whatever is no row of a known form is handed on as refused, and texts among the rows as texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import compress, islice
from operator import attrgetter
from typing import Any

import msgspec

from exporter.panel.decode.addresses import split_frozen_mark
from exporter.panel.decode.columns import (
    CONSOLE,
    CONSOLE_WORDED,
    ColumnReader,
    ListOptions,
    read_ids,
)
from exporter.panel.decode.console import HEADING, ConsoleRows, closing_count, read_console
from exporter.panel.decode.empty_cells import SenderWords
from exporter.panel.decode.lenient_json import PARSE_ERRORS, readable_value
from exporter.panel.decode.list_payload import (
    CHUNK_ROWS,
    MAX_POSITIONS,
    CellRows,
    ConsoleText,
    JsonRows,
    OddText,
    Section,
    joined,
)
from exporter.panel.decode.names import Key, Question, read_headings
from exporter.panel.decode.recognition import Layout, recognise
from exporter.panel.decode.rivals import rows_at_odds
from exporter.snapshot import Certainty

SAMPLE_ROWS = 100
"""Rows, spread over the list, by which its layout is recognised."""

MAX_FORMS = 16
"""Forms of rows distinguished in one list; rows of further forms are not understood."""

Form = tuple[str, object]
"""Kind of row, and what distinguishes forms of one kind: an array's length, an object's keys."""

_MAIN_OBJECT: Form = ("object", None)
"""Rows that are objects are one form, whatever keys some of them lack."""

_lists = msgspec.json.Decoder(list[tuple[Any, ...]])  # tuples cost the collector less than lists


@dataclass(slots=True)
class RowForm:
    """One form of row, and how its columns are read."""

    layout: Layout
    reader: ColumnReader
    samples: Mapping[Key, Sequence[object]]
    rows: int = 0
    """How many rows of the list have this form."""


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows of one form as columns of what they hold, as it came."""

    reader: ColumnReader
    ids: Sequence[str | None]
    """None where a row has no valid one, or is not understood."""
    columns: Mapping[str, Sequence[object]]
    """By field; a field without a column is left out."""
    rows: Sequence[object] = ()
    """The rows, decoded or not; () for those of console text."""
    at_odds: Sequence[str] = ()
    """Ids of the rows that give one field in two ways, and not the same."""
    source: object = None
    """What the cells were decoded from, to be freed with them: freed earlier, what is kept of a
    large list is spread over its memory, and decoding takes 7 % longer."""

    def decoded(self, positions: Sequence[int]) -> list[object]:
        """Return some of the rows, decoded."""
        rows = [self.rows[row] for row in positions]
        return [_decoded(row) if isinstance(row, msgspec.Raw) else row for row in rows]


@dataclass(frozen=True, slots=True)
class RefusedRows:
    """Rows that are not understood."""

    rows: Sequence[object]
    """Themselves, or lines of text to be shown for them."""
    count: int


@dataclass(frozen=True, slots=True)
class TextRows:
    """Texts among the rows of a list: a section of its own."""

    lines: Sequence[str]


Batch = RowBatch | RefusedRows | TextRows


class RowForms:
    """The forms of rows that a list has, recognised as they appear."""

    def __init__(self, options: ListOptions) -> None:
        self.options = options
        self.senders = SenderWords()
        self._forms: dict[Form, RowForm] = {}
        self._headings: dict[object, Mapping[int, str]] = {}
        """Names of positions, by the length of arrays that have a row of headings."""

    @property
    def used(self) -> list[tuple[Form, RowForm]]:
        """Those that have rows, the commonest first."""
        by_rows = sorted(self._forms.items(), key=lambda item: -item[1].rows)
        return [(form, row_form) for form, row_form in by_rows if row_form.rows]

    @property
    def main_object(self) -> RowForm | None:
        """The form of rows that are objects."""
        return self._forms.get(_MAIN_OBJECT)

    def take_headings(self, row: Sequence[object]) -> bool:
        """Return whether a row names the columns; the names are kept for rows of its length."""
        headings = read_headings(row)
        if headings and not self._forms:
            self._headings[len(row)] = headings
        return bool(headings)

    def are_headed_otherwise(self, headings: Sequence[str]) -> bool:
        """Return whether other columns were recognised before than a table's headings name."""
        known = self._headings.get(len(headings), {})
        return bool(self._forms) and read_headings(headings) != known

    def recognise(self, form: Form, sample: Sequence[Any], *, keyed: bool) -> RowForm | None:
        """Return how rows of a form are read; None when there are too many forms already.

        The first sample decides; `keyed` means that the ids are the keys of the list.
        """
        if form in self._forms or len(self._forms) >= MAX_FORMS:
            return self._forms.get(form)
        options = self.options
        columns = _columns_of(sample[:SAMPLE_ROWS])
        question = Question(
            tuple(options.fields.items()),
            tuple(self._headings.get(form[1], {}).items()),
            keyed=keyed,
            any_word=bool(options.frozen_values),
        )
        layout = recognise(columns, question, now=options.now)
        if keyed and "id" not in layout.keys:
            # Ids that are keys of the list are guessed like those at a position.
            layout = replace(layout, certainty={"id": Certainty.GUESSED, **layout.certainty})
        reader = ColumnReader(options, layout, self.senders)
        self._forms[form] = RowForm(layout, reader, columns)
        return self._forms[form]


def row_batches(section: Section, forms: RowForms) -> Iterator[Batch]:
    """Yield all that a section holds."""
    match section:
        case JsonRows():
            yield from _json_batches(section, forms)
        case CellRows():
            yield from _cell_batches(section, forms)
        case ConsoleText():
            yield from _console_batches(section.text, forms.options)
        case OddText():
            yield RefusedRows(section.lines, section.messages)


# --- JSON rows --------------------------------------------------------------------------------


def _json_batches(section: JsonRows, forms: RowForms) -> Iterator[Batch]:
    raws, ids = section.raws, section.ids
    first = _decoded(raws[0]) if raws and ids is None else None
    if isinstance(first, list) and forms.take_headings(first):
        raws = raws[1:]
    forms.senders.add_json(raws)
    step = max(1, -(-len(raws) // SAMPLE_ROWS))
    values = [_decoded(raw) for raw in raws[::step]]
    sample: dict[Form, list[Any]] = {}
    for value in values:
        sample.setdefault(_form(value), []).append(value)
    objects = [row for form, rows in sample.items() if form[0] == "object" for row in rows]
    if objects:
        forms.recognise(_MAIN_OBJECT, objects, keyed=ids is not None)
    kind = _main_kind(sample)
    if step == 1 and kind == "object":
        yield from _by_form(values, ids, forms, sample)  # a short list: the sample is all of it
        return
    for start in range(0, len(raws), CHUNK_ROWS):
        chunk = slice(start, start + CHUNK_ROWS)
        own_ids = None if ids is None else ids[chunk]
        yield from _chunk_batches(kind, raws[chunk], own_ids, forms, sample)


def _main_kind(sample: Mapping[Form, Sequence[object]]) -> str:
    """Return the kind of most rows, or of the commonest form."""
    counts = Counter({form: len(rows) for form, rows in sample.items()})
    objects = sum(number for form, number in counts.items() if form[0] == "object")
    if 2 * objects > counts.total():
        return "object"
    return counts.most_common(1)[0][0][0] if counts else ""


def _chunk_batches(
    kind: str,
    raws: Sequence[msgspec.Raw],
    ids: Sequence[str] | None,
    forms: RowForms,
    sample: Mapping[Form, list[Any]],
) -> Iterator[Batch]:
    """Yield rows of the list's main kind, decoded at once; what that leaves, one by one."""
    left: Sequence[int] = range(len(raws))
    form = forms.main_object
    try:
        if kind == "object" and form is not None and len(raws) > SAMPLE_ROWS:
            batch, left = _object_batch(form, raws, ids, forms.options.now)
            if batch is not None:
                yield batch
        elif kind == "array":
            rows = _lists.decode(joined(raws))
            lengths = set(map(len, rows))
            if len(lengths) == 1:
                yield _batch(("array", lengths.pop()), rows, ids, forms, sample)
            else:
                yield from _by_form(rows, ids, forms, sample)
            return
    except PARSE_ERRORS:
        pass  # not all are of that kind, or one is not strictly JSON
    own_ids = None if ids is None else [ids[row] for row in left]
    yield from _by_form([_decoded(raws[row]) for row in left], own_ids, forms, sample)


def _object_batch(
    form: RowForm, raws: Sequence[msgspec.Raw], ids: Sequence[str] | None, now: float
) -> tuple[RowBatch | None, Sequence[int]]:
    """Decode only what the layout needs; and return the positions of rows without a valid id."""
    keys = form.layout.read_keys
    if ids is None and "id" not in form.layout.keys:
        return None, range(len(raws))
    decoded = _object_decoder(keys).decode(joined(raws))
    by_key: dict[Key, Sequence[object]] = {
        key: [*map(attrgetter(_attribute(i)), decoded)] for i, key in enumerate(keys)
    }
    columns = _columns_by_field(form.layout, by_key, ids)
    own_ids = read_ids(columns["id"])
    left: list[int] = []
    if None in own_ids:
        has_id = [id_ is not None for id_ in own_ids]
        left = [row for row, has in enumerate(has_id) if not has]
        raws, own_ids = [*compress(raws, has_id)], [*compress(own_ids, has_id)]
        columns = {name: [*compress(column, has_id)] for name, column in columns.items()}
        by_key = {key: [*compress(column, has_id)] for key, column in by_key.items()}
    form.rows += len(raws)
    batch = _with_odds(form, own_ids, columns, raws, by_key, now)
    return replace(batch, source=decoded), left


@lru_cache(maxsize=64)
def _object_decoder(keys: tuple[Key, ...]) -> msgspec.json.Decoder[list[Any]]:
    """Return a decoder of a list of objects that reads these keys alone."""
    row = msgspec.defstruct(
        "Row",
        [
            (_attribute(i), Any, msgspec.field(default=None, name=str(key)))
            for i, key in enumerate(keys)
        ],
        gc=False,
    )
    return msgspec.json.Decoder(list[row])  # type: ignore[valid-type]  # made at run time


def _attribute(index: int) -> str:
    return f"c{index}"


def _by_form(
    values: Sequence[object],
    ids: Sequence[str] | None,
    forms: RowForms,
    sample: Mapping[Form, list[Any]],
) -> Iterator[Batch]:
    """Yield decoded rows of any kind, each form of them with a layout of its own."""
    main = forms.main_object
    id_key = main.layout.keys.get("id", (None,))[0] if main else None
    groups: dict[Form, tuple[list[Any], list[str]]] = {}
    for row, value in enumerate(values):
        form = _form(value)
        if isinstance(value, dict) and (ids is not None or id_key in value):
            form = _MAIN_OBJECT
        rows, row_ids = groups.setdefault(form, ([], []))
        rows.append(value)
        if ids is not None:
            row_ids.append(ids[row])
    for form, (rows, row_ids) in groups.items():
        if form[0] == "text":
            yield TextRows(rows)
        elif form[0] == "other":
            yield RefusedRows(rows, len(rows))
        else:
            yield _batch(form, rows, row_ids if ids is not None else None, forms, sample)


def _batch(
    form_key: Form,
    rows: Sequence[Any],
    ids: Sequence[str] | None,
    forms: RowForms,
    sample: Mapping[Form, list[Any]],
) -> Batch:
    """Return decoded rows of one form."""
    form = forms.recognise(form_key, sample.get(form_key) or rows, keyed=ids is not None)
    if form is not None:
        form.rows += len(rows)
    if form is None or ("id" not in form.layout.keys and ids is None):
        return RefusedRows(rows, len(rows))
    if form_key[0] == "array":
        by_key: Mapping[Key, Sequence[object]] = dict(enumerate(zip(*rows, strict=True)))
    else:
        by_key = {key: [row.get(key) for row in rows] for key in form.layout.read_keys}
    columns = _columns_by_field(form.layout, by_key, ids)
    own_ids = _of_one_server(read_ids(columns["id"]))
    return _with_odds(form, own_ids, columns, rows, by_key, forms.options.now)


def _columns_by_field(
    layout: Layout, by_key: Mapping[Key, Sequence[object]], ids: Sequence[str] | None
) -> dict[str, Sequence[object]]:
    """Return the cells of each field: of several recipients a list, of several states a tuple."""
    columns: dict[str, Sequence[object]] = {}
    for name, keys in layout.keys.items():
        several: Iterator[Sequence[object]] = zip(*(by_key[key] for key in keys), strict=True)
        if name == "recipients":
            several = map(list, several)
        columns[name] = by_key[keys[0]] if len(keys) == 1 else [*several]
    if ids is not None:
        columns["id"] = ids
    return columns


def _with_odds(
    form: RowForm,
    ids: list[str | None],
    columns: dict[str, Sequence[object]],
    rows: Sequence[object],
    by_key: Mapping[Key, Sequence[object]],
    now: float,
) -> RowBatch:
    """Return the rows, those aside that give one field in two ways: they are not understood."""
    at_odds = []
    rivals = form.layout.rivals.items()
    for row in {row for name, keys in rivals for row in rows_at_odds(name, keys, by_key, now)}:
        if (id_ := ids[row]) is not None:
            at_odds.append(id_)
        ids[row] = None
    if form.layout.marked_sender:
        # One column holds senders with Exim's mark behind them.
        parts = [split_frozen_mark(value) for value in columns["sender"]]
        columns["sender"] = [sender for sender, _ in parts]
        # Where nothing stands, no mark was left out either.
        columns["frozen"] = [frozen if sender else None for sender, frozen in parts]
    return RowBatch(form.reader, ids, columns, rows, at_odds)


def _of_one_server(ids: list[str | None]) -> list[str | None]:
    """Return the ids, without short ones of Postfix among those of Exim: they are some number."""
    known = [*filter(None, ids)]
    exim = "".join(known).count("-") // 2
    if exim in (0, len(known)):
        return ids
    return [id_ if id_ is not None and "-" in id_ else None for id_ in ids]


# --- cells and console text -------------------------------------------------------------------


def _cell_batches(section: CellRows, forms: RowForms) -> Iterator[Batch]:
    forms.take_headings(section.headings)
    if section.is_table and forms.are_headed_otherwise(section.headings):
        rows = [*section.rows]  # a second table, whose columns are others than the first one's
        yield RefusedRows(rows, len(rows))
        return
    forms.senders.add_cells(null_written=section.writes_null)
    while batch := [*islice(section.rows, CHUNK_ROWS)]:
        yield from _by_form(batch, None, forms, {})


def _console_batches(text: str, options: ListOptions) -> Iterator[Batch]:
    reader, of_words = (ColumnReader(options, layout) for layout in (CONSOLE, CONSOLE_WORDED))
    understood = odd = 0
    for rows in read_console(text):
        yield from _console_rows(rows, reader, of_words)
        yield RefusedRows(rows.odd_lines, 0)
        understood += len(rows.ids)
        odd += rows.odd
    closing = closing_count(text)
    if closing and text.count(HEADING) < 2:
        odd = 0  # of one list the last line counts all: those that are not understood are the rest
    yield RefusedRows((), max(odd, closing - understood))


def _console_rows(
    rows: ConsoleRows, reader: ColumnReader, of_words: ColumnReader
) -> Iterator[RowBatch]:
    columns: dict[str, Sequence[object]] = {
        "age": rows.ages,
        "size": rows.sizes,
        "sender": rows.senders,
        "recipients": rows.recipients,
        "frozen": rows.frozen,
    }
    if not rows.worded:
        yield RowBatch(reader, rows.ids, columns)
        return
    worded = [row in rows.worded for row in range(len(rows.ids))]
    for own_reader, which in ((of_words, worded), (reader, [not own for own in worded])):
        own = {name: [*compress(column, which)] for name, column in columns.items()}
        yield RowBatch(own_reader, [*compress(rows.ids, which)], own)


# --- rows -------------------------------------------------------------------------------------


def _decoded(raw: msgspec.Raw) -> object:
    """Return a row; a list that PHP sent as an object with numbers for keys is a list again."""
    row = readable_value(raw)
    if not isinstance(row, dict) or not row or len(row) > MAX_POSITIONS:
        return row
    if not all(key.isdecimal() and len(key) < 3 for key in row):
        return row
    cells = {int(key): cell for key, cell in row.items()}
    return [cells.get(position) for position in range(1 + max(cells))]


def _form(row: object) -> Form:
    if isinstance(row, dict):
        return "object", frozenset(row)
    if isinstance(row, list | tuple):
        return ("array", len(row)) if row else ("other", None)
    return ("text" if isinstance(row, str) else "other"), None


def _columns_of(rows: Sequence[Any]) -> dict[Key, Sequence[object]]:
    """Return aligned columns; None where a row has no such key."""
    if not isinstance(rows[0], dict):
        return dict(enumerate(islice(zip(*rows, strict=True), MAX_POSITIONS)))
    keys = dict.fromkeys(key for row in rows for key in islice(row, MAX_POSITIONS))
    return {key: [row.get(key) for row in rows] for key in islice(keys, 4 * MAX_POSITIONS)}
