"""Which key or position of a row holds what, and how sure that is.

Given by the host's `fields`, else by names, else by what the values of a sample look like. What
is given or named is certain; what is only guessed informs, and nothing acts on it.

All is concluded from what the columns look like (see `cells`), so that a conclusion can be
remembered for the next list that looks alike, and is what that list itself would give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import cast

from exporter.panel.decode import cells
from exporter.panel.decode.addresses import read_recipients, read_sender
from exporter.panel.decode.anonymise import safe_text
from exporter.panel.decode.cells import Look
from exporter.panel.decode.values import AgeReader, read_id, read_size
from exporter.snapshot import Certainty

Key = str | int
"""A name in an object or a position in an array."""

Form = tuple[str, object]
"""Kind of row, and what distinguishes forms of one kind: an array's length, an object's keys."""

FIELDS = ("id", "age", "size", "sender", "recipients", "frozen")
MAX_KEYS = 64
"""Keys of a row that are looked at."""

_LONGEST_KEY = 200
"""Characters. No key that long is known, and what is remembered must not grow with it."""

_REMEMBERED = 1024
"""Conclusions from what columns look like; a host needs few."""

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
_SURELY_IDS = frozenset({*range(1, 7), 9, 13, 14})
"""Ranks of the names that are for nothing but ids of a queue: not `id`, which may number rows."""

_FLAG_NAMES = frozenset(_NAMES["frozen"][:8])
"""Names under which a number or a yes says whether the message is frozen."""

_AGE_UNITS = {"age": 1, "ageseconds": 1, "agesec": 1, "agesecs": 1, "возраст": 1, "вік": 1}
_AGE_UNITS |= {"ageminutes": 60, "agemin": 60, "agemins": 60}
"""Names that say the unit of a bare number; under any other it is ambiguous."""

_PREFIXES = ("message", "msg", "mail", "email", "queue", "envelope")

_PAGE_ORDER = {"age": 0, "id": 1, "sender": 2, "recipients": 3, "size": 4, "frozen": 5}
_EXIM_ORDER = {"age": 0, "size": 1, "id": 2, "sender": 3, "frozen": 4}
_ORDERS = (_PAGE_ORDER, _EXIM_ORDER)
"""The panel's queue page, and a line of `exim -bp`: they only break ties."""


_NO_ZONE = "dates without a zone"
_GIVEN = "told by `fields`"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the fields of one form of row are."""

    keys: Mapping[str, tuple[Key, ...]]
    """By field. Several keys only for recipients, where each has a column of its own, and for
    states, which objects may hold under several names."""
    why: Mapping[str, str]
    """By field, what speaks for it."""
    certainty: Mapping[str, Certainty] = field(default_factory=dict)
    """By field of `keys`. An id that is only guessed is structural in the rows whose id can be
    nothing else, and so are a sender and the mark behind it."""
    bare_age_unit: float | None = None
    frozen_flag: bool = False
    marked_sender: bool = False
    """The sender's column also holds Exim's mark of frozen messages."""
    proposed: Mapping[str, Key] = field(default_factory=dict)
    """What `fields` may say: all that is recognised and can be said, and what is only likely."""
    doubts: tuple[tuple[str, str], ...] = ()
    """A field, and in words what is in doubt about it."""
    candidates: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)
    """By field, keys that may hold it as well as those that were taken, or as each other."""
    rivals: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)
    """By field, several keys that are named for it and agree in the sample: a row in
    which they do not is not understood."""
    empty_is_null: bool = False
    """Whether an empty sender may be the null sender, in rows that hold all else."""
    sender_confirmed: bool = False
    """Whether the host's `fields` say where the sender is."""
    described: str = ""
    """The layout in words."""

    @property
    def state_flags(self) -> tuple[bool, ...]:
        """For each of several keys for states: whether it is one for this alone."""
        keys = self.keys.get("frozen", ())
        return tuple(map(_is_flag, keys)) if len(keys) > 1 else ()

    @property
    def dates_without_zone(self) -> bool:
        """Whether the ages are dates that need the panel's time zone."""
        return self.why.get("age") == _NO_ZONE


