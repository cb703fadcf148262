"""Courses of the model that must come out in one way: with a clock that is set on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from exporter.journal import Actor, Entry, Journal, Kind, Outcome
from exporter.remediation.requests import Incident, Request
from tests.model.test_remediation_model import Remediation, live_in_the_world
from tests.model.world import BEFALL, MEDDLES

JUMPS = (90_000.0, 3700.0, 100.0, -100.0, -3700.0, -90_000.0)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Remediation]:
    live_in_the_world(monkeypatch)
    machine = Remediation()
    begin: Any = machine.begin
    begin(
        mode="enforce",
        at_once=4,
        per_hour=20,
        parallel=1,
        brake="100%",
        window=False,
        pace=0.0,
    )
    try:
        yield machine
        machine.nothing_was_wrong()
    finally:
        machine.teardown()


def begun(machine: Remediation, rule: str) -> list[Entry]:
    def of_rule(journal: Journal) -> list[Entry]:
        return journal.entries(rule=rule, kinds=[Kind.INTENT])

    found: list[Entry] = machine._surely(of_rule)
    return found


def polls(machine: Remediation, seconds: float = 60) -> None:
    machine.world.passes(seconds)
    machine._drive(machine._poll(place) for place in ("mx1", "mx2", "mx3", "mx4"))


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_is_set_holds_a_rule_neither_longer_nor_shorter(
    machine: Remediation, jump: float
) -> None:
    polls(machine)
    machine.mail_comes(["mx1"], ["old bounce"] * 4)
    polls(machine)
    machine._jump(jump, panels=True)
    polls(machine)
    assert begun(machine, "purge") == [], "it has held for one minute, and must for two"
    polls(machine)
    assert len(begun(machine, "purge")) == 1
    assert not machine._server("mx1").queue


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_is_set_makes_a_cooldown_neither_longer_nor_shorter(
    machine: Remediation, jump: float
) -> None:
    polls(machine)
    for begins, passed in ((1, 60), (1, 180), (2, 60)):
        machine.mail_comes(["mx1"], ["frozen letter"] * 6)
        polls(machine, passed)
        assert len(begun(machine, "frost")) == begins
        if passed == 60 and begins == 1:
            # The panels' with it: while ours alone is wrong nothing acts.
            machine._jump(jump, panels=True)
        machine._server("mx1").queue.clear()


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_that_is_set_in_the_middle_makes_nothing_seem_gone(
    machine: Remediation, jump: float
) -> None:
    polls(machine)
    machine.mail_comes(["mx1"], ["frozen letter"] * 6 + ["letter"])
    server = machine._server("mx1")
    server.changes.extend(["locked"] * 6)
    machine.world.befalls = lambda *_: machine._jump(jump)
    server.looks.extend(["told", "told", "told", "jumps ahead"])  # the list after the act
    polls(machine)
    (intent,) = begun(machine, "frost")
    outcomes = [e for e in machine.watch.entries if (e.run, e.kind) == (intent.run, Kind.OUTCOME)]
    assert [(e.outcome, e.detail["gone"]) for e in outcomes] == [("verify_failed", 0)]
    assert len(server.queue) == 7
    assert not server.looks


# --- whatever befalls a run, at each of its steps -----------------------------------------------

PLACES = ("mx1", "mx2", "mx3", "mx4")
A_WHILE = 90_000
"""Seconds after which no limit is left."""


def set_out(machine: Remediation) -> None:
    """A day later six frozen messages wait among others, which a rule deletes by id."""
    machine.world.passes(A_WHILE)
    machine.world.ahead = 0.0  # by then the panels' clocks and ours agree again
    for server in machine.servers.values():
        server.queue.clear()
        server.changes.clear()
        server.looks.clear()
    resumes: Any = machine.resumes_a_rule
    resumes(place="mx1", kind="frost")
    polls(machine)
    machine.mail_comes(["mx1"], ["frozen letter"] * 6 + ["letter"])


def has_struck(machine: Remediation) -> bool:
    return machine.world.strike is None


def acted(machine: Remediation) -> int:
    return sum(bool(run.asked) for run in machine.watch.runs.values())


@pytest.mark.slow
@pytest.mark.parametrize("what", [*BEFALL, "killed before", "killed after", "refused"])
def test_whatever_befalls_a_run_at_each_of_its_looks_at_the_journal(
    machine: Remediation, what: str
) -> None:
    reached = []
    for step in range(24):
        set_out(machine)
        machine.world.strike = step, what
        polls(machine)
        machine.nothing_was_wrong()
        if has_struck(machine):
            reached.append(step)
        machine.world.strike = None
    assert reached[:20] == [*range(20)]
    assert acted(machine) > 10


@pytest.mark.slow
@pytest.mark.parametrize("what", [*BEFALL, *MEDDLES, "killed"])
def test_whatever_befalls_a_run_at_each_of_its_looks_at_the_panel(
    machine: Remediation, what: str
) -> None:
    machine.world.pace = 12.0
    for step in range(6):
        set_out(machine)
        server = machine._server("mx1")
        server.looks.extend(["told"] * step + [what])
        polls(machine)
        machine.nothing_was_wrong()
        assert not server.looks
    assert acted(machine) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("what", [*BEFALL, *MEDDLES, "killed before", "killed after", "lost"])
def test_whatever_befalls_a_run_at_each_of_its_messages(machine: Remediation, what: str) -> None:
    machine.world.pace = 12.0
    for step in range(6):
        for _ in range(3 if what in MEDDLES else 1):  # another message, in another way
            set_out(machine)
            server = machine._server("mx1")
            server.changes.extend(["carried out"] * step + [what])
            polls(machine)
            machine.nothing_was_wrong()
    assert acted(machine) >= 6


# --- names and panels ---------------------------------------------------------------------------


def test_of_two_names_for_one_panel_one_acts_at_a_time(machine: Remediation) -> None:
    machine._change_host("doubled", "mx1")
    set_out(machine)
    why = Incident("1", "alert 1", "").detail("QueueFull")
    request = Request(Actor.ALERTMANAGER, "QueueFull", why)
    machine._drive([machine._ask("twin", "asked", request)])
    machine._drive(machine._poll(place) for place in ("mx1", "twin"))
    runs = list(machine.watch.runs.values())
    assert len(runs) == 1, "the other one was held back by it"
    assert len(runs[0].asked) == len(set(runs[0].asked)) == 6
    assert runs[0].outcome is not None
    assert runs[0].outcome.outcome == Outcome.OK


@pytest.mark.parametrize("what", ["re-pointed", "re-pinned", "swapped", "removed", "renamed"])
@pytest.mark.parametrize("done", [0, 2, 5])
def test_what_was_cut_off_on_a_panel_is_not_settled_by_another_one(
    machine: Remediation, what: str, done: int
) -> None:
    set_out(machine)
    machine._server("mx1").changes.extend(["carried out"] * done + ["killed after"])
    polls(machine)
    (run,) = machine.watch.runs.values()
    assert run.is_open
    there = machine.servers[run.intent.panel]
    assert len(there.queue) == 6 - done
    machine._change_host(what, "mx1")
    polls(machine)
    assert run.outcome is not None
    assert run.outcome.panel == run.intent.panel
    # By a name that it has still, or no longer: what is told is what is so, or that it is unknown.
    gone_with_it = done == 5 and what in {"renamed", "swapped"}
    assert run.outcome.outcome == (Outcome.OK if gone_with_it else Outcome.UNKNOWN)


@pytest.mark.parametrize("what", ["re-pointed", "re-pinned", "swapped", "removed"])
def test_what_was_approved_on_a_panel_is_done_on_no_other_one(
    machine: Remediation, what: str
) -> None:
    decides: Any = machine.decides
    polls(machine)
    machine.mail_comes(["mx1"], ["bounce that is tried"] * 4)
    asked = machine._server("mx1")
    polls(machine)
    decides(places=["mx1"], allowed=True)
    machine._change_host(what, "mx1")
    other = machine._server("mx1")
    assert other is not asked
    other.queue |= asked.queue  # the same ids, senders, sizes and times
    polls(machine)
    polls(machine)
    on_it = [entry for entry in begun(machine, "retry") if entry.panel == other.panel]
    assert on_it == []
    if what == "re-pinned":
        other.queue.clear()
        machine._change_host(what, "mx1")
        polls(machine)
        assert [entry.panel for entry in begun(machine, "retry")] == [asked.panel]


def test_an_approval_is_for_the_messages_that_were_seen_and_no_others_by_their_ids(
    machine: Remediation,
) -> None:
    decides: Any = machine.decides
    polls(machine)
    machine.mail_comes(["mx1"], ["bounce that is tried"] * 4)
    server = machine._server("mx1")
    polls(machine)
    decides(places=["mx1"], allowed=True)
    first, second, *_ = server.queue
    server.queue[first] = replace(server.queue[first], size=33)
    server.queue[second] = replace(server.queue[second], arrived=machine.world.passed)
    kept = set(server.queue) - {first, second}
    polls(machine)
    (run,) = machine.watch.runs.values()
    assert run.intent.rule == "retry"
    assert set(run.asked) == set(run.plan) == kept
