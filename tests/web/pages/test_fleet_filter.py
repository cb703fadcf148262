from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.pages.fleet_filter import SORTS, FleetFilter
from exporter.web.pages.rows import STATES, Row


def row(name: str, state: str = "up", **keys: Any) -> Row:
    return Row(name, {"dc": "msk"} | keys.pop("labels", {}), state, **keys)


ROWS = [
    row("mx1", messages=5, frozen=0, oldest=60.0, growth=-3.0),
    row("mx2", "down"),
    row("mx3", "partial", messages=500, frozen=40, oldest=9.0, growth=90.0),
    row("mx10", "trouble", messages=5, frozen=1, oldest=3600.0, labels={"dc": "SPB"}),
    row("mx4", "unknown"),
]


def names(**query: str) -> list[str]:
    return [row.name for row in FleetFilter.from_query(query).apply(ROWS)]


def test_everything_the_worst_first() -> None:
    assert names() == ["mx2", "mx3", "mx10", "mx4", "mx1"]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("host", ["mx1", "mx10", "mx2", "mx3", "mx4"]),
        ("queue", ["mx3", "mx1", "mx10", "mx2", "mx4"]),
        ("frozen", ["mx3", "mx10", "mx1", "mx2", "mx4"]),
        ("oldest", ["mx10", "mx1", "mx3", "mx2", "mx4"]),
        ("growth", ["mx3", "mx1", "mx10", "mx2", "mx4"]),
    ],
)
def test_what_is_not_known_comes_last(sort: str, order: list[str]) -> None:
    assert names(sort=sort) == order


def test_filters() -> None:
    assert names(q="MX1") == ["mx10", "mx1"]
    assert names(q="spb") == ["mx10"]
    assert names(q="dc=s") == ["mx10"]
    assert names(label="dc=SPB") == ["mx10"]
    assert names(label="dc=sp") == []
    assert names(state="bad") == ["mx2", "mx3", "mx10", "mx4"]
    assert [names(state=state) for state in STATES] == [
        ["mx2"],
        ["mx3"],
        ["mx10"],
        ["mx4"],
        ["mx1"],
    ]
    assert names(q="mx", state="up", label="dc=msk", sort="host") == ["mx1"]


@given(
    st.dictionaries(st.sampled_from(["q", "state", "label", "sort", "other"]), st.text(max_size=20))
)
def test_whatever_a_url_says_is_a_filter(query: dict[str, str]) -> None:
    found = FleetFilter.from_query(query)
    assert found.sort in SORTS
    assert found.state in {"", "bad", *STATES}
    shown = found.apply(ROWS)
    assert {row.name for row in shown} <= {row.name for row in ROWS}
    assert all(found.matches(row) for row in shown)