@dataclass(frozen=True, slots=True)
class FieldReading:
    """How one field of the rows was read: a line of what `diagnose` shows."""

    field: str
    keys: tuple[Key, ...] = ()
    """Where it is read from; empty where it is not, or where rows are lines of text."""
    certainty: Certainty | None = None
    """In the row where it is least sure; None where it is not read."""
    samples: tuple[object, ...] = ()
    """Up to three values as they came."""
    why: str = ""
    """What speaks for the keys, or what is in doubt."""
    candidates: tuple[Key, ...] = ()
    """Keys that may hold it as well as those that were taken, or as well as each other."""


def show_key(key: Key) -> str:
    """A key as a person reads it; it may hold anything, so it is made safe."""
    return f"position {key}" if isinstance(key, int) else f"`{safe_text(key, limit=40)}`"


@dataclass(frozen=True, slots=True)
class Sample:
    """Some rows of one form, as aligned columns: None where a row has no such key."""

    columns: Mapping[Key, Sequence[object]]
    now: float
    """Unix time."""

    def looks(self) -> tuple[tuple[Key, Look], ...]:
        """What each column looks like."""
        return tuple(
            (key, cells.look_of(column, self.now))
            for key, column in list(self.columns.items())[:MAX_KEYS]
            if isinstance(key, int) or len(key) <= _LONGEST_KEY
        )

    def with_id(self, key: Key) -> Sample:
        """The rows that have an id under this key: the others are not of this form."""
        has = [read_id(value) is not None for value in self.columns[key]]
        if all(has):
            return self
        kept = {
            name: [value for value, one in zip(column, has, strict=True) if one]
            for name, column in self.columns.items()
        }
        return Sample(kept, self.now)


def recognise(
    columns: Mapping[Key, Sequence[object]],
    *,
    now: float,
    given: Mapping[str, Key] | None = None,
    keyed: bool = False,
    headings: Mapping[int, str] | None = None,
    any_word: bool = False,
) -> Layout:
    """Return the layout of rows; `columns` holds a sample of them by key.

    Args:
        columns: the sample, column by column, None where a row has no such key.
        now: Unix time, to distinguish a Unix time from another number.
        given: the host's `fields`; a key that no row has is ignored.
        keyed: whether the ids are the keys of the list, so that no column is looked for.
        headings: names of positions, from a row of headings.
        any_word: whether the host says which words mean frozen, so that any may be one.
    """
    sample = Sample(columns, now)
    question = _Question(
        tuple((given or {}).items()), tuple((headings or {}).items()), keyed, any_word
    )
    looks = sample.looks()
    found = _find_id(looks, question)
    if found.key is not None:
        clean = sample.with_id(found.key)
        if clean is not sample:
            sample, looks = clean, clean.looks()
    return _conclude(looks, question, found, _in_conflict(sample, looks, question))


@dataclass(frozen=True, slots=True)
class _Question:
    """All that a layout depends on besides what the columns look like."""

    given: tuple[tuple[str, Key], ...]
    headings: tuple[tuple[int, str], ...]
    keyed: bool
    any_word: bool

    def name_of(self, key: Key) -> str | None:
        """What names a column, if anything does."""
        return key if isinstance(key, str) else dict(self.headings).get(key)

    def rank(self, key: Key, name: str) -> int | None:
        """How specific a column's name is for a field; None when it is no name for it."""
        named = self.name_of(key)
        return None if named is None else dict(_ranks(named)).get(name)


@dataclass(frozen=True, slots=True)
class _Found:
    """Where the ids are."""

    key: Key | None = None
    why: str = ""
    candidates: tuple[Key, ...] = ()
    likely: Key | None = None


