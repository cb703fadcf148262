"""A journal of an earlier version: it opens, is sound, and gives the facts that it gave there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from exporter.journal import FleetFacts, Kind, RuleFacts
from exporter.journal.projection import JournalProjection
from exporter.journal.records import (
    IncidentRecord,
    IntentRecord,
    OutcomeRecord,
    ReplyRecord,
    RequestRecord,
    StoppedByRecord,
)
from exporter.snapshot import Message, PanelId
from tests.builders import NOW
from tests.journal.conftest import Opens

EARLIER = Path(__file__).with_name("earlier.sql")
"""The dump of a journal that was written by that version's own code."""

HERE = PanelId("https://a.example.com:8000/api/api.php", "aa")

MESSAGES = (
    Message("1abcde-000001-AB", 7200.0, 1024, "a@example.com", ("b@example.org",), frozen=True),
    Message("1abcde-000002-AB", None, None, None, None),
)

FACTS = RuleFacts(
    last_begun=NOW - 3000,
    begun_today=2,
    failed_verifications=2,
    approval="approved",
    approval_run="a1",
    approval_at=NOW - 900,
    approved=MESSAGES,
    approved_action="delete",
)
WHY = {"queue_frozen_messages > 1": 2.0}


def test_an_earlier_journal_gives_the_facts_that_it_gave(path: Path, open_journal: Opens) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(EARLIER.read_text())
    journal = open_journal()
    journal.demand_sound()
    for panel in (HERE, None):
        facts = journal.rule_facts("mx1", "purge", panel)
        assert facts == FACTS
        assert facts.approved_listed_at == NOW - 1010
    stopped = "Stopped: 3 verifications in a row failed."
    assert journal.rule_facts("mx2", "retry") == RuleFacts(stopped=stopped)
    paused = "Paused by anna at 2027-01-15 07:48 UTC."
    assert journal.fleet_facts() == FleetFacts(begun_this_hour=1, paused=paused)
    assert [(left.intent.run, left.messages) for left in journal.unsettled()] == [
        ("r4", MESSAGES[:1])
    ]
    projection = JournalProjection()
    projection.add(journal.entries())
    assert projection.removed == {("mx1", "purge"): 2}
    assert projection.outcomes.total() == 3


def test_the_details_of_an_earlier_journal_are_read_and_written_as_they_are(
    path: Path, open_journal: Opens
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(EARLIER.read_text())
    records: dict[Kind, Any] = {
        Kind.INTENT: IntentRecord,
        Kind.REPLY: ReplyRecord,
        Kind.OUTCOME: OutcomeRecord,
        Kind.APPROVAL_REQUESTED: RequestRecord,
        Kind.ASKED: IncidentRecord,
    }
    entries = open_journal().entries(kinds=list(records))
    for entry in entries:
        assert records[entry.kind].from_detail(entry.detail).to_detail() == entry.detail
    by_run = {(entry.kind, entry.run): entry for entry in entries}
    assert IntentRecord.of(by_run[Kind.INTENT, "r1"]) == IntentRecord(
        why=WHY,
        for_seconds=300.0,
        planned=2,
        reason="few enough",
        as_a_whole=False,
        listed_at=1.0,
        verify=("queue_frozen_messages < 1",),
    )
    stopped_by = OutcomeRecord.of(by_run[Kind.OUTCOME, "r2"]).stopped_by
    assert stopped_by == StoppedByRecord(guard="pause", reason="The pause file exists.")
