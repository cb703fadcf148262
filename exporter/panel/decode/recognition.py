"""Which key or position of a row holds what.

Told by the host's `fields`, else by names and by what the values of a sample of rows look like.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from exporter.panel.decode import values
from exporter.panel.decode.addresses import (
    is_address_like,
    is_many,
    is_null_sender,
    split_frozen_mark,
)
from exporter.panel.decode.anonymise import safe_text
from exporter.snapshot import Certainty

Key = str | int
"""A name in an object or a position in an array."""

Form = tuple[str, object]
"""Kind of row, and what tells forms of one kind apart: an array's length, an object's keys."""

FIELDS = ("id", "age", "size", "sender", "recipients", "frozen")
MAX_KEYS = 64
"""Keys of a row that are looked at."""

MAX_USES = 50
"""Lists that are read by a layout before it is recognised anew."""

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
_FLAG_NAMES = frozenset(_NAMES["frozen"][:8])
"""Names under which a number or a yes tells whether the message is frozen."""

_AGE_UNITS = {"age": 1, "ageseconds": 1, "agesec": 1, "agesecs": 1, "возраст": 1, "вік": 1}
_AGE_UNITS |= {"ageminutes": 60, "agemin": 60, "agemins": 60}
"""Names that tell the unit of a bare number; under any other it is ambiguous."""

_PREFIXES = ("message", "msg", "mail", "email", "queue", "envelope")

_PAGE_ORDER = {"age": 0, "id": 1, "sender": 2, "recipients": 3, "size": 4, "frozen": 5}
_EXIM_ORDER = {"age": 0, "size": 1, "id": 2, "sender": 3, "frozen": 4}
_ORDERS = (_PAGE_ORDER, _EXIM_ORDER)
"""The panel's queue page, and a line of `exim -bp`: they only break ties."""


_NO_ZONE = "dates without a zone"
_TOLD = "told by `fields`"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the fields of one form of row are."""

    keys: Mapping[str, tuple[Key, ...]]
    """By field. Several keys only for recipients, where each has a column of its own, and for
    states, which objects may tell under several names."""
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
    doubts: tuple[str, ...] = ()

    @property
    def state_flags(self) -> tuple[bool, ...]:
        """For each of several keys for states: whether it is one for this alone."""
        keys = self.keys.get("frozen", ())
        return tuple(map(_is_flag, keys)) if len(keys) > 1 else ()

    @property
    def dates_without_zone(self) -> bool:
        """Whether the ages are dates that need the panel's time zone."""
        return self.why.get("age") == _NO_ZONE

    def describe(self) -> str:
        """The layout in words."""
        parts = []
        for name in FIELDS:
            if name in self.keys:
                keys = ", ".join(show_key(key) for key in self.keys[name])
                parts.append(f"{name} from {keys} ({self.why[name]})")
        missing = [name for name in FIELDS if name not in self.keys]
        if missing:
            parts.append(f"not recognised: {', '.join(missing)}")
        return "; ".join([*parts, *self.doubts])


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


@dataclass(frozen=True, slots=True)
class KnownLayout:
    """How the rows of one form were read the last time, to spare recognising them again.

    Recognition takes longer than reading a short list, and a panel does not change its shape
    from poll to poll. It is believed for rows with the same keys, while the list is not much
    longer than the one it was recognised from (more rows may tell more), and not for ever.
    """

    layout: Layout
    described: str
    keys: frozenset[Key]
    rows: int
    """Rows of the list that it was recognised from."""
    uses: int = 0

    def fits(self, keys: Collection[Key], rows: int) -> bool:
        """Whether it may be believed for a list of `rows` rows with these keys."""
        return self.uses < MAX_USES and rows <= 2 * self.rows and self.keys == frozenset(keys)


Layouts = Mapping[Form, KnownLayout]
"""By form of row."""


def show_key(key: Key) -> str:
    """A key as a person reads it; it may hold anything, so it is made safe."""
    return f"position {key}" if isinstance(key, int) else f"`{safe_text(key, limit=40)}`"


def recognise(
    columns: Mapping[Key, Sequence[object]],
    *,
    now: float,
    told: Mapping[str, Key] | None = None,
    keyed: bool = False,
) -> Layout:
    """The layout of rows of which `columns` holds a sample by key.

    Args:
        columns: the sample, column by column; a row without a key has no value in its column.
        now: Unix time, to tell a Unix time from another number.
        told: the host's `fields`; a key that no row has is as good as not told.
        keyed: whether the ids are the keys of the list, so that no column is looked for.
    """
    return _Recognition(columns, now, keyed=keyed).run(told or {})