@lru_cache(maxsize=_REMEMBERED)
def _find_id(looks: tuple[tuple[Key, Look], ...], question: _Question) -> _Found:
    """The column whose values are most surely ids.

    An Exim id can be nothing else. A short Postfix id looks like a number or a word in capitals:
    its column must be named for ids, or mix letters and digits as real ones do.
    """
    wanted = dict(question.given).get("id")
    if wanted is not None and (same := _same_key(wanted, [key for key, _ in looks])) is not None:
        return _Found(same, _GIVEN)
    if question.keyed:
        return _Found()
    by_strength: dict[int, list[Key]] = {}
    likely: Key | None = None
    for key, look in looks:
        rank = question.rank(key, "id")
        if rank is None and not _is_unnamed(key, question):
            continue
        strength = _strength_as_ids(look, named=rank is not None, surely=rank in _SURELY_IDS)
        if strength and rank is None and isinstance(key, str) and not look.half & cells.SURE_ID:
            likely = key if likely is None else likely
        elif strength:
            by_strength.setdefault(strength, []).append(key)
    if not by_strength:
        return _Found(likely=likely)
    best = by_strength[max(by_strength)]
    named = [key for key in best if question.rank(key, "id") is not None]
    if len(best) > 1 and not named:
        return _Found(candidates=tuple(best))
    best = sorted(named, key=lambda key: question.rank(key, "id") or 0) or best
    return _Found(best[0], "name and values" if named else "values", tuple(best[1:]))


def _strength_as_ids(look: Look, *, named: bool, surely: bool) -> int:
    if named:
        for strength, bit in ((6, cells.SURE_ID), (5, cells.MIXED_ID)):
            if look.some & bit:
                return strength
        return 4 * surely or 1 if look.some & cells.ANY_ID else 0
    if look.half & cells.SURE_ID:
        return 3
    return 2 if look.half & cells.MIXED_ID and not look.repeats else 0


@lru_cache(maxsize=_REMEMBERED)
def _conclude(
    looks: tuple[tuple[Key, Look], ...],
    question: _Question,
    found: _Found,
    in_conflict: frozenset[str],
) -> Layout:
    return _Recognition(dict(looks), question, in_conflict).run(found)


def _in_conflict(
    sample: Sample, looks: Sequence[tuple[Key, Look]], question: _Question
) -> frozenset[str]:
    """The fields for which several keys are named, and do not agree."""
    rivals = _rivals(tuple(key for key, _ in looks), question)
    return frozenset(
        name for name, keys in rivals if _rows_at_odds(name, keys, sample.columns, sample.now)
    )


def rows_at_odds(
    layout: Layout, columns: Mapping[Key, Sequence[object]], now: float
) -> frozenset[int]:
    """Return the rows that hold a field twice, and not the same; the sample held no such row."""
    found = (_rows_at_odds(name, keys, columns, now) for name, keys in layout.rivals.items())
    return frozenset[int]().union(*found)


def _rows_at_odds(
    name: str, keys: Sequence[Key], columns: Mapping[Key, Sequence[object]], now: float
) -> set[int]:
    read = AgeReader(now, None, 1).read if name == "age" else _READERS[name]
    first, *others = (columns[key] for key in keys)
    # What is written alike is decoded alike: nearly all rows.
    unlike = {
        row
        for other in others
        for row, (one, two) in enumerate(zip(first, other, strict=True))
        if one != two or type(one) is not type(two)
    }
    return {row for row in unlike if _disagree([columns[key][row] for key in keys], read)}


def _disagree(cells: Sequence[object], read: Callable[[object], object]) -> bool:
    decoded = [read(cell) for cell in cells]
    if "" in decoded and any(
        value is None and cell not in (None, "") for value, cell in zip(decoded, cells, strict=True)
    ):
        return True  # no sender beside one that is not understood
    return len(_distinct(decoded)) > 1


@lru_cache(maxsize=_REMEMBERED)
def _rivals(keys: tuple[Key, ...], question: _Question) -> tuple[tuple[str, tuple[Key, ...]], ...]:
    """The fields for which several keys are named, and a few of these."""
    given = dict(question.given)
    named = {
        name: tuple(key for key in keys if question.rank(key, name) is not None)
        for name in ("id", "age", "size", "sender", "recipients")
        if name not in given
    }
    return tuple((name, rivals[:4]) for name, rivals in named.items() if len(rivals) > 1)


def _everyone(value: object) -> frozenset[str] | None:
    decoded = read_recipients(value)
    return None if decoded is None else frozenset(decoded[0] + decoded[1])


_READERS: Mapping[str, Callable[[object], object]] = {
    "id": read_id,
    "size": read_size,
    "sender": read_sender,
    "recipients": _everyone,
}


