"""Messages as parallel columns, and how sure their fields are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress, islice, repeat
from typing import Any

from exporter.panel.decode.names import Key
from exporter.panel.decode.recognition import FieldReading
from exporter.panel.decode.values import is_exim_id
from exporter.snapshot import MESSAGE_FIELDS, Certainty, Message, Mta

CERTAINTY_FIELDS = ("id", *MESSAGE_FIELDS)

COLUMNS = ("ids", "ages", "sizes", "senders", "recipients", "frozen", "guessed")
"""The parallel columns of a batch or a table."""


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
        """Return the messages but those of these rows."""
        if not rows:
            return self
        kept = [row not in rows for row in range(len(self.ids))]
        moved = {row: new for new, row in enumerate(compress(range(len(kept)), kept))}
        delivered = {moved[row]: to for row, to in self.delivered.items() if row in moved}
        columns: dict[str, Any] = {name: [*compress(getattr(self, name), kept)] for name in COLUMNS}
        return replace(self, **columns, delivered=delivered)


@dataclass(frozen=True, slots=True)
class MessageTable:
    """list_msg as it was understood. The columns are parallel: one entry a message.

    Messages come in the order of the reply, but rows of different forms in one list may be
    grouped. An entry is None where the panel did not say it.
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
    """What the host's `fields` may say, as far as it is known."""
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
        """Yield the messages one by one."""
        columns = (self.ids, self.ages, self.sizes, self.senders, self.recipients)
        guessed = self.guessed or [frozenset[str]()] * len(self.ids)
        delivered = map(self.delivered.get, range(len(self.ids)), repeat(()))
        yield from map(Message, *columns, delivered, self.frozen, guessed)


def guessed_fields(part: ColumnBatch | MessageTable) -> frozenset[str]:
    """Return the fields with a guessed value in some row, or guessed in all rows."""
    if not part.guessed:
        return frozenset()
    if part.guessed.count(part.guessed[0]) == len(part.guessed):
        return part.guessed[0]
    return frozenset(
        name
        for name, column in columns_by_field(part).items()
        if any(
            name in guesses and value is not None
            for guesses, value in zip(part.guessed, column, strict=True)
        )
    )


def columns_by_field(part: ColumnBatch | MessageTable) -> Mapping[str, Sequence[object]]:
    """Return the columns that may be certain or not."""
    return {
        "id": part.ids,
        "age": part.ages,
        "size": part.sizes,
        "sender": part.senders,
        "recipients": part.recipients,
        "frozen": part.frozen,
    }


_WORST_FIRST = (Certainty.GUESSED, Certainty.NAMED, Certainty.STRUCTURAL)


def add_certainty(known: dict[str, Certainty], name: str, sure: Certainty | None) -> None:
    """Keep how sure a field is where it is least sure; None says nothing of it."""
    if sure is not None:
        known[name] = min(known.get(name, sure), sure, key=_WORST_FIRST.index)


def mta_of(ids: Iterable[str]) -> Mta | None:
    """Return the mail server of these ids, by the first of them; None when there are none."""
    first = [*islice(ids, 100)]
    if not first:
        return None
    return Mta.EXIM if 2 * sum(map(bool, map(is_exim_id, first))) >= len(first) else Mta.POSTFIX
