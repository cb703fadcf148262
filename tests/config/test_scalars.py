from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.document import parse_document, plain_scalar
from tests.config.test_document import FILE


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-17", -17),
        ("012", 12),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("1" + "0" * 18, 1e18),
        ("9" * 400, math.inf),
        (".inf", math.inf),
        ("-.INF", -math.inf),
    ],
)
def test_words_that_are_no_text(text: str, value: object) -> None:
    read = plain_scalar(text)
    assert (type(read), read) == (type(value), value)


def test_nan() -> None:
    read = plain_scalar(".NaN")
    assert isinstance(read, float)
    assert math.isnan(read)


@pytest.mark.parametrize(
    "text",
    [
        *("no", "off", "on", "yes", "y", "TRUe"),
        *("1:30", "2026-01-31", "0x1F", "0o17", "1_000", "1.2.3.4"),
        *("=", "<<", "+", "-", ".", "e3", "mx1"),
    ],
)
def test_words_that_are_text(text: str) -> None:
    assert plain_scalar(text) == text


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp", "Cn"])))
def test_quoted_text_is_always_text(text: str) -> None:
    written = "'" + text.replace("'", "''") + "'"
    if "\ufeff" not in text:
        assert parse_document(f"a: {written}".encode(), FILE).data == {"a": text}
