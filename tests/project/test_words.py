"""The words of the code: standard terms, and English that needs no second reading."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "exporter").rglob("*.py"))

PROSE = re.compile(r"\b(?:told|who|whom|of which|he|his|him)\b", re.IGNORECASE)
"""Of comments and docstrings: say what is known, reported or shown, and name the actor."""

IDENTIFIER = re.compile(r"(?:^|_)(?:told|who|desk|bench|deed|tally|centre|errand)(?:_|$)")


def _docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The strings that stand alone: docstrings of modules, functions and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            value = node.value.value
            if isinstance(value, str):
                yield node.lineno, value


def violations(source: str) -> list[str]:
    """`line: word` of each odd word."""
    found = [
        f"{line}: {match[0]}"
        for line, text in _docstrings(ast.parse(source))
        for match in PROSE.finditer(text)
    ]
    lines = iter(source.splitlines(keepends=True))
    for token in tokenize.generate_tokens(lambda: next(lines, "")):
        odd = (
            PROSE.search(token.string)
            if token.type == tokenize.COMMENT
            else IDENTIFIER.search(token.string)
            if token.type == tokenize.NAME
            else None
        )
        if odd:
            found.append(
                f"{token.start[0]}: {token.string if token.type == tokenize.NAME else odd[0]}"
            )
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_words_are_standard_terms(file: Path) -> None:
    assert violations(file.read_text()) == []


def test_odd_words_are_found() -> None:
    source = 'def f(told):\n    """What he says."""\n    # for who asks\n'
    assert sorted(violations(source)) == ["1: told", "2: he", "3: who"]
