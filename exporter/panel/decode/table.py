"""The understood messages of a list, column by column."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import partial
from itertools import compress, islice
from typing import Generic, TypeVar, cast

from exporter.panel.decode.addresses import (
    RecipientColumn,
    read_recipient_column,
    read_senders,
)
from exporter.panel.decode.recognition import FieldReading, Key, Layouts
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
)
from exporter.snapshot import MESSAGE_FIELDS, Certainty, Message, Mta

_T = TypeVar("_T")

_MEMO_LIMIT = 2**16
"""Distinct values that a column's reader remembers at a time."""

_PLAIN_DIGITS = 15
"""Digits of a number that is surely below MAX_SIZE."""

_ID_LINES = re.compile(rf"(?:(?:{EXIM_ID}|{POSTFIX_ID}{POSTFIX_MARKS})\n)*+", re.ASCII)

_MARKS = (ACTIVE_MARK, HOLD_MARK, EXPIRE_MARK)

_SURE_ID_LINES = re.compile(rf"(?:(?:{EXIM_ID}|{POSTFIX_ID}[*!])\n)*+", re.ASCII)
"""Ids that can be nothing else."""

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
    layouts: Layouts = field(default_factory=dict)
    """How the rows of each form were read; for `known` of the next list."""
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
class Part:
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


class ColumnReader:
    """Reads the columns of rows that share one layout."""

    def __init__(
        self,
        now: float,
        zone: tzinfo | None,
        *,
        bare_age_unit: float | None = None,
        frozen_flag: bool = False,
        state_flags: Sequence[bool] = (),
        senders_read: bool = False,
        certainty: Mapping[str, Certainty] | None = None,
        marked_sender: bool = False,
    ) -> None:
        self._now = now
        self._certainty = _structural() if certainty is None else certainty
        self._guessed = frozenset(
            name for name, sure in self._certainty.items() if sure is Certainty.GUESSED
        )
        self._sure = {
            name: Certainty.STRUCTURAL if sure is Certainty.GUESSED else sure
            for name, sure in self._certainty.items()
        }
        self._sure.setdefault("frozen", Certainty.STRUCTURAL)  # by a mark behind the id
        self._marked_sender = marked_sender
        self._flag = frozen_flag
        self._dates = AgeReader(now, zone, bare_age_unit)
        self._ages = _Memo(self._dates.read)
        self._sizes = _Memo(read_size)
        self._frozen = _Memo(partial(read_frozen, flag=frozen_flag))
        self._state_flags = state_flags
        self._states_told = _Memo(self._combine)
        self._senders_read = senders_read

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
        if self._state_flags:
            return self._combined(cast("Sequence[tuple[object, ...]]", column))
        kinds = set(map(type, column))
        if self._flag and kinds <= {bool, type(None)}:
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
        return combine_states([*zip(values, self._state_flags, strict=True)])

    def read(self, ids: list[str], columns: Mapping[str, Sequence[object]]) -> Part:
        """The values of rows whose ids are known; a field without a column is untold."""
        count = len(ids)
        untold: list[tuple[str, ...] | None] = [None] * count
        recipients = RecipientColumn(untold, {})
        if "recipients" in columns:
            recipients = read_recipient_column(columns["recipients"])
        guesses = self._guesses(count, columns)
        return Part(
            ids,
            self.ages(columns["age"]) if "age" in columns else [None] * count,
            self.sizes(columns["size"]) if "size" in columns else [None] * count,
            self.senders(columns["sender"]) if "sender" in columns else [None] * count,
            recipients.waiting,
            recipients.delivered,
            self._states(count, columns, guesses),
            guesses,
            self._sure,
        )

    def _guesses(self, count: int, columns: Mapping[str, Sequence[object]]) -> list[frozenset[str]]:
        """What is guessed of each row: the grammar of some values leaves nothing to guess."""
        guesses = [self._guessed] * count
        if "id" in self._guessed:
            ids = cast("Sequence[str]", columns.get("id", ()))
            if _SURE_ID_LINES.fullmatch("\n".join(ids) + "\n"):
                guesses = [self._guessed - {"id"}] * count
            else:
                without = self._guessed - {"id"}
                sure = map(_SURE_ID_LINES.fullmatch, (f"{id_.strip()}\n" for id_ in ids))
                guesses = [without if one else self._guessed for one in sure]
        if self._marked_sender:
            states = columns.get("frozen", ())
            for row, marked in enumerate(states):
                if marked is True:
                    guesses[row] = guesses[row] - {"sender", "frozen"}
        return guesses

    def _states(
        self,
        count: int,
        columns: Mapping[str, Sequence[object]],
        guesses: list[frozenset[str]],
    ) -> list[bool | None]:
        """The states that a column tells, and the marks that postqueue appends to ids.

        Such a mark is no guess.
        """
        states: list[bool | None] = [None] * count
        if "frozen" in columns:
            states = self.frozen(columns["frozen"])
        ids = cast("Sequence[str]", columns.get("id", ()))
        together = "".join(ids)
        if any(mark in together for mark in _MARKS):
            for row in [row for row, id_ in enumerate(ids) if id_.rstrip().endswith(_MARKS)]:
                if is_on_hold(ids[row]) or not states[row]:
                    guesses[row] = guesses[row] - {"frozen"}
                states[row] = is_on_hold(ids[row]) or states[row] or False
        return states


