"""Medians of repeated measurements, the two sides of a ratio in turn."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

RUNS = 7


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table."""

    what: str
    ours: str
    baseline: str
    ratio: float | None
    """Ours to the baseline's, or an absolute figure where there is none to compare."""
    limit: float | None
    """What the ratio must not be above; None where nothing is asked."""

    @property
    def ok(self) -> bool:
        """Whether the limit holds."""
        return self.limit is None or (self.ratio is not None and self.ratio <= self.limit)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def paired(
    ours: Callable[[], object], baseline: Callable[[], object], runs: int = RUNS
) -> tuple[float, float]:
    """Median seconds of both, measured in turn so that a drifting machine hits both alike."""
    ours()
    baseline()
    times = [(seconds(ours), seconds(baseline)) for _ in range(runs)]
    mine, theirs = zip(*times, strict=True)
    return statistics.median(mine), statistics.median(theirs)


def milliseconds(value: float) -> str:
    """Seconds as milliseconds with three digits that count."""
    return f"{value * 1000:.3g} ms"


def compared(what: str, mine: float, theirs: float, limit: float) -> Result:
    """The line for two times in seconds."""
    return Result(what, milliseconds(mine), milliseconds(theirs), mine / theirs, limit)
