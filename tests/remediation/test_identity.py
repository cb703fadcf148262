"""One queue id, one message or two."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from exporter.remediation.identity import Sighting, change_of, other_message
from tests.builders import message

THEN = 1_700_000_000.0
HOUR, DAY = 3600.0, 86400.0
FIRST = message("3F2A91C0B4", age=5000.5, size=900, sender="ann@example.org", frozen=True)


@pytest.mark.parametrize(
    ("changes", "later", "words"),
    [
        ({}, 0, ""),
        ({"age": 5000.5 + 7000}, 7000, ""),
        ({"age": 5000.5 + 7030}, 7000, ""),  # within what a panel's delay may make
        ({"age": 5000.5}, 7000, "another time"),
        ({"age": 100.5}, 0, "another time"),
        ({"age": 5000.5 + 900}, 0, "another time"),
        ({"age": None}, 7000, ""),
        ({"sender": "bob@example.org"}, 0, "another sender"),
        ({"sender": ""}, 0, "another sender"),
        ({"sender": None}, 0, ""),
        ({"size": 901}, 0, "another size"),
        ({"size": None}, 0, ""),
        ({"id": "3F2A91C0B5"}, 0, "another id"),
    ],
)
def test_a_message_is_its_id_with_sender_size_and_arrival(
    changes: dict[str, Any], later: float, words: str
) -> None:
    after = replace(FIRST, **changes)
    told = other_message(FIRST, THEN, after, THEN + later)
    assert words in told
    assert bool(told) is bool(words)
    assert bool(other_message(after, THEN + later, FIRST, THEN)) is bool(words)
    shown = None not in {after.age, after.size, after.sender}
    held = Sighting(THEN, {FIRST.id: FIRST}).holds(after, THEN + later)
    assert held is (shown and not words)


@pytest.mark.parametrize("field", ["age", "size", "sender"])
def test_nothing_is_done_to_a_message_that_does_not_show_its_identity_any_more(field: str) -> None:
    unknown: dict[str, Any] = {field: None}
    bare = replace(FIRST, **unknown)
    assert change_of(FIRST, THEN, bare, THEN) == f"It does not show its {field} any more."
    assert not Sighting(THEN, {FIRST.id: FIRST}).holds(bare, THEN)
    # What was not shown before cannot be missed.
    assert change_of(bare, THEN, bare, THEN) == change_of(bare, THEN, FIRST, THEN) == ""
    assert Sighting(THEN, {FIRST.id: bare}).holds(bare, THEN)


@pytest.mark.parametrize(
    ("before", "after", "later"),
    [
        (2 * HOUR, 3 * HOUR, 20 * 60.0),  # `2h` may be 2 h 20 min, `3h` 2 h 40 min
        (71 * HOUR, 3 * DAY, HOUR),
        (3 * DAY, 4 * DAY, 30 * 60.0),
        (25 * 60.0, 26 * 60.0, 1.0),
    ],
)
def test_exims_rounded_ages_make_no_other_message(
    before: float, after: float, later: float
) -> None:
    first, second = replace(FIRST, age=before), replace(FIRST, age=after)
    assert other_message(first, THEN, second, THEN + later) == ""


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (True, True, ""),
        (True, False, "It was thawed meanwhile."),
        (False, True, "It has frozen meanwhile."),
        (None, True, ""),
        (True, None, ""),
    ],
)
def test_a_state_that_has_changed_is_reported(
    before: bool | None, after: bool | None, words: str
) -> None:
    first, second = replace(FIRST, frozen=before), replace(FIRST, frozen=after)
    assert change_of(first, THEN, second, THEN) == words
    assert other_message(first, THEN, second, THEN) == ""
