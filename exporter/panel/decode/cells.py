"""What the cells of a column look like: all that recognition knows of values.

A cell is looked at once and then is a few bits; a column is which bits some, half or all of its
cells have. That distinguishes the fields, and so little repeats from poll to poll: what is
concluded from it can be remembered without ever being out of date.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, cast

from exporter.panel.decode import values
from exporter.panel.decode.addresses import (
    SIMPLE_ADDRESS,
    UNKNOWN_WORDS,
    is_address_like,
    is_many,
    is_null_sender,
    split_frozen_mark,
    unescape,
    without_quoted,
)

SURE_ID = 1
"""An id that can be nothing else: of Exim, or with a mark of postqueue."""
MIXED_ID = 2
"""Of the form of an id, with letters and digits, as no number and no word has it."""
ANY_ID = 4
DURATION = 8
DATE = 16
ZONED_DATE = 32
NUMBER = 64
EPOCH = 128
SIZE = 256
"""Also one whose number is not known, such as Exim's of 2 GiB and more."""
SIZE_UNIT = 512
ADDRESS = 1024
NULL_SENDER = 2048
"""Written out."""
MANY = 4096
"""What can only be recipients."""
MARKED_SENDER = 8192
"""A sender with Exim's mark of frozen messages behind it."""
BRACKETED = 16384
STATE = 32768
FLAG = 65536
BLANK = 131072
"""Nothing, or a word for nothing: says nothing of its column."""
PART = 262144
"""Part of a value that was cut at a blank: with an open quote or parenthesis."""
DELIVERED = 524288
"""Exim's mark of a recipient that has the message, alone."""
ODD_ADDRESS = 1048576
"""With a sign of an address, and none that is understood."""

_BITS = tuple(1 << bit for bit in range(21))
_LONGEST = 300
"""Characters of a text that is remembered."""

_EPOCH_DIGITS = 10
_FIRST_MILLISECONDS = 10**11
"""A number below is no Unix time in milliseconds, and one in seconds lies far ahead."""

_SURE_IDS = re.compile(
    rf"(?:{values.EXIM_ID}{values.SPOOL_SUFFIX}|{values.POSTFIX_ID}(?:[*!]\#?|\#))", re.ASCII
)
_SURE_ID_LINES = re.compile(rf"(?>(?:{_SURE_IDS.pattern}\n)+)", re.ASCII)
_ADDRESS_LINES = re.compile(rf"(?>(?:{SIMPLE_ADDRESS}\n)+)")
_BRACKETED = re.compile(r"<[^<>\s]{0,1000}>")
_NEGATIVE_SIZE = re.compile(r"-?\d{1,18}(?:\.\d{1,6})?[KMGT]?", re.ASCII)


class Look(NamedTuple):
    """What a column looks like. The bits are those of its cells that are not blank."""

    some: int = 0
    half: int = 0
    """Of at least half of them."""
    every: int = 0
    blank: int = 0
    """0 no cell is blank, 1 some are, 2 all are."""
    repeats: bool = False
    """Whether half of the cells or more repeat another."""


def looks(value: object, now: float) -> int:
    """Return the bits of one cell; `now` is Unix time, to know one among other numbers."""
    if isinstance(value, str):
        bits = _of_short(value) if len(value) <= _LONGEST else _of_text(value)
    elif isinstance(value, bool):
        return FLAG
    elif isinstance(value, int | float):
        bits = _of_number(value)
    elif isinstance(value, list):
        return MANY | (ADDRESS if is_address_like(value) else ODD_ADDRESS)
    elif isinstance(value, dict):
        return ADDRESS if is_address_like(value) else 0
    else:
        return BLANK if value is None else 0
    if bits & NUMBER:
        number = values.as_number(value)
        bits |= EPOCH if number is not None and values.is_epoch(number, now) else 0
    return bits


def is_sure_id(value: str) -> bool:
    """Return whether a text is an id that can be nothing else."""
    return _SURE_IDS.fullmatch(value.strip()) is not None


def look_of(column: Sequence[object], now: float) -> Look:
    """Return what a column looks like; None is no cell."""
    kinds = set(map(type, column))
    if kinds == {str}:
        return _look_of_texts(cast("Sequence[str]", column), now)
    if kinds == {list} and _are_plain_lists(cast("Sequence[list[object]]", column)):
        return _uniform(MANY | ADDRESS)
    if kinds == {bool}:
        return _uniform(FLAG)
    if kinds == {int}:
        numbers = cast("Sequence[int]", column)
        first, last = min(numbers), max(numbers)
        if first > 1 and values.read_size(last) is not None:
            epochs = values.is_epoch(first, now), values.is_epoch(last, now)
            if epochs[0] is epochs[1] and last < _FIRST_MILLISECONDS:
                return _uniform(NUMBER | SIZE | (EPOCH if epochs[0] else 0))
    counts = Counter(looks(value, now) for value in column if value is not None)
    return _add_up(counts, column)


