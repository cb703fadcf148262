"""From cells as they came to the columns of a batch: ages, sizes, senders, recipients, states."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import Any, Generic, TypeVar, cast

from exporter.panel.decode.addresses import (
    RecipientColumn,
    joined_lines,
    read_recipient_column,
    read_senders,
)
from exporter.panel.decode.cells import is_bracketed, is_sure_id
from exporter.panel.decode.empty_cells import SenderWords, forget_what_nothing_says
from exporter.panel.decode.message_table import CERTAINTY_FIELDS, ColumnBatch
from exporter.panel.decode.misfits import FitCheck
from exporter.panel.decode.names import Key
from exporter.panel.decode.recognition import Layout
from exporter.panel.decode.values import (
    EXIM_ID,
    HOLD_MARK,
    MARKS,
    MAX_SIZE,
    POSTFIX_ID,
    POSTFIX_MARKS,
    AgeReader,
    combine_states,
    is_epoch,
    read_frozen,
    read_id,
    read_size,
    state_word,
)
from exporter.snapshot import Certainty

_T = TypeVar("_T")

_MEMO_LIMIT = 2**16
"""Distinct values that a column's reader remembers at a time."""

_PLAIN_DIGITS = 15
"""Digits of a number that is surely below MAX_SIZE."""

_ID_LINES = re.compile(rf"(?>(?:(?:{EXIM_ID}|{POSTFIX_ID}{POSTFIX_MARKS})\n)*)", re.ASCII)


class _Memo(dict[object, _T], Generic[_T]):
    """Reads each distinct value of a column once."""

    def __init__(self, read: Callable[[object], _T]) -> None:
        super().__init__()
        self.read = read

    def __missing__(self, value: object) -> _T:
        result = self[value] = self.read(value)
        return result

    def read_all(self, column: Sequence[object], kinds: set[type]) -> list[_T]:
        """Read every value. Only texts are shared: True equals 1, which means another."""
        if not kinds <= {str, type(None)}:
            return [self.read(value) for value in column]
        if len(self) > _MEMO_LIMIT:
            self.clear()
        return list(map(self.__getitem__, column))


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What is known of a list before it is read."""

    now: float
    """Unix time, which dates and Unix times in the rows are compared with."""
    fields: Mapping[str, Key] = field(default_factory=dict)
    """The host's `fields`: which name or position is what; overrides recognition."""
    time_zone: tzinfo | None = None
    """The panel's, for dates that name none; without it their ages are unknown."""
    frozen_values: Mapping[str, bool] = field(default_factory=dict)
    """The host's words for frozen and not frozen; any other is unknown then."""

    @property
    def by_position(self) -> bool:
        """Whether `fields` name a position."""
        return any(isinstance(key, int) for key in self.fields.values())


CONSOLE = Layout({}, {}, dict.fromkeys(CERTAINTY_FIELDS, Certainty.STRUCTURAL), frozen_flag=True)
"""Of console text: the columns are read already, by Exim's or Postfix's own grammar."""

CONSOLE_WORDED = replace(CONSOLE, certainty={**CONSOLE.certainty, "frozen": Certainty.GUESSED})
"""Of messages of console text that are called frozen by words which are none of that grammar."""


