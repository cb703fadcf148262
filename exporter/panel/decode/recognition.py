"""Which key or position of a row holds what, and how sure that is.

Given by the host's `fields`, else by names, else by what the values of a sample look like. What
is given or named is certain; what is only guessed informs, and nothing acts on it.

All is concluded from what the columns look like (see `cells`) and are called (see `names`), so
that a conclusion can be remembered for the next list that looks alike, and is what that list
itself would give. `_conclude` is the course: each step adds findings to what is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

from exporter.panel.decode import cells
from exporter.panel.decode.anonymise import safe_text
from exporter.panel.decode.cells import Look
from exporter.panel.decode.names import (
    FIELDS,
    LONGEST_KEY,
    REMEMBERED,
    SURELY_IDS,
    Key,
    Question,
    is_flag,
)
from exporter.panel.decode.rivals import rivals_of, rows_at_odds
from exporter.panel.decode.values import read_id
from exporter.snapshot import Certainty

MAX_KEYS = 64
"""Keys of a row that are looked at."""

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
    """By field, the reason for its keys."""
    certainty: Mapping[str, Certainty] = field(default_factory=dict)
    """By field of `keys`. An id that is only guessed is structural in the rows whose id can be
    nothing else, and so are a sender and the mark behind it."""
    bare_age_unit: float | None = None
    """Seconds; None where a bare number is no age."""
    frozen_flag: bool = False
    """Whether a number or a yes says that a message is frozen."""
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
    described: str = ""
    """The layout in words."""

    @property
    def read_keys(self) -> tuple[Key, ...]:
        """All keys that are read, or compared, each once."""
        several = (*self.keys.values(), *self.rivals.values())
        return tuple(dict.fromkeys(key for keys in several for key in keys))

    @property
    def marked_sender(self) -> bool:
        """Whether the sender's column also holds Exim's mark of frozen messages."""
        return "sender" in self.keys and self.keys["sender"] == self.keys.get("frozen")

    @property
    def sender_confirmed(self) -> bool:
        """Whether the host's `fields` say where the sender is."""
        return self.why.get("sender") == _GIVEN

    @property
    def state_flags(self) -> tuple[bool, ...]:
        """For each of several keys for states: whether it is one for this alone."""
        keys = self.keys.get("frozen", ())
        return tuple(is_flag(str(key)) for key in keys) if len(keys) > 1 else ()

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
    """The reason for the keys, or what is in doubt."""
    candidates: tuple[Key, ...] = ()
    """Keys that may hold it as well as those that were taken, or as well as each other."""


def show_key(key: Key) -> str:
    """Return a key as a person reads it; it may hold anything, so it is made safe."""
    return f"position {key}" if isinstance(key, int) else f"`{safe_text(key, limit=40)}`"


def _shown(keys: Iterable[Key]) -> str:
    return ", ".join(map(show_key, keys))


def recognise(columns: Mapping[Key, Sequence[object]], question: Question, *, now: float) -> Layout:
    """Return the layout of rows.

    Args:
        columns: a sample of the rows, column by column, None where a row has no such key.
        question: what else is known of them.
        now: Unix time, to distinguish a Unix time from another number.
    """
    looks = _looks_of(columns, now)
    found = _find_id(looks, question)
    if found.keys:
        with_id = [read_id(value) is not None for value in columns[found.keys[0]]]
        if not all(with_id):  # rows without an id are not of this form
            columns = {
                key: [value for value, has in zip(column, with_id, strict=True) if has]
                for key, column in columns.items()
            }
            looks = _looks_of(columns, now)
    in_conflict = frozenset(
        name
        for name, rivals in rivals_of(tuple(key for key, _ in looks), question)
        if rows_at_odds(name, rivals, columns, now)
    )
    return _conclude(looks, question, found, in_conflict)


def _looks_of(columns: Mapping[Key, Sequence[object]], now: float) -> tuple[tuple[Key, Look], ...]:
    return tuple(
        (key, cells.look_of(column, now))
        for key, column in list(columns.items())[:MAX_KEYS]
        if isinstance(key, int) or len(key) <= LONGEST_KEY
    )