def _look_of_texts(column: Sequence[str], now: float) -> Look:
    text = "\n".join(column) + "\n"
    bits = 0
    if _ADDRESS_LINES.fullmatch(text):
        bits = ADDRESS
    elif _SURE_ID_LINES.fullmatch(text):
        bits = SURE_ID | MIXED_ID | ANY_ID
    if bits and text.count("\n") == len(column):
        return _uniform(bits)
    longest = max(map(len, column))
    if longest > _LONGEST:
        return _add_up(Counter(looks(value, now) for value in column), column)
    counts = Counter(map(_of_short, column))
    if longest >= _EPOCH_DIGITS and any(bits & NUMBER for bits in counts):
        counts = Counter(looks(value, now) for value in column)
    return _add_up(counts, column)


@lru_cache(maxsize=64)
def _uniform(bits: int) -> Look:
    return Look(bits, bits, bits)


def _add_up(counts: Mapping[int, int], column: Sequence[object]) -> Look:
    """Return a column's look; `counts` holds how many of its cells have the same bits."""
    filled = {bits: number for bits, number in counts.items() if not bits & BLANK}
    blank = 1 if len(filled) < len(counts) else 0
    if len(filled) == 1:
        some = half = every = next(iter(filled))
    else:
        some = half = every = 0
        total = sum(filled.values())
        for bits in filled:
            some |= bits
        for bit in _BITS:
            if some & bit:
                number = sum(number for bits, number in filled.items() if bits & bit)
                half |= bit if 2 * number >= total else 0
                every |= bit if number == total else 0
    if blank and not filled:
        blank = 2
        for bits in counts:
            some |= bits & STATE
    return Look(some, half, every, blank, repeats=bool(some & MIXED_ID) and _repeats(column))


def _repeats(column: Sequence[object]) -> bool:
    filled = [value for value in column if value is not None]
    return 2 * len({value for value in filled if isinstance(value, str)}) <= len(filled)


def _are_plain_lists(column: Sequence[list[object]]) -> bool:
    """Return whether all are lists of plain addresses, or of objects that name one."""
    try:
        text = "".join(
            f"{item['address'] if isinstance(item, dict) else cast('str', item)}\n"
            for items in column
            for item in items
        )
    except KeyError:
        return False
    whole = text.count("\n") == sum(map(len, column)) and all(column)
    return whole and _ADDRESS_LINES.fullmatch(text) is not None


def _of_number(number: float) -> int:
    return (
        NUMBER
        | (SIZE if values.read_size(number) is not None else 0)
        | (FLAG if number in (0, 1) else 0)
    )


def _of_text(text: str) -> int:
    word = text.strip()
    if not word or (word.lower() in UNKNOWN_WORDS and word != "0"):
        return BLANK | (STATE if values.read_frozen(text, flag=False) is not None else 0)
    bits = _id_bits(word) | _figure_bits(word) | _address_bits(word) | _state_bits(word)
    return bits | _part_bits(word)


_of_short = lru_cache(maxsize=2**14)(_of_text)


def _id_bits(word: str) -> int:
    id_ = values.read_id(word)
    if id_ is None:
        return 0
    mixed = any(map(str.isdigit, id_)) and any(map(str.isalpha, id_))
    return ANY_ID | (SURE_ID if is_sure_id(word) else 0) | (MIXED_ID if mixed else 0)


def _figure_bits(word: str) -> int:
    bits = 0
    if values.is_duration(word):
        bits |= DURATION
    elif (date := values.match_date(word)) is not None:
        bits |= DATE | (ZONED_DATE if date["zone"] is not None else 0)
    if values.as_number(word) is not None:
        bits |= NUMBER
    if values.read_size(word) is not None or _NEGATIVE_SIZE.fullmatch(word):
        bits |= SIZE | (SIZE_UNIT if values.has_size_unit(word) else 0)
    return bits


def _address_bits(word: str) -> int:
    if "@" not in word and "<" not in word and "&" not in word and len(word) > len("mailer-daemon"):
        return 0
    bits = 0
    sender, marked = split_frozen_mark(word)
    if marked and (is_address_like(sender) or is_bracketed(sender)):
        bits |= MARKED_SENDER
    if is_address_like(word):
        bits |= ADDRESS
    elif "@" in word or "<" in unescape(word):
        bits |= ODD_ADDRESS
    if is_null_sender(word):
        bits |= NULL_SENDER
    if is_many(word):
        bits |= MANY
    if is_bracketed(word):
        bits |= BRACKETED
    return bits


def _part_bits(word: str) -> int:
    outside = without_quoted(word)
    opened = outside.count("(") != outside.count(")") or outside.count('"') % 2
    return (PART if opened else 0) | (DELIVERED if word in ("D", "+D") else 0)


def is_bracketed(value: object) -> bool:
    """Return whether a text is a sender in brackets, as `exim -bp` prints all of them."""
    return isinstance(value, str) and _BRACKETED.fullmatch(unescape(value).strip()) is not None


def _state_bits(word: str) -> int:
    bits = STATE if values.read_frozen(word, flag=False) is not None else 0
    return bits | (FLAG if values.read_frozen(word, flag=True) is not None else 0)
