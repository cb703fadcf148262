"""list_msg: from the reply's bytes to a table of messages, whatever form the rows have."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from functools import lru_cache, partial
from io import StringIO
from itertools import compress, islice
from operator import attrgetter
from typing import Any, cast

import msgspec

from exporter.panel.decode.addresses import split_frozen_mark
from exporter.panel.decode.anonymise import anonymise_value, safe_text
from exporter.panel.decode.console import (
    HEADING,
    closing_count,
    is_console,
    is_heading_row,
    is_table,
    plain_text,
    read_console,
    read_table,
    unread_messages,
)
from exporter.panel.decode.envelope import PAYLOAD_KEYS, open_envelope, quote, unexpected
from exporter.panel.decode.json_lines import json_rows
from exporter.panel.decode.lenient_json import PARSE_ERRORS, decode_value
from exporter.panel.decode.recognition import (
    FIELDS,
    FieldReading,
    Form,
    Key,
    Layout,
    read_headings,
    recognise,
    rows_at_odds,
    show_key,
)
from exporter.panel.decode.table import (
    ColumnBatch,
    ColumnReader,
    MessageTable,
    RowCollector,
    Summary,
    TableBuilder,
    mta_of,
    read_ids,
)
from exporter.panel.decode.values import read_id
from exporter.panel.protocol import LIST_EMPTY_CODE, Operation
from exporter.snapshot import Certainty, Mta

SAMPLE_ROWS = 100
"""Rows, spread over the list, by which its layout is recognised."""

_CROWDED_FROM = 2**20
_LEAST_PER_VALUE = 6
"""Bytes per comma in a large reply; rows of messages have four times as many. A list such as
`1,1,1,…` would take forty times its size as Python objects."""

_LEAST_PER_ROW_VALUE = 20
"""Bytes per comma in a large reply whose values do not stand in rows as those of messages do,
such as `{"0":0,"1":0,…}`."""

CHUNK_ROWS = 2048
"""Rows decoded at a time: bounds the memory that undecoded values take."""

MAX_FORMS = 16
"""Forms of rows told apart in one list; rows of further forms are not understood."""

MAX_SAMPLES = 3

_NULL_WORD = re.compile(r"(?<!\S)(?:<>|<<>>|<mailer-daemon>|mailer-daemon)(?!\S)", re.IGNORECASE)
_NULL_VALUE = re.compile(
    rb'"\s*(?:(?:<|&lt;|\\u003c){1,2}(?:>|&gt;|\\u003e){1,2}'
    rb'|(?:<|&lt;|\\u003c)?mailer-daemon(?:>|&gt;|\\u003e)?)\s*"',
    re.IGNORECASE,
)
"""A null sender that is written out: a cell of a table, and a value of JSON."""

_SIGNS_OF_NULL = (b"<>", b"&lt;", b"u003", b"AILER-D", b"ailer-")
"""One of these is in each: quicker to find that there is none."""
_MAX_DEPTH = 4
_MAX_POSITIONS = 64

_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_texts = msgspec.json.Decoder(list[str])
_lists = msgspec.json.Decoder(list[tuple[Any, ...]])  # tuples cost the collector less than lists

_MAIN_OBJECT: Form = ("object", None)


def decode_queue(
    body: bytes,
    *,
    now: float,
    fields: Mapping[str, str | int] | None = None,
    time_zone: tzinfo | None = None,
    frozen_values: Mapping[str, bool] | None = None,
) -> MessageTable:
    """The messages of a reply to list_msg.

    Args:
        body: the reply.
        now: Unix time, which dates and Unix times in the rows are compared with.
        fields: the host's `fields`: which name or position is what; overrides recognition.
        time_zone: the panel's, for dates that name none; without it they tell no age.
        frozen_values: which values of the field `frozen` mean frozen, and which not; any other
            then tells nothing.

    Raises:
        PanelError: as `decode_reply`, and `unexpected` when the payload is no list of any kind.
            Rows that are not understood are counted, they are no error.
    """
    builder = TableBuilder()
    intake, summary = read_queue(
        body,
        builder.add,
        now=now,
        fields=fields,
        time_zone=time_zone,
        frozen_values=frozen_values,
        explain=True,
    )
    return builder.build(summary, intake)


def read_queue(
    body: bytes,
    sink: Callable[[ColumnBatch], None],
    *,
    now: float,
    fields: Mapping[str, str | int] | None,
    time_zone: tzinfo | None,
    frozen_values: Mapping[str, bool] | None = None,
    explain: bool = False,
) -> tuple[RowCollector, Summary]:
    """As `decode_queue`, but `sink` gets the messages part by part, so that none need stay.

    `explain`: the summary says how each field was read.

    Returns:
        What took in the ids of all messages, and what there is to say of the list.
    """
    if len(body) > _CROWDED_FROM and _is_crowded(body):
        raise unexpected("The values in list_msg's reply are too many and too short for messages.")
    envelope = open_envelope(body, Operation.LIST)
    if envelope.code == LIST_EMPTY_CODE:
        return RowCollector(sink), Summary(
            0, 0, f"the code {LIST_EMPTY_CODE}: the queue is empty", (), {}
        )
    if envelope.payload is None:
        raise unexpected(f"The reply to list_msg holds no list.{quote(envelope.text)}")
    listing = ListReader(
        now, dict(fields or {}), time_zone, RowCollector(sink), frozen_values or {}, explain
    )
    listing.read(envelope.payload, _MAX_DEPTH)
    return listing.intake, listing.summary(envelope.payload_key)


def _is_crowded(body: bytes) -> bool:
    """Whether values are too many and too short to be those of messages."""
    values = body.count(b",")
    if values * _LEAST_PER_VALUE > len(body):
        return True
    if values * _LEAST_PER_ROW_VALUE <= len(body):
        return False
    rows = body.count(b"{") + body.count(b"[")
    return not values / _MAX_POSITIONS <= rows <= values


@lru_cache(maxsize=64)
def _object_decoder(keys: tuple[str, ...]) -> msgspec.json.Decoder[list[Any]]:
    """Decodes a list of objects of which only these keys matter."""
    row = msgspec.defstruct(
        "Row",
        [(_attribute(i), Any, msgspec.field(default=None, name=k)) for i, k in enumerate(keys)],
        gc=False,
    )
    return msgspec.json.Decoder(list[row])  # type: ignore[valid-type]  # made at run time


@dataclass(slots=True)
class _Rows:
    """Undecoded rows; `ids` when they are the values of an object whose keys are the ids."""

    raws: Sequence[msgspec.Raw]
    ids: Sequence[str] | None = None


@dataclass(slots=True)
class _FormInUse:
    layout: Layout
    reader: ColumnReader
    samples: Mapping[Key, Sequence[object]]
    rows: int = 0


@dataclass(slots=True)
class ListReader:
    """The state of reading one list."""

    now: float
    fields: Mapping[str, Key]
    zone: tzinfo | None
    intake: RowCollector
    frozen_values: Mapping[str, bool] = field(default_factory=dict)
    explain: bool = False
    raws: Sequence[msgspec.Raw] = ()
    """The rows, as they came."""
    writes_null: bool | None = None
    """Whether any of them writes a null sender out; None while nobody has looked."""
    headings: dict[int, dict[int, str]] = field(default_factory=dict)
    """Names of positions, by the length of arrays that have a row of headings."""
    listed: int = 0
    forms: dict[Form, _FormInUse] = field(default_factory=dict)
    sample: dict[Form, list[Any]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    console_rows: int = 0
    shapes: list[str] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)
    continued: bool = False

    # --- the payload ---------------------------------------------------------------------------

    def read(self, payload: msgspec.Raw, depth: int) -> None:
        """Take in a payload, whatever its shape."""
        with memoryview(payload) as view:
            first = bytes(view[:1])
        try:
            if first == b"[":
                self._read_list(payload)
            elif first == b"{" and depth:
                self._read_object(payload, depth)
            elif first == b'"':
                self._read_text(str(decode_value(payload)), depth)
            else:
                raise unexpected("The payload of list_msg is neither a list nor a text.")
        except PARSE_ERRORS:
            raise unexpected("The payload of list_msg cannot be read.") from None
        if self.lines:
            text = "\n".join(self.lines)
            self.lines.clear()
            self._read_text(text, depth)

    def _read_list(self, payload: msgspec.Raw) -> None:
        if _starts_with(payload, b"[", then=b'"'):
            try:
                self.lines = _texts.decode(payload)
            except PARSE_ERRORS:
                pass  # some rows are no texts, or not strictly JSON
            else:
                return
        self._read_rows(_Rows(_raw_list.decode(payload)))

    def _read_object(self, payload: msgspec.Raw, depth: int) -> None:
        """A list with numbers or ids for keys, one message, or an object around a list."""
        members = _raw_members.decode(payload)
        keys = [*members]
        if all(key.isdecimal() and len(key) < 10 for key in keys):
            numbered = sorted(members.items(), key=_number)
            self._read_rows(_Rows([raw for _, raw in numbered]))
            return
        if 2 * sum(read_id(key) is not None for key in keys) >= len(keys):
            self.shapes.append("an object with the ids as keys")
            self._read_rows(_Rows([*members.values()], keys))
            return
        texts = [raw for raw in members.values() if _starts_with(raw, b'"')]
        if len(keys) <= _MAX_POSITIONS and any(read_id(_value(raw)) for raw in texts):
            self._read_rows(_Rows([payload]))
            return
        lower = {key.strip().lower(): raw for key, raw in members.items()}
        inner = next(
            (key for key in PAYLOAD_KEYS if key in lower and _starts_with(lower[key], b'[{"')), None
        )
        if inner is None:
            raise unexpected(
                "The payload of list_msg is an object, but not of messages: it has the keys "
                f"{', '.join(safe_text(key, limit=30) for key in keys[:5])}."
            )
        self.shapes.append(f"inside `{inner}`")
        self.read(lower[inner], depth - 1)

    # --- rows ----------------------------------------------------------------------------------

    def _read_rows(self, rows: _Rows) -> None:
        rows = self._without_headings(rows)
        raws = self.raws = rows.raws
        step = max(1, -(-len(raws) // SAMPLE_ROWS))
        sample = [_as_row(_value(raw)) for raw in raws[::step]]
        for value in sample:
            self.sample.setdefault(_form(value), []).append(value)
        # Rows that are objects are one form, whatever keys some of them lack.
        objects = [row for form in self.sample if form[0] == "object" for row in self.sample[form]]
        if objects:
            self._use_form(_MAIN_OBJECT, objects, keyed=rows.ids is not None)
        counts = Counter({form: len(values) for form, values in self.sample.items()})
        kind = "object" if 2 * len(objects) > counts.total() else ""
        kind = kind or (counts.most_common(1)[0][0][0] if counts else "")
        if step == 1 and kind == "object":
            self._read_singly(sample, rows.ids)  # a short list: the sample is all there is
            return
        for start in range(0, len(raws), CHUNK_ROWS):
            chunk = slice(start, start + CHUNK_ROWS)
            ids = None if rows.ids is None else rows.ids[chunk]
            self._read_chunk(kind, _Rows(raws[chunk], ids))

    def _without_headings(self, rows: _Rows) -> _Rows:
        """The rows but a first one that names the columns, which is kept in mind."""
        first = _as_row(_value(rows.raws[0])) if rows.raws and rows.ids is None else None
        if isinstance(first, list) and self._is_heading(first):
            return _Rows(rows.raws[1:])
        return rows

    def _is_heading(self, row: Sequence[object]) -> bool:
        headings = read_headings(row)
        if headings and not self.forms:
            self.headings[len(row)] = headings
        return bool(headings)

    def _read_chunk(self, kind: str, rows: _Rows) -> None:
        """Rows of the list's main kind are decoded at once; what that leaves, one by one."""
        left: Sequence[int] = range(len(rows.raws))
        try:
            if kind == "object" and len(rows.raws) > SAMPLE_ROWS:
                left = self._read_objects(rows)
            elif kind == "array":
                self._read_arrays(_lists.decode(_joined(rows.raws)), rows.ids)
                return
        except PARSE_ERRORS:
            pass  # not all are of that kind, or one is not strictly JSON
        ids = None if rows.ids is None else [rows.ids[row] for row in left]
        self._read_singly([_as_row(_value(rows.raws[row])) for row in left], ids)

    def _read_objects(self, rows: _Rows) -> Sequence[int]:
        """Decode only what the layout needs; the positions of rows without a valid id."""
        form = self.forms[_MAIN_OBJECT]
        names = {name: str(keys[0]) for name, keys in form.layout.keys.items()}
        if rows.ids is None and "id" not in names:
            return range(len(rows.raws))
        states = [str(key) for key in form.layout.keys.get("frozen", ())]
        rivals = [str(key) for keys in form.layout.rivals.values() for key in keys]
        keys = tuple(dict.fromkeys([*names.values(), *states, *rivals]))
        decoded = _object_decoder(keys).decode(_joined(rows.raws))
        by_key: dict[Key, Sequence[object]] = {
            key: [*map(attrgetter(_attribute(i)), decoded)] for i, key in enumerate(keys)
        }
        columns = {name: by_key[key] for name, key in names.items()}
        if len(states) > 1:
            columns["frozen"] = [*zip(*(by_key[key] for key in states), strict=True)]
        if rows.ids is not None:
            columns["id"] = rows.ids
        _split_marks(columns, form.layout)
        ids = self._without_odds(read_ids(columns["id"]), form.layout, by_key)
        refused = self.intake.add(ids, columns, form.reader)
        form.rows += len(rows.raws) - len(refused)
        self.listed += len(rows.raws) - len(refused)
        return refused

    def _read_singly(self, values: Sequence[object], ids: Sequence[str] | None) -> None:
        """Rows of any kind, decoded: each form of them with a layout of its own."""
        main = self.forms.get(_MAIN_OBJECT)
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
                self.lines += rows
            elif form[0] == "other":
                self._refuse(rows)
            else:
                self._add(form, rows, row_ids if ids is not None else None)

    def _read_arrays(self, rows: Sequence[Sequence[Any]], ids: Sequence[str] | None) -> None:
        lengths = set(map(len, rows))
        if len(lengths) > 1:
            self._read_singly(rows, ids)
        elif rows:
            self._add(("array", lengths.pop()), rows, ids)

    def _add(self, form: Form, rows: Sequence[Any], ids: Sequence[str] | None) -> None:
        """Decoded rows of one form."""
        in_use = self._use_form(form, self.sample.get(form) or rows, keyed=ids is not None)
        if in_use is None or ("id" not in in_use.layout.keys and ids is None):
            if in_use is not None:
                in_use.rows += len(rows)
            self._refuse(rows)
            return
        columns: dict[str, Sequence[object]] = {}
        if form[0] == "array":
            positions = [*zip(*rows, strict=True)]
            for name, keys in in_use.layout.keys.items():
                own = [positions[int(key)] for key in keys]
                columns[name] = own[0] if len(own) == 1 else [*map(list, zip(*own, strict=True))]
        else:
            for name, keys in in_use.layout.keys.items():
                cells = [[row.get(key) for row in rows] for key in keys]
                columns[name] = cells[0] if len(cells) == 1 else [*zip(*cells, strict=True)]
        if ids is not None:
            columns["id"] = ids
        _split_marks(columns, in_use.layout)
        told_twice = {
            key: [row[key] for row in rows]
            if form[0] == "array"
            else [row.get(key) for row in rows]
            for keys in in_use.layout.rivals.values()
            for key in keys
        }
        own_ids = _of_one_server(read_ids(columns["id"]))
        own_ids = self._without_odds(own_ids, in_use.layout, told_twice)
        refused = self.intake.add(own_ids, columns, in_use.reader)
        in_use.rows += len(rows)
        self.listed += len(rows) - len(refused)
        self._refuse([rows[row] for row in refused])

    def _without_odds(
        self, ids: list[str | None], layout: Layout, columns: Mapping[Key, Sequence[object]]
    ) -> list[str | None]:
        """The ids, None where the row tells one field in two ways: then it is not understood."""
        for row in rows_at_odds(layout, columns, self.now) if layout.rivals else ():
            if (id_ := ids[row]) is not None:
                self.intake.spoil(id_)
            ids[row] = None
        return ids

    def _use_form(self, form: Form, sample: Sequence[Any], *, keyed: bool) -> _FormInUse | None:
        """How rows of this form are read; None when there are too many forms already."""
        if form not in self.forms:
            if len(self.forms) >= MAX_FORMS:
                return None
            columns = _columns_of(sample[:SAMPLE_ROWS])
            layout = recognise(
                columns,
                now=self.now,
                told=self.fields,
                keyed=keyed,
                headings=self.headings.get(_length(form)),
                any_word=bool(self.frozen_values),
            )
            if keyed and "id" not in layout.keys:
                # Ids that are keys of the list are guessed like those at a position.
                certainty = {"id": Certainty.GUESSED, **layout.certainty}
                layout = replace(layout, certainty=certainty)
            reader = ColumnReader(
                self.now,
                self.zone,
                layout,
                frozen_values=self.frozen_values,
                writes_null=self._writes_null,
                names_senders=partial(self._names_senders, layout),
            )
            self.forms[form] = _FormInUse(layout, reader, columns)
        return self.forms[form]

    def _writes_null(self) -> bool:
        """Whether a null sender is written out in any row: then an empty one is not told.

        The sample of a long list may hold none, nor the rows that are read together.
        """
        if self.writes_null is None:
            self.writes_null = any(
                any(sign in piece for sign in _SIGNS_OF_NULL) and _NULL_VALUE.search(piece)
                for piece in self._pieces()
            )
        return self.writes_null

    def _names_senders(self, layout: Layout) -> bool:
        """Whether any row tells a sender that is not empty under the key for it."""
        (key, *_) = layout.keys["sender"]
        if isinstance(key, int):
            return False
        names = {json.dumps(key), json.dumps(key, ensure_ascii=False)}
        named = re.compile(
            b'(?:%s)\\s*:\\s*"[^"]' % b"|".join(re.escape(name.encode()) for name in names)
        )
        return any(named.search(piece) for piece in self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        """The rows as they came, CHUNK_ROWS at a time."""
        for start in range(0, len(self.raws), CHUNK_ROWS):
            yield _joined(self.raws[start : start + CHUNK_ROWS])

    def _refuse(self, rows: Sequence[object]) -> None:
        rows = [row for row in rows if not (isinstance(row, list | tuple) and read_headings(row))]
        self.listed += len(rows)
        for row in rows[: MAX_SAMPLES - len(self.samples)]:
            self.samples.append(anonymise_value(row))
        self.continued = self.continued or any(map(_holds_only_addresses, rows))

    # --- texts ---------------------------------------------------------------------------------

    def _read_text(self, text: str, depth: int) -> None:
        if self._read_json_text(text, depth):
            return
        if is_table(text):
            text = self._read_table(text)
        plain = plain_text(text)
        told_positions = any(isinstance(key, int) for key in self.fields.values())
        if is_console(plain, bare=not told_positions):
            self._read_console(plain)
        elif "\t" in plain or (told_positions and unread_messages(plain)):
            self._read_columns(plain, "\t" if "\t" in plain else None)
        elif plain != text and self._read_json_text(plain, depth):
            pass  # its quotes were written for a page
        else:
            self._refuse_text(plain)

    def _read_json_text(self, text: str, depth: int) -> bool:
        """Whether a text is JSON, or lines of it, and so was read."""
        found = json_rows(text) if depth else None
        if found is None:
            return False
        self.shapes.append("JSON inside a text")
        if isinstance(found, list):
            self._read_rows(_Rows(found))
        else:
            self.read(found, depth - 1)
        return True

    def _read_table(self, text: str) -> str:
        """Read the rows of an HTML table; of one with a single column, its lines are returned."""
        headings, rows = read_table(text)
        if all(len(cells) == 1 for cells in rows):
            return "\n".join(cells[0] for cells in rows)
        self.shapes.append("rows of an HTML table")
        if not (headings and self._is_heading(headings)) and rows and self._is_heading(rows[0]):
            headings, *rows = rows
        if self.forms and read_headings(headings) != self.headings.get(len(headings), {}):
            self._refuse(rows)  # a second table, whose columns are others than the first one's
            return ""
        self.writes_null = any(_NULL_WORD.fullmatch(c.strip()) for cells in rows for c in cells)
        for start in range(0, len(rows), CHUNK_ROWS):
            self._read_singly(rows[start : start + CHUNK_ROWS], None)
        return ""

    def _read_columns(self, text: str, separator: str | None) -> None:
        self.shapes.append("lines of a text, cut into columns")
        self.writes_null = _NULL_WORD.search(text) is not None
        first = True
        for lines in _batches(text):
            rows = [line.split(separator, _MAX_POSITIONS) for line in lines]
            headed = first and separator and len(rows) > 1 and is_heading_row(rows[0])
            if first and (self._is_heading(rows[0]) or headed):
                del rows[0]
            first = False
            self._read_singly(rows, None)

    def _refuse_text(self, text: str) -> None:
        lines = unread_messages(text)
        for line in lines[: MAX_SAMPLES - len(self.samples)]:
            self.samples.append(anonymise_value(line.strip()))
        self.listed += closing_count(text) or len(lines)
        if lines:
            self.shapes.append("a text that is not understood")

    def _read_console(self, text: str) -> None:
        reader = ColumnReader(self.now, self.zone)
        of_words = ColumnReader(self.now, self.zone, frozen_by_words=True)
        before, listed_before, understood = len(self.intake.ids), self.listed, 0
        for rows in read_console(text):
            columns: dict[str, Sequence[object]] = {
                "age": rows.ages,
                "size": rows.sizes,
                "sender": rows.senders,
                "recipients": rows.recipients,
                "frozen": rows.frozen,
            }
            if rows.worded:
                by_words = [row in rows.worded for row in range(len(rows.ids))]
                self._add_those(rows.ids, columns, of_words, by_words)
                self._add_those(rows.ids, columns, reader, [not worded for worded in by_words])
            else:
                self.intake.add(rows.ids, columns, reader)
            self.listed += len(rows.ids) + rows.odd
            understood += len(rows.ids)
            for line in rows.odd_lines[: MAX_SAMPLES - len(self.samples)]:
                self.samples.append(anonymise_value(line))
        self.console_rows += len(self.intake.ids) - before
        closing = closing_count(text)
        if closing and text.count(HEADING) < 2:
            # Of one list that is how many there are: those that are not understood are the rest.
            self.listed = listed_before + understood
        self.listed = max(self.listed, listed_before + closing)

    def _add_those(
        self,
        ids: Sequence[str],
        columns: Mapping[str, Sequence[object]],
        reader: ColumnReader,
        which: Sequence[bool],
    ) -> None:
        own = {name: [*compress(column, which)] for name, column in columns.items()}
        self.intake.add([*compress(ids, which)], own, reader)

    # --- the result ----------------------------------------------------------------------------

    def summary(self, payload_key: str) -> Summary:
        """What there is to say of the list."""
        by_rows = sorted(self.forms.items(), key=lambda item: -item[1].rows)
        used = [(form, in_use) for form, in_use in by_rows if in_use.rows]
        shapes = [f"under `{payload_key}`", *self.shapes]
        if self.console_rows:
            mta = mta_of(self.intake.ids)
            command = "exim -bp" if mta is Mta.EXIM else "postqueue -p"
            shapes.append(f"{self.console_rows} messages in console text of {command}")
            if mta is Mta.POSTFIX and self.zone is None:
                shapes.append(_NO_ZONE)
        for form, in_use in used:
            label = f"arrays of {form[1]}" if form[0] == "array" else "objects"
            shapes.append(f"{in_use.rows} {label}: {in_use.layout.described}")
            if in_use.layout.dates_without_zone and self.zone is None:
                shapes.append(_NO_ZONE)
        if not self.listed:
            shapes.append("an empty list")
        return Summary(
            self.listed,
            self.listed - len(self.intake.ids),
            "; ".join(shapes),
            tuple(self.samples),
            _agreed([in_use.layout.proposed for _, in_use in used]),
            self.continued,
            self.listed - len(self.intake.ids) - self.intake.repeats,
            self._readings([in_use for _, in_use in used]) if self.explain else (),
        )

    def _readings(self, used: Sequence[_FormInUse]) -> tuple[FieldReading, ...]:
        """How each field was read in the rows of the commonest form."""
        if not used:
            sure = Certainty.STRUCTURAL if self.console_rows else None
            why = dict.fromkeys(FIELDS, "the list does not show it" if self.console_rows else "")
            if self.console_rows and self.zone is None and mta_of(self.intake.ids) is Mta.POSTFIX:
                why["age"] = "the host's `time_zone`: the dates name none"
            return tuple(FieldReading(name, (), sure, (), why[name]) for name in FIELDS)
        return tuple(_reading(name, used) for name in FIELDS)


_NO_ZONE = "dates name no zone: ages stay unknown until the host's `time_zone` is set"


def _agreed(proposals: Sequence[Mapping[str, Key]]) -> Mapping[str, Key]:
    """`fields` hold for all forms of a list: what the forms after the first contradict, goes."""
    if not proposals:
        return {}
    first, *others = proposals
    return {
        name: key
        for name, key in first.items()
        if all(other.get(name, key) == key for other in others)
    }


def _of_one_server(ids: list[str | None]) -> list[str | None]:
    """Without what has the form of a short id of Postfix among ids of Exim: some number."""
    told = [*filter(None, ids)]
    exim = "".join(told).count("-") // 2
    if exim in (0, len(told)):
        return ids
    return [id_ if id_ is not None and "-" in id_ else None for id_ in ids]


def _split_marks(columns: dict[str, Sequence[object]], layout: Layout) -> None:
    """Make two columns of one that holds senders with Exim's mark behind them."""
    if layout.marked_sender:
        parts = [split_frozen_mark(value) for value in columns["sender"]]
        columns["sender"] = [sender for sender, _ in parts]
        # Where nothing stands, no mark was left out either.
        columns["frozen"] = [frozen if sender else None for sender, frozen in parts]


def _value(raw: msgspec.Raw) -> object:
    """The row, or None when it cannot be read."""
    try:
        return decode_value(raw)
    except ValueError:
        return None


def _as_row(value: object) -> object:
    """A list that PHP sent as an object with numbers for keys is a list again."""
    if not isinstance(value, dict) or not value or len(value) > _MAX_POSITIONS:
        return value
    if not all(key.isdecimal() and len(key) < 3 for key in value):
        return value
    cells: list[object] = [None] * (1 + max(map(int, value)))
    for key, cell in value.items():
        cells[int(key)] = cell
    return cells


def _form(row: object) -> Form:
    if isinstance(row, dict):
        return "object", frozenset(row)
    if isinstance(row, list | tuple):
        return ("array", len(row)) if row else ("other", None)
    return ("text" if isinstance(row, str) else "other"), None


def _holds_only_addresses(row: object) -> bool:
    """Whether a row can be there for one more recipient of the message above it."""
    if not isinstance(row, dict | list | tuple):
        return False
    cells = row.values() if isinstance(row, dict) else row
    told = [cell for cell in cells if cell is not None and cell != ""]
    return bool(told) and all(isinstance(cell, str) and "@" in cell for cell in told)


def _columns_of(rows: Sequence[Any]) -> dict[Key, Sequence[object]]:
    """Aligned columns; None where a row has no such key."""
    if not isinstance(rows[0], dict):
        return dict(enumerate(islice(zip(*rows, strict=True), _MAX_POSITIONS)))
    keys = dict.fromkeys(key for row in rows for key in islice(row, _MAX_POSITIONS))
    return {key: [row.get(key) for row in rows] for key in islice(keys, 4 * _MAX_POSITIONS)}


def _length(form: Form) -> int:
    return form[1] if form[0] == "array" and isinstance(form[1], int) else 0


def _reading(name: str, used: Sequence[_FormInUse]) -> FieldReading:
    layout, columns = used[0].layout, used[0].samples
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
        # A person who sees what stands there may know what it is.
        texts: list[object] = [str(cell) for cell in columns[unread[0]] if cell not in (None, "")]
        samples = [*dict.fromkeys(texts)][:MAX_SAMPLES]
        doubts = [f"if {' or '.join(map(show_key, unread))} holds it, name it in `fields`"]
    why = "; ".join([*filter(None, [layout.why.get(name)]), *doubts])
    return FieldReading(name, keys, layout.certainty.get(name), tuple(samples), why, candidates)


def _joined(raws: Sequence[msgspec.Raw]) -> bytes:
    return b"[" + b",".join(cast("Sequence[bytes]", raws)) + b"]"


def _attribute(index: int) -> str:
    return f"c{index}"


def _number(item: tuple[str, object]) -> int:
    return int(item[0])


def _starts_with(raw: msgspec.Raw, starts: bytes, *, then: bytes = b"") -> bool:
    """Whether a value is not empty and begins so, blanks before `then` aside."""
    with memoryview(raw) as view:
        head = bytes(view[:20])
    return len(head) > 2 and head[:1] in starts and head[1:].lstrip().startswith(then)


def _batches(text: str) -> Iterator[list[str]]:
    """The lines that hold anything, CHUNK_ROWS at a time."""
    lines = (stripped for line in StringIO(text) if (stripped := line.strip(" \n")))
    while batch := [*islice(lines, CHUNK_ROWS)]:
        yield batch
