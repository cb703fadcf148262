"""What is remembered from list to list: never what an earlier list said of a later one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.panel import decode
from exporter.panel.decode import ListOptions, QueueUpdate, decode_queue_update
from tests.decode import rendering, strategies
from tests.examples import examples

NOW = rendering.NOW
IDS = tuple(f"1kXpJb-0004Uv-7{last}" for last in "QRSTUVWXYZ")


def _remembering() -> list[Any]:
    """Every function of the decoder that remembers what it returned."""
    names = [found.name for found in iter_modules(decode.__path__)]
    modules = [import_module(f"{decode.__name__}.{name}") for name in names]
    members = [member for module in modules for member in vars(module).values()]
    return list(dict.fromkeys(each for each in members if hasattr(each, "cache_clear")))


_REMEMBERING = _remembering()


def _forget() -> None:
    for function in _REMEMBERING:
        function.cache_clear()


def _decode(rows: Sequence[object], now: float = NOW) -> QueueUpdate:
    return decode_queue_update(json.dumps({"error": 0, "detail": rows}).encode(), ListOptions(now))


_cells = st.sampled_from(
    [
        *("", "", "-", "25m", "3h", "0m", "7m", "2.9K", "512", "1.4M", 0, 1, 5, 400_000),
        *(1795487700, "1795487700", "2026-11-23 08:41:02", "<>", "a@example.org"),
        *("<b@example.org>", "b@example.net, c@example.net", "MAILER-DAEMON", "***", "frozen"),
        *("<a@example.org> *** frozen ***", "Frozen", "active", True, False, None),
        *("3F2A91C0B4", "0A1B2C3D4E!", "412344560", "ABCDEFAB", *IDS[:4]),
    ]
)
_rows = st.one_of(
    st.fixed_dictionaries(
        {"id": st.sampled_from(IDS)},
        optional={
            **dict.fromkeys(["age", "size", "sender", "recipients", "status"], _cells),
            **dict.fromkeys(["time", "queue_id", "from", "to", "frozen", "note"], _cells),
        },
    ),
    st.tuples(_cells, st.sampled_from(IDS), *[_cells] * 4).map(list),
    st.lists(_cells, min_size=5, max_size=6),
)
_courses = st.lists(st.lists(_rows, max_size=6), min_size=2, max_size=5)


@settings(max_examples=examples(300), deadline=None)
@given(_courses, st.sampled_from([0.0, 60.0, 86400.0 * 400]))
def test_a_course_of_lists_reads_as_each_list_does_alone(
    course: list[list[Any]], between: float
) -> None:
    _forget()
    remembered = [_decode(rows, NOW + n * between) for n, rows in enumerate(course)]
    for number, rows in enumerate(course):
        _forget()
        assert _decode(rows, NOW + number * between) == remembered[number]


@settings(max_examples=examples(30), deadline=None)
@given(strategies.messages(strategies.exim_ids, delivered=False), st.data())
def test_an_odd_row_colours_no_later_list(messages: list[Any], data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from(sorted(rendering.EITHER)))
    rows = rendering.EITHER[shape](messages)
    _forget()
    fresh = _decode(rows)
    odd = data.draw(_rows)
    _decode([*rows, odd] if isinstance(rows, list) else [odd])
    assert _decode(rows) == fresh


def test_an_unlucky_first_list_is_not_kept() -> None:
    """All mail had just come; then some was four days old."""
    first = [{"id": id_, "age": 0, "size": 100} for id_ in IDS]
    assert _decode(first).stats.oldest_age == 0
    second = [row | {"age": 400_000 * (number > 5)} for number, row in enumerate(first)]
    assert _decode(second).stats.oldest_age == 400_000


def test_an_empty_cell_does_not_turn_the_roles_for_later_lists() -> None:
    decoded = ["4d", IDS[0], "alice@example.org", "bob@example.net", "2.9K", "Frozen"]
    nobody = ["4d", IDS[1], "alice@example.org", "", "2.9K", "Frozen"]
    assert _decode([nobody, decoded]).stats.bounces == 0
    assert _decode([decoded]).stats.bounces == 0
    domains = _decode([decoded]).stats.sender_domains
    assert domains is not None
    assert domains.top == (("example.org", 1),)


def test_a_mark_seen_for_the_first_time_is_taken_notice_of() -> None:
    calm = [["25m", "302", IDS[0], "<a@example.org>", "b@example.com"]]
    assert _decode(calm).stats.frozen is None
    marked = [*calm, ["25m", "302", IDS[1], "<> *** frozen ***", "b@example.com"]]
    assert _decode(marked).stats.frozen == 1
    assert _decode(calm).stats.frozen is None


def test_no_long_text_is_remembered() -> None:
    """What is remembered is bounded in number, and so is each text in length."""
    long = "1" * 100_000
    row = {"id": IDS[0], "size": "2.9K"}
    heading = ["id", "size", "sender"]
    rows = ["25m", IDS[0], "x"]
    _forget()
    _decode([row])
    _decode([["?@", *heading], [*rows, "?@"]])
    before = [function.cache_info().currsize for function in _REMEMBERING]
    _decode([row | {"size": long, "id": long, long: long}])
    _decode([[long, *heading], [*rows, long]])
    after = [function.cache_info().currsize for function in _REMEMBERING]
    # Of the new columns, what they look like: a few bits, and no text.
    grown = {
        function.__name__
        for function, one, other in zip(_REMEMBERING, before, after, strict=True)
        if other > one
    }
    assert grown <= {"_find_id", "_conclude", "rivals_of", "_uniform"}
