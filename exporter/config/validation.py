"""Validates raw values with a model and words its mistakes for the config's author."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from exporter.config.document import Document, Path_, Problem

M = TypeVar("M", bound=BaseModel)


def validate(
    model: type[M],
    raw: Mapping[str, Any],
    base_dir: Path,
    problems: list[Problem],
    place: Callable[[Path_], tuple[Document, Path_]],
) -> M | None:
    """The model, or None after adding every mistake to `problems`.

    `place` tells where a location inside the model stands in which document.
    """
    try:
        return model.model_validate(raw, context={"base_dir": base_dir})
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        places = {item["loc"] for item in found}
        for item in found:
            loc = tuple(part for part in item["loc"] if part != "[key]")
            if item["type"] == "too_short" and any(p[:-1] == loc for p in places):
                continue  # empty only because its items were wrong, which is told already
            document, path = place(loc)
            problems.append(document.problem(path, explain(model, item["type"], item, loc)))
        return None


_PLAIN = {
    "missing": "is missing",
    "path_type": "must be text (put it in quotes)",
    "string_type": "must be text (put it in quotes)",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "model_type": "must be a map",
    "model_attributes_type": "must be a map",
    "dict_type": "must be a map",
    "mapping_type": "must be a map",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}


def explain(model: type[BaseModel], kind: str, item: Any, loc: Path_) -> str:
    """A validation error in words for the person who wrote the config.

    Never quotes the value: it may be a secret in the wrong place.
    """
    if kind == "extra_forbidden":
        return "unknown key" + _suggestion(str(loc[-1]), _keys_at(model, loc[:-1]))
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind == "literal_error":
        return f"must be {item['ctx']['expected'].replace(chr(39), '')}"
    message = str(item["msg"]).removeprefix("Value error, ")
    return message.replace("Input should be", "must be")


def _keys_at(model: type[BaseModel], loc: Path_) -> list[str]:
    """The keys that the model allows at `loc`."""
    for part in loc:
        info = model.model_fields.get(str(part))
        inner = [] if info is None else [info.annotation, *getattr(info.annotation, "__args__", ())]
        nested = [t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)]
        if not nested:
            return []
        model = nested[0]
    return list(model.model_fields)


def _suggestion(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
