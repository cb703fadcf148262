"""Expressions with a catch, evaluated by Prometheus' own engine over made-up series."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from dashboards.source.occurrences import Occurrences
from dashboards.source.promql import growth, or_zero, since_last_good, unknown_of
from exporter.metrics.families import QUEUE_MESSAGES

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

pytestmark = pytest.mark.usefixtures("promtool")


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


def test_the_last_good_poll_is_not_told_of_a_host_with_a_collector_that_never_had_one(
    tmp_path: Path,
) -> None:
    up, good = "brainycp_collector_up", "brainycp_last_success_timestamp_seconds"
    series = {
        f'{up}{{job="$job",host="$host",collector="queue"}}': "1 0 0 0",
        f'{good}{{job="$job",host="$host",collector="queue"}}': "0 0 0 0",
        f'{up}{{job="$job",host="$host",collector="clamav"}}': "_ 1 0 0",
        f'{good}{{job="$job",host="$host",collector="clamav"}}': "_ _ 60 60",
    }
    told = {0: 0, 1: None, 2: 120, 3: 180}
    assert (
        evaluated(tmp_path, series, [_at(since_last_good(), *case) for case in told.items()]) == ""
    )


def test_growth_is_above_the_lowest_and_not_told_where_the_queue_is_not_known(
    tmp_path: Path,
) -> None:
    series = {'brainycp_queue_messages{job="$job",host="$host"}': "50 20 30 25 stale _ 90"}
    expression = growth().replace("$window", "4m")
    told = {0: 0, 1: 0, 2: 10, 3: 5, 4: None, 6: 65}
    assert evaluated(tmp_path, series, [_at(expression, *case) for case in told.items()]) == ""


def test_nothing_is_zero_only_where_one_would_know(tmp_path: Path) -> None:
    series = {
        'alerts{job="$job"}': "_ _ 2 stale",
        'exporter{job="$job"}': "_ 1 1 1 stale",
    }
    expression = or_zero('count(alerts{job=~"$job"})', "exporter")
    told = {0: None, 1: 0, 2: 1, 3: 0, 4: None}
    samples = [_at(expression, minute, value, "{}") for minute, value in told.items()]
    assert evaluated(tmp_path, series, samples) == ""


def test_hosts_whose_queue_is_not_known_are_counted(tmp_path: Path) -> None:
    series = {
        'brainycp_host_info{job="$job",host="$host"}': "_ 1 1 1 1",
        'brainycp_queue_messages{job="$job",host="$host"}': "_ _ 0 7 stale",
    }
    told = {0: None, 1: 1, 2: 0, 3: 0, 4: 1}
    expression = unknown_of(QUEUE_MESSAGES)
    samples = [_at(expression, minute, value, "{}") for minute, value in told.items()]
    assert evaluated(tmp_path, series, samples) == ""


def _at(
    expression: str, minute: int, value: float | None, labels: str = '{host="$host"}'
) -> dict[str, object]:
    """What an expression must give at a minute: one value, or nothing."""
    # The variables are made plain words, which match themselves.
    return {
        "expr": expression.replace("=~", "="),
        "eval_time": f"{minute}m",
        "exp_samples": [] if value is None else [{"labels": labels, "value": value}],
    }