# --- findings ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step concludes about a field; the last one about it says where the field is."""

    field: str
    keys: tuple[Key, ...] = ()
    """Where the field is; () where that is not known."""
    why: str = ""
    doubt: str = ""
    candidates: tuple[Key, ...] = ()
    likely: Key | None = None
    """What `fields` may say, though it is not taken."""
    by_order: tuple[Key, ...] = ()
    """Candidates that nothing but the order of columns distinguishes."""


def _perhaps(name: str, key: Key, why: str) -> Finding:
    doubt = f"{show_key(key)} {why}: `fields` may name it for {name}"
    return Finding(name, doubt=doubt, candidates=(key,), likely=key)


def _one_of(name: str, keys: Sequence[Key]) -> Finding:
    doubt = f"each of {_shown(keys[:5])} may be {name}: `fields` may name one"
    return Finding(name, doubt=doubt, candidates=tuple(keys))


@dataclass(frozen=True, slots=True)
class _Known:
    """The columns, and what the steps so far found about them."""

    looks: Mapping[Key, Look]
    question: Question
    in_conflict: frozenset[str]
    """The fields for which several keys are named, and do not agree."""
    findings: tuple[Finding, ...] = ()
    taken: Mapping[str, Finding] = field(default_factory=dict)
    """By field, for those with keys."""

    def adding(self, findings: Iterable[Finding]) -> _Known:
        new, taken = tuple(findings), dict(self.taken)
        for finding in new:
            taken.pop(finding.field, None)
            if finding.keys:
                taken[finding.field] = finding
        return replace(self, findings=self.findings + new, taken=taken)

    def free(self) -> list[Key]:
        taken = {key for finding in self.taken.values() for key in finding.keys}
        return [key for key in self.looks if key not in taken]

    def free_positions(self) -> list[int]:
        return [key for key in self.free() if isinstance(key, int)]

    def unnamed(self) -> list[Key]:
        """Return free positions, and keys whose name is none for any field."""
        return [key for key in self.free() if not self.question.ranks(key)]

    def named(self, name: str) -> list[Key]:
        """Return free keys with a name for this field, the most specific first."""
        ranks = {key: self.question.ranks(key).get(name) for key in self.free()}
        by_rank = [(rank, key) for key, rank in ranks.items() if rank is not None]
        return [key for _, key in sorted(by_rank, key=lambda pair: pair[0])]

    def some(self, key: Key, bits: int) -> bool:
        return bool(self.looks[key].some & bits)

    def half(self, key: Key, bits: int) -> bool:
        return bool(self.looks[key].half & bits)

    def only_blank(self, key: Key) -> bool:
        return self.looks[key].blank == 2

    def is_plain_number(self, key: Key) -> bool:
        return self.half(key, cells.NUMBER) and not self.half(key, cells.EPOCH)

    def in_order(self, name: str, key: Key) -> bool:
        """Return whether a position is this field's in a known order that fits the id's."""
        id_ = self.taken["id"].keys if "id" in self.taken else ()
        return any(order.get(name) == key and id_ == (order["id"],) for order in _ORDERS)

    def is_headed_otherwise(self, name: str, key: Key) -> bool:
        """Return whether the list's own heading of a position is for other fields."""
        ranks = self.question.ranks(key) if isinstance(key, int) else {}
        return bool(ranks) and name not in ranks

    def marked_sender(self) -> bool:
        taken = self.taken
        return {"sender", "frozen"} <= taken.keys() and taken["sender"].keys == taken["frozen"].keys

    def by_name(self, name: str, key: Key, why: str) -> Finding:
        """Take a named key, with a doubt where others are named for the field, too, and differ."""
        if name not in self.in_conflict:
            return Finding(name, (key,), why)
        named = tuple(self.named(name))
        others = _shown(other for other in named if other != key)
        return Finding(
            name, (key,), why, f"{others} may as well be {name}, and tells another", named
        )

    def by_values(self, name: str, keys: Sequence[Key], why: str) -> Finding:
        """Take the one key that its values show to be this field; of several, none.

        Objects name their keys, and one with another name holds another thing: `timeout` is no
        age. Only a person may say otherwise.
        """
        if len(keys) > 1:
            return _one_of(name, keys)
        if isinstance(keys[0], int) and self.question.name_of(keys[0]) is None:
            return Finding(name, (keys[0],), why)
        return _perhaps(name, keys[0], f"holds {why}, but its name does not say so")

    def certainty(self, name: str) -> Certainty:
        if name == "frozen" and self.marked_sender() and self.taken[name].why != _GIVEN:
            return self.certainty("sender")
        keys = self.taken[name].keys
        if self.taken[name].why == _GIVEN:
            sure = not self.is_headed_otherwise(name, keys[0])
        else:
            sure = all(name in self.question.ranks(key) for key in keys)
            sure = sure and (name == "id" or name not in self.in_conflict)
            if sure and name == "id" and self.question.ranks(keys[0])["id"] not in SURELY_IDS:
                # Digits alone under `id` may be numbers of rows.
                sure = self.some(keys[0], cells.SURE_ID | cells.MIXED_ID)
        return Certainty.NAMED if sure else Certainty.GUESSED

    def guesses_at_positions(self, *names: str) -> list[str]:
        """Return those of some fields that only the values of a position show."""
        return [
            name
            for name in names
            if name in self.taken
            and isinstance(self.taken[name].keys[0], int)
            and self.certainty(name) is Certainty.GUESSED
        ]

    def dropped(self, names: Sequence[str], *more: Key) -> Iterator[Finding]:
        """Take back what was taken for fields: it is only one that may be it, as others are."""
        for name in names:
            yield _one_of(name, [*more, *self.taken[name].keys])
            if name == "sender" and "frozen" not in names and self.marked_sender():
                yield _one_of("frozen", self.taken["frozen"].keys)  # the mark behind it


