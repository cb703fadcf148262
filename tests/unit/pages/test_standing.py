from __future__ import annotations

from typing import Any

import pytest

from exporter.conditions import HoldTimer
from exporter.config.remediation import RemediationRule
from exporter.journal import Entry, Kind
from exporter.journal.entries import Guard
from exporter.journal.projection import JournalProjection
from exporter.remediation.guards import Block
from exporter.remediation.requests import Request
from exporter.remediation.rule_state import Asked, Held, RuleState
from exporter.web.pages.rule_status import RuleStatus, standing_of, standings
from tests.builders import NOW

HOUR = 3600.0


def rule(name: str = "purge", **keys: Any) -> RemediationRule:
    values = {"name": name, "when": ["queue_messages > 5"], "action": "purge_frozen"} | keys
    return RemediationRule.model_validate(values)


def state(**keys: Any) -> RuleState:
    return RuleState(HoldTimer(600.0, 300.0), **keys)


def counting() -> RuleState:
    found = state()
    for at in (NOW - 120, NOW - 60, NOW):
        found.clock.follow(at, verdict=True)
    return found


Told = tuple[Kind, float, dict[str, Any]]


def projection(*entries: Told, name: str = "purge") -> JournalProjection:
    told = JournalProjection()
    told.add(
        Entry(kind, id=number, at=at, host="mx1", rule=name, run=f"r{number}", **keys)
        for number, (kind, at, keys) in enumerate(entries, start=1)
    )
    return told


ASKED: Told = (Kind.APPROVAL_REQUESTED, NOW - 60, {"detail": {"planned": 12}})
BEGUN: Told = (Kind.INTENT, NOW - 1800, {})
ENDED: Told = (Kind.OUTCOME, NOW - 1790, {"outcome": "ok"})
STOPPED: Told = (Kind.STOPPED, NOW - 10, {"text": "Three failed."})
HELD = Block(Guard.WINDOW, "Outside of every window.", NOW + 900)
ASKING = Block(Guard.APPROVAL, "It waits for a person to approve it.")


def stand(state: RuleState, projection: JournalProjection, **keys: Any) -> RuleStatus:
    return standing_of("mx1", rule(**keys), state, projection, NOW)


def test_nothing_to_do() -> None:
    assert stand(state(), projection()).word == "calm"


def test_it_would_act_after_what_is_left_of_its_time() -> None:
    found = stand(counting(), projection())
    assert (found.word, found.seconds) == ("counting", 480.0)


def test_cooling_down_until_its_cooldown_has_passed_since_it_began() -> None:
    found = stand(counting(), projection(BEGUN, ENDED), cooldown="1h")
    assert (found.word, found.until) == ("cooldown", NOW + 1800)
    assert found.last == (NOW - 1790, "ok")
    assert stand(state(), projection(BEGUN, ENDED), cooldown="20m").word == "calm"


def test_held_back_says_by_what_and_until_when() -> None:
    found = stand(state(held=Held(HELD)), projection())
    assert (found.word, found.reason, found.until) == ("blocked", HELD.reason, NOW + 900)


def test_it_waits_for_a_person_on_so_many_messages() -> None:
    found = stand(state(held=Held(ASKING)), projection(ASKED))
    assert (found.word, found.messages) == ("waiting", 12)


@pytest.mark.parametrize("decision", [Kind.APPROVED, Kind.REJECTED])
def test_what_was_just_decided_does_not_wait_for_a_person(decision: Kind) -> None:
    decided: Told = (decision, NOW - 1, {})
    assert stand(state(held=Held(ASKING)), projection(ASKED, decided)).word == decision.value
    # Another guard speaks of now, and a request that came since of something else.
    assert stand(state(held=Held(HELD)), projection(ASKED, decided)).word == "blocked"
    assert stand(state(held=Held(ASKING)), projection(ASKED, decided, ASKED)).word == "waiting"


def test_a_request_that_nobody_answered_within_a_day_stands_no_more() -> None:
    old: Told = (Kind.APPROVAL_REQUESTED, NOW - 25 * HOUR, {})
    assert stand(state(), projection(old)).word == "calm"


def test_a_stop_comes_before_everything_else() -> None:
    found = stand(state(held=Held(HELD)), projection(BEGUN, ASKED, STOPPED))
    assert (found.word, found.reason) == ("stopped", "Three failed.")


def test_somebody_asks_for_it() -> None:
    asked = state(asked={"": Asked(Request(requester="ann"), NOW)})
    assert stand(asked, projection()).word == "asked"


def test_what_wants_somebodys_eye_comes_first() -> None:
    told = projection(ASKED, name="b-waits")
    told.add([Entry(Kind.STOPPED, id=9, host="mx1", rule="c-stopped", text="x")])
    every = [
        ("mx1", rule("a-calm"), state()),
        ("mx1", rule("d-counting"), counting()),
        ("mx1", rule("e-blocked"), state(held=Held(HELD))),
        ("mx1", rule("c-stopped"), state()),
        ("mx1", rule("b-waits"), state()),
    ]
    assert [s.rule.name for s in standings(every, told, NOW)] == [
        "b-waits",
        "c-stopped",
        "e-blocked",
        "d-counting",
        "a-calm",
    ]
