"""The payload of list_msg as sections: JSON rows, rows of cells, console text, odd text.

Pure functions: a payload goes in, whatever its kind, and values come out. Nothing here knows
what a row means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple, cast

import msgspec

from exporter.panel.decode.anonymise import safe_text
from exporter.panel.decode.console import (
    closing_count,
    is_console,
    is_heading_row,
    is_no_message,
    is_table,
    plain_text,
    read_table,
    tabbed_rows,
    unread_messages,
)
from exporter.panel.decode.envelope import PAYLOAD_KEYS, unexpected
from exporter.panel.decode.lenient_json import PARSE_ERRORS, decode_value, encode, readable_value
from exporter.panel.decode.names import read_headings
from exporter.panel.decode.values import read_id

MAX_DEPTH = 4
"""Objects and texts inside each other in which rows are looked for."""

MAX_POSITIONS = 64
"""Cells of a row that are looked at."""

CHUNK_ROWS = 2048
"""Rows decoded at a time: bounds the memory that undecoded values take."""

_NULL_WORD = re.compile(r"(?<!\S)(?:<>|<<>>|<mailer-daemon>|mailer-daemon)(?!\S)", re.IGNORECASE)
"""A null sender that is written out in a text."""

_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_raw_value = msgspec.json.Decoder(msgspec.Raw)
_text = msgspec.json.Decoder(str)
_texts = msgspec.json.Decoder(list[str])
_lenient = json.JSONDecoder(strict=False)

_UNREADABLE = msgspec.Raw(b"null")
"""A row that is refused and counted."""


class Place(NamedTuple):
    """Where a section was found."""

    by_position: bool
    """Whether the host's `fields` name positions, so that odd lines are cut into cells."""
    depth: int = MAX_DEPTH
    """How deep rows may be nested from here."""
    found: tuple[str, ...] = ()
    """In words, what is around it and how it is read."""

    def inside(self, words: str) -> Place:
        """Return the place of what this one holds."""
        return Place(self.by_position, self.depth - 1, (*self.found, words))

    def read_as(self, words: str) -> Place:
        """Return the same place with how it is read."""
        return self._replace(found=(*self.found, words))


@dataclass(frozen=True, slots=True)
class JsonRows:
    """Rows that are not decoded yet."""

    place: Place
    raws: Sequence[msgspec.Raw]
    ids: Sequence[str] | None = None
    """The keys of the object that holds the rows, where these are ids."""


@dataclass(frozen=True, slots=True)
class CellRows:
    """Rows of an HTML table, or lines that are cut into cells."""

    place: Place
    rows: Iterator[list[str]]
    headings: Sequence[str]
    """A first row that names the columns; () without one."""
    writes_null: bool
    """Whether a null sender is written out in any row."""
    is_table: bool = False


@dataclass(frozen=True, slots=True)
class ConsoleText:
    """The output of `exim -bp`, `mailq` or `postqueue -p`."""

    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class OddText:
    """A text that is not understood."""

    place: Place
    lines: Sequence[str]
    """The first line of each message that must be in it."""
    messages: int


Section = JsonRows | CellRows | ConsoleText | OddText


def open_payload(payload: msgspec.Raw, place: Place) -> Section:
    """Return the section that the payload of a reply is, or what an object in it holds.

    Raises:
        PanelError: `unexpected` when it is no list of any kind.
    """
    with memoryview(payload) as view:
        first = bytes(view[:1])
    try:
        if first == b"[":
            return _open_list(payload, place)
        if first == b"{" and place.depth:
            return _open_object(payload, place)
        if first == b'"':
            return open_text(str(decode_value(payload)), place)
    except PARSE_ERRORS:
        raise unexpected("The payload of list_msg cannot be read.") from None
    raise unexpected("The payload of list_msg is neither a list nor a text.")


def _open_list(payload: msgspec.Raw, place: Place) -> Section:
    if _starts_with(payload, b"[", then=b'"'):
        text = None
        with suppress(*PARSE_ERRORS):  # some rows are no texts, or not strictly JSON
            text = joined_text(payload)
        if text is not None:
            return open_text(text, place)
    return JsonRows(place, _raw_list.decode(payload))


def joined_text(payload: msgspec.Raw) -> str:
    """Return the texts of a list as the lines of one.

    Plain ones are decoded as one text: a text for each line takes three times the memory.
    """
    encoded = bytes(payload)
    if b"\\" not in encoded and b"\x7f" not in encoded:
        # Each quote begins or ends a text, so that what is cut elsewhere is no JSON any more.
        encoded = encoded.replace(b'", "', b"\x7f").replace(b'","', b"\x7f")
        with suppress(*PARSE_ERRORS):
            text = _text.decode(memoryview(encoded)[1:-1])
            del encoded
            return text.replace("\x7f", "\n")
    return "\n".join(_texts.decode(payload))