@lru_cache(maxsize=REMEMBERED)
def _conclude(
    looks: tuple[tuple[Key, Look], ...],
    question: Question,
    found_id: Finding,
    in_conflict: frozenset[str],
) -> Layout:
    known = _Known(dict(looks), question, in_conflict)
    course: tuple[tuple[str, Callable[[_Known], Iterator[Finding]]], ...] = (
        ("", _given),
        ("id", partial(_id, found_id)),
        ("age", _age),
        ("size", _size),
        ("", _marked_sender),
        ("frozen", _frozen),
        ("sender", partial(_named_addresses, "sender")),
        ("recipients", partial(_named_addresses, "recipients")),
        ("", _unnamed_addresses),
        ("", _scattered_recipients),
        ("", _odd_addresses),
        ("", _parts),
    )
    for name, step in course:  # a step that looks for one field is left out once that is known
        if name not in known.taken:
            known = known.adding(step(known))
    return _layout(known)


def _layout(known: _Known) -> Layout:
    taken, findings, question = known.taken, known.findings, known.question
    keys = {name: finding.keys for name, finding in taken.items()}
    certainty = {name: known.certainty(name) for name in keys}
    candidates = {found.field: found.candidates for found in findings if found.candidates}
    likely = {found.field: found.likely for found in findings if found.likely is not None}
    by_order = {found.field: found.by_order for found in findings if found.by_order}
    # Rows that have no place for their ids may have none for anything.
    any_key = "id" in keys or question.keyed
    proposed = {
        name: several[0]
        for name, several in keys.items()
        if len(several) == 1 and name not in candidates and (any_key or isinstance(several[0], str))
    }
    age, frozen = taken.get("age"), taken.get("frozen")
    unit = question.age_unit(age.keys[0]) if age else None
    flag = frozen is not None and len(frozen.keys) == 1 and question.is_flag(frozen.keys[0])
    rivals = rivals_of(tuple(known.looks), question)
    return Layout(
        keys,
        {name: finding.why for name, finding in taken.items()},
        certainty,
        bare_age_unit=1 if age and age.why == _GIVEN else unit,
        frozen_flag=flag or known.marked_sender() or bool(frozen and frozen.why == _GIVEN),
        proposed={name: key for name, key in (likely | proposed).items() if name in FIELDS},
        doubts=tuple((found.field, found.doubt) for found in findings if found.doubt),
        candidates=candidates | by_order,
        rivals={n: r for n, r in rivals if n in keys and n not in known.in_conflict},
        empty_is_null=certainty.get("sender") is Certainty.NAMED
        # Where null senders are written another way, an empty one is unknown.
        and not known.some(
            keys["sender"][0], cells.NULL_SENDER | cells.BRACKETED | cells.MARKED_SENDER
        ),
        described=_describe(known),
    )


