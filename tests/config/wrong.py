"""Values of the wrong kind at every place of a config, one at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 10**30, 0.5, float("nan"), float("inf"), "", "x", "0", "1s",
    "\u0440", "a: b", "/", "~nobody/x", "x" * 5000, [], [1], ["x"], [[]], [None], [{}], {},
    {"a": 1}, {"a": {"b": []}}, {"": ""}, [True, "x", {}],
)  # fmt: skip


def wrongly_typed(config: Any) -> Iterator[tuple[tuple[str | int, ...], Any, Any]]:
    """(place, what is written there instead, the whole config) for every place of a config."""
    for path in places(config):
        for odd in ODD:
            yield path, odd, put(config, path, odd)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every path in a document of maps and lists, its root too."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from places(inner, (*path, position))


def put(config: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy of a config that says something else at `path`."""
    if not path:
        return value
    result = copy.deepcopy(config)
    holder = result
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = value
    return result
