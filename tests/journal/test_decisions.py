"""What a person decides, written down once and about what was asked."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from exporter.config.models import HostConfig
from exporter.config.remediation import RemediationRule
from exporter.journal import Entry, Journal, JournalError, Kind
from exporter.remediation.approvals import (
    AskedAnewError,
    NothingAskedError,
    decide,
    expire,
    pause,
    resume,
    resume_rule,
)
from tests import builders

RULE = RemediationRule.model_validate(
    {"name": "purge", "when": ["queue_messages > 5"], "action": "purge_frozen"}
)
MX1 = builders.host("mx1", url="https://mx1.example.com")
ELSEWHERE = builders.host("mx1", url="https://elsewhere.example.com")
RENAMED = builders.host("mx9", url="https://MX1.example.com:443/")
PINNED = builders.host("mx1", url=MX1.url, tls={"fingerprint_sha256": "a" * 64})
ANN = ("person:ann", "ann")


def ask(journal: Journal, run: str) -> None:
    journal.add(
        Entry(
            Kind.APPROVAL_REQUESTED,
            run=run,
            host="mx1",
            panel=MX1.panel,
            rule="purge",
            action="purge_frozen",
            actor="rule",
        )
    )


def stop(host: HostConfig) -> Entry:
    return Entry(Kind.STOPPED, host=host.name, panel=host.panel, rule="purge", text="Three failed.")


def story(journal: Journal) -> list[tuple[Kind, str, str]]:
    return [(e.kind, e.run, e.text) for e in journal.entries() if e.actor == "person:ann"]


def test_nothing_can_be_approved_that_nobody_asked_for(journal: Journal) -> None:
    with pytest.raises(NothingAskedError, match="purge asks for nothing on mx1"):
        decide(journal, MX1, RULE, "r1", Kind.APPROVED, *ANN)
    assert story(journal) == []


def test_a_decision_is_about_what_was_seen(journal: Journal) -> None:
    ask(journal, "r1")
    with pytest.raises(AskedAnewError, match="has asked anew"):
        decide(journal, MX1, RULE, "r0", Kind.APPROVED, *ANN)
    assert story(journal) == []
    decide(journal, MX1, RULE, "r1", Kind.APPROVED, *ANN)
    assert story(journal) == [(Kind.APPROVED, "r1", "Approved by ann.")]
    (entry,) = journal.entries(kinds=[Kind.APPROVED])
    assert (entry.host, entry.rule, entry.action) == ("mx1", "purge", "purge_frozen")


def test_a_second_click_renews_nothing(journal: Journal) -> None:
    ask(journal, "r1")
    for _ in range(2):
        decide(journal, MX1, RULE, "r1", Kind.APPROVED, *ANN)
    assert len(story(journal)) == 1


def test_a_mind_may_be_changed(journal: Journal) -> None:
    ask(journal, "r1")
    decide(journal, MX1, RULE, "r1", Kind.APPROVED, *ANN)
    decide(journal, MX1, RULE, "r1", Kind.REJECTED, *ANN)
    assert [kind for kind, _, _ in story(journal)] == [Kind.APPROVED, Kind.REJECTED]
    assert journal.rule_facts("mx1", "purge", MX1.panel).approval == "rejected"


def test_nobody_writes_between_a_look_and_the_word_that_goes_by_it(
    journal: Journal, path: Path
) -> None:
    ask(journal, "r1")
    with closing(sqlite3.connect(path, timeout=0)) as another, journal.alone():
        expire(journal, MX1, RULE)
        assert journal.rule_facts("mx1", "purge", MX1.panel).approval == ""
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            another.execute("BEGIN IMMEDIATE")
    with pytest.raises(NothingAskedError):
        decide(journal, MX1, RULE, "r1", Kind.APPROVED, *ANN)


def test_what_was_written_before_a_trouble_is_not_kept(journal: Journal) -> None:
    def lapsed_and_approved() -> None:
        with journal.alone():
            expire(journal, MX1, RULE)
            decide(journal, MX1, RULE, "r1", Kind.APPROVED, *ANN)

    ask(journal, "r1")
    with pytest.raises(NothingAskedError):
        lapsed_and_approved()
    assert journal.rule_facts("mx1", "purge", MX1.panel).approval == "requested"
    decide(journal, MX1, RULE, "r1", Kind.REJECTED, *ANN)
    expire(journal, MX1, RULE)
    assert journal.rule_facts("mx1", "purge", MX1.panel).approval == "rejected"


def test_pause_and_resume(journal: Journal) -> None:
    assert resume(journal, *ANN) == ""
    text = pause(journal, *ANN, "  disks are moved. ")
    assert text.startswith("Paused by ann at ")
    assert text.endswith(" UTC: disks are moved.")
    assert journal.fleet_facts().paused == text
    assert resume(journal, *ANN) == text
    assert journal.fleet_facts().paused == ""
    assert [kind for kind, _, _ in story(journal)] == [Kind.PAUSED, Kind.RESUMED]
    assert pause(journal, *ANN, "").endswith(" UTC.")


def test_a_stopped_rule_goes_on_once(journal: Journal) -> None:
    assert resume_rule(journal, MX1, "purge", *ANN) == ""
    journal.add(stop(MX1))
    assert resume_rule(journal, MX1, "purge", *ANN) == "Three failed."
    assert resume_rule(journal, MX1, "purge", *ANN) == ""
    assert [kind for kind, _, _ in story(journal)] == [Kind.RULE_RESUMED]


@pytest.mark.parametrize("host", [ELSEWHERE, PINNED])
def test_what_one_panel_asks_for_is_not_decided_for_another(
    journal: Journal, host: HostConfig
) -> None:
    ask(journal, "r1")
    with pytest.raises(NothingAskedError):
        decide(journal, host, RULE, "r1", Kind.APPROVED, *ANN)
    decide(journal, MX1, RULE, "r1", Kind.APPROVED, *ANN)
    assert journal.rule_facts("mx1", "purge", MX1.panel).approval == "approved"
    assert journal.rule_facts("mx1", "purge", host.panel).approval == ""
    expire(journal, host, RULE)
    assert journal.rule_facts("mx1", "purge", MX1.panel).approval == "approved"


def test_a_renamed_host_goes_on_where_it_was(journal: Journal) -> None:
    ask(journal, "r1")
    decide(journal, RENAMED, RULE, "r1", Kind.APPROVED, *ANN)
    (entry,) = journal.entries(kinds=[Kind.APPROVED])
    assert (entry.host, entry.panel) == ("mx9", MX1.panel)
    journal.add(stop(MX1))
    assert journal.rule_facts("mx9", "purge", RENAMED.panel).stopped == "Three failed."
    assert resume_rule(journal, RENAMED, "purge", *ANN) == "Three failed."
    assert journal.rule_facts("mx1", "purge", MX1.panel).stopped == ""


def test_a_stop_is_of_a_panel_not_of_a_name(journal: Journal) -> None:
    journal.add(stop(MX1))
    assert resume_rule(journal, ELSEWHERE, "purge", *ANN) == ""
    # With another certificate it may be the same machine still: what holds it back stands.
    assert journal.rule_facts("mx1", "purge", PINNED.panel).stopped == "Three failed."


def test_nothing_is_approved_by_a_journal_that_is_damaged(journal: Journal) -> None:
    """A decision is written in one with what it is about; a rejection restrains, and is."""
    ask(journal, "r1")
    with closing(sqlite3.connect(journal.path, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER entries_stay")
        connection.execute("UPDATE entries SET text = 'another' WHERE run = 'r1'")
    with pytest.raises(JournalError, match="is damaged"):
        decide(journal, MX1, RULE, "r1", Kind.APPROVED, *ANN)
    assert story(journal) == []
    decide(journal, MX1, RULE, "r1", Kind.REJECTED, *ANN)
    assert [kind for kind, _, _ in story(journal)] == [Kind.REJECTED]