def _describe(known: _Known) -> str:
    parts = [
        f"{name} from {_shown(known.taken[name].keys)} ({known.taken[name].why})"
        for name in FIELDS
        if name in known.taken
    ]
    if missing := [name for name in FIELDS if name not in known.taken]:
        parts.append(f"not recognised: {', '.join(missing)}")
    return "; ".join([*parts, *(found.doubt for found in known.findings if found.doubt)])


# --- steps: what is given, and the id ---------------------------------------------------------


def _given(known: _Known) -> Iterator[Finding]:
    for name, wanted in known.question.given:
        key = _same_key(wanted, known.looks)
        doubt = ""
        if key is None:
            yield Finding(name, doubt=f"`fields` names {show_key(wanted)} for {name}: no such key")
            continue
        if known.is_headed_otherwise(name, key):
            heading = safe_text(str(known.question.name_of(key)), limit=40)
            doubt = f"`fields` names {show_key(key)} for {name}, and its heading is `{heading}`"
        yield Finding(name, (key,), _GIVEN, doubt)


def _same_key(wanted: Key, keys: Iterable[Key]) -> Key | None:
    """Return the key that `fields` means: the same, or the same but for its case."""
    exact = (key for key in keys if str(key) == str(wanted))
    alike = (key for key in keys if str(key).lower() == str(wanted).lower())
    return next(exact, next(alike, None))


@lru_cache(maxsize=REMEMBERED)
def _find_id(looks: tuple[tuple[Key, Look], ...], question: Question) -> Finding:
    """Return the column whose values are most surely ids.

    An Exim id can be nothing else. A short Postfix id looks like a number or a word in capitals:
    its column must be named for ids, or mix letters and digits as real ones do.
    """
    wanted = dict(question.given).get("id")
    if wanted is not None and (same := _same_key(wanted, [key for key, _ in looks])) is not None:
        return Finding("id", (same,), _GIVEN)
    if question.keyed:
        return Finding("id")
    by_strength: dict[int, list[Key]] = {}
    likely: Key | None = None
    for key, look in looks:
        rank = question.ranks(key).get("id")
        if rank is None and question.ranks(key):
            continue  # named for another field
        strength = _strength_as_ids(look, named=rank is not None, surely=rank in SURELY_IDS)
        if strength and rank is None and isinstance(key, str) and not look.half & cells.SURE_ID:
            likely = key if likely is None else likely
        elif strength:
            by_strength.setdefault(strength, []).append(key)
    if not by_strength:
        return Finding("id", likely=likely)
    best = by_strength[max(by_strength)]
    named = [key for key in best if "id" in question.ranks(key)]
    named.sort(key=lambda key: question.ranks(key)["id"])
    if len(best) > 1 and not named:
        return Finding("id", candidates=tuple(best))
    first, *others = named or best
    why = "name and values" if named else "values"
    return Finding("id", (first,), why, candidates=tuple(others))


def _strength_as_ids(look: Look, *, named: bool, surely: bool) -> int:
    if named:
        for strength, bit in ((6, cells.SURE_ID), (5, cells.MIXED_ID)):
            if look.some & bit:
                return strength
        return 4 * surely or 1 if look.some & cells.ANY_ID else 0
    if look.half & cells.SURE_ID:
        return 3
    return 2 if look.half & cells.MIXED_ID and not look.repeats else 0


def _id(found: Finding, known: _Known) -> Iterator[Finding]:
    if known.question.keyed:
        return
    if found.keys and not (found.candidates and "id" in known.in_conflict):
        yield Finding("id", found.keys, found.why)
    elif found.keys or found.candidates:
        yield _one_of("id", [*found.keys, *found.candidates])
    elif found.likely is not None:
        yield _perhaps("id", found.likely, "holds what may be ids")


# --- steps: age, size, state ------------------------------------------------------------------


def _age(known: _Known) -> Iterator[Finding]:
    named = known.named("age")
    for key in named:
        kind = _age_kind(known.looks[key].some)
        if not kind and known.question.age_unit(key) and known.some(key, cells.NUMBER):
            kind = "numbers whose unit the name tells"
        if kind:
            yield known.by_name("age", key, kind)
            return
    for key in named:
        if known.half(key, cells.NUMBER):
            yield _perhaps("age", key, "holds bare numbers whose unit nothing tells")
            return
    kinds = {key: kind for key in known.unnamed() if (kind := _age_kind(known.looks[key].half))}
    if kinds:
        yield known.by_values("age", [*kinds], next(iter(kinds.values())))
    elif 0 in known.looks and known.in_order("age", 0) and not known.only_blank(0):
        yield _perhaps("age", 0, "holds nothing that is surely an age")