def _distinct(decoded: Sequence[object]) -> list[object]:
    """What differs among values of one field; figures that rounding explains do not."""
    different: list[object] = []
    for value in decoded:
        if value is None or any(value == one or _about(value, one) for one in different):
            continue
        different.append(value)
    return different


def _about(one: object, other: object) -> bool:
    if not isinstance(one, int | float) or not isinstance(other, int | float):
        return False
    return abs(one - other) <= max(60, 0.1 * max(one, other))


class _Recognition:
    def __init__(
        self, looks: Mapping[Key, Look], question: _Question, in_conflict: frozenset[str]
    ) -> None:
        self.looks = looks
        self.question = question
        self.in_conflict = in_conflict
        self.keys: dict[str, tuple[Key, ...]] = {}
        self.why: dict[str, str] = {}
        self.likely: dict[str, Key] = {}
        self.doubts: list[tuple[str, str]] = []
        self.candidates: dict[str, tuple[Key, ...]] = {}
        self.by_order: dict[str, tuple[Key, ...]] = {}
        """The same of fields that nothing but the order of columns distinguishes."""
        self.bare_age_unit: float | None = None
        self.frozen_flag = False
        self.marked_sender = False

    def run(self, found: _Found) -> Layout:
        self._take_given()
        self._take_id(found)
        self._find_age()
        self._find_size()
        self._find_marked_sender()
        self._find_frozen()
        self._find_addresses()
        certainty = {name: self._certainty(name) for name in self.keys}
        proposed = {
            name: keys[0]
            for name, keys in self.keys.items()
            if len(keys) == 1 and name not in self.candidates
        }
        if "id" not in self.keys and not self.question.keyed:
            # Rows that have no place for their ids may have none for anything.
            proposed = {name: key for name, key in proposed.items() if isinstance(key, str)}
        return Layout(
            self.keys,
            self.why,
            certainty,
            self.bare_age_unit,
            self.frozen_flag,
            self.marked_sender,
            {name: key for name, key in (self.likely | proposed).items() if name in FIELDS},
            tuple(self.doubts),
            self.candidates | self.by_order,
            self._rivals(),
            self._empty_is_null(certainty),
            self.why.get("sender") == _GIVEN,
            self._describe(),
        )

    def _rivals(self) -> Mapping[str, tuple[Key, ...]]:
        """Of fields that are sure since all keys that are named for them agree."""
        return {
            name: keys
            for name, keys in _rivals(tuple(self.looks), self.question)
            if name in self.keys and name not in self.in_conflict
        }

    def _describe(self) -> str:
        parts = []
        for name in FIELDS:
            if name in self.keys:
                keys = ", ".join(show_key(key) for key in self.keys[name])
                parts.append(f"{name} from {keys} ({self.why[name]})")
        missing = [name for name in FIELDS if name not in self.keys]
        if missing:
            parts.append(f"not recognised: {', '.join(missing)}")
        return "; ".join([*parts, *(doubt for _, doubt in self.doubts)])

    def _certainty(self, name: str) -> Certainty:
        if self.why[name] == _GIVEN:
            return Certainty.GUESSED if self._is_headed_otherwise(name) else Certainty.NAMED
        if name == "frozen" and self.marked_sender:
            return self._certainty("sender")
        ranks = [self.question.rank(key, name) for key in self.keys[name]]
        sure = None not in ranks and (name == "id" or name not in self.in_conflict)
        if name == "id" and ranks[0] not in _SURELY_IDS:
            # Digits alone under `id` may be numbers of rows.
            sure = sure and self._some(self.keys["id"][0], cells.SURE_ID | cells.MIXED_ID)
        return Certainty.NAMED if sure else Certainty.GUESSED

    def _is_headed_otherwise(self, name: str) -> bool:
        """Whether `fields` name a position that the list's own heading has for another field."""
        key = self.keys[name][0]
        heading = self.question.name_of(key) if isinstance(key, int) else None
        return heading is not None and bool(_ranks(heading)) and name not in dict(_ranks(heading))

    def _empty_is_null(self, certainty: Mapping[str, Certainty]) -> bool:
        """Not where the position alone says so, nor where null senders are written another way."""
        if certainty.get("sender") is not Certainty.NAMED:
            return False
        some = self.looks[self.keys["sender"][0]].some
        return not some & (cells.NULL_SENDER | cells.BRACKETED | cells.MARKED_SENDER)

    # --- bookkeeping -------------------------------------------------------------------------

    def _take(self, name: str, keys: Sequence[Key], why: str) -> None:
        self.keys[name] = tuple(keys)
        self.why[name] = why

    def _free(self) -> list[Key]:
        taken = {key for keys in self.keys.values() for key in keys}
        return [key for key in self.looks if key not in taken]

    def _unnamed(self) -> list[Key]:
        """Free positions, and keys whose name is none for any field."""
        return [key for key in self._free() if _is_unnamed(key, self.question)]

    def _named(self, name: str) -> list[Key]:
        """Free keys with a name for this field, the most specific first."""
        ranked = [(self.question.rank(key, name), key) for key in self._free()]
        by_rank = [(rank, key) for rank, key in ranked if rank is not None]
        return [key for _, key in sorted(by_rank, key=lambda pair: pair[0])]

    def _take_unnamed(self, name: str, keys: Sequence[Key], why: Callable[[Key], str]) -> bool:
        """Take the one key that its values show to be this field; of several, none.

        Objects name their keys, and one with another name holds another thing: `timeout` is no
        age. Only a person may say otherwise.
        """
        if len(keys) == 1 and isinstance(keys[0], int) and self.question.name_of(keys[0]) is None:
            self._take(name, keys, why(keys[0]))
        elif len(keys) == 1:
            self._doubt(name, keys[0], f"holds {why(keys[0])}, but its name does not say so")
        elif keys:
            self._doubt_all(name, keys)
        return bool(keys)

    def _some(self, key: Key, bits: int) -> bool:
        return bool(self.looks[key].some & bits)

    def _half(self, key: Key, bits: int) -> bool:
        return bool(self.looks[key].half & bits)

    def _only_blank(self, key: Key) -> bool:
        return self.looks[key].blank == 2

    def _in_order(self, name: str, key: Key) -> bool:
        """Whether a position is this field's in a known order that fits the id's position."""
        return any(
            order.get(name) == key and self.keys.get("id") == (order["id"],) for order in _ORDERS
        )

    def _doubt(self, name: str, key: Key, why: str) -> None:
        self.likely[name] = key
        self.candidates[name] = (key,)
        self.doubts.append((name, f"{show_key(key)} {why}: `fields` may name it for {name}"))

    def _doubt_all(self, name: str, keys: Sequence[Key]) -> None:
        self.candidates[name] = tuple(keys)
        shown = ", ".join(map(show_key, keys[:5]))
        self.doubts.append((name, f"each of {shown} may be {name}: `fields` may name one"))

    # --- fields ------------------------------------------------------------------------------

    def _take_given(self) -> None:
        for name, wanted in self.question.given:
            same = _same_key(wanted, list(self.looks))
            if same is None:
                doubt = f"`fields` names {show_key(wanted)} for {name}: no such key"
                self.doubts.append((name, doubt))
                continue
            if name == "age":
                self.bare_age_unit = 1
            if name == "frozen":
                self.frozen_flag = True
            self._take(name, [same], _GIVEN)
            if self._is_headed_otherwise(name):
                heading = safe_text(str(self.question.name_of(same)), limit=40)
                doubt = (
                    f"`fields` names {show_key(same)} for {name}, and its heading is `{heading}`"
                )
                self.doubts.append((name, doubt))

    def _take_id(self, found: _Found) -> None:
        if "id" in self.keys or self.question.keyed:
            return
        if found.key is not None and not (found.candidates and "id" in self.in_conflict):
            self._take("id", [found.key], found.why)
        elif found.key is not None:
            self._doubt_all("id", [found.key, *found.candidates])
        elif found.candidates:
            self._doubt_all("id", found.candidates)
        elif found.likely is not None:
            self._doubt("id", found.likely, "holds what may be ids")

    def _find_age(self) -> None:
        if "age" in self.keys:
            return
        named = self._named("age")
        for key in named:
            kind = self._age_kind(key, self._some)
            unit = self._age_unit(key)
            if not kind and unit is not None and self._some(key, cells.NUMBER):
                kind = "numbers whose unit the name tells"
            if kind:
                self.bare_age_unit = unit
                self._take("age", [key], kind)
                self._mention_others("age", key, named)
                return
        for key in named:
            if self._half(key, cells.NUMBER):
                self._doubt("age", key, "holds bare numbers whose unit nothing tells")
                return
        found = [key for key in self._unnamed() if self._age_kind(key, self._half)]
        if self._take_unnamed("age", found, lambda key: self._age_kind(key, self._half)):
            return
        if 0 in self.looks and self._in_order("age", 0) and not self._only_blank(0):
            self._doubt("age", 0, "holds nothing that is surely an age")

    def _age_unit(self, key: Key) -> int | None:
        return _AGE_UNITS.get(_plain_name(self.question.name_of(key) or ""))

    def _age_kind(self, key: Key, holds: Callable[[Key, int], bool]) -> str:
        if holds(key, cells.DURATION):
            return "ages such as 25m"
        if holds(key, cells.DATE):
            return "dates" if holds(key, cells.ZONED_DATE) else _NO_ZONE
        return "Unix time" if holds(key, cells.EPOCH) else ""

    def _mention_others(self, name: str, taken: Key, named: Sequence[Key]) -> None:
        """Doubt a field for which other keys are named, too, and do not agree."""
        if name in self.in_conflict:
            self.candidates[name] = tuple(named)
            shown = ", ".join(show_key(key) for key in named if key != taken)
            self.doubts.append((name, f"{shown} may as well be {name}, and tells another"))

    def _find_size(self) -> None:
        if "size" in self.keys:
            return
        named = self._named("size")
        for key in named:
            if self._some(key, cells.SIZE):
                self._take("size", [key], "name and values")
                self._mention_others("size", key, named)
                return
        found = [
            key
            for key in self._unnamed()
            if self._some(key, cells.SIZE_UNIT)
            and self._half(key, cells.SIZE)
            and not self._half(key, cells.DURATION)
            # `7275039B` may be the id once more that is the row's key.
            and not (self.question.keyed and self._half(key, cells.MIXED_ID))
        ]
        if self._take_unnamed("size", found, lambda _: "values with units"):
            return
        for key in self._free():
            placed = isinstance(key, int) and self._in_order("size", key)
            if placed and self._half(key, cells.NUMBER) and not self._half(key, cells.EPOCH):
                self._take("size", [key], "numbers at the size's place")
                return
        numeric = [
            key
            for key in self._unnamed()
            if key not in self.likely.values()
            and self._half(key, cells.NUMBER)
            and not self._half(key, cells.EPOCH)
        ]
        if len(numeric) == 1:
            self._doubt("size", numeric[0], "holds bare numbers that may be sizes")

    def _find_marked_sender(self) -> None:
        """One column for the sender and Exim's mark behind it, believed once a mark was seen."""
        given = self.keys.get("sender") or self.keys.get("frozen")
        if "sender" in self.keys and "frozen" in self.keys:
            self.marked_sender = self.keys["sender"] == self.keys["frozen"]
            return
        positions = [key for key in self._unnamed() if isinstance(key, int)]
        senders = cells.MARKED_SENDER | cells.ADDRESS | cells.BRACKETED
        found = [
            key
            for key in given or [*self._named("sender"), *positions]
            if self._some(key, cells.MARKED_SENDER) and self._half(key, senders)
        ]
        if len(found) == 1:
            self.keys.setdefault("sender", (found[0],))
            self.why.setdefault("sender", "addresses with Exim's mark behind them")
            self.keys.setdefault("frozen", (found[0],))
            self.why.setdefault("frozen", "the mark behind the sender")
            self.frozen_flag = self.marked_sender = True
        elif found:
            self._doubt_all("sender", found)

    def _find_frozen(self) -> None:
        if "frozen" in self.keys:
            return
        named = self._named("frozen")
        states = [key for key in named if self._may_hold_state(key)]
        if states:
            self.frozen_flag = len(states) == 1 and self._is_flag(states[0])
            self._take("frozen", states, "name and values")
            return
        words = [key for key in self._unnamed() if self._half(key, cells.STATE)]
        if self._take_unnamed("frozen", words, lambda _: "words"):
            return
        for key in self._unnamed():
            # In Exim's order the recipients may be there, of mail that nobody waits for.
            at_the_end = key == _PAGE_ORDER["frozen"] and self._in_order("frozen", key)
            if self._only_blank(key) and at_the_end:
                self._take("frozen", [key], "empty at the status' place")
                return
        if named:
            self._doubt("frozen", named[0], "holds words that are not known")

    def _may_hold_state(self, key: Key) -> bool:
        bits = cells.STATE | cells.FLAG if self._is_flag(key) else cells.STATE
        return self.question.any_word or self._only_blank(key) or self._some(key, bits)

    def _is_flag(self, key: Key) -> bool:
        return _plain_name(self.question.name_of(key) or "") in _FLAG_NAMES

    def _find_addresses(self) -> None:
        for name in ("sender", "recipients"):
            if name in self.keys:
                continue
            named = self._named(name)
            for key in named:
                blank = name == "sender" and self._only_blank(key)
                if blank or self._some(key, cells.ADDRESS):
                    self._take(name, [key], "name and values")
                    self._mention_others(name, key, named)
                    break
        roles = [name for name in ("sender", "recipients") if name not in self.keys]
        rest = [key for key in self._unnamed() if self._half(key, cells.ADDRESS)]
        positions = [key for key in rest if isinstance(key, int)]
        if len(roles) == 2 and len(positions) >= 2:
            self._tell_roles(positions)
        elif roles and len(rest) == 1:
            self._last_role(roles, rest[0])
        elif roles == ["recipients"] and positions:
            self._take("recipients", _adjacent(positions), "addresses after the sender")
        elif roles and rest:
            self._doubt_all(roles[0], rest)
        self._doubt_recipients()
        self._doubt_first()
        self._doubt_parts()

    def _guesses_at_positions(self, names: Iterable[str]) -> list[str]:
        """Those of some fields that only the values of a position show."""
        return [
            name
            for name in names
            if name in self.keys
            and isinstance(self.keys[name][0], int)
            and self._certainty(name) is Certainty.GUESSED
        ]

    def _drop(self, name: str, *more: Key) -> None:
        """What was taken for a field is only one that may be it."""
        keys = self.keys.pop(name)
        del self.why[name]
        self._doubt_all(name, [*more, *keys])
        if name == "sender" and self.marked_sender:
            self.marked_sender = False
            if self.keys.get("frozen") == keys:
                self._drop("frozen")

    def _doubt_first(self) -> None:
        """A position before the sender that may hold it: then the sender is a recipient."""
        if not self._guesses_at_positions(["sender"]):
            return
        before = [
            key
            for key in self._free()
            if isinstance(key, int) and key < cast("int", self.keys["sender"][0])
        ]
        odd = [key for key in before if self._some(key, cells.ODD_ADDRESS)]
        if odd:
            for name in self._guesses_at_positions(["sender", "recipients"]):
                self._drop(name, *odd)

    def _doubt_parts(self) -> None:
        """Parts of values in positions of their own: a line cut at its blanks has no columns."""
        free = [key for key in self._free() if isinstance(key, int)]
        names = ["recipients"] if any(self._some(key, cells.DELIVERED) for key in free) else []
        if any(self._some(key, cells.PART) for key in free):
            names = ["frozen", "recipients"]
            sender = self.keys.get("sender", ())
            if not all(self.looks[key].every & cells.BRACKETED for key in sender):
                names.append("sender")
        for name in self._guesses_at_positions(names):
            if name in self.keys:  # the mark goes with its sender
                self._drop(name)

    def _doubt_recipients(self) -> None:
        """A position with addresses in some rows alone: a line cut at its blanks, say.

        As many words make up a frozen message to one and another to several: its recipients are
        not known.
        """
        taken = self.keys.get("recipients", ())
        if not taken or not isinstance(taken[0], int):
            return
        # A position that is named for them holds all of them, or with those behind it.
        following = taken[-1] + 1 if isinstance(taken[-1], int) else None
        more = following if following in self._unnamed() else None
        if more is None or self.question.name_of(more):
            pass
        elif self._some(more, cells.ADDRESS):
            del self.keys["recipients"], self.why["recipients"]
            self._doubt_all("recipients", [*taken, more])
            return
        if self.why["recipients"] == _GIVEN:
            return
        for key in sorted(key for key in self._free() if isinstance(key, int)):
            if self._some(key, cells.ADDRESS) and not self._half(key, cells.ADDRESS):
                del self.keys["recipients"], self.why["recipients"]
                self._doubt_all("recipients", [*taken, key])
                return

    def _tell_roles(self, rest: list[int]) -> None:
        """Several positions that hold addresses: the sender comes first, as in every known order.

        Empty cells say nothing: nobody may wait for a message any more. A null sender further
        on, or several addresses in the first, speak against it, and then nothing is known: they
        may stand in one odd row.
        """
        first, *others = rest
        written = [key for key in rest if self._some(key, cells.NULL_SENDER)]
        if written not in ([], [first]) or self._some(first, cells.MANY):
            self._doubt_all("sender", rest)
            return
        why = "the one with null senders" if written else "the first with addresses"
        self._take("sender", [first], why)
        self._take("recipients", _adjacent(others), "the addresses after it")
        if not written and not any(self._some(key, cells.MANY) for key in others):
            doubt = "nothing but their order tells the sender from the recipients"
            self.doubts.append(("sender", doubt))
            either = (first, *self.keys["recipients"])
            self.by_order = {"sender": either, "recipients": either}

    def _last_role(self, roles: list[str], key: Key) -> None:
        many, null = self._some(key, cells.MANY), self._some(key, cells.NULL_SENDER)
        if isinstance(key, str) or self.question.name_of(key) is not None:
            self._doubt(roles[0], key, "holds addresses, but its name does not say whose")
        elif "recipients" in roles and many and not null:
            self._take("recipients", [key], "several addresses in a value")
        elif "sender" in roles and null and not many:
            self._take("sender", [key], "null senders")
        elif len(roles) == 1 and not (null and many):
            self._take(roles[0], [key], "the other addresses")
        else:
            self._doubt(roles[0], key, "holds addresses, of senders or of recipients")


