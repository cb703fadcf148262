"""Which names columns have, and how specific each is for a field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from exporter.panel.decode.values import read_id

Key = str | int
"""A name in an object or a position in an array."""

FIELDS = ("id", "age", "size", "sender", "recipients", "frozen")

LONGEST_KEY = 200
"""Characters. No key that long is known, and what is remembered must not grow with it."""

REMEMBERED = 1024
"""Conclusions from what columns look like and are called; a host needs few."""

_NAMES: dict[str, tuple[str, ...]] = {
    "id": (
        *("id", "messageid", "msgid", "queueid", "mid", "qid", "mailid", "uid", "identifier"),
        *("idписьма", "идентификатор", "ідентифікатор", "номер", "邮件id", "消息id", "编号"),
    ),
    "age": (
        *("age", "ageseconds", "agesec", "agesecs", "ageminutes", "agemin", "agemins", "inqueue"),
        *("time", "arrivaltime", "arrival", "arrived", "received", "receivedtime", "queued"),
        *("queuedat", "date", "datetime", "timestamp", "created", "createdat", "ctime", "since"),
        *("возраст", "время", "дата", "вік", "час", "时间", "日期"),
    ),
    "size": (
        *("size", "messagesize", "msgsize", "bytes", "length", "sizebytes", "volume", "weight"),
        *("размер", "розмір", "объем", "大小", "尺寸"),
    ),
    "sender": (
        *("sender", "senders", "from", "mailfrom", "envelopefrom", "returnpath", "fromaddr"),
        *("fromaddress", "senderaddress", "sendermail", "src", "source", "отправитель"),
        *("отправители", "откого", "от", "відправник", "відправники", "від", "发件人", "发送者"),
    ),
    "recipients": (
        *("recipients", "recipient", "rcpt", "rcpts", "rcptto", "to", "mailto", "receiver"),
        *("receivers", "envelopeto", "toaddr", "toaddress", "dst", "dest", "destination"),
        *("recipientaddress", "получатель", "получатели", "кому", "одержувач", "одержувачі"),
        *("отримувач", "отримувачі", "收件人", "接收者"),
    ),
    "frozen": (
        *("frozen", "isfrozen", "freeze", "hold", "onhold", "held", "заморожено", "冻结"),
        *("queuename", "queue", "status", "state", "flag", "flags", "статус", "состояние"),
        *("стан", "状态"),
    ),
}
SURELY_IDS = frozenset({*range(1, 7), 9, 13, 14})
"""Ranks of the names that are for nothing but ids of a queue: not `id`, which may number rows."""

_FLAG_NAMES = frozenset(_NAMES["frozen"][:8])
"""Names under which a number or a yes says whether the message is frozen."""

_AGE_UNITS = {"age": 1, "ageseconds": 1, "agesec": 1, "agesecs": 1, "возраст": 1, "вік": 1}
_AGE_UNITS |= {"ageminutes": 60, "agemin": 60, "agemins": 60}
"""Names that say the unit of a bare number; under any other it is ambiguous."""

_PREFIXES = ("message", "msg", "mail", "email", "queue", "envelope")


@dataclass(frozen=True, slots=True)
class Question:
    """All that a layout depends on besides what the columns look like."""

    given: tuple[tuple[str, Key], ...]
    """The host's `fields`; a key that no row has is ignored."""
    headings: tuple[tuple[int, str], ...]
    """Names of positions, from a row of headings."""
    keyed: bool
    """Whether the ids are the keys of the list, so that no column is looked for."""
    any_word: bool
    """Whether the host says which words mean frozen, so that any may be one."""

    def name_of(self, key: Key) -> str | None:
        """Return what names a column, if anything does."""
        return key if isinstance(key, str) else dict(self.headings).get(key)

    def ranks(self, key: Key) -> Mapping[str, int]:
        """Return the fields that a column's name is for, and how specific it is, 0 the most."""
        return _ranks(self.name_of(key) or "")

    def is_flag(self, key: Key) -> bool:
        """Return whether a column's name asks whether the message is frozen."""
        return is_flag(self.name_of(key) or "")

    def age_unit(self, key: Key) -> int | None:
        """Return the seconds that a bare number in this column counts, if its name says so."""
        return _AGE_UNITS.get(_plain(self.name_of(key) or ""))


def is_flag(key: Key) -> bool:
    """Return whether a name asks whether the message is frozen."""
    return _plain(str(key)) in _FLAG_NAMES


def read_headings(row: Sequence[object]) -> dict[int, str]:
    """Return the names that a row of headings gives to positions; none for any other row.

    A row is one when it names the ids and two more fields, no field twice, and holds nothing
    but words.
    """
    for cell in row:
        if not isinstance(cell, str) or len(cell) > LONGEST_KEY or "@" in cell or read_id(cell):
            return {}
    named = [_ranks(str(cell)) for cell in row]
    fields = [min(ranks, key=ranks.__getitem__) for ranks in named if ranks]
    if "id" not in fields or len(fields) < 3 or len(set(fields)) < len(fields):
        return {}
    return {position: str(cell) for position, cell in enumerate(row)}


@lru_cache(maxsize=REMEMBERED)
def _ranks(name: str) -> Mapping[str, int]:
    plain = _plain(name)
    ranks: dict[str, int] = {}
    for field, names in _NAMES.items():
        rests = [plain.removeprefix(prefix) for prefix in _PREFIXES]
        if plain in names:
            ranks[field] = names.index(plain)
        elif rest := next((rest for rest in rests if rest != plain and rest in names), ""):
            ranks[field] = len(names) + names.index(rest)
    return ranks


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))
