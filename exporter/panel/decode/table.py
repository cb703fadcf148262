"""The understood messages of a list, column by column."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from itertools import compress, islice
from typing import Generic, TypeVar, cast

from exporter.panel.decode.addresses import (
    RecipientColumn,
    read_recipient_column,
    read_senders,
)
from exporter.panel.decode.cells import is_bracketed, is_sure_id
from exporter.panel.decode.fit import Fit
from exporter.panel.decode.recognition import FieldReading, Key, Layout
from exporter.panel.decode.values import (
    ACTIVE_MARK,
    EXIM_ID,
    EXPIRE_MARK,
    HOLD_MARK,
    MAX_SIZE,
    POSTFIX_ID,
    POSTFIX_MARKS,
    AgeReader,
    combine_states,
    is_epoch,
    is_exim_id,
    is_on_hold,
    read_frozen,
    read_id,
    read_size,
    state_word,
)
from exporter.snapshot import MESSAGE_FIELDS, Certainty, Message, Mta

_T = TypeVar("_T")

_MEMO_LIMIT = 2**16
"""Distinct values that a column's reader remembers at a time."""

_PLAIN_DIGITS = 15
"""Digits of a number that is surely below MAX_SIZE."""

_ID_LINES = re.compile(rf"(?:(?:{EXIM_ID}|{POSTFIX_ID}{POSTFIX_MARKS})\n)*+", re.ASCII)

_MARKS = (ACTIVE_MARK, HOLD_MARK, EXPIRE_MARK)

CERTAINTY_FIELDS = ("id", *MESSAGE_FIELDS)

_NOTHING_GUESSED: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Summary:
    """What there is to say of a whole list besides its messages."""

    listed: int
    """Rows in the reply, understood or not."""
    unparsed: int
    """Rows without a valid id, and further rows with the id of one before."""
    shape: str
    """How the rows were read, in words."""
    samples: tuple[str, ...]
    """Up to three rows that were not understood, shortened and anonymised."""
    proposed_fields: Mapping[str, Key]
    """What the host's `fields` may say, as far as it can be told."""
    continued: bool = False
    """Whether rows hold nothing but addresses: recipients of some message before."""
    unread: int = 0
    """Rows without a valid id: a message may be in each."""
    readings: tuple[FieldReading, ...] = ()
    """How each field was read, where that was asked for."""


