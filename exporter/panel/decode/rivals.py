"""Several keys that are named for one field, and rows in which they do not agree.

Such a row is not understood: nothing says which of its values is the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from exporter.panel.decode.addresses import read_recipients, read_sender
from exporter.panel.decode.names import REMEMBERED, Key, Question
from exporter.panel.decode.values import AgeReader, read_id, read_size

_MAX_RIVALS = 4
"""Keys of one field that are compared."""


@lru_cache(maxsize=REMEMBERED)
def rivals_of(keys: tuple[Key, ...], question: Question) -> tuple[tuple[str, tuple[Key, ...]], ...]:
    """Return the fields for which several keys are named, and a few of these."""
    named = {
        name: tuple(key for key in keys if name in question.ranks(key))
        for name in ("id", "age", "size", "sender", "recipients")
        if name not in dict(question.given)
    }
    return tuple((name, rivals[:_MAX_RIVALS]) for name, rivals in named.items() if rivals[1:])


def rows_at_odds(
    name: str, keys: Sequence[Key], columns: Mapping[Key, Sequence[object]], now: float
) -> set[int]:
    """Return the rows in which the keys of one field hold different values of it."""
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
    different: list[object] = []
    for value in decoded:
        if value is not None and not any(value == one or _about(value, one) for one in different):
            different.append(value)
    return len(different) > 1


def _about(one: object, other: object) -> bool:
    """Return whether rounding explains the difference of two figures."""
    if not isinstance(one, int | float) or not isinstance(other, int | float):
        return False
    return abs(one - other) <= max(60, 0.1 * max(one, other))


def _everyone(value: object) -> frozenset[str] | None:
    decoded = read_recipients(value)
    return None if decoded is None else frozenset(decoded[0] + decoded[1])


_READERS: Mapping[str, Callable[[object], object]] = {
    "id": read_id,
    "size": read_size,
    "sender": read_sender,
    "recipients": _everyone,
}