def _same_key(wanted: Key, keys: Sequence[Key]) -> Key | None:
    """The key that `fields` means: the same, or the same but for its case."""
    exact = (key for key in keys if key == wanted or str(key) == str(wanted))
    alike = (key for key in keys if str(key).lower() == str(wanted).lower())
    return next(exact, next(alike, None))


def _is_unnamed(key: Key, question: _Question) -> bool:
    """Whether no name says what a column is, or one that is none for any field."""
    named = question.name_of(key)
    return named is None or not _ranks(named)


def _adjacent(positions: Sequence[int]) -> Sequence[int]:
    """The first of them and those that follow it without a gap."""
    return [key for steps, key in enumerate(positions) if key == positions[0] + steps]


def _is_flag(key: Key) -> bool:
    return _plain_name(key) in _FLAG_NAMES


def _plain_name(key: Key) -> str:
    return "".join(filter(str.isalnum, str(key).lower()))


@lru_cache(maxsize=_REMEMBERED)
def _ranks(key: str) -> tuple[tuple[str, int], ...]:
    """The fields that a key is a name for, and how specific a name it is, 0 the most."""
    ranks = ((name, _rank(key, name)) for name in FIELDS)
    return tuple((name, rank) for name, rank in ranks if rank is not None)


def _rank(key: str, name: str) -> int | None:
    plain = _plain_name(key)
    names = _NAMES[name]
    if plain in names:
        return names.index(plain)
    for prefix in _PREFIXES:
        rest = plain.removeprefix(prefix)
        if rest != plain and rest in names:
            return len(names) + names.index(rest)
    return None


def read_headings(row: Sequence[object]) -> dict[int, str]:
    """The names that a row of headings gives to positions; empty for any other row.

    A row is one when it names the ids and two more fields, no field twice, and holds nothing
    but words.
    """
    for cell in row:
        if not isinstance(cell, str) or len(cell) > _LONGEST_KEY or "@" in cell or read_id(cell):
            return {}
    named = [dict(_ranks(str(cell))) for cell in row]
    fields = [min(ranks, key=lambda name: ranks[name]) for ranks in named if ranks]
    if "id" not in fields or len(fields) < 3 or len(set(fields)) < len(fields):
        return {}
    return {position: str(cell) for position, cell in enumerate(row)}