@dataclass(frozen=True, slots=True)
class MessageTable:
    """list_msg as it was understood. The columns are parallel: one entry a message.

    Messages come in the order of the reply, but rows of different forms in one list may be
    grouped. An entry is None where the panel did not tell.
    """

    ids: Sequence[str] = ()
    ages: Sequence[float | None] = ()
    sizes: Sequence[int | None] = ()
    senders: Sequence[str | None] = ()
    recipients: Sequence[tuple[str, ...] | None] = ()
    delivered: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """By index of the message, for those that have any."""
    frozen: Sequence[bool | None] = ()
    listed: int = 0
    """Rows in the reply, understood or not."""
    unparsed: int = 0
    """Rows without a valid id, and further rows with the id of one before."""
    shape: str = ""
    """How the rows were read, in words."""
    samples: tuple[str, ...] = ()
    """Up to three rows that were not understood, shortened and anonymised."""
    proposed_fields: Mapping[str, Key] = field(default_factory=dict)
    """What the host's `fields` may say, as far as it can be told."""
    guessed: Sequence[frozenset[str]] = ()
    """By message, the fields that are only guessed; parallel to the columns."""
    certainty: Mapping[str, Certainty] = field(default_factory=dict)
    """How sure a field is in the messages that do not guess it."""
    readings: tuple[FieldReading, ...] = ()
    """How each field was read, in the order of FIELDS."""
    unread: int = 0
    """Rows that were not understood, but for further rows of one message: in each may be one."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def mta(self) -> Mta | None:
        """Whose ids these are; None for an empty table."""
        return mta_of(self.ids)

    def messages(self) -> Iterator[Message]:
        """The messages one by one."""
        columns = (self.ids, self.ages, self.sizes, self.senders, self.recipients, self.frozen)
        guessed = self.guessed or [_NOTHING_GUESSED] * len(self.ids)
        for row, (id_, age, size, sender, recipients, frozen, guesses) in enumerate(
            zip(*columns, guessed, strict=True)
        ):
            delivered = self.delivered.get(row, ())
            yield Message(id_, age, size, sender, recipients, delivered, frozen, guesses)


def mta_of(ids: Iterable[str]) -> Mta | None:
    """The mail server whose ids these are, by the first of them; None when there are none."""
    first = [*islice(ids, 100)]
    if not first:
        return None
    return Mta.EXIM if 2 * sum(map(bool, map(is_exim_id, first))) >= len(first) else Mta.POSTFIX


@dataclass(frozen=True, slots=True)
class ColumnBatch:
    """Some messages of a list, as parallel columns like those of a table."""

    ids: list[str]
    ages: list[float | None]
    sizes: list[int | None]
    senders: list[str | None]
    recipients: list[str] | list[tuple[str, ...] | None]
    """Texts when every message waits for exactly one recipient, as most queues' do."""
    delivered: dict[int, tuple[str, ...]]
    frozen: list[bool | None]
    guessed: list[frozenset[str]]
    """By message, the fields that are only guessed."""
    certainty: Mapping[str, Certainty] = field(default_factory=dict)
    """How sure a field is in the messages that do not guess it."""

    def without(self, rows: Collection[int]) -> ColumnBatch:
        """The messages but those of these rows."""
        if not rows:
            return self
        kept = [row not in rows for row in range(len(self.ids))]
        moved = {row: new for new, row in enumerate(compress(range(len(kept)), kept))}
        recipients = cast("list[tuple[str, ...] | None]", [*compress(self.recipients, kept)])
        return ColumnBatch(
            [*compress(self.ids, kept)],
            [*compress(self.ages, kept)],
            [*compress(self.sizes, kept)],
            [*compress(self.senders, kept)],
            recipients,
            {moved[row]: to for row, to in self.delivered.items() if row in moved},
            [*compress(self.frozen, kept)],
            [*compress(self.guessed, kept)],
            self.certainty,
        )


class _Memo(dict[object, _T], Generic[_T]):
    """Reads each distinct value of a column once."""

    def __init__(self, read: Callable[[object], _T]) -> None:
        super().__init__()
        self.read = read

    def __missing__(self, value: object) -> _T:
        result = self[value] = self.read(value)
        return result

    def read_all(self, column: Sequence[object], kinds: set[type]) -> list[_T]:
        """`read` for every value. Only texts are shared: True equals 1, which means another."""
        if not kinds <= {str, type(None)}:
            return [self.read(value) for value in column]
        if len(self) > _MEMO_LIMIT:
            self.clear()
        return list(map(self.__getitem__, column))


_CONSOLE = Layout(
    {},
    {},
    dict.fromkeys(CERTAINTY_FIELDS, Certainty.STRUCTURAL),
    frozen_flag=True,
)
"""Of console text: the columns are read already, by Exim's or Postfix's own grammar."""

_WORDED = replace(_CONSOLE, certainty={**_CONSOLE.certainty, "frozen": Certainty.GUESSED})
"""Of messages of console text that are called frozen by words which are none of that grammar."""


