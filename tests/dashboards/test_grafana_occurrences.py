"""Counts of rare events, evaluated by Prometheus' own engine over made-up series."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from dashboards.source.occurrences import Occurrences

COUNTED = Occurrences("events_total", "witness", "job")

# A sample a minute from minute 0; "_" is a scrape without one. The range is minutes 6 to 16.
CASES = {
    "the first event": ("1x30", "_x9 1x20", 1),
    "none in the range": ("1x30", "7x30", 0),
    "some, on top of older ones": ("1x30", "7x9 9x20", 2),
    "the first one, then more": ("1x30", "_x9 1x2 4x20", 4),
    "counted before Prometheus knew the exporter": ("_x9 1x20", "_x9 57x20", 0),
    "older ones, forgotten by a restart": ("1x30", "57x9 stale _x20", 0),
    "older ones, a restart, a new one": ("1x30", "57x9 stale _x1 1x20", 1),
}


def evaluated(folder: Path, series: dict[str, str], tests: list[dict[str, object]]) -> str:
    """What promtool finds different from what was expected; "" for nothing."""
    file = folder / "tests.yaml"
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    case = {"interval": "1m", "input_series": inputs, "promql_expr_test": tests}
    file.write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [case]}))
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("name", CASES)
def test_each_event_in_the_range_counts_once(name: str, tmp_path: Path) -> None:
    witness, counter, count = CASES[name]
    expression = COUNTED.in_range("kind").replace("$__range", "10m")
    difference = evaluated(
        tmp_path,
        {'witness{job="a"}': witness, 'events_total{job="a",kind="x"}': counter},
        [
            {
                "expr": expression,
                "eval_time": "16m",
                "exp_samples": [{"labels": '{kind="x"}', "value": count}],
            }
        ],
    )
    assert difference == ""


@pytest.mark.parametrize(
    ("witness", "counter", "bars"),
    [
        ("1x9", "_x2 1x1 3x9", {1: None, 2: 1, 3: 0, 4: 2, 5: 0}),
        # A restart, after which one more happened at once, and one later.
        ("1x9", "57x2 1x1 2x9", {2: 0, 3: 1, 4: 0, 5: 1}),
        # Counted before Prometheus knew the exporter.
        ("_x2 1x9", "_x2 57x9", {2: None, 3: 0}),
    ],
)
def test_each_event_is_in_one_bar(
    witness: str, counter: str, bars: dict[int, float | None], tmp_path: Path
) -> None:
    expression = COUNTED.per_step("kind").replace("$__interval", "1m")
    difference = evaluated(
        tmp_path,
        {'witness{job="a"}': witness, 'events_total{job="a",kind="x"}': counter},
        [
            {
                "expr": expression,
                "eval_time": f"{minute}m",
                "exp_samples": [] if value is None else [{"labels": '{kind="x"}', "value": value}],
            }
            for minute, value in bars.items()
        ],
    )
    assert difference == ""
