"""What the metrics of remediation are counted from: each entry of the journal, once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.journal import Entry, Kind, Outcome
from exporter.journal.entries import Guard
from exporter.journal.projection import APPROVAL_LASTS, FAILURE_COUNTS, JournalProjection
from exporter.metrics.remediation import RemediationCollector

KEY = "mx1", "purge"
SOON = 1060.0
"""A minute after the entries."""


def entry(id: int, kind: Kind, **keys: Any) -> Entry:  # noqa: A002 - its name
    """An entry of one rule on one host."""
    values: dict[str, Any] = {"host": "mx1", "rule": "purge", "action": "purge_frozen"} | keys
    values.setdefault("at", 1000.0 + id)
    return Entry(kind, run=f"r{id}", id=id, **values)


def outcome(id: int, how: Outcome = Outcome.OK, removed: object = None, **keys: Any) -> Entry:  # noqa: A002 - its name
    detail = {} if removed is None else {"removed": removed}
    return entry(id, Kind.OUTCOME, outcome=how.value, detail=detail, **keys)


def planning(id: int, kind: Kind, planned: int, **keys: Any) -> Entry:  # noqa: A002 - its name
    return entry(id, kind, detail={"planned": planned}, **keys)


def projection(*entries: Entry) -> JournalProjection:
    known = JournalProjection()
    known.add(entries)
    return known


def shown(projection: JournalProjection) -> dict[str, object]:
    """Return all that it shows; a zero and nothing are the same."""
    return {
        "last_entry": projection.last_entry,
        "outcomes": +projection.outcomes,
        "removed": +projection.removed,
        "last": projection.last,
        "planned": projection.planned,
        "waiting": projection.waiting(SOON),
    }


def test_nothing_is_counted_at_first() -> None:
    known = JournalProjection()
    assert not any(shown(known).values())
    assert not known.blocks
    assert not known.paused


def test_outcomes_are_counted_by_host_rule_action_and_outcome() -> None:
    known = projection(
        outcome(1),
        outcome(2),
        outcome(3, Outcome.UNVERIFIED),
        outcome(4, host="mx2"),
        outcome(5, rule="other", action="delete"),
        outcome(6, Outcome.DRY_RUN),
    )
    assert known.outcomes == {
        ("mx1", "purge", "purge_frozen", "ok"): 2,
        ("mx1", "purge", "purge_frozen", "verify_failed"): 1,
        ("mx2", "purge", "purge_frozen", "ok"): 1,
        ("mx1", "other", "delete", "ok"): 1,
        ("mx1", "purge", "purge_frozen", "dry_run"): 1,
    }
    assert known.last == {
        "mx1": {"purge": (1006.0, "dry_run"), "other": (1005.0, "ok")},
        "mx2": {"purge": (1004.0, "ok")},
    }
    assert known.last_on("mx1") == ("purge", 1006.0, "dry_run")
    assert known.last_on("mx3") is None


@pytest.mark.parametrize(
    ("outcomes", "failed"),
    [
        ([Outcome.OK], False),
        ([Outcome.DRY_RUN], False),
        ([Outcome.FAILED], True),
        ([Outcome.UNVERIFIED], True),
        ([Outcome.UNKNOWN], True),
        ([Outcome.UNKNOWN, Outcome.OK], False),
        ([Outcome.OK, Outcome.FAILED], True),
    ],
)
def test_a_failure_counts_for_a_day_or_until_the_rule_succeeds(
    outcomes: list[Outcome], failed: bool
) -> None:
    known = projection(*(outcome(number, what) for number, what in enumerate(outcomes, 1)))
    end = known.last["mx1"]["purge"][0]
    assert known.failed_lately("mx1", end) is failed
    assert not known.failed_lately("mx1", end + FAILURE_COUNTS)
    assert not known.failed_lately("mx2", end)


def test_a_stopped_rule_is_stopped_until_it_is_resumed() -> None:
    stopped = Entry(Kind.STOPPED, host="mx1", rule="purge", text="Why.", id=1)
    disabled = Entry(Kind.DISABLED, host="mx2", rule="purge", text="Cannot.", id=2)
    known = projection(stopped, disabled)
    assert (known.stopped(KEY), known.stopped(("mx2", "purge"))) == ("Why.", "Cannot.")
    assert list(known.all_stopped()) == [KEY, ("mx2", "purge")]
    known.add([Entry(Kind.RULE_RESUMED, host="mx1", rule="purge", id=3)])
    assert (known.stopped_on("mx1"), known.stopped_on("mx2")) == (False, True)


def test_each_outcome_is_counted_once_however_often_it_is_read() -> None:
    known = JournalProjection()
    first, second, third = outcome(3, removed=5), outcome(7, removed=2), outcome(8)
    known.add([first])
    known.add([first, second])
    known.add([first, second])
    known.add([])
    known.add([second, third])
    assert known.last_entry == 8
    assert known.outcomes[*KEY, "purge_frozen", "ok"] == 3
    assert known.removed[KEY] == 7


def test_an_entry_at_which_memory_ran_out_is_not_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    known = projection(entry(1, Kind.BLOCKED))
    with monkeypatch.context() as short:
        short.setattr("exporter.journal.projection.insort", _no_memory)
        known.add([entry(2, Kind.INTENT, at=1005.0)])
        with pytest.raises(MemoryError):
            known.add([entry(3, Kind.INTENT, at=1004.0)])
    known.add([entry(3, Kind.INTENT, at=1004.0)])
    assert known.rule_facts(*KEY, None, SOON).begun_today == 2
    assert known.last_entry == 3


def _no_memory(*_: object) -> None:
    raise MemoryError


def test_what_a_person_did_without_a_rule_is_no_rules_action() -> None:
    known = projection(planning(1, Kind.INTENT, 7, rule=""), outcome(2, removed=7, rule=""))
    assert shown(known) == shown(JournalProjection()) | {"last_entry": 2}


@pytest.mark.parametrize(
    ("removed", "counted"),
    [(None, 0), (0, 0), (5, 5), ("5", 0), (5.0, 0), ([5], 0)],
)
def test_removed_messages_are_counted_as_they_were_seen_to_be_gone(
    removed: object, counted: int
) -> None:
    known = projection(outcome(1, Outcome.UNVERIFIED, removed), outcome(2, removed=2))
    assert known.removed == {KEY: counted + 2}


def test_the_last_plan_is_shown() -> None:
    known = projection(planning(1, Kind.INTENT, 40), planning(2, Kind.INTENT, 7, host="mx2"))
    known.add([planning(3, Kind.INTENT, 9)])
    assert known.planned == {KEY: 9, ("mx2", "purge"): 7}


REQUESTED = planning(1, Kind.APPROVAL_REQUESTED, 40)


@pytest.mark.parametrize(
    ("then", "waiting"),
    [
        ([], 40),
        ([entry(2, Kind.APPROVED)], None),
        ([entry(2, Kind.REJECTED)], None),
        ([entry(2, Kind.LAPSED)], None),
        # Approved or by hand: there is nothing to wait for any more.
        ([entry(2, Kind.INTENT, detail={"approval": True})], None),
        ([planning(2, Kind.INTENT, 38, mode="enforce")], None),
        ([planning(2, Kind.INTENT, 38, mode="dry_run")], 40),
        ([entry(2, Kind.BLOCKED), entry(3, Kind.ASKED)], 40),
        ([planning(2, Kind.APPROVAL_REQUESTED, 7)], 7),
        ([entry(2, Kind.REJECTED), planning(3, Kind.APPROVAL_REQUESTED, 7)], 7),
        ([entry(2, Kind.APPROVED, host="mx2"), entry(3, Kind.REJECTED, rule="other")], 40),
        ([entry(2, Kind.APPROVED, rule="")], 40),
    ],
)
def test_what_waits_for_a_person(then: Iterable[Entry], waiting: int | None) -> None:
    known = projection(REQUESTED, *then)
    assert known.waiting(SOON).get(KEY) == waiting


@pytest.mark.parametrize("word", [Kind.APPROVED, Kind.REJECTED])
def test_what_a_person_decided_stands_until_an_action_uses_it(word: Kind) -> None:
    known = projection(REQUESTED, entry(2, word), planning(3, Kind.INTENT, 8, mode="enforce"))
    assert known.facts(KEY, SOON).approval == word.value
    assert known.facts(KEY, SOON + APPROVAL_LASTS).approval == ""
    known.add([entry(4, Kind.INTENT, detail={"approval": True})])
    assert known.facts(KEY, SOON).approval == ""


@pytest.mark.parametrize(
    ("entries", "may_lapse"),
    [
        ([], False),
        ([REQUESTED], True),
        ([REQUESTED, entry(2, Kind.APPROVED)], True),
        ([REQUESTED, entry(2, Kind.REJECTED)], False),
        ([REQUESTED, entry(2, Kind.INTENT, detail={"approval": True})], False),
        ([REQUESTED, entry(2, Kind.LAPSED)], False),
        ([REQUESTED, entry(2, Kind.APPROVED), entry(3, Kind.LAPSED)], False),
        ([REQUESTED, entry(2, Kind.LAPSED, host="mx2")], True),
    ],
)
def test_what_may_lapse_is_what_a_person_was_asked_or_has_approved(
    entries: Iterable[Entry], may_lapse: bool
) -> None:
    known = projection(*entries)
    assert known.may_lapse(KEY, SOON) is may_lapse
    assert not known.may_lapse(KEY, SOON + APPROVAL_LASTS)


def test_a_request_that_nobody_answers_stands_for_a_day() -> None:
    known = projection(REQUESTED)
    end = REQUESTED.at + APPROVAL_LASTS
    assert known.waiting(end - 1) == {KEY: 40}
    assert known.waiting(end) == {}
    known.add([planning(2, Kind.APPROVAL_REQUESTED, 7, at=end)])
    assert known.waiting(end) == {KEY: 7}


def test_the_metrics_show_only_what_still_waits() -> None:
    now = REQUESTED.at
    collector = RemediationCollector(projection(REQUESTED), clock=lambda: now)
    name = "brainycp_remediation_waiting_approval_messages"

    def samples() -> list[float]:
        return [s.value for f in collector.collect() for s in f.samples if s.name == name]

    assert samples() == [40]
    now += APPROVAL_LASTS
    assert samples() == []


def test_blocks_are_counted_as_they_happen_and_not_from_the_journal() -> None:
    known = projection(entry(1, Kind.BLOCKED, outcome=Guard.COOLDOWN.value))
    assert not known.blocks
    for guard in (Guard.COOLDOWN, Guard.PAUSE, Guard.COOLDOWN):
        known.blocked("purge", guard)
    known.blocked("other", Guard.PAUSE)
    assert known.blocks == {
        ("purge", "cooldown"): 2,
        ("purge", "pause"): 1,
        ("other", "pause"): 1,
    }


ENTRIES = st.lists(
    st.builds(
        entry,
        id=st.just(0),
        kind=st.sampled_from(Kind),
        host=st.sampled_from(["mx1", "mx2"]),
        rule=st.sampled_from(["", "purge", "other"]),
        outcome=st.sampled_from(["ok", "failed"]),
        detail=st.sampled_from([{}, {"planned": 3, "removed": 2}, {"removed": 1}]),
    ),
    max_size=25,
).map(lambda entries: [replace(e, id=n) for n, e in enumerate(entries, start=1)])


@given(entries=ENTRIES, data=st.data())
def test_it_does_not_matter_in_how_many_looks_the_journal_is_read(
    entries: list[Entry], data: st.DataObject
) -> None:
    """Looks may overlap, as those of two tasks do, but none leaves entries out."""
    known, end = JournalProjection(), 0
    while end < len(entries):
        start = data.draw(st.integers(0, end))
        end = data.draw(st.integers(end + 1, len(entries)))
        known.add(entries[start:end])
    assert shown(known) == shown(projection(*entries))
