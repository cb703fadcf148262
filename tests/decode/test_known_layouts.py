"""Layouts that are believed from list to list: never in place of what the rows themselves say."""

from __future__ import annotations

import json
from typing import Any

from exporter.panel.decode import Layouts, QueueUpdate, decode_queue_update
from exporter.panel.decode.recognition import MAX_USES

NOW = 1795489200.0
IDS = ("1kXpJb-0004Uv-7Q", "1kXpJb-0004Uv-7R", "1kXpJb-0004Uv-7S", "1kXpJb-0004Uv-7T")


def row(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "id": IDS[number],
        "time": "25m",
        "sender": "a@example.org",
        "recipients": "b@example.com",
        "size": "2.9K",
        "status": "Frozen",
    } | changes


def update(*rows: object, known: Layouts | None = None) -> QueueUpdate:
    body = json.dumps({"error": 0, "detail": rows}).encode()
    return decode_queue_update(body, now=NOW, known=known)


def test_a_known_layout_reads_the_same() -> None:
    first = update(row(0), row(1))
    again = update(row(0), row(1), known=first.layouts)
    assert again.stats == first.stats
    assert again.shape == first.shape
    assert [known.uses for known in again.layouts.values()] == [1]


def test_other_keys_are_recognised_anew() -> None:
    known = update(row()).layouts
    renamed = {{"sender": "from"}.get(key, key): value for key, value in row().items()}
    assert update(renamed, known=known).stats.lacking == ()


def test_columns_that_changed_places_are_recognised_anew() -> None:
    arrays = [["25m", IDS[0], "a@example.org", "b@example.com", "2.9K", "Frozen"]]
    moved = [[IDS[0], "25m", "a@example.org", "b@example.com", "2.9K", "Frozen"]]
    known = update(*arrays).layouts
    assert update(*moved, known=known).stats == update(*moved).stats
    assert update(*moved, known=known).stats.unparsed == 0


def test_a_value_that_only_some_rows_tell_is_looked_at_anew() -> None:
    known = update(row(0), row(1)).layouts
    doubtful = update(row(0), row(1, size="?"), known=known)
    assert doubtful.stats.lacking == (("size", 1),)
    assert doubtful.layouts == {}


def test_a_mark_seen_for_the_first_time_is_taken_notice_of() -> None:
    calm = [["25m", "302", IDS[0], "<a@example.org>", "b@example.com"]]
    known = update(*calm).layouts
    assert known
    assert update(*calm).stats.frozen is None
    marked = [*calm, ["25m", "302", IDS[1], "<> *** frozen ***", "b@example.com"]]
    assert update(*marked, known=known).stats.frozen == 1


def test_a_list_that_grew_much_is_recognised_anew() -> None:
    known = update(row(0)).layouts
    grown = update(row(0), row(1), row(2), known=known)
    assert [layout.uses for layout in grown.layouts.values()] == [0]


def test_a_layout_is_not_believed_for_ever() -> None:
    known = update(row()).layouts
    uses: list[int] = []
    for _ in range(MAX_USES + 1):
        known = update(row(), known=known).layouts
        uses.extend(layout.uses for layout in known.values())
    assert uses == [*range(1, MAX_USES + 1), 0]


def test_an_empty_list_forgets_nothing() -> None:
    known = update(row()).layouts
    assert update(known=known).layouts == known
