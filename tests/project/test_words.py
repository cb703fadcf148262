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
TESTS = sorted(
    file
    for room in ("cli", "daemon", "remediation")
    for file in (ROOT / "tests" / room).glob("*.py")
)

PROSE = re.compile(r"\b(?:told|who|whom|of which|he|his|him)\b", re.IGNORECASE)
"""Of comments and docstrings: say what is known, reported or shown, and name the actor."""

IDENTIFIER = re.compile(r"(?:^|_)(?:told|who|of_which|desk|bench|deed|tally|centre|errand)(?:_|$)")


def _docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The strings that stand alone: docstrings of modules, functions and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            value = node.value.value
            if isinstance(value, str):
                yield node.lineno, value


def _prose(source: str) -> Iterator[str]:
    """`line: word` of each odd word in docstrings and comments."""
    texts = [
        *_docstrings(ast.parse(source)),
        *((t.start[0], t.string) for t in _tokens(source) if t.type == tokenize.COMMENT),
    ]
    for line, text in texts:
        yield from (f"{line}: {match[0]}" for match in PROSE.finditer(text))


def _tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    lines = iter(source.splitlines(keepends=True))
    return tokenize.generate_tokens(lambda: next(lines, ""))


def violations(source: str) -> list[str]:
    """`line: word` of each odd word, identifiers included."""
    names = (t for t in _tokens(source) if t.type == tokenize.NAME)
    odd = [f"{name.start[0]}: {name.string}" for name in names if IDENTIFIER.search(name.string)]
    return [*_prose(source), *odd]


def violations_of_tests(source: str) -> list[str]:
    """The same, but of identifiers only the names of functions: what is shown of a test."""
    functions = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    odd = [f"{f.lineno}: {f.name}" for f in functions if IDENTIFIER.search(f.name)]
    return [*_prose(source), *odd]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_words_are_standard_terms(file: Path) -> None:
    assert violations(file.read_text()) == []


@pytest.mark.parametrize("file", TESTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_words_of_tests_are_standard_terms(file: Path) -> None:
    assert violations_of_tests(file.read_text()) == []


def test_odd_words_are_found() -> None:
    source = 'def told(told):\n    """What he says."""\n    # for who asks\n'
    assert sorted(violations(source)) == ["1: told", "1: told", "2: he", "3: who"]
    assert sorted(violations_of_tests(source)) == ["1: told", "2: he", "3: who"]
