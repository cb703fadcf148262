"""Whether an alert could be told to end while its conditions hold."""

from __future__ import annotations

import pytest

from exporter.config.conditions import parse_condition
from exporter.config.overlap import may_both_hold

F, B, AGE = "queue_frozen_messages", "queue_bounce_messages", "queue_oldest_message_age_seconds"


@pytest.mark.parametrize(
    ("when", "clear", "overlap"),
    [
        ([f"{F} > 200"], [f"{F} < 100"], False),
        ([f"{F} > 200"], [f"{F} <= 200"], False),
        ([f"{F} > 200"], [f"{F} < 201"], False),  # no number of messages is in between
        ([f"{F} > 200"], [f"{F} < 202"], True),
        ([f"{F} >= 200"], [f"{F} <= 200"], True),
        ([f"{F} < 5.5"], [f"{F} >= 5.5"], False),
        ([f"{F} > 5.2"], [f"{F} < 5.9"], False),
        ([f"{F} > 4.9"], [f"{F} < 5.1"], True),
        ([f"{F} != 0"], [f"{F} == 0"], False),
        ([f"{F} == 0"], [f"{F} >= 0"], True),
        ([f"{F} > 0"], [f"{F} < 1"], False),
        ([f"{AGE} > 1d"], [f"{AGE} < 1d"], False),
        ([f"{AGE} > 1d"], [f"{AGE} < 90001"], True),
        ([f"{AGE} > 1d", f"{AGE} < 2d"], [f"{AGE} > 2d"], False),
        ([f"{F} > 200", f"{B} > 5"], [f"{F} < 300"], True),
        ([f"{F} > 200", f"{B} > 5"], [f"{F} < 300", f"{B} < 5"], False),
        ([f"{F} > 200"], [f"{B} < 300"], False),  # nobody knows
        ([f"{F} > 200"], [f"{F} < 300", f"{B} < 5"], False),
        (['service_up{service="*"} == 0'], ['service_up{service="*"} == 1'], False),
        (['service_up{service="*"} == 0'], ['service_up{service="*"} != 1'], True),
        ([f"{F} > 200"], [], False),
        ([], [f"{F} > 200"], False),
    ],
)
def test_overlaps(when: list[str], clear: list[str], overlap: bool) -> None:
    assert may_both_hold([*map(parse_condition, when)], [*map(parse_condition, clear)]) is overlap