def _open_object(payload: msgspec.Raw, place: Place) -> Section:
    """Open a list with numbers or ids for keys, one message, or an object around a list."""
    members = _raw_members.decode(payload)
    keys = [*members]
    if all(key.isdecimal() and len(key) < 10 for key in keys):
        return JsonRows(place, [members[key] for key in sorted(keys, key=int)])
    if 2 * sum(read_id(key) is not None for key in keys) >= len(keys):
        place = place.read_as("an object with the ids as keys")
        return JsonRows(place, [*members.values()], keys)
    texts = [raw for raw in members.values() if _starts_with(raw, b'"')]
    if len(keys) <= MAX_POSITIONS and any(read_id(readable_value(raw)) for raw in texts):
        return JsonRows(place, [payload])
    lower = {key.strip().lower(): raw for key, raw in members.items()}
    for key in PAYLOAD_KEYS:
        if key in lower and _starts_with(lower[key], b'[{"'):
            return open_payload(lower[key], place.inside(f"inside `{key}`"))
    raise unexpected(
        "The payload of list_msg is an object, but not of messages: it has the keys "
        f"{', '.join(safe_text(key, limit=30) for key in keys[:5])}."
    )


def open_text(text: str, place: Place) -> Section:
    """Return the section that a text is."""
    section = _open_json(text, place)
    if section is not None:
        return section
    if is_table(text):
        headings, rows = read_table(text)
        if not all(len(cells) == 1 for cells in rows):
            return _table(headings, rows, place)
        text = "\n".join(cells[0] for cells in rows)
    plain = plain_text(text)
    if is_console(plain, bare=not place.by_position):
        return ConsoleText(place, plain)
    separator = "\t" if "\t" in plain else None
    if separator or (place.by_position and unread_messages(plain)):
        lines = tabbed_rows(text) if separator else plain.split("\n")
        if lines is not None:
            return _cut(lines, separator, place)
    if plain != text:  # its quotes may have been written for a page
        section = _open_json(plain, place)
    if section is not None:
        return section
    odd = [line.strip() for line in unread_messages(plain)]
    place = place.read_as("a text that is not understood") if odd else place
    return OddText(place, odd, closing_count(plain) or len(odd))


def _table(headings: list[str], rows: list[list[str]], place: Place) -> CellRows:
    if not read_headings(headings) and rows and read_headings(rows[0]):
        headings, *rows = rows
    null = any(_NULL_WORD.fullmatch(cell.strip()) for cells in rows for cell in cells)
    place = place.read_as("rows of an HTML table")
    return CellRows(place, iter(rows), headings, null, is_table=True)


def _cut(lines: Sequence[str], separator: str | None, place: Place) -> CellRows:
    stripped = (line.strip(" \n") for line in lines)
    rows = (line.split(separator, MAX_POSITIONS) for line in stripped if line)
    first = [*islice(rows, 2)]
    names_columns = bool(separator) and len(first) > 1 and is_heading_row(first[0])
    headings = first.pop(0) if read_headings(first[0]) or names_columns else []
    null = any(map(_NULL_WORD.search, lines))
    place = place.read_as("lines of a text, cut into columns")
    return CellRows(place, chain(first, rows), headings, null)


# --- JSON inside a text: what PHP's exec gives of `postqueue -j`, or a list encoded twice -----


def _open_json(text: str, place: Place) -> Section | None:
    """Return the section of a text that is JSON, or lines of it; None for any other."""
    found = json_rows(text) if place.depth else None
    if found is None:
        return None
    place = place.inside("JSON inside a text")
    return JsonRows(place, found) if isinstance(found, list) else open_payload(found, place)


def json_rows(text: str) -> msgspec.Raw | list[msgspec.Raw] | None:
    """Return the list that a text is, or the objects that its lines are; None for no JSON.

    A line that is no object is a row that cannot be read, but for warnings of the command.
    """
    start = _first_line(text)
    if start is None or text[start] not in "{[":
        return None
    with suppress(*PARSE_ERRORS):
        whole = _raw_value.decode(text[start:].strip().encode())
        return whole if text[start] == "[" else [whole]
    return _json_lines([line for line in text[start:].split("\n") if line.strip()])


def _first_line(text: str) -> int | None:
    """Return where the first line begins that is no warning; None for nothing but warnings."""
    lines = re.finditer(r"\S[^\n]*", text)
    return next((line.start() for line in lines if not is_no_message(line[0].rstrip())), None)


def _json_lines(lines: list[str]) -> list[msgspec.Raw] | None:
    if not lines[0].lstrip().startswith("{"):
        return None
    try:
        return _raw_list.decode(f"[{','.join(lines)}]".encode())
    except PARSE_ERRORS:
        found = [row for line in lines for row in _objects(line)]
    return found if any(row is not _UNREADABLE for row in found) else None


def _objects(line: str) -> Iterator[msgspec.Raw]:
    """Yield the objects of a line; there are several where line breaks were lost."""
    position = 0
    while line[position:].strip() or not position:
        position += len(line[position:]) - len(line[position:].lstrip())
        try:
            value, position = _lenient.raw_decode(line, position)
            if not isinstance(value, dict):
                raise TypeError  # noqa: TRY301
            yield encode(value)
        except (*PARSE_ERRORS, TypeError):
            if not is_no_message(line.strip()):
                yield _UNREADABLE
            return


# --- raw values -------------------------------------------------------------------------------


def joined(raws: Sequence[msgspec.Raw]) -> bytes:
    """Return some rows as one JSON list."""
    return b"[" + b",".join(cast("Sequence[bytes]", raws)) + b"]"


def _starts_with(raw: msgspec.Raw, starts: bytes, *, then: bytes = b"") -> bool:
    """Return whether a value is not empty and begins so, blanks before `then` aside."""
    with memoryview(raw) as view:
        head = bytes(view[:20])
    return len(head) > 2 and head[:1] in starts and head[1:].lstrip().startswith(then)
