"""Whether conditions can all hold at once. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from itertools import pairwise

from exporter.config.conditions import METRIC_UNITS, Condition


def may_both_hold(when: Collection[Condition], clear: Collection[Condition]) -> bool:
    """Return whether some measurements certainly satisfy both `when` and `clear`.

    Not where `clear` compares a metric that `when` does not: whether both can hold at once is
    unknown then.
    """
    compared = {_figure(condition) for condition in when}
    if not clear or not {_figure(condition) for condition in clear} <= compared:
        return False
    together = (*when, *clear)
    return all(_satisfiable([c for c in together if _figure(c) == figure]) for figure in compared)


def _figure(condition: Condition) -> tuple[str, str]:
    return condition.metric, condition.label


def _satisfiable(conditions: Collection[Condition]) -> bool:
    """Return whether one value satisfies all conditions on one metric."""
    return any(all(c.holds(value) for c in conditions) for value in _candidates(conditions))


def _candidates(conditions: Collection[Condition]) -> Iterator[float]:
    """Values that decide for all values of one metric: each threshold and its sides."""
    thresholds = sorted({condition.value for condition in conditions})
    match METRIC_UNITS[next(iter(conditions)).metric]:
        case "flag":
            yield from (0.0, 1.0)
        case "count":  # whole, and not negative
            near = (math.floor(value) + side for value in thresholds for side in (-1, 0, 1, 2))
            yield from (float(value) for value in near if value >= 0)
        case _:
            yield from thresholds
            yield from ((a + b) / 2 for a, b in pairwise(thresholds))
            yield from (thresholds[-1] + 1, thresholds[0] - 1)