def _age_kind(bits: int) -> str:
    if bits & cells.DURATION:
        return "ages such as 25m"
    if bits & cells.DATE:
        return "dates" if bits & cells.ZONED_DATE else _NO_ZONE
    return "Unix time" if bits & cells.EPOCH else ""


def _size(known: _Known) -> Iterator[Finding]:
    for key in known.named("size"):
        if known.some(key, cells.SIZE):
            yield known.by_name("size", key, "name and values")
            return
    with_units = [
        key
        for key in known.unnamed()
        if known.some(key, cells.SIZE_UNIT)
        and known.half(key, cells.SIZE)
        and not known.half(key, cells.DURATION)
        # `7275039B` may be the id once more that is the row's key.
        and not (known.question.keyed and known.half(key, cells.MIXED_ID))
    ]
    if with_units:
        yield known.by_values("size", with_units, "values with units")
        return
    numeric = [key for key in known.free() if known.is_plain_number(key)]
    placed = [key for key in numeric if isinstance(key, int) and known.in_order("size", key)]
    if placed:
        yield Finding("size", (placed[0],), "numbers at the size's place")
        return
    likely = {finding.likely for finding in known.findings}
    numeric = [key for key in numeric if key in known.unnamed() and key not in likely]
    if len(numeric) == 1:
        yield _perhaps("size", numeric[0], "holds bare numbers that may be sizes")


def _marked_sender(known: _Known) -> Iterator[Finding]:
    """Find one column for the sender and Exim's mark behind it, believed once a mark was seen."""
    taken = known.taken
    if "sender" in taken and "frozen" in taken:
        return
    given = taken.get("sender") or taken.get("frozen")
    positions = [key for key in known.unnamed() if isinstance(key, int)]
    senders = cells.MARKED_SENDER | cells.ADDRESS | cells.BRACKETED
    found = [
        key
        for key in (given.keys if given else [*known.named("sender"), *positions])
        if known.some(key, cells.MARKED_SENDER) and known.half(key, senders)
    ]
    if len(found) > 1:
        yield _one_of("sender", found)
    elif found:
        whys = {
            "sender": "addresses with Exim's mark behind them",
            "frozen": "the mark behind the sender",
        }
        yield from (Finding(n, (found[0],), why) for n, why in whys.items() if n not in taken)


def _frozen(known: _Known) -> Iterator[Finding]:
    named = known.named("frozen")
    states = tuple(key for key in named if _may_hold_state(known, key))
    words = [key for key in known.unnamed() if known.half(key, cells.STATE)]
    # In Exim's order the recipients may be there, of mail that nobody waits for.
    last = _PAGE_ORDER["frozen"]
    if states:
        yield Finding("frozen", states, "name and values")
    elif words:
        yield known.by_values("frozen", words, "words")
    elif last in known.unnamed() and known.only_blank(last) and known.in_order("frozen", last):
        yield Finding("frozen", (last,), "empty at the status' place")
    elif named:
        yield _perhaps("frozen", named[0], "holds words that are not known")


def _may_hold_state(known: _Known, key: Key) -> bool:
    bits = cells.STATE | cells.FLAG if known.question.is_flag(key) else cells.STATE
    return known.question.any_word or known.only_blank(key) or known.some(key, bits)


# --- steps: sender and recipients -------------------------------------------------------------


def _named_addresses(name: str, known: _Known) -> Iterator[Finding]:
    for key in known.named(name):
        blank = name == "sender" and known.only_blank(key)
        if blank or known.some(key, cells.ADDRESS):
            yield known.by_name(name, key, "name and values")
            return


def _unnamed_addresses(known: _Known) -> Iterator[Finding]:
    roles = [name for name in ("sender", "recipients") if name not in known.taken]
    rest = [key for key in known.unnamed() if known.half(key, cells.ADDRESS)]
    positions = [key for key in rest if isinstance(key, int)]
    if len(roles) == 2 and len(positions) >= 2:
        yield from _first_is_sender(known, positions)
    elif roles and len(rest) == 1:
        yield _last_role(known, roles, rest[0])
    elif roles == ["recipients"] and positions:
        yield Finding("recipients", _adjacent(positions), "addresses after the sender")
    elif roles and rest:
        yield _one_of(roles[0], rest)


