"""A journal of years: what is deleted, and that no question reads all of it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from functools import partial

import pytest

from exporter.journal import Entry, Journal, Kind, Outcome
from exporter.journal.database import Database
from tests.builders import NOW
from tests.journal.builders import content, entry, intent, outcome, plan
from tests.journal.conftest import Clock, Opens

DAY = 86400.0


def ids(journal: Journal) -> list[int]:
    return [e.id for e in journal.entries()]


def test_pruning_deletes_what_is_older_with_its_messages(journal: Journal, clock: Clock) -> None:
    for run in ("r1", "r2", "r3"):
        journal.add(intent(run), plan())
        journal.add(entry(Kind.REPLY, run))
        journal.add(outcome(run))
        clock.now += 10 * DAY
    assert journal.prune(NOW + 20 * DAY) == 6
    assert ids(journal) == [7, 8, 9]
    assert {row[0] for row in content(journal.path)["messages"]} == {7}
    assert journal.prune(NOW + 20 * DAY) == 0


def test_an_entry_just_as_old_as_is_kept_stays(journal: Journal, clock: Clock) -> None:
    journal.add(entry(Kind.BLOCKED))
    clock.now += 100 * DAY
    assert journal.prune(NOW) == 0
    assert journal.prune(NOW + 0.001) == 1


def test_what_limits_and_approvals_look_back_to_stays_however_short_it_is_kept(
    journal: Journal, clock: Clock
) -> None:
    for run in ("r1", "r2", "r3"):
        journal.add(intent(run))
        journal.add(outcome(run))
    clock.now = NOW + 2 * DAY
    assert journal.prune(clock.now + DAY) == 0
    clock.now += 1
    assert journal.prune(clock.now + DAY) == 4


KEPT: dict[str, list[Entry]] = {
    "what stands": [
        entry(kind)
        for kind in (Kind.STOPPED, Kind.DISABLED, Kind.RULE_RESUMED, Kind.PAUSED, Kind.RESUMED)
    ],
    "what is unsettled": [intent("r1", rule=""), intent("r2", rule="")],
    "a rule's last action": [intent("r1"), outcome("r1")],
    "each rule's last action": [
        *(intent("r1"), outcome("r1")),
        *(intent("r2", host="mx2"), outcome("r2", host="mx2")),
        *(intent("r3", rule="retry"), outcome("r3", rule="retry")),
    ],
    "failed verifications in a row": [outcome("r1", Outcome.UNVERIFIED)] * 2,
}


@pytest.mark.parametrize("what", KEPT)
def test_pruning_keeps(journal: Journal, clock: Clock, what: str) -> None:
    written = [journal.add(kept, plan()) for kept in KEPT[what]]
    clock.now += 1000 * DAY
    assert journal.prune(clock.now) == 0
    assert journal.entries() == written
    assert all(journal.messages(e.id) == plan() for e in written)


GOES: dict[str, tuple[list[Entry], list[int]]] = {
    "actions before a rule's last": (
        [intent("r1"), outcome("r1"), intent("r2"), outcome("r2")],
        [3, 4],
    ),
    "actions without a rule": ([intent("r1", rule=""), outcome("r1", rule="")], []),
    "replies": ([intent("r1"), entry(Kind.REPLY, "r1"), outcome("r1")], [1, 3]),
    # The good one stays: a failed one may stay for another reason, and would count anew.
    "failed verifications before a good one": (
        [outcome("r1", Outcome.UNVERIFIED), outcome("r2", Outcome.OK)],
        [2],
    ),
    "good ones before the last": ([outcome("r1"), outcome("r2"), outcome("r3")], [3]),
    "failed verifications before a person's resume": (
        [outcome("r1", Outcome.UNVERIFIED), entry(Kind.RULE_RESUMED)],
        [2],
    ),
    "the rest": (
        [
            *(entry(Kind.BLOCKED), entry(Kind.ASKED), entry(Kind.APPROVAL_REQUESTED)),
            *(entry(Kind.APPROVED), entry(Kind.REJECTED), outcome("r1", Outcome.FAILED)),
        ],
        [],
    ),
}


@pytest.mark.parametrize("what", GOES)
def test_pruning_deletes(journal: Journal, clock: Clock, what: str) -> None:
    story, left = GOES[what]
    for each in story:
        journal.add(each, plan())
    clock.now += 1000 * DAY
    assert journal.prune(clock.now) == len(story) - len(left)
    assert ids(journal) == left


def test_an_intent_whose_outcome_lies_before_it_is_not_unsettled_again(
    journal: Journal, clock: Clock
) -> None:
    """The clock was set back in the middle of an action."""
    clock.now = NOW + 50 * DAY
    journal.add(intent("r1"), plan())
    clock.now = NOW
    journal.add(outcome("r1"))
    clock.now = NOW + 60 * DAY
    assert journal.prune(NOW + 30 * DAY) == 0
    assert ids(journal) == [1, 2]
    assert journal.unsettled() == []


def test_what_came_later_does_not_go_before_what_came_first(journal: Journal, clock: Clock) -> None:
    """However it is dated: an approval must not outlive the action that used it."""
    for days in (50, 0, 1):
        clock.now = NOW + days * DAY
        journal.add(entry(Kind.BLOCKED))
    clock.now = NOW + 60 * DAY
    assert journal.prune(NOW + 30 * DAY) == 0
    assert journal.prune(NOW + 55 * DAY) == 3


def test_an_entry_dated_far_ahead_holds_up_no_pruning(journal: Journal, clock: Clock) -> None:
    clock.now = NOW + 5000 * DAY
    journal.add(entry(Kind.BLOCKED))
    clock.now = NOW
    journal.add(entry(Kind.BLOCKED))
    clock.now = NOW + 10 * DAY
    assert journal.prune(NOW + 5 * DAY) == 1
    assert ids(journal) == [1]


def test_many_are_pruned_in_small_bites_so_that_others_can_write_meanwhile(
    journal: Journal, database: Database, clock: Clock, open_journal: Opens
) -> None:
    database.connection.execute("PRAGMA synchronous = OFF")
    for number in range(900):
        journal.add(entry(Kind.BLOCKED) if number % 3 else entry(Kind.STOPPED))
    clock.now += 1000 * DAY
    other = open_journal()
    commits = 0

    def trace(statement: str) -> None:
        nonlocal commits
        if statement == "BEGIN IMMEDIATE":
            other.add(entry(Kind.ASKED))
            commits += 1

    database.connection.set_trace_callback(trace)
    assert journal.prune(clock.now) == 600
    database.connection.set_trace_callback(None)
    assert commits >= 4
    assert len(journal.entries()) == 300 + commits


# --- no question reads all ----------------------------------------------------------------------

QUESTIONS: dict[str, Callable[[Journal], object]] = {
    "rule_facts": lambda journal: journal.rule_facts("mx1", "purge"),
    "fleet_facts": lambda journal: journal.fleet_facts(),
    "unsettled": lambda journal: journal.unsettled(),
    "unsettled of a host": lambda journal: journal.unsettled("mx1"),
    "messages": lambda journal: journal.messages(1),
    "the newest entries": lambda journal: journal.entries(newest=20),
    "entries after one": lambda journal: journal.entries(after=20),
}


def steps(connection: sqlite3.Connection, ask: Callable[[], object]) -> int:
    """The work that SQLite does for an answer, by its own count."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    connection.set_progress_handler(tick, 1)
    ask()
    connection.set_progress_handler(None, 1)
    return count