class _Recognition:
    def __init__(self, columns: Mapping[Key, Sequence[object]], now: float, *, keyed: bool) -> None:
        self.columns = {
            key: [value for value in column if value is not None]
            for key, column in list(columns.items())[:MAX_KEYS]
        }
        self.now = now
        self.keyed = keyed
        self.keys: dict[str, tuple[Key, ...]] = {}
        self.why: dict[str, str] = {}
        self.likely: dict[str, Key] = {}
        self.doubts: list[str] = []
        self.bare_age_unit: float | None = None
        self.frozen_flag = False
        self.marked_sender = False

    def run(self, told: Mapping[str, Key]) -> Layout:
        self._take_told(told)
        if not self.keyed:
            self._find_id()
        self._find_age()
        self._find_size()
        self._find_marked_sender()
        self._find_frozen()
        self._find_addresses()
        proposed = {name: keys[0] for name, keys in self.keys.items() if len(keys) == 1}
        return Layout(
            self.keys,
            self.why,
            {name: self._certainty(name) for name in self.keys},
            self.bare_age_unit,
            self.frozen_flag,
            self.marked_sender,
            {name: key for name, key in (self.likely | proposed).items() if name in FIELDS},
            tuple(self.doubts),
        )

    def _certainty(self, name: str) -> Certainty:
        if self.why[name] == _TOLD or all(
            isinstance(key, str) and _rank(key, name) is not None for key in self.keys[name]
        ):
            return Certainty.NAMED
        return Certainty.GUESSED

    # --- bookkeeping -------------------------------------------------------------------------

    def _take(self, name: str, keys: Iterable[Key], why: str) -> None:
        self.keys[name] = tuple(keys)
        self.why[name] = why

    def _free(self) -> list[Key]:
        taken = {key for keys in self.keys.values() for key in keys}
        return [key for key in self.columns if key not in taken]

    def _unnamed(self) -> list[Key]:
        """Free positions, and keys whose name is none for any field."""
        return [
            key
            for key in self._free()
            if isinstance(key, int) or all(_rank(key, name) is None for name in FIELDS)
        ]

    def _take_unnamed(self, name: str, key: Key, why: str) -> None:
        """What values alone tell of a key.

        Objects name their keys, and one with another name holds another thing: `timeout` is no
        age. Only a person may say otherwise.
        """
        if isinstance(key, int):
            self._take(name, [key], why)
        else:
            self._doubt(name, key, f"holds {why}, but its name does not say so")

    def _named(self, name: str) -> list[Key]:
        """Free keys with a name for this field, the most telling first."""
        ranked = [(_rank(key, name), key) for key in self._free() if isinstance(key, str)]
        return [key for rank, key in sorted(ranked, key=_first) if rank is not None]

    def _share(self, key: Key, test: Callable[[object], object]) -> float:
        """The share of a column's values that pass; empty texts count for nothing."""
        told = [value for value in self.columns[key] if value != ""]
        return sum(1 for value in told if test(value)) / len(told) if told else 0.0

    def _only_empty(self, key: Key) -> bool:
        column = self.columns[key]
        return bool(column) and all(value == "" for value in column)

    def _in_order(self, name: str, key: Key) -> bool:
        """Whether a position is this field's in a known order that fits the id's position."""
        return any(
            order.get(name) == key and self.keys.get("id") == (order["id"],) for order in _ORDERS
        )

    # --- fields ------------------------------------------------------------------------------

    def _take_told(self, told: Mapping[str, Key]) -> None:
        for name, wanted in told.items():
            same = [k for k in self.columns if k == wanted or str(k) == str(wanted)]
            same += [k for k in self.columns if str(k).lower() == str(wanted).lower()]
            if not same:
                self.doubts.append(f"`fields` names {show_key(wanted)} for {name}: no such key")
                continue
            if name == "age":
                self.bare_age_unit = 1
            if name == "frozen":
                self.frozen_flag = True
            self._take(name, same[:1], _TOLD)

    def _find_id(self) -> None:
        """The column whose values are most surely ids.

        An Exim id can be nothing else. A short Postfix id looks like a number or a word in
        capitals: its column must also mix letters and digits, as real ones do.
        """
        if "id" in self.keys:
            return
        named = self._named("id")
        best: tuple[bool, float] = (False, 0.0)
        for key in [*named, *self._unnamed()]:
            sure = self._share(key, _is_marked_or_exim)
            mixed = self._share(key, _mixes)
            if key not in named and max(sure, mixed) < 0.5:
                continue
            if key not in named and not sure and self._repeats(key):
                continue
            if key not in named and isinstance(key, str) and self._share(key, _is_exim) < 0.5:
                self.likely.setdefault("id", key)
                continue
            if (strength := (sure > 0, sure or mixed)) > best:
                best = strength
                self._take("id", [key], "name and values" if key in named else "values")
        if "id" not in self.keys and "id" in self.likely:
            self._doubt("id", self.likely["id"], "holds what may be ids")

    def _repeats(self, key: Key) -> bool:
        column = self.columns[key]
        return 2 * len({value for value in column if isinstance(value, str)}) <= len(column)

    def _find_age(self) -> None:
        if "age" in self.keys:
            return
        named = self._named("age")
        for key in named:
            kind = self._age_kind(key)
            if kind:
                self.bare_age_unit = _AGE_UNITS.get(_plain_name(key))
                self._take("age", [key], kind)
                return
        for key in named:
            if self._share(key, values.as_number) >= 0.5:
                unit = _AGE_UNITS.get(_plain_name(key))
                if unit is not None:
                    self.bare_age_unit = unit
                    self._take("age", [key], "numbers whose unit the name tells")
                else:
                    self._doubt("age", key, "holds bare numbers whose unit nothing tells")
                return
        for key in self._unnamed():
            kind = self._age_kind(key)
            if kind:
                self._take_unnamed("age", key, kind)
                return
        if 0 in self.columns and self._in_order("age", 0):
            self._doubt("age", 0, "holds nothing that is surely an age")

    def _age_kind(self, key: Key) -> str:
        if self._share(key, values.is_duration) >= 0.5:
            return "ages such as 25m"
        if self._share(key, values.is_date) >= 0.5:
            return "dates" if self._share(key, values.names_zone) else _NO_ZONE
        if self._share(key, self._recent) >= 0.5:
            return "Unix time"
        return ""

    def _recent(self, value: object) -> bool:
        number = values.as_number(value)
        return number is not None and values.is_epoch(number, self.now)

    def _find_size(self) -> None:
        if "size" in self.keys:
            return
        for key in self._named("size"):
            if self._share(key, _is_size) > 0:
                self._take("size", [key], "name and values")
                return
        for key in self._unnamed():
            units = self._share(key, values.has_size_unit)
            if units and self._share(key, _is_size) >= 0.5:
                self._take_unnamed("size", key, "values with units")
                return
        for key in self._free():
            if self._in_order("size", key) and self._share(key, _is_number) >= 0.5:
                self._take("size", [key], "numbers at the size's place")
                return
        free = [key for key in self._unnamed() if key not in self.likely.values()]
        numeric = [key for key in free if self._share(key, _is_number) >= 0.5]
        if len(numeric) == 1:
            self._doubt("size", numeric[0], "holds bare numbers that may be sizes")

    def _find_marked_sender(self) -> None:
        """One column for the sender and Exim's mark behind it, believed once a mark was seen."""
        told = self.keys.get("sender") or self.keys.get("frozen")
        if "sender" in self.keys and "frozen" in self.keys:
            self.marked_sender = self.keys["sender"] == self.keys["frozen"]
            return
        positions = [key for key in self._free() if isinstance(key, int)]
        for key in told or [*self._named("sender"), *positions]:
            marked = self._share(key, lambda value: split_frozen_mark(value)[1])
            if marked and self._share(key, _is_marked_sender) >= 0.5:
                self.keys.setdefault("sender", (key,))
                self.why.setdefault("sender", "addresses with Exim's mark behind them")
                self.keys.setdefault("frozen", (key,))
                self.why.setdefault("frozen", "the mark behind the sender")
                self.frozen_flag = self.marked_sender = True
                return

    def _find_frozen(self) -> None:
        if "frozen" in self.keys:
            return
        named = self._named("frozen")
        telling = [
            key
            for key in named
            if self._only_empty(key)
            or self._share(key, _tells_frozen if _is_flag(key) else _tells_state)
        ]
        if telling:
            self.frozen_flag = len(telling) == 1 and _is_flag(telling[0])
            self._take("frozen", telling, "name and values")
            return
        for key in self._unnamed():
            known = self._share(key, values.is_state_word)
            if known >= 0.5:
                self._take_unnamed("frozen", key, "words")
                return
            if self._only_empty(key) and self._in_order("frozen", key):
                self._take("frozen", [key], "empty at the status' place")
                return
        if named:
            self._doubt("frozen", named[0], "holds words that are not known")

    def _find_addresses(self) -> None:
        for name in ("sender", "recipients"):
            if name in self.keys:
                continue
            for key in self._named(name):
                empty = name == "sender" and self._only_empty(key)
                if empty or self._share(key, is_address_like) > 0:
                    self._take(name, [key], "name and values")
                    break
        roles = [name for name in ("sender", "recipients") if name not in self.keys]
        rest = [key for key in self._unnamed() if self._share(key, is_address_like) >= 0.5]
        positions = [key for key in rest if isinstance(key, int)]
        if len(roles) == 2 and len(positions) >= 2:
            self._tell_roles(positions)
        elif roles and len(rest) == 1:
            self._last_role(roles, rest[0])
        elif roles == ["recipients"] and positions:
            self._take("recipients", _adjacent(positions), "addresses after the sender")
        elif roles and rest:
            self._doubt(roles[0], rest[0], "is one of several that hold addresses")
        self._doubt_recipients()

    def _doubt_recipients(self) -> None:
        """A position with addresses in some rows alone: a line cut at its blanks, say.

        As many words make up a frozen message to one and another to several: who waits for it
        is not known.
        """
        taken = self.keys.get("recipients", ())
        if not taken or not isinstance(taken[0], int) or self.why["recipients"] == _TOLD:
            return
        others = {key for key in self.columns if isinstance(key, int) and key not in taken}
        for key in sorted(others.difference(self.keys.get("sender", ()))):
            if 0 < self._share(key, is_address_like) < 0.5:
                del self.keys["recipients"], self.why["recipients"]
                self._doubt(
                    "recipients", taken[0], f"is read no more: position {key} may hold some"
                )
                return

    def _tell_roles(self, rest: list[int]) -> None:
        """Several positions that hold addresses: values tell sender from recipients."""
        senders = [k for k in rest if self._share(k, is_null_sender) or self._some_empty(k)]
        lists = [k for k in rest if self._share(k, is_many)]
        sender = next((k for k in senders if k not in lists), None)
        why = "the one with null senders"
        if sender is None:
            sender = next((k for k in rest if k not in lists), None)
            why = "the first with addresses"
        if sender is None:
            self._doubt("recipients", rest[0], "is one of several that hold recipients")
            return
        others = [k for k in rest if k > sender] or [k for k in rest if k != sender]
        self._take("sender", [sender], why)
        self._take("recipients", _adjacent(others), "the addresses after it")
        if not senders and not lists:
            self.doubts.append("nothing but their order tells the sender from the recipients")

    def _last_role(self, roles: list[str], key: Key) -> None:
        many, null = self._share(key, is_many), self._share(key, is_null_sender)
        if isinstance(key, str):
            self._doubt(roles[0], key, "holds addresses, but its name does not say whose")
        elif "recipients" in roles and many and not null:
            self._take("recipients", [key], "several addresses in a value")
        elif "sender" in roles and null and not many:
            self._take("sender", [key], "null senders")
        elif len(roles) == 1:
            self._take(roles[0], [key], "the other addresses")
        else:
            self._doubt(roles[0], key, "holds addresses, of senders or of recipients")

    def _some_empty(self, key: Key) -> bool:
        return any(value == "" for value in self.columns[key])

    def _doubt(self, name: str, key: Key, why: str) -> None:
        self.likely[name] = key
        self.doubts.append(f"{show_key(key)} {why}: `fields` may name it for {name}")


