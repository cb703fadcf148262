"""What `diagnose` makes of rows: how sure each field is, what is missing, what may be proposed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from exporter.panel.decode import queue_stats
from exporter.polling.diagnosis import FieldLine, field_lines, proposals, read_table, verdict
from exporter.snapshot import Certainty
from tests.builders import host

IDS = [f"1sAbCd-00000{number}-2X" for number in range(1, 7)]
ALL = {"id": 1, "age": 0, "size": 4, "sender": 2, "recipients": 3, "frozen": 5}


class Diagnosed:
    """Rows as a host with these `fields` has them read."""

    def __init__(self, rows: object, fields: Mapping[str, Any] | None = None) -> None:
        configured = host(fields=dict(fields or {}))
        body = json.dumps({"error": 0, "detail": rows}).encode()
        table = read_table(configured, body)
        stats = queue_stats(table)
        lines = [*field_lines(configured, table, stats)]
        self.lines: dict[str, FieldLine] = {line.name: line for line in lines}
        self.proposed = proposals(configured, table, lines)
        self.verdict = verdict(table, stats, lines)


def arrays(sender: str = "<>", state: str = "Frozen") -> list[list[str]]:
    rows = [["3h", id_, sender, "bob@example.net", "900", state] for id_ in IDS]
    return [[*row[:5], ""] if number % 2 else row for number, row in enumerate(rows)]


def test_a_guess_is_proposed_and_reported_as_one() -> None:
    found = Diagnosed(arrays())
    assert found.proposed == ALL
    guessed = {name for name, line in found.lines.items() if line.certainty is Certainty.GUESSED}
    assert guessed == {"age", "size", "sender", "recipients", "frozen"}
    assert found.lines["sender"].samples == ("<>",)
    assert "confirms" in found.lines["sender"].missing
    assert found.verdict.startswith(
        "Not certain yet: only guessed, so that nothing acts on it: `age`"
    )


def test_no_proposal_comes_twice() -> None:
    found = Diagnosed(arrays(), ALL)
    assert found.proposed == {}
    assert found.verdict.startswith("Certain:")
    assert {line.certainty for line in found.lines.values()} == {Certainty.NAMED}
    partly = Diagnosed(arrays(), {"frozen": 5, "age": 0})
    assert partly.proposed == {k: v for k, v in ALL.items() if k not in {"frozen", "age"}}


def test_two_candidates_for_a_field_are_both_named_and_none_is_proposed() -> None:
    """Two columns of addresses: nothing but their order tells who sent and who receives."""
    found = Diagnosed(arrays(sender="ann@example.org"))
    assert found.proposed.keys() == {"id", "age", "size", "frozen"}
    for role in ("sender", "recipients"):
        assert "position 2 and position 3 may hold it" in found.lines[role].missing
    named = Diagnosed(arrays(sender="ann@example.org"), {**ALL})
    assert named.verdict.startswith("Certain:")


def test_one_column_of_addresses_may_be_either_role() -> None:
    for rows in (
        [{"a": id_, "who": "ann@example.org", "age": "3h"} for id_ in IDS],
        [[id_, "ann@example.org", "3h"] for id_ in IDS],
    ):
        found = Diagnosed(rows)
        assert not {"sender", "recipients"} & found.proposed.keys()
        assert found.lines["sender"].samples == ("ann@example.org",)
        assert "holds addresses" in found.lines["sender"].missing


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({**ALL, "age": 9}, "`fields` names position 9, which no row has"),
        ({**ALL, "age": "time"}, "`fields` names `time`, which no row has"),
    ],
)
def test_what_fields_say_and_no_row_has_is_reported(fields: dict[str, Any], words: str) -> None:
    found = Diagnosed(arrays(), fields)
    assert found.lines["age"].missing == words
    assert found.lines["age"].certainty is not Certainty.NAMED
    assert "age" not in found.proposed, "it was told already"
    assert found.verdict.startswith("Not certain yet")


def test_values_that_fields_name_wrongly_are_reported() -> None:
    found = Diagnosed(arrays(), {**ALL, "size": 2})
    assert "6 rows not understood, perhaps since a value is not what `fields` say" in found.verdict
    assert found.proposed == {}


def test_letters_for_states_need_to_be_said() -> None:
    decoded = Diagnosed(arrays(state="F"), ALL)
    assert "`frozen_values`" in decoded.lines["frozen"].missing
    assert "`frozen` is told by 3 of 6 messages" in decoded.verdict
    states = {"frozen_values": ["f"], "not_frozen_values": [""]}
    assert Diagnosed(arrays(state="F"), {**ALL, **states}).verdict.startswith("Certain:")


def test_an_empty_queue_says_nothing_of_a_shape() -> None:
    found = Diagnosed([])
    assert (found.lines, found.proposed) == ({}, {})
    assert "empty" in found.verdict


def test_a_position_that_is_not_read_is_shown_with_its_values() -> None:
    decoded = Diagnosed(arrays(state="F"), {k: v for k, v in ALL.items() if k != "frozen"})
    line = decoded.lines["frozen"]
    assert line.certainty is None
    assert line.missing == "if position 5 holds it, name it in `fields`"
    assert line.samples == ("F",)