def a_year(journal: Journal, clock: Clock, runs: int) -> None:
    """So many runs of a rule, of which none of the last day, and all that has no end."""
    journal.add(entry(Kind.STOPPED))
    journal.add(Entry(Kind.PAUSED))
    journal.add(entry(Kind.APPROVED, "a"))
    for number in range(runs):
        run = f"r{number}"
        journal.add(intent(run), plan(1))
        journal.add(entry(Kind.BLOCKED))
        journal.add(outcome(run, [Outcome.DRY_RUN, Outcome.FAILED, Outcome.OK][number % 3]))
    journal.add(intent("left"), plan(1))
    clock.now += 2 * DAY


@pytest.mark.slow
@pytest.mark.parametrize("question", ["rule_facts", "fleet_facts", "unsettled", "messages"])
def test_an_answer_takes_as_much_work_in_a_long_journal_as_in_a_short_one(
    journal: Journal, database: Database, clock: Clock, question: str
) -> None:
    """Once it is read: each entry is read once, by its id."""
    database.connection.execute("PRAGMA synchronous = OFF")
    ask = partial(QUESTIONS[question], journal)
    a_year(journal, clock, 10)
    journal.fleet_facts()
    short = steps(database.connection, ask)
    a_year(journal, clock, 600)
    clock.now += 2 * DAY
    journal.fleet_facts()
    # One intent more is unsettled.
    assert steps(database.connection, ask) < 2 * short + 50
    for number in range(600):
        journal.add(entry(Kind.REPLY, f"r{number}"))
    journal.fleet_facts()
    assert steps(database.connection, ask) < 2 * short + 50


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_answer_scans_a_table_or_sorts(
    journal: Journal, database: Database, question: str
) -> None:
    asked: list[str] = []
    database.connection.set_trace_callback(asked.append)
    journal.add(intent("r1"))
    journal.add(entry(Kind.APPROVED, "a"))
    asked.clear()
    QUESTIONS[question](journal)
    database.connection.set_trace_callback(None)
    queries = [query for query in asked if "SELECT" in query]
    assert queries
    for query in queries:
        plans = database.connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
        for *_, step in plans:
            assert not re.search(r"SCAN (entries|messages)|TEMP B-TREE", step), (query, step)
