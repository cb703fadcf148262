"""No regular expression relies on what CPython before 3.11.5 gets wrong."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

import exporter

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(exporter.__path__, "exporter.")
    if not module.name.endswith(("__main__", "apprise_child"))
)


def possessive_groups(parsed: Any) -> Iterator[str]:
    """Yield each possessive repeat of more than one character at a time.

    Such a group may lose what it has matched, or a match altogether (gh-106052). An atomic group
    around a greedy one does the same and is right in all versions.
    """
    for operator, argument in parsed:
        if operator is _constants.POSSESSIVE_REPEAT:
            item = argument[2]
            if len(item) != 1 or item[0][0] in (
                _constants.SUBPATTERN,
                _constants.BRANCH,
                _constants.MAX_REPEAT,
            ):
                yield str(item)
        parts = argument if isinstance(argument, list | tuple) else (argument,)
        for part in parts:
            if isinstance(part, _parser.SubPattern):
                yield from possessive_groups(part)
            elif isinstance(part, list | tuple):
                for each in part:
                    if isinstance(each, _parser.SubPattern):
                        yield from possessive_groups(each)


@pytest.mark.parametrize("name", MODULES)
def test_no_group_is_possessive(name: str) -> None:
    module = importlib.import_module(name)
    patterns = [value for value in vars(module).values() if isinstance(value, re.Pattern)]
    for pattern in patterns:
        found = [*possessive_groups(_parser.parse(pattern.pattern, pattern.flags))]
        assert not found, pattern.pattern


def test_possessive_groups_are_found() -> None:
    assert [*possessive_groups(_parser.parse(r"x(?:([\d.]++[KMG]?+) )?+(\d)"))]
    assert not [*possessive_groups(_parser.parse(r"x(?>(?:([\d.]++[KMG]?+) )?)(\d)"))]
