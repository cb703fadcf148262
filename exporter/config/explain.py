"""Validates raw values with a model and words its mistakes for the config's author."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from typing_extensions import is_typeddict

from exporter.config.document import Document, Path_, Problem
from exporter.config.mistakes import did_you_mean

M = TypeVar("M", bound=BaseModel)


Place = Callable[[Path_], tuple[Document, Path_]]
"""From a path inside the validated value to the document and the path it was written at."""


def validated(
    model: type[M],
    raw: Mapping[str, object],
    *,
    base_dir: Path,
    place: Place,
    problems: list[Problem],
) -> M | None:
    """The model, or None after adding every mistake to `problems`."""
    try:
        return model.model_validate(raw, context={"base_dir": base_dir})
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        places = {item["loc"] for item in found}
        for item in found:
            # pydantic marks a mistake in a key, not in its value, by one more part.
            loc = tuple(part for part in item["loc"] if part != "[key]")
            if item["type"] == "too_short" and any(p[:-1] == loc for p in places):
                continue  # empty only because its items were wrong, which is told already
            document, path = place(loc)
            problems.append(document.problem(path, explain(model, item)))
        return None


_PLAIN = {
    "missing": "is missing",
    "string_type": "must be text (put it in quotes)",
    "path_type": "must be the path of a file",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "model_type": "must be a map",
    "dict_type": "must be a map",
    "mapping_type": "must be a map",
    "tuple_type": "must be a list",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "too_long": "holds too many values",
}

_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
}


def explain(model: type[BaseModel], item: ErrorDetails) -> str:
    """A validation error of `model` in words.

    Never quotes the value: it may be a secret in the wrong place.
    """
    kind, loc, context = item["type"], item["loc"], item.get("ctx", {})
    if kind == "extra_forbidden":
        known = _keys_at(model, loc[:-1])
        if loc[:-1] and loc[-2] == "fields":  # few, and none is like another
            return f"unknown key; known are {', '.join(known[:-1])} or {known[-1]}"
        return "unknown key" + _suggestion(str(loc[-1]), known)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"must be {words} {context[bound]:g}"
    if kind == "literal_error":
        expected = str(context["expected"]).replace("'", "")
        return f"unknown key; known are {expected}" if loc[-1] == "[key]" else f"must be {expected}"
    return item["msg"].removeprefix("Value error, ")


def _keys_at(model: type[BaseModel], loc: Path_) -> list[str]:
    """The keys that the model allows at `loc`."""
    for part in loc:
        if isinstance(part, int):  # an item of a list of models has the keys of its model
            continue
        info = _by_key(model).get(part)
        inner = [] if info is None else [info.annotation, *getattr(info.annotation, "__args__", ())]
        typed = next((t for t in inner if is_typeddict(t)), None)
        if typed is not None:
            return list(typed.__annotations__)
        nested = [t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)]
        if not nested:
            return []
        model = nested[0]
    return list(_by_key(model))


def _by_key(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields by the names that a config has for them: `for` cannot be a name in Python."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _suggestion(key: str, known: list[str]) -> str:
    question = did_you_mean(key, known)
    return f"; {question}" if question else ""
