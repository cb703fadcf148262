"""How far a queue is above its lowest within the last hour."""

from __future__ import annotations

import math

import pytest

from exporter.alerting.queue_growth import WINDOW, QueueGrowth
from exporter.conditions import Interval
from tests.builders import NOW

MINUTE = 60.0
HOUR = 3600.0


def growth(*sizes: tuple[float, int]) -> Interval:
    """The growth after these sizes, at seconds after NOW."""
    queue = QueueGrowth()
    intervals = [queue.add(NOW + at, messages) for at, messages in sizes]
    return intervals[-1]


def test_a_window_is_an_hour() -> None:
    assert WINDOW == HOUR


@pytest.mark.parametrize(
    ("sizes", "known"),
    [
        pytest.param([(0, 100)], (0, math.inf), id="one size"),
        pytest.param([(0, 100), (MINUTE, 700)], (600, math.inf), id="no whole hour yet"),
        pytest.param([(0, 100), (MINUTE, 100), (HOUR, 700)], (600, 600), id="a whole hour"),
        pytest.param(
            [(0, 100), (MINUTE, 50), (2 * MINUTE, 70), (HOUR, 90)], (40, 40), id="the lowest"
        ),
        pytest.param([(0, 100), (MINUTE, 80), (HOUR, 10)], (0, 0), id="lower than ever"),
        pytest.param(
            [(0, 100), (MINUTE, 300), (HOUR + 1, 700)], (400, 400), id="what is older is forgotten"
        ),
        pytest.param(
            [(0, 100), (HOUR, 700), (2 * HOUR + 1, 650)], (0, math.inf), id="an hour of silence"
        ),
        pytest.param(
            [(0, 100), (2 * HOUR, 650), (2 * HOUR + MINUTE, 700), (3 * HOUR, 700)],
            (50, 50),
            id="an hour after a silence",
        ),
        pytest.param(
            [(0, 100), (HOUR, 100), (2 * HOUR, 100), (2 * HOUR - MINUTE, 700)],
            (0, math.inf),
            id="a clock that is set back",
        ),
    ],
)
def test_growth(sizes: list[tuple[float, int]], known: tuple[float, float]) -> None:
    assert growth(*sizes) == known