class ColumnReader:
    """Reads the columns of rows that share one layout, and says which rows do not fit it.

    Args:
        now: Unix time.
        zone: the panel's, for dates that name none.
        layout: of the rows; None for those of console text, whose senders are read already.
        frozen_values: what the host says that words for the state mean, in small letters; any
            other then tells nothing.
        frozen_by_words: of console text, whether words that no mail server writes tell the state.
        writes_null: tells whether a null sender is written out anywhere in the list; asked only
            where an empty sender would be one.
        names_senders: tells whether any row of the whole list names a sender; likewise.
    """

    def __init__(
        self,
        now: float,
        zone: tzinfo | None,
        layout: Layout | None = None,
        *,
        frozen_values: Mapping[str, bool] | None = None,
        frozen_by_words: bool = False,
        writes_null: Callable[[], bool] = bool,
        names_senders: Callable[[], bool] = bool,
    ) -> None:
        self._writes_null = writes_null
        self._names_senders = names_senders
        self._senders_read = layout is None
        self._layout = layout = layout or (_WORDED if frozen_by_words else _CONSOLE)
        self._now = now
        self._flag = layout.frozen_flag
        self._guessed = frozenset(
            name for name, sure in layout.certainty.items() if sure is Certainty.GUESSED
        )
        self._sure = {
            name: Certainty.STRUCTURAL if sure is Certainty.GUESSED else sure
            for name, sure in layout.certainty.items()
        }
        self._sure.setdefault("frozen", Certainty.STRUCTURAL)  # by a mark behind the id
        self._dates = AgeReader(now, zone, layout.bare_age_unit)
        self._ages = _Memo(self._dates.read)
        self._sizes = _Memo(read_size)
        self._frozen_values = {
            state_word(word): frozen for word, frozen in (frozen_values or {}).items()
        }
        self._frozen = _Memo(self._read_state)
        self._state_flags = layout.state_flags
        self._several_states = len(layout.keys.get("frozen", ())) > 1
        self._states_told = _Memo(self._combine)
        self._fit = Fit(now, layout)

    def _read_state(self, value: object) -> bool | None:
        if self._frozen_values:
            return self._frozen_values.get(state_word(value))
        return read_frozen(value, flag=self._flag)

    def ages(self, column: Sequence[object]) -> list[float | None]:
        """Seconds."""
        kinds = set(map(type, column))
        if kinds == {int}:
            arrivals = cast("Sequence[int]", column)
            first, last = min(arrivals), max(arrivals)
            # Unix times in seconds, none of them in the future: the common case at once.
            if (
                is_epoch(first, self._now)
                and self._now - first <= 86400 * 365
                and last <= self._now
            ):
                return [self._now - arrival for arrival in arrivals]
        if kinds == {str}:
            dates = self._dates.read_dates(cast("Sequence[str]", column))
            if dates is not None:
                return [*dates]
        return self._ages.read_all(column, kinds)

    def sizes(self, column: Sequence[object]) -> list[int | None]:
        """Bytes."""
        kinds = set(map(type, column))
        if kinds == {int}:
            sizes = cast("Sequence[int]", column)
            if min(sizes) >= 0 and max(sizes) <= MAX_SIZE:
                return [*sizes]
        if kinds == {str} and _are_plain_numbers(texts := cast("Sequence[str]", column)):
            return [*map(int, texts)]
        return self._sizes.read_all(column, kinds)

    def senders(self, column: Sequence[object]) -> list[str | None]:
        """Addresses; with `senders_read` they come as `read_sender` tells them."""
        if self._senders_read:
            return [*cast("Sequence[str | None]", column)]
        return read_senders(column)

    def frozen(self, column: Sequence[object]) -> list[bool | None]:
        """Marks and words; with `state_flags` each value is a tuple, one for each flag."""
        if self._several_states:
            return self._combined(cast("Sequence[tuple[object, ...]]", column))
        kinds = set(map(type, column))
        if self._flag and not self._frozen_values and kinds <= {bool, type(None)}:
            return [*cast("Sequence[bool | None]", column)]
        return self._frozen.read_all(column, kinds)

    def _combined(self, column: Sequence[tuple[object, ...]]) -> list[bool | None]:
        kinds = {kind for cells in zip(*column, strict=True) for kind in set(map(type, cells))}
        # Only texts are shared: 1 equals 1.0 and True, which mean other things.
        if kinds <= {str, type(None)}:
            return self._states_told.read_all(column, {str})
        return [*map(self._combine, column)]

    def _combine(self, told: object) -> bool | None:
        values = cast("tuple[object, ...]", told)
        if self._frozen_values:
            states = {self._read_state(value) for value in values if value is not None}
            return states.pop() if len(states) == 1 else None
        return combine_states([*zip(values, self._state_flags, strict=True)])

    def read(self, ids: list[str], columns: Mapping[str, Sequence[object]]) -> ColumnBatch:
        """The values of rows whose ids are known; a field without a column is untold."""
        count = len(ids)
        untold: list[tuple[str, ...] | None] = [None] * count
        recipients = RecipientColumn(untold, {})
        if "recipients" in columns:
            recipients = read_recipient_column(columns["recipients"])
        guesses = self._guesses(ids, columns)
        part = ColumnBatch(
            ids,
            self.ages(columns["age"]) if "age" in columns else [None] * count,
            self.sizes(columns["size"]) if "size" in columns else [None] * count,
            self.senders(columns["sender"]) if "sender" in columns else [None] * count,
            recipients.waiting,
            recipients.delivered,
            self.frozen(columns["frozen"]) if "frozen" in columns else [None] * count,
            guesses,
            self._sure,
        )
        if not self._senders_read:
            null = self._layout.empty_is_null and "" in part.senders and self._is_null(part)
            forget_what_nothing_says(part, columns, empty_is_null=null)
        self._take_marks(part, columns)
        return part

    def _is_null(self, part: ColumnBatch) -> bool:
        """Whether an empty sender is the null sender.

        Not where that is written out somewhere; nor where the list names no sender at all, unless
        a person has confirmed where it stands: PHP's strip_tags leaves nothing of `<a@b.example>`.
        """
        if self._writes_null():
            return False
        return self._layout.sender_confirmed or any(part.senders) or self._names_senders()

    def misfits(self, columns: Mapping[str, Sequence[object]], part: ColumnBatch) -> set[int]:
        """The rows in which a cell does not fit what its column holds."""
        return set() if self._senders_read else self._fit.misfits(columns, part)

    def _guesses(
        self, part_ids: list[str], columns: Mapping[str, Sequence[object]]
    ) -> list[frozenset[str]]:
        """What is guessed of each row: the grammar of some values leaves nothing to guess."""
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
        """The marks that postqueue appends to ids tell of the state. Such a mark is no guess."""
        ids = cast("Sequence[str]", columns.get("id", ()))
        together = "".join(ids)
        if not any(mark in together for mark in _MARKS):
            return
        states, guesses = part.frozen, part.guessed
        for row in [row for row, id_ in enumerate(ids) if id_.rstrip().endswith(_MARKS)]:
            if is_on_hold(ids[row]) or not states[row]:
                guesses[row] = guesses[row] - {"frozen"}
            states[row] = is_on_hold(ids[row]) or states[row] or False


