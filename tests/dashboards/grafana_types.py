"""Checks a dashboard against the types of Grafana's own models, as the SDK declares them.

The SDK's from_json() takes what it knows and checks nothing; so every value is compared with
the annotation of the attribute that it landed in.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Iterator
from typing import Any


def problems(value: Any, hint: Any = None, path: str = "$") -> Iterator[str]:
    """Whatever in `value`, an object of the SDK's models, is not of its declared type."""
    hint = type(value) if hint in {None, Any, object} else hint
    origin = typing.get_origin(hint)
    if origin in {typing.Union, types.UnionType}:
        yield from _any_of(value, typing.get_args(hint), path)
    elif origin is typing.Literal:
        if value not in typing.get_args(hint):
            yield f"{path}: {value!r} is none of {typing.get_args(hint)}"
    elif origin is list:
        yield from _items(value, typing.get_args(hint)[0], path)
    elif origin is dict:
        yield from _entries(value, typing.get_args(hint)[1], path)
    elif isinstance(hint, type):
        yield from _instance(value, hint, path)
    else:
        yield f"{path}: a kind of type that this check does not know, {hint!r}"


def _any_of(value: Any, hints: tuple[Any, ...], path: str) -> Iterator[str]:
    found = [list(problems(value, hint, path)) for hint in hints]
    if all(found):  # the one that went deepest is the one that was meant
        yield max((first for first, *_ in found), key=lambda text: len(text.partition(":")[0]))


def _items(value: Any, hint: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: {value!r} is no list"
        return
    for index, item in enumerate(value):
        yield from problems(item, hint, f"{path}[{index}]")


def _entries(value: Any, hint: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is no object"
        return
    for key, item in value.items():
        yield from problems(item, hint, f"{path}.{key}")


def _instance(value: Any, hint: type, path: str) -> Iterator[str]:
    if issubclass(hint, enum.Enum):
        if value not in [member.value for member in hint]:
            yield f"{path}: {value!r} is no {hint.__name__}"
    elif hint is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield f"{path}: {value!r} is no number"
    elif isinstance(value, dict) and hasattr(hint, "from_json"):  # the SDK left it as it was
        yield from problems(hint.from_json(value), hint, path)
    elif not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        yield f"{path}: {value!r} is no {hint.__name__}"
    elif type(value).__module__.startswith("grafana_foundation_sdk.models"):
        yield from _attributes(value, path)


def _attributes(value: Any, path: str) -> Iterator[str]:
    for name, hint in typing.get_type_hints(type(value)).items():
        yield from problems(getattr(value, name), hint, f"{path}.{name}")