class ColumnReader:
    """Reads the columns of rows that share one layout, and says which rows do not fit it.

    Args:
        options: of the list.
        layout: of the rows; in one of console text senders and states are read already.
        senders: how the list writes its senders; asked only where an empty one would be null.
    """

    def __init__(
        self, options: ListOptions, layout: Layout, senders: SenderWords | None = None
    ) -> None:
        self._sender_words = senders or SenderWords()
        self._senders_read = layout is CONSOLE or layout is CONSOLE_WORDED
        self._layout = layout
        self._now = options.now
        self._flag = layout.frozen_flag
        self._guessed = frozenset(
            name for name, sure in layout.certainty.items() if sure is Certainty.GUESSED
        )
        self._sure = {
            name: Certainty.STRUCTURAL if sure is Certainty.GUESSED else sure
            for name, sure in layout.certainty.items()
        }
        self._sure.setdefault("frozen", Certainty.STRUCTURAL)  # by a mark behind the id
        self._dates = AgeReader(options.now, options.time_zone, layout.bare_age_unit)
        self._ages = _Memo(self._dates.read)
        self._sizes = _Memo(read_size)
        self._frozen_values = {
            state_word(word): frozen
            for word, frozen in options.frozen_values.items()
            if not self._senders_read
        }
        self._frozen = _Memo(self._read_state)
        self._state_flags = layout.state_flags
        self._combined_states = _Memo(self._combine)
        self._fit = FitCheck(options.now, layout)

    def _read_state(self, value: object) -> bool | None:
        if self._frozen_values:
            return self._frozen_values.get(state_word(value))
        return read_frozen(value, flag=self._flag)

    def ages(self, column: Sequence[object]) -> list[float | None]:
        """Return seconds."""
        kinds = set(map(type, column))
        if kinds == {int}:
            arrivals = cast("Sequence[int]", column)
            first, last = min(arrivals), max(arrivals)
            # Unix times in seconds, none of them in the future: the common case at once.
            recent = self._now - first <= 86400 * 365 and last <= self._now
            if recent and is_epoch(first, self._now):
                return [self._now - arrival for arrival in arrivals]
        if kinds == {str}:
            dates = self._dates.read_dates(cast("Sequence[str]", column))
            if dates is not None:
                return [*dates]
        return self._ages.read_all(column, kinds)

    def sizes(self, column: Sequence[object]) -> list[int | None]:
        """Return bytes."""
        kinds = set(map(type, column))
        if kinds == {int}:
            sizes = cast("Sequence[int]", column)
            if min(sizes) >= 0 and max(sizes) <= MAX_SIZE:
                return [*sizes]
        if kinds == {str} and _are_plain_numbers(texts := cast("Sequence[str]", column)):
            return [*map(int, texts)]
        return self._sizes.read_all(column, kinds)

    def senders(self, column: Sequence[object]) -> list[str | None]:
        """Return addresses; those of console text come as `read_sender` returns them."""
        if self._senders_read:
            return [*cast("Sequence[str | None]", column)]
        return read_senders(column)

    def frozen(self, column: Sequence[object]) -> list[bool | None]:
        """Return the states; with `state_flags` each cell is a tuple, one for each flag."""
        if self._state_flags:
            return self._combined(cast("Sequence[tuple[object, ...]]", column))
        kinds = set(map(type, column))
        if self._flag and not self._frozen_values and kinds <= {bool, type(None)}:
            return [*cast("Sequence[bool | None]", column)]
        return self._frozen.read_all(column, kinds)

    def _combined(self, column: Sequence[tuple[object, ...]]) -> list[bool | None]:
        kinds = {kind for cells in zip(*column, strict=True) for kind in set(map(type, cells))}
        # Only texts are shared: 1 equals 1.0 and True, which mean other things.
        if kinds <= {str, type(None)}:
            return self._combined_states.read_all(column, {str})
        return [*map(self._combine, column)]

    def _combine(self, given: object) -> bool | None:
        values = cast("tuple[object, ...]", given)
        if self._frozen_values:
            states = {self._read_state(value) for value in values if value is not None}
            return states.pop() if len(states) == 1 else None
        return combine_states([*zip(values, self._state_flags, strict=True)])

    def read(
        self, ids: list[str], columns: Mapping[str, Sequence[object]]
    ) -> tuple[ColumnBatch, set[int]]:
        """Return the messages of rows with valid ids, and the positions of rows that do not fit.

        The latter are left out. `columns` holds cells as they came, by field; a field without a
        column is unknown. The ids may be left out, unless marks of Postfix may be behind them.
        """
        unknown: list[Any] = [None] * len(ids)
        recipients = RecipientColumn([*unknown], {})
        if "recipients" in columns:
            recipients = read_recipient_column(columns["recipients"])
        part = ColumnBatch(
            ids,
            self.ages(columns["age"]) if "age" in columns else [*unknown],
            self.sizes(columns["size"]) if "size" in columns else [*unknown],
            self.senders(columns["sender"]) if "sender" in columns else [*unknown],
            recipients.waiting,
            recipients.delivered,
            self.frozen(columns["frozen"]) if "frozen" in columns else [*unknown],
            self._guesses(ids, columns),
            self._sure,
        )
        if not self._senders_read:
            null = self._layout.empty_is_null and "" in part.senders and self._is_null(part)
            forget_what_nothing_says(part, columns, empty_is_null=null)
        self._take_marks(part, columns)
        if self._senders_read:
            return part, set()
        odd = self._fit.misfits(columns, part)
        return part.without(odd), odd

    def _is_null(self, part: ColumnBatch) -> bool:
        """Return whether an empty sender is the null sender.

        Not where that is written out somewhere; nor where the list names no sender, unless
        a person has confirmed where it stands: PHP's strip_tags leaves nothing of `<a@b.example>`.
        """
        if self._sender_words.null_is_written():
            return False
        if self._layout.sender_confirmed or any(part.senders):
            return True
        return self._sender_words.are_named_under(self._layout.keys["sender"][0])

    def _guesses(
        self, part_ids: list[str], columns: Mapping[str, Sequence[object]]
    ) -> list[frozenset[str]]:
        """Return what is guessed of each row: the grammar of some values leaves no guess."""
        count = len(part_ids)
        guesses = [self._guessed] * count
        if "id" in self._guessed:
            ids = cast("Sequence[str]", columns.get("id", ()))
            without = self._guessed - {"id"}
            # Each id of Exim has two dashes, and no other has any.
            if "".join(part_ids).count("-") == 2 * count:
                guesses = [without] * count
            else:
                guesses = [without if is_sure_id(id_) else self._guessed for id_ in ids]
        if self._layout.marked_sender:
            senders = columns.get("sender", ())
            for row, marked in enumerate(columns.get("frozen", ())):
                # The mark behind a sender in brackets is Exim's, and can be nothing else.
                if marked is True and is_bracketed(senders[row]):
                    guesses[row] = guesses[row] - {"sender", "frozen"}
        return guesses

    def _take_marks(self, part: ColumnBatch, columns: Mapping[str, Sequence[object]]) -> None:
        """Read the states from the marks that postqueue appends to ids. Such a mark is no guess."""
        ids = cast("Sequence[str]", columns.get("id", ()))
        together = "".join(ids)
        if not any(mark in together for mark in MARKS):
            return
        states, guesses = part.frozen, part.guessed
        marks = tuple(MARKS)
        for row in [row for row, id_ in enumerate(ids) if id_.rstrip().endswith(marks)]:
            on_hold = HOLD_MARK in ids[row].rstrip()[-2:]
            if on_hold or not states[row]:
                guesses[row] = guesses[row] - {"frozen"}
            states[row] = on_hold or states[row] or False


def _are_plain_numbers(texts: Sequence[str]) -> bool:
    together = "".join(texts)
    return (
        together.isascii()
        and together.isdigit()
        and all(texts)
        and max(map(len, texts)) <= _PLAIN_DIGITS
    )


def read_ids(column: Sequence[object]) -> list[str | None]:
    """Return the id that each value is, None where it is none; all at once where all are ids."""
    text = joined_lines(column)
    if text is None or not _ID_LINES.fullmatch(text):
        return [read_id(value) for value in column]
    if any(mark in text for mark in MARKS):
        for mark in MARKS:
            text = text.replace(mark, "")
        return [*text.split("\n")[:-1]]
    return [*cast("Sequence[str]", column)]