class RowCollector:
    """Takes in rows, refuses those that are not understood, hands the rest on in parts."""

    def __init__(self, sink: Callable[[ColumnBatch], None]) -> None:
        self._sink = sink
        self.ids: list[str] = []
        """All taken in, in order."""
        self.known: set[str | None] = set()
        """The same and those of rows that were not understood, to look one up."""
        self.repeated: set[str] = set()
        """Those that further rows have, too: a row may be there for each recipient."""
        self.again: list[ColumnBatch] = []
        """These further rows: they may contradict the first."""
        self.repeats = 0
        """How many they are."""
        self.spoiled: set[str] = set()
        """Those of rows in which a cell does not fit."""

    def add(
        self,
        ids: Sequence[str | None],
        columns: Mapping[str, Sequence[object]],
        reader: ColumnReader,
    ) -> list[int]:
        """Take in the rows with a valid id, and of several with the same id one.

        `columns` holds values as they came, by field; a field that no column tells is left
        out, and so may be the ids, unless marks of Postfix may stand behind them. Returns the
        positions of the refused rows.
        """
        new = None if self.known.isdisjoint(ids) else set(ids) - self.known
        before = len(self.known)
        self.known.update(ids)
        if len(self.known) - before == len(ids) and None not in self.known:
            return self._take(cast("list[str]", ids), columns, reader)
        self.known.discard(None)
        new = set(ids) if new is None else new
        new.discard(None)
        first: list[int] = []
        again: list[int] = []
        refused: list[int] = []
        for row, id_ in enumerate(ids):
            if id_ in new:
                new.discard(id_)
                first.append(row)
                continue
            refused.append(row)
            if id_ is not None:
                again.append(row)
        refused += [first[row] for row in self._take(*_chosen(first, ids, columns), reader)]
        if again:
            self._take_again(*_chosen(again, ids, columns), reader)
        return sorted(refused)

    def spoil(self, id_: str) -> None:
        """Let no row of this id be understood: one of them tells one thing in two ways."""
        self.known.add(id_)
        self.spoiled.add(id_)
        self.repeated.add(id_)

    def _take(
        self, ids: list[str], columns: Mapping[str, Sequence[object]], reader: ColumnReader
    ) -> list[int]:
        if not ids:
            return []
        part = reader.read(ids, columns)
        misfits = reader.misfits(columns, part)
        if misfits:
            self.spoiled.update(ids[row] for row in misfits)
            part = part.without(misfits)
        self.ids += part.ids
        self._sink(part)
        return sorted(misfits)

    def _take_again(
        self, ids: list[str], columns: Mapping[str, Sequence[object]], reader: ColumnReader
    ) -> None:
        self.repeated.update(ids)
        self.repeats += len(ids)
        part = reader.read(ids, columns)
        misfits = reader.misfits(columns, part)
        self.spoiled.update(ids[row] for row in misfits)
        self.again.append(part.without(misfits))