class Intake:
    """Takes in rows, refuses those without an id of their own, hands the rest on in parts."""

    def __init__(self, sink: Callable[[Part], None]) -> None:
        self._sink = sink
        self.ids: list[str] = []
        """All taken in, in order."""
        self.known: set[str | None] = set()
        """The same, to look one up."""
        self.repeated: set[str] = set()
        """Those that further rows have, too: a row may be there for each recipient."""

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
            self._take(cast("list[str]", ids), columns, reader)
            return []
        self.known.discard(None)
        new = set(ids) if new is None else new
        new.discard(None)
        kept: list[bool] = []
        for id_ in ids:
            kept.append(id_ in new)
            new.discard(id_)
            if not kept[-1] and id_ is not None:
                self.repeated.add(id_)
        columns = {name: [*compress(column, kept)] for name, column in columns.items()}
        if any(kept):
            self._take(cast("list[str]", [*compress(ids, kept)]), columns, reader)
        return [row for row, taken in enumerate(kept) if not taken]

    def _take(
        self, ids: list[str], columns: Mapping[str, Sequence[object]], reader: ColumnReader
    ) -> None:
        self.ids += ids
        self._sink(reader.read(ids, columns))


class TableBuilder:
    """Puts parts together to a table."""

    def __init__(self) -> None:
        self._whole = Part([], [], [], [], [], {}, [], [])
        self._certainty: dict[str, Certainty] = {}
        self._recipients: list[tuple[str, ...] | None] = []

    def add(self, part: Part) -> None:
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
        for name, sure in part.certainty.items():
            self._certainty[name] = worse(self._certainty.get(name, sure), sure)

    def build(self, summary: Summary, repeated: Collection[str] = ()) -> MessageTable:
        """The table; who waits for a message that further rows tell of is not known."""
        whole = self._whole
        if repeated or summary.continued:
            for row, id_ in enumerate(whole.ids):
                if summary.continued or id_ in repeated:
                    self._recipients[row] = None
        return MessageTable(
            whole.ids,
            whole.ages,
            whole.sizes,
            whole.senders,
            self._recipients,
            whole.delivered,
            whole.frozen,
            summary.listed,
            summary.unparsed,
            summary.shape,
            summary.samples,
            summary.proposed_fields,
            whole.guessed,
            self._certainty,
            summary.readings,
        )


_WORST_FIRST = (Certainty.GUESSED, Certainty.NAMED, Certainty.STRUCTURAL)


def worse(one: Certainty, other: Certainty) -> Certainty:
    """The less sure of two."""
    return min(one, other, key=_WORST_FIRST.index)


def _structural() -> dict[str, Certainty]:
    return dict.fromkeys(CERTAINTY_FIELDS, Certainty.STRUCTURAL)


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