def _first_is_sender(known: _Known, positions: Sequence[int]) -> Iterator[Finding]:
    """Of several positions with addresses take the first as the sender's, as in every known order.

    Empty cells say nothing: nobody may wait for a message any more. A null sender further on, or
    several addresses in the first, contradict it, and then nothing is known: they may stand in
    one odd row.
    """
    first, *others = positions
    written = [key for key in positions if known.some(key, cells.NULL_SENDER)]
    if written not in ([], [first]) or known.some(first, cells.MANY):
        yield _one_of("sender", positions)
        return
    recipients = _adjacent(others)
    doubt = ""
    either: tuple[int, ...] = ()
    if not written and not any(known.some(key, cells.MANY) for key in others):
        doubt = "nothing but their order tells the sender from the recipients"
        either = (first, *recipients)
    why = "the one with null senders" if written else "the first with addresses"
    yield Finding("sender", (first,), why, doubt, by_order=either)
    yield Finding("recipients", recipients, "the addresses after it", by_order=either)


def _adjacent(positions: Sequence[int]) -> tuple[int, ...]:
    """Return the first of them and those that follow it without a gap."""
    return tuple(key for steps, key in enumerate(positions) if key == positions[0] + steps)


def _last_role(known: _Known, roles: Sequence[str], key: Key) -> Finding:
    many, null = known.some(key, cells.MANY), known.some(key, cells.NULL_SENDER)
    if known.question.name_of(key) is not None:
        return _perhaps(roles[0], key, "holds addresses, but its name does not say whose")
    if "recipients" in roles and many and not null:
        return Finding("recipients", (key,), "several addresses in a value")
    if "sender" in roles and null and not many:
        return Finding("sender", (key,), "null senders")
    if len(roles) == 1 and not (null and many):
        return Finding(roles[0], (key,), "the other addresses")
    return _perhaps(roles[0], key, "holds addresses, of senders or of recipients")


# --- steps: doubts ----------------------------------------------------------------------------


def _scattered_recipients(known: _Known) -> Iterator[Finding]:
    """Doubt recipients beside a position with addresses in some rows alone: a line cut at blanks.

    As many words make up a frozen message to one and another to several.
    """
    taken = known.taken.get("recipients")
    if not taken or not isinstance(taken.keys[-1], int):
        return
    # A position that is named for them holds all of them, or with those behind it.
    behind = [key for key in known.unnamed() if key == taken.keys[-1] + 1]
    scattered = [key for key in behind if not known.question.name_of(key)]
    scattered = [key for key in scattered if known.some(key, cells.ADDRESS)]
    if taken.why != _GIVEN:
        scattered += [
            key
            for key in sorted(known.free_positions())
            if known.some(key, cells.ADDRESS) and not known.half(key, cells.ADDRESS)
        ]
    if scattered:
        yield _one_of("recipients", [*taken.keys, scattered[0]])


def _odd_addresses(known: _Known) -> Iterator[Finding]:
    """Doubt a sender behind a position that may hold it: then what was taken is a recipient."""
    if not known.guesses_at_positions("sender"):
        return
    sender = known.taken["sender"].keys[0]
    before = [key for key in known.free_positions() if isinstance(sender, int) and key < sender]
    odd = [key for key in before if known.some(key, cells.ODD_ADDRESS)]
    if odd:
        yield from known.dropped(known.guesses_at_positions("sender", "recipients"), *odd)


def _parts(known: _Known) -> Iterator[Finding]:
    """Doubt positions beside parts of values: a line cut at its blanks has no columns."""
    free = known.free_positions()
    names = ["recipients"] if any(known.some(key, cells.DELIVERED) for key in free) else []
    if any(known.some(key, cells.PART) for key in free):
        names = ["frozen", "recipients"]
        sender = known.taken["sender"].keys if "sender" in known.taken else ()
        if not all(known.looks[key].every & cells.BRACKETED for key in sender):
            names.append("sender")
    yield from known.dropped(known.guesses_at_positions(*names))