def _chosen(
    rows: Sequence[int], ids: Sequence[str | None], columns: Mapping[str, Sequence[object]]
) -> tuple[list[str], dict[str, list[object]]]:
    chosen = {name: [column[row] for row in rows] for name, column in columns.items()}
    return cast("list[str]", [ids[row] for row in rows]), chosen


class TableBuilder:
    """Puts parts together to a table."""

    def __init__(self) -> None:
        self._whole = ColumnBatch([], [], [], [], [], {}, [], [])
        self._certainty: dict[str, Certainty] = {}
        self._recipients: list[tuple[str, ...] | None] = []

    def add(self, part: ColumnBatch) -> None:
        """Append the messages of a part."""
        whole, start = self._whole, len(self._whole.ids)
        self._recipients += [(to,) if isinstance(to, str) else to for to in part.recipients]
        whole.ids.extend(part.ids)
        whole.ages.extend(part.ages)
        whole.sizes.extend(part.sizes)
        whole.senders.extend(part.senders)
        whole.delivered.update({start + row: to for row, to in part.delivered.items()})
        whole.frozen.extend(part.frozen)
        whole.guessed.extend(part.guessed)
        for name, column in _told_columns(part).items():
            sure = part.certainty.get(name)
            if sure is not None and any(value is not None for value in column):
                self._certainty[name] = worse(self._certainty.get(name, sure), sure)

    def build(self, summary: Summary, intake: RowCollector) -> MessageTable:
        """The table; who waits for a message that further rows tell of is not known.

        A message of which rows contradict each other is not understood, and neither is one
        of which a row does not fit.
        """
        if summary.continued:
            self._recipients = [None] * len(self._recipients)
        self._compare(intake)
        whole = self._whole
        table = MessageTable(
            whole.ids,
            whole.ages,
            whole.sizes,
            whole.senders,
            self._recipients,
            whole.delivered,
            whole.frozen,
            summary.listed,
            summary.listed - len(whole.ids),
            summary.shape,
            summary.samples,
            summary.proposed_fields,
            whole.guessed,
            self._certainty,
            summary.readings,
            unread=summary.unread + len(intake.ids) - len(whole.ids),
        )
        return replace(table, readings=_as_told(summary.readings, table))

    def _compare(self, intake: RowCollector) -> None:
        if not intake.repeated:
            return
        whole = self._whole
        rows = {id_: row for row, id_ in enumerate(whole.ids) if id_ in intake.repeated}
        dropped = {row for id_, row in rows.items() if id_ in intake.spoiled}
        for part in intake.again:
            for further, id_ in enumerate(part.ids):
                row = rows.get(id_)
                if row is None:
                    continue
                if _contradict(whole, row, part, further):
                    dropped.add(row)
                self._recipients[row] = None
                whole.delivered.pop(row, None)
                whole.guessed[row] |= part.guessed[further]
        if dropped:
            kept = [row not in dropped for row in range(len(whole.ids))]
            self._recipients = [*compress(self._recipients, kept)]
            self._whole = whole.without(dropped)


