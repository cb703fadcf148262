"""What an empty cell says: nothing, unless the rest of the list shows that it is a value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import cast

import msgspec

from exporter.panel.decode.list_payload import CHUNK_ROWS, joined
from exporter.panel.decode.message_table import ColumnBatch, columns_by_field
from exporter.panel.decode.names import Key

_NULL_VALUE = re.compile(
    rb'"\s*(?:(?:<|&lt;|\\u003c){1,2}(?:>|&gt;|\\u003e){1,2}'
    rb'|(?:<|&lt;|\\u003c)?mailer-daemon(?:>|&gt;|\\u003e)?)\s*"',
    re.IGNORECASE,
)
"""A null sender that is written out as a value of JSON."""

_SIGNS_OF_NULL = (b"<>", b"&lt;", b"u003", b"AILER-D", b"ailer-")
"""One of these is in each: quicker to find that there is none."""


class SenderWords:
    """How the rows of a list write their senders; looked up only where a column leaves it open."""

    def __init__(self) -> None:
        self._null_written = False
        self._unsearched: Sequence[msgspec.Raw] = ()
        self._raws: Sequence[msgspec.Raw] = ()

    def add_cells(self, *, null_written: bool) -> None:
        """Take rows of cells into account."""
        self._null_written = self._null_written or null_written

    def add_json(self, raws: Sequence[msgspec.Raw]) -> None:
        """Take JSON rows into account."""
        self._unsearched = [*self._unsearched, *raws] if self._unsearched else raws
        self._raws = raws

    def null_is_written(self) -> bool:
        """Return whether a null sender is written out in any row: then an empty one is unknown.

        The sample of a long list may hold none, nor the rows that are read together.
        """
        if not self._null_written and self._unsearched:
            self._null_written = any(
                any(sign in piece for sign in _SIGNS_OF_NULL) and _NULL_VALUE.search(piece)
                for piece in _pieces(self._unsearched)
            )
            self._unsearched = ()
        return self._null_written

    def are_named_under(self, key: Key) -> bool:
        """Return whether any row has a sender that is not empty under the key for it."""
        if isinstance(key, int):
            return False
        names = {json.dumps(key), json.dumps(key, ensure_ascii=False)}
        named = re.compile(
            b'(?:%s)\\s*:\\s*"[^"]' % b"|".join(re.escape(name.encode()) for name in names)
        )
        return any(named.search(piece) for piece in _pieces(self._raws))


def _pieces(raws: Sequence[msgspec.Raw]) -> Iterator[bytes]:
    for start in range(0, len(raws), CHUNK_ROWS):
        yield joined(raws[start : start + CHUNK_ROWS])


def forget_what_nothing_says(
    part: ColumnBatch, columns: Mapping[str, Sequence[object]], *, empty_is_null: bool
) -> None:
    """Take back what an empty cell was read as where it may be there for nothing found.

    An empty state says that a message is not frozen in a row that holds anything of it, and an
    empty sender that it is a bounce in a row that holds all that others do: a panel leaves
    empty, too, what it could not read.
    """
    if "" in part.senders:
        _forget_senders(part, columns, empty_is_null=empty_is_null)
    states = columns.get("frozen", ())
    if not states:
        return
    guessed = frozenset[str]().union(*set(part.guessed))
    # A guess is no reason to believe what a name says.
    weak = guessed if "frozen" not in guessed else frozenset[str]()
    if "size" in columns and "size" not in weak and None not in part.sizes:
        return
    names = [name for name in ("size", "sender", "recipients") if name in columns] or ["age"]
    read = columns_by_field(part)
    speaking = [read[name] for name in names if name in columns and name not in weak]
    if any(all(column) for column in speaking):
        return
    for row, state in enumerate(states):
        known = any(column[row] not in (None, "", ()) for column in speaking)
        if part.frozen[row] is False and not known and _says_nothing(state):
            part.frozen[row] = None


def _forget_senders(
    part: ColumnBatch, columns: Mapping[str, Sequence[object]], *, empty_is_null: bool
) -> None:
    cells = columns["sender"]
    if not empty_is_null and part.senders.count("") == cells.count(""):
        part.senders[:] = [sender or None for sender in part.senders]
        return
    empty = _blank_rows(cells)
    if not empty:
        return
    others = [columns[name] for name in ("age", "size", "recipients") if name in columns]
    if len(empty) < part.senders.count("") or "<" in "".join(map(str, cells)):
        empty_is_null = False  # null senders are written out
    for row in empty:
        known = empty_is_null and others and all(_is_filled(column[row]) for column in others)
        if not known:
            part.senders[row] = None


def _blank_rows(cells: Sequence[object]) -> list[int]:
    with suppress(TypeError):  # not all are texts
        together = "".join(cast("Sequence[str]", cells))
        if len(together.split(None, 1)) == 1:  # no blanks: a cell is empty or filled
            return [row for row, cell in enumerate(cells) if not cell] if "" in cells else []
    return [row for row, cell in enumerate(cells) if _blank(cell)]


def _says_nothing(state: object) -> bool:
    return all(map(_blank, state)) if isinstance(state, tuple) else _blank(state)


def _blank(cell: object) -> bool:
    if isinstance(cell, list) and len(cell) == 1:
        cell = cell[0]
    return cell is None or (isinstance(cell, str) and (not cell or cell.isspace()))


def _is_filled(cell: object) -> bool:
    if type(cell) is str:
        return cell != "" and not cell.isspace()
    return not _blank(cell) and cell not in ([], {})
