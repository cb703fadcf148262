from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.units import (
    DURATION_PATTERN,
    SIZE_PATTERN,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h", 3600),
        ("3d", 259200),
        ("2w", 1209600),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("1h30m", 5400),
        ("0s", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "30", "s", "30 s", "-5s", "+5s", "5S", "1y", "1e3s", ".5s", "5.s", "1:30", "30s ", "٣s"],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration: write a number with a unit"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64MiB", 64 * 2**20),
        ("512 KiB", 512 * 2**10),
        ("1GiB", 2**30),
        ("10MB", 10**7),
        ("2kB".upper(), 2000),
        ("1GB", 10**9),
        ("17B", 17),
        ("1.5KiB", 1536),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "64", "64M", "64mib", "-1B", "MiB", "1TiB", "1e3B", "1  B"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="not a size: write a number with a unit"):
        parse_size(text)


@given(st.text("0123456789.smhdwKMGiB -e", max_size=500) | st.text())
def test_any_text_is_a_finite_value_or_a_value_error(text: str) -> None:
    for parse in (parse_duration, parse_size):
        try:
            value = parse(text)
        except ValueError:
            continue
        assert 0 <= value < 1e60


@pytest.mark.parametrize("parse", [parse_duration, parse_size])
def test_endless_digits_are_refused_at_once(parse: object) -> None:
    assert callable(parse)
    for unit in ("s", "GiB", ""):
        with pytest.raises(ValueError, match="write a number with a unit"):
            parse("9" * 200_000 + unit)


@given(st.integers(0, 10**12))
def test_a_written_duration_is_read_back(microseconds: int) -> None:
    text = format_duration(microseconds / 10**6)
    assert parse_duration(text) == pytest.approx(microseconds / 10**6)
    assert re.fullmatch(DURATION_PATTERN, text)


@given(st.integers(0, 2**39))
def test_a_written_size_is_read_back(size: int) -> None:
    text = format_size(size)
    assert parse_size(text) == size
    assert re.fullmatch(SIZE_PATTERN, text)


def test_durations_are_written_in_seconds() -> None:
    assert [format_duration(s) for s in (0, 0.5, 2.5, 30, 3600)] == [
        "0s",
        "0.5s",
        "2.5s",
        "30s",
        "3600s",
    ]


def test_sizes_are_written_in_the_largest_unit_that_leaves_no_fraction() -> None:
    assert [format_size(n) for n in (0, 1, 1024, 1536, 64 * 2**20, 2**30)] == [
        "0B",
        "1B",
        "1KiB",
        "1536B",
        "64MiB",
        "1GiB",
    ]