def _as_told(readings: Sequence[FieldReading], table: MessageTable) -> tuple[FieldReading, ...]:
    """The readings with how sure each field is in the rows that tell it."""
    guessed, columns = guessed_and_told(table), _told_columns(table)
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
    """Whether two rows tell different things of one message, its recipients aside."""
    pairs = (
        (one.ages[row], other.ages[further]),
        (one.sizes[row], other.sizes[further]),
        (one.senders[row], other.senders[further]),
        (one.frozen[row], other.frozen[further]),
    )
    return any(a is not None and b is not None and a != b for a, b in pairs)


def forget_what_nothing_says(
    part: ColumnBatch, columns: Mapping[str, Sequence[object]], *, empty_is_null: bool
) -> None:
    """Take back what an empty cell was read as where it may be there for nothing found.

    An empty state says that a message is not frozen in a row that tells anything of it, and an
    empty sender that it is a bounce in a row that tells all that others do: a panel leaves
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
    read = _told_columns(part)
    speaking = [read[name] for name in names if name in columns and name not in weak]
    if any(all(column) for column in speaking):
        return
    for row, state in enumerate(states):
        told = any(column[row] not in (None, "", ()) for column in speaking)
        if part.frozen[row] is False and not told and _says_nothing(state):
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
        told = empty_is_null and others and all(_told(column[row]) for column in others)
        if not told:
            part.senders[row] = None


def _blank_rows(cells: Sequence[object]) -> list[int]:
    try:
        together = "".join(cast("Sequence[str]", cells))
    except TypeError:
        return [row for row, cell in enumerate(cells) if _blank(cell)]
    if len(together.split(None, 1)) == 1:  # no blanks: a cell is empty or told
        return [row for row, cell in enumerate(cells) if not cell]
    return [row for row, cell in enumerate(cells) if _blank(cell)]


def _says_nothing(state: object) -> bool:
    return all(map(_blank, state)) if isinstance(state, tuple) else _blank(state)


def _blank(cell: object) -> bool:
    if isinstance(cell, list) and len(cell) == 1:
        cell = cell[0]
    return cell is None or (isinstance(cell, str) and (not cell or cell.isspace()))


def _told(cell: object) -> bool:
    if type(cell) is str:
        return cell != "" and not cell.isspace()
    return not _blank(cell) and cell not in ([], {})


def guessed_and_told(part: ColumnBatch | MessageTable) -> frozenset[str]:
    """The fields that some row guesses and tells, or all rows guess."""
    if not part.guessed:
        return frozenset()
    if part.guessed.count(part.guessed[0]) == len(part.guessed):
        return part.guessed[0]
    return frozenset(
        name
        for name, column in _told_columns(part).items()
        if any(
            name in guesses and value is not None
            for guesses, value in zip(part.guessed, column, strict=True)
        )
    )


def _told_columns(part: ColumnBatch | MessageTable) -> Mapping[str, Sequence[object]]:
    return {
        "id": part.ids,
        "age": part.ages,
        "size": part.sizes,
        "sender": part.senders,
        "recipients": part.recipients,
        "frozen": part.frozen,
    }


_WORST_FIRST = (Certainty.GUESSED, Certainty.NAMED, Certainty.STRUCTURAL)


def worse(one: Certainty, other: Certainty) -> Certainty:
    """The less sure of two."""
    return min(one, other, key=_WORST_FIRST.index)


def _are_plain_numbers(texts: Sequence[str]) -> bool:
    together = "".join(texts)
    return (
        together.isascii()
        and together.isdigit()
        and all(texts)
        and max(map(len, texts)) <= _PLAIN_DIGITS
    )


def read_ids(column: Sequence[object]) -> list[str | None]:
    """`read_id` for every value; all at once where all are ids."""
    try:
        text = "\n".join(cast("Sequence[str]", column)) + "\n"
    except TypeError:
        return [read_id(value) for value in column]
    if text.count("\n") != len(column) or not _ID_LINES.fullmatch(text):
        return [read_id(value) for value in column]
    if any(mark in text for mark in _MARKS):
        for mark in _MARKS:
            text = text.replace(mark, "")
        ids: list[str | None] = [*text.split("\n")]
        ids.pop()
        return ids
    return [*cast("Sequence[str]", column)]
