"""Numbers as people read them."""

from __future__ import annotations

import pytest

from exporter.humanize import duration, integer, size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (0, "0s"),
        (0.4, "0s"),
        (59.6, "1m"),
        (61, "1m 1s"),
        (3600, "1h"),
        (3605, "1h"),
        (273_600, "3d 4h"),
        (86_400 * 400, "400d"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (3000, "2.9 KiB"),
        (150_000, "146 KiB"),
        (1_468_006, "1.4 MiB"),
        (5 * 2**40, "5120 GiB"),
    ],
)
def test_size(count: int, text: str) -> None:
    assert size(count) == text


def test_integer() -> None:
    assert integer(1240) == "1,240"
