"""Mistakes in a config: where each one is, in words for the author of the file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from typing_extensions import is_typeddict

Path_ = tuple[str | int, ...]
"""Where in a document something stands: keys and list positions from the root."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a config. Never holds a secret's value."""

    file: str
    line: int
    """Counted from 1; 0 when the mistake has no place."""
    path: str
    """Dotted, as `hosts[2].url`; "" for the whole file."""
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class ConfigError(Exception):
    """The config cannot be used; `problems` holds every mistake found, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


_PLAIN_KEY = re.compile(r"[\w-]{1,80}")


def dotted(path: Path_) -> str:
    """Return `("hosts", 2, "url")` as `hosts[2].url`; a key that is no plain word is quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{part[:80]!r}]"
    return text


# --- found by a model ---------------------------------------------------------------------------


Mistake = tuple[Path_, str]
"""The path below a model, and the message."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question with the known word most like this one; "" when none is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]}?" if close else ""


M = TypeVar("M", bound=BaseModel)


def validated(
    model: type[M],
    raw: Mapping[str, object],
    base_dir: Path,
    problem_at: Callable[[Path_, str], Problem],
    problems: list[Problem],
) -> M | None:
    """Return the model, or None after adding every mistake to `problems`.

    Args:
        model: what `raw` should be.
        raw: the values as they are written.
        base_dir: where relative paths start.
        problem_at: makes a problem of a path inside `raw` and a message.
        problems: where they are added.
    """
    try:
        return model.model_validate(raw, context={"base_dir": base_dir})
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        places = {item["loc"] for item in found}
        for item in found:
            # pydantic marks a mistake in a key, rather than its value, by one more part.
            loc = tuple(part for part in item["loc"] if part != "[key]")
            if item["type"] == "too_short" and any(p[:-1] == loc for p in places):
                continue  # empty only because its items were wrong, which is reported already
            problems.append(problem_at(loc, explain(model, item)))
        return None


_WORDS = {
    "missing": "is missing",
    "string_type": "must be text (put it in quotes)",
    "path_type": "must be the path of a file",
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    "finite_number": "must be a finite number",
    **dict.fromkeys(("model_type", "dict_type", "mapping_type"), "must be a map"),
    "tuple_type": "must be a list",
    **dict.fromkeys(("string_too_short", "too_short"), "must not be empty"),
    "too_long": "holds too many values",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
}
"""By pydantic's kinds of errors; in braces what is in their context."""


def explain(model: type[BaseModel], item: ErrorDetails) -> str:
    """Return a validation error of `model` in words.

    Never quotes the value: it may be a secret in the wrong place.
    """
    kind, loc, context = item["type"], item["loc"], item.get("ctx", {})
    if kind == "extra_forbidden":
        known = _keys_at(model, loc[:-1])
        if loc[:-1] and loc[-2] == "fields":  # few, and none is like another
            return f"unknown key; known are {', '.join(known[:-1])} or {known[-1]}"
        question = did_you_mean(str(loc[-1]), known)
        return f"unknown key; {question}" if question else "unknown key"
    if kind in _WORDS:
        return _WORDS[kind].format_map(context)
    if kind == "literal_error":
        expected = str(context["expected"]).replace("'", "")
        return f"unknown key; known are {expected}" if loc[-1] == "[key]" else f"must be {expected}"
    return item["msg"].removeprefix("Value error, ")


def _keys_at(model: type[BaseModel], loc: Path_) -> list[str]:
    """Return the keys that the model allows at `loc`."""
    for part in loc:
        if isinstance(part, int):  # an item of a list of models has the keys of its model
            continue
        info = _by_key(model).get(part)
        inner = [] if info is None else [info.annotation, *getattr(info.annotation, "__args__", ())]
        nested = next((t for t in inner if is_typeddict(t) or _is_model(t)), None)
        if nested is None:
            return []
        if is_typeddict(nested):
            return list(nested.__annotations__)
        model = nested
    return list(_by_key(model))


def _is_model(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _by_key(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields by their keys in the config: `for` cannot be a name in Python."""
    return {info.alias or name: info for name, info in model.model_fields.items()}
