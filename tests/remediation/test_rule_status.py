from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from exporter.config.remediation import RemediationRule
from exporter.hold_timer import HoldTimer
from exporter.journal import Entry, Kind, RuleFacts
from exporter.journal.entries import Guard
from exporter.journal.projection import JournalProjection
from exporter.remediation.guards import Block
from exporter.remediation.requests import Request
from exporter.remediation.rule_state import Asked, Held, RuleState
from exporter.remediation.rule_status import (
    HeldBack,
    RuleStatus,
    held_back_by,
    live_status,
    live_statuses,
)
from tests.builders import NOW

HOUR = 3600.0


def rule(name: str = "purge", **keys: Any) -> RemediationRule:
    values = {"name": name, "when": ["queue_messages > 5"], "action": "purge_frozen"} | keys
    return RemediationRule.model_validate(values)


def state(name: str = "purge", **keys: Any) -> RuleState:
    return replace(RuleState.new(rule(name, **{"for": "10m"}), max_gap=300.0), **keys)


def counting(name: str = "purge") -> RuleState:
    timer = HoldTimer(600.0, 300.0)
    for at in (NOW - 120, NOW - 60, NOW):
        timer.advance(at, holds=True)
    return state(name, timer=timer)


Line = tuple[Kind, float, dict[str, Any]]


def projection(*entries: Line, name: str = "purge") -> JournalProjection:
    known = JournalProjection()
    known.add(
        Entry(kind, id=number, at=at, host="mx1", rule=name, run=f"r{number}", **keys)
        for number, (kind, at, keys) in enumerate(entries, start=1)
    )
    return known


ASKED: Line = (Kind.APPROVAL_REQUESTED, NOW - 60, {"detail": {"planned": 12}})
BEGUN: Line = (Kind.INTENT, NOW - 1800, {})
ENDED: Line = (Kind.OUTCOME, NOW - 1790, {"outcome": "ok"})
STOPPED: Line = (Kind.STOPPED, NOW - 10, {"text": "Three failed."})
HELD = Block(Guard.WINDOW, "Outside of every window.", NOW + 900)
ASKING = Block(Guard.APPROVAL, "It waits for a person to approve it.")


def status(state: RuleState, projection: JournalProjection, **keys: Any) -> RuleStatus:
    return live_status("mx1", replace(state, rule=rule(**keys)), projection, NOW)


def test_nothing_to_do() -> None:
    assert status(state(), projection()).word == "calm"


def test_it_would_act_after_what_is_left_of_its_time() -> None:
    found = status(counting(), projection())
    assert (found.word, found.due_in) == ("counting", 480.0)


def test_cooling_down_until_its_cooldown_has_passed_since_it_began() -> None:
    found = status(counting(), projection(BEGUN, ENDED), cooldown="1h")
    assert (found.word, found.until) == ("cooldown", NOW + 1800)
    assert found.last == (NOW - 1790, "ok")
    assert status(state(), projection(BEGUN, ENDED), cooldown="20m").word == "calm"


def test_held_back_says_by_what_and_until_when() -> None:
    found = status(state(held=Held(HELD)), projection())
    assert (found.word, found.reason, found.until) == ("blocked", HELD.reason, NOW + 900)


def test_it_waits_for_a_person_on_so_many_messages() -> None:
    found = status(state(held=Held(ASKING)), projection(ASKED))
    assert (found.word, found.messages) == ("waiting", 12)


@pytest.mark.parametrize("decision", [Kind.APPROVED, Kind.REJECTED])
def test_what_was_just_decided_does_not_wait_for_a_person(decision: Kind) -> None:
    decided: Line = (decision, NOW - 1, {})
    assert status(state(held=Held(ASKING)), projection(ASKED, decided)).word == decision.value
    # Another guard speaks of now, and a request that came since of something else.
    assert status(state(held=Held(HELD)), projection(ASKED, decided)).word == "blocked"
    assert status(state(held=Held(ASKING)), projection(ASKED, decided, ASKED)).word == "waiting"


def test_a_request_that_nobody_answered_within_a_day_stands_no_more() -> None:
    old: Line = (Kind.APPROVAL_REQUESTED, NOW - 25 * HOUR, {})
    assert status(state(), projection(old)).word == "calm"


def test_a_stop_comes_before_everything_else() -> None:
    found = status(state(held=Held(HELD)), projection(BEGUN, ASKED, STOPPED))
    assert (found.word, found.reason) == ("stopped", "Three failed.")


def test_somebody_asks_for_it() -> None:
    asked = state(asked={"": Asked(Request(requester="ann"), NOW)})
    assert status(asked, projection()).word == "asked"


def test_what_wants_somebodys_eye_comes_first() -> None:
    known = projection(ASKED, name="b-waits")
    known.add([Entry(Kind.STOPPED, id=9, host="mx1", rule="c-stopped", text="x")])
    every = [
        ("mx1", state("a-calm")),
        ("mx1", counting("d-counting")),
        ("mx1", state("e-blocked", held=Held(HELD))),
        ("mx1", state("c-stopped")),
        ("mx1", state("b-waits")),
    ]
    assert [s.rule.name for s in live_statuses(every, known, NOW)] == [
        "b-waits",
        "c-stopped",
        "e-blocked",
        "d-counting",
        "a-calm",
    ]


BLOCKED = Entry(Kind.BLOCKED, at=NOW - 120, outcome="max_messages", text="Too many.")


def test_a_block_of_the_journal_counts_until_the_rule_acts_and_for_a_day() -> None:
    held_back = held_back_by(BLOCKED, RuleFacts(last_begun=NOW - 121), NOW)
    assert held_back == HeldBack("max_messages", "Too many.", at=NOW - 120)
    assert held_back_by(BLOCKED, RuleFacts(last_begun=NOW - 119), NOW) is None
    assert held_back_by(BLOCKED, RuleFacts(), NOW + 24 * HOUR) is None
    assert held_back_by(None, RuleFacts(), NOW) is None


@pytest.mark.parametrize("guard", ["pause", "window", "cooldown", "approval"])
def test_a_block_that_the_facts_say_themselves_is_not_shown_twice(guard: str) -> None:
    assert held_back_by(replace(BLOCKED, outcome=guard), RuleFacts(), NOW) is None


@pytest.mark.parametrize(
    ("facts", "keys", "idle"),
    [
        ({}, {}, True),
        ({}, {"last": (NOW - 25 * HOUR, "failed")}, True),
        ({}, {"last": (NOW - HOUR, "failed")}, False),
        ({}, {"last": (NOW - HOUR, "ok")}, True),
        ({"last_begun": NOW - 60}, {}, False),
        ({"begun_today": 4}, {}, False),
        ({"stopped": "Three failed."}, {}, False),
        ({"approval": "approved"}, {}, False),
        ({}, {"unsettled": True}, False),
        ({}, {"held_back": HeldBack("layout", "Only guessed.")}, False),
    ],
)
def test_idle_is_what_nothing_is_to_be_said_of(
    facts: dict[str, Any], keys: dict[str, Any], *, idle: bool
) -> None:
    assert RuleStatus("mx1", rule(), NOW, RuleFacts(**facts), **keys).is_idle is idle