def _first(pair: tuple[int | None, Key]) -> int:
    return -1 if pair[0] is None else pair[0]


def _adjacent(positions: Sequence[int]) -> Sequence[int]:
    """The first of them and those that follow it without a gap."""
    return [key for steps, key in enumerate(positions) if key == positions[0] + steps]


def _is_flag(key: Key) -> bool:
    return _plain_name(key) in _FLAG_NAMES


def _plain_name(key: Key) -> str:
    return "".join(filter(str.isalnum, str(key).lower()))


def _rank(key: str, name: str) -> int | None:
    """How telling a key's name is for a field, 0 the most; None when it is no name for it."""
    plain = _plain_name(key)
    names = _NAMES[name]
    if plain in names:
        return names.index(plain)
    for prefix in _PREFIXES:
        rest = plain.removeprefix(prefix)
        if rest != plain and rest in names:
            return len(names) + names.index(rest)
    return None


def _is_marked_or_exim(value: object) -> bool:
    if not isinstance(value, str):
        return False
    id_ = values.read_id(value)
    return id_ is not None and (
        values.is_exim_id(id_) is not None or values.read_mark(value) is not None
    )


def _is_exim(value: object) -> bool:
    id_ = values.read_id(value)
    return id_ is not None and values.is_exim_id(id_) is not None


def _mixes(value: object) -> bool:
    """Whether an id holds both letters and digits, as no number and no word does."""
    return (
        values.read_id(value) is not None
        and any(map(str.isdigit, str(value)))
        and any(map(str.isalpha, str(value)))
    )


def _is_marked_sender(value: object) -> bool:
    return is_address_like(split_frozen_mark(value)[0])


def _is_size(value: object) -> bool:
    return values.read_size(value) is not None


def _is_number(value: object) -> bool:
    return values.as_number(value) is not None


def _tells_state(value: object) -> bool:
    return values.read_frozen(value, flag=False) is not None


def _tells_frozen(value: object) -> bool:
    return values.read_frozen(value, flag=True) is not None
