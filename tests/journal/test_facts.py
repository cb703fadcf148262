"""What the guards learn from the journal: tables of entries, and a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.models import HostConfig
from exporter.journal import Entry, FleetFacts, Journal, Kind, Outcome, RuleFacts
from exporter.journal.clock import Timeline
from exporter.journal.projection import COUNTED, JournalProjection
from exporter.remediation import approvals
from exporter.snapshot import PanelId
from tests.builders import NOW
from tests.examples import examples
from tests.journal.builders import entry, intent, outcome, plan
from tests.journal.conftest import Clock, Opens, quick_journal

HOUR, DAY = 3600.0, 86400.0
Story = Iterable[tuple[float, Entry]]

JournalOf = Callable[[Story], Journal]


@pytest.fixture
def journal_of(journal: Journal, clock: Clock) -> JournalOf:
    """Writes each entry so many seconds before NOW, in this order, and sets the clock to NOW."""

    def write(story: Story) -> Journal:
        for ago, written in story:
            clock.now = NOW - ago
            journal.add(written)
        clock.now = NOW
        return journal

    return write


def facts(journal: Journal) -> RuleFacts:
    return journal.rule_facts("mx1", "purge")


def test_of_what_was_never_written_nothing_is_known(journal: Journal) -> None:
    assert facts(journal) == RuleFacts()
    assert journal.fleet_facts() == FleetFacts()
    assert journal.unsettled() == []


@pytest.mark.parametrize(
    ("begun", "last", "today"),
    [
        ([0], 0, 1),
        ([DAY - 0.5], DAY - 0.5, 1),
        ([DAY], DAY, 0),
        ([DAY + 1], DAY + 1, 0),
        ([3 * DAY, 2 * DAY], 2 * DAY, 0),
        ([3 * DAY, 23 * HOUR, 5], 5, 2),
        ([400 * DAY], 400 * DAY, 0),
        # The clock was set back: what lies ahead of it was done nevertheless, as if just now.
        ([-HOUR], 0, 1),
        ([-30 * DAY, 5], 0, 2),
        ([5, -HOUR, 10], 0, 3),
    ],
)
def test_actions_begun_are_counted_over_a_day_and_the_last_is_known_for_ever(
    journal_of: JournalOf, begun: list[float], last: float, today: int
) -> None:
    known = facts(journal_of((ago, intent(f"r{number}")) for number, ago in enumerate(begun)))
    assert (known.last_begun, known.begun_today) == (NOW - last, today)


def test_an_action_dated_ahead_holds_from_when_it_was_first_seen_so(
    journal: Journal, open_journal: Opens, clock: Clock
) -> None:
    """Not until the clock has come there, and not anew with each look or restart."""
    clock.now = NOW + 95 * DAY
    journal.add(intent("r1"))
    clock.now = NOW
    assert (facts(journal).last_begun, facts(journal).dated_ahead) == (NOW, True)
    assert journal.fleet_facts().begun_this_hour == 1
    clock.now = NOW + HOUR
    again = open_journal()
    for one in (journal, again):
        assert (facts(one).last_begun, facts(one).begun_today) == (NOW, 1)
        assert one.fleet_facts().begun_this_hour == 0
    clock.now = NOW + DAY
    assert (facts(journal).last_begun, facts(journal).begun_today) == (NOW, 0)
    # The clock is set back once more: from now on, that is.
    clock.now = NOW - 30 * DAY
    assert (facts(journal).last_begun, facts(journal).begun_today) == (NOW - 30 * DAY, 1)
    clock.now += 3 * DAY
    assert (facts(journal).last_begun, facts(journal).begun_today) == (NOW - 30 * DAY, 0)


def test_a_person_clears_an_action_dated_ahead(journal: Journal, clock: Clock) -> None:
    journal.add(intent("r0"))
    clock.now = NOW + 95 * DAY
    journal.add(intent("r1"))
    clock.now = NOW + 60
    said = approvals.resume_rule(journal, MX1, "purge", "person:anna", "anna")
    assert "is dated ahead of the clock" in said
    assert facts(journal) == RuleFacts(last_begun=NOW, begun_today=1)
    assert approvals.resume_rule(journal, MX1, "purge", "person:anna", "anna") == ""
    clock.now = NOW + 96 * DAY
    # Its time has come: by then it is as old as it says.
    assert facts(journal).last_begun == NOW + 95 * DAY


@pytest.mark.parametrize("jump", [DAY, 95 * DAY, -DAY, -95 * DAY, 90.0, -90.0])
def test_a_jump_of_the_clock_neither_frees_a_limit_nor_makes_a_rest_longer(
    path: Path, clock: Clock, jump: float
) -> None:
    """What was written before it is as old as the time that has passed says."""
    passed = 0.0

    def set_to(seconds: float, jumped: float = 0.0) -> None:
        nonlocal passed
        passed, clock.now = seconds, NOW + seconds + jumped

    journal = Journal.open(path, clock=clock, monotonic=lambda: passed)
    journal.add(replace(entry(REQUESTED, "a")), plan())
    journal.add(replace(entry(APPROVED, "a")))
    journal.add(intent("r1"))
    set_to(600, jump)
    known = facts(journal)
    assert (clock.now - (known.last_begun or 0), known.begun_today) == (600, 1)
    assert journal.fleet_facts().begun_this_hour == 1
    assert known.approval == "approved"
    journal.add(intent("r2"))
    set_to(1200, jump)
    known = facts(journal)
    assert (clock.now - (known.last_begun or 0), known.begun_today) == (600, 2)
    # It is set right again: what was written meanwhile moves along.
    set_to(1500)
    known = facts(journal)
    assert (clock.now - (known.last_begun or 0), known.begun_today) == (900, 2)
    assert journal.fleet_facts().begun_this_hour == 2
    set_to(4100)
    assert journal.fleet_facts().begun_this_hour == 1
    set_to(DAY + 601)
    assert facts(journal).begun_today == 0
    journal.close()


@pytest.mark.parametrize("how", Outcome)
def test_an_action_counts_however_it_ends(journal_of: JournalOf, how: Outcome) -> None:
    """Dry runs and what failed use up cooldown and limits too."""
    journal = journal_of([(60, intent()), (30, outcome(how=how))])
    assert (facts(journal).last_begun, facts(journal).begun_today) == (NOW - 60, 1)
    assert journal.fleet_facts().begun_this_hour == 1


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.INTENT])
def test_nothing_but_an_intent_is_an_action(journal_of: JournalOf, kind: Kind) -> None:
    journal = journal_of([(60, entry(kind))])
    assert (facts(journal).last_begun, facts(journal).begun_today) == (None, 0)
    assert journal.fleet_facts().begun_this_hour == 0


@pytest.mark.parametrize("other", [{"host": "mx2"}, {"rule": "retry"}, {"rule": ""}])
def test_a_rule_on_a_host_knows_nothing_of_others(
    journal_of: JournalOf, other: dict[str, Any]
) -> None:
    story = [
        intent("r1"),
        outcome("r1", Outcome.UNVERIFIED),
        entry(Kind.STOPPED, text="Three failed."),
        entry(Kind.APPROVED, "a1"),
    ]
    assert facts(journal_of((60, replace(each, **other)) for each in story)) == RuleFacts()


OK, BAD = Outcome.OK, Outcome.UNVERIFIED
RESUMED, BLOCKED = Kind.RULE_RESUMED, Kind.BLOCKED
STOPPED_OK = outcome(
    "stopped", OK, detail={"stopped_by": {"guard": "pause", "reason": "The pause file exists."}}
)


@pytest.mark.parametrize(
    ("story", "in_a_row"),
    [
        ([], 0),
        ([BAD], 1),
        ([BAD, BAD, BAD], 3),
        ([BAD] * 7, 7),
        ([OK], 0),
        ([BAD, BAD, OK], 0),
        ([OK, BAD, BAD], 2),
        ([BAD, BAD, OK, BAD], 1),
        # Only a good verification, or a person, ends the row.
        ([BAD, Outcome.FAILED, BAD], 2),
        ([BAD, Outcome.UNKNOWN, BAD], 2),
        ([BAD, Outcome.DRY_RUN, BAD], 2),
        ([BAD, BLOCKED, BAD], 2),
        ([BAD, Kind.STOPPED, BAD], 2),
        ([BAD, Kind.DISABLED, BAD], 2),
        ([BAD, Kind.PAUSED, Kind.RESUMED, BAD], 2),
        ([BAD, Kind.APPROVED, BAD], 2),
        ([Outcome.FAILED] * 5, 0),
        ([Outcome.UNKNOWN] * 5, 0),
        ([BAD, BAD, RESUMED], 0),
        ([BAD, BAD, RESUMED, BAD], 1),
        ([BAD, OK, RESUMED, BAD, BAD], 2),
        ([RESUMED, BAD, OK], 0),
        # What was stopped in the middle says nothing of what was meant.
        ([BAD, STOPPED_OK, BAD], 2),
        ([BAD, BAD, STOPPED_OK, STOPPED_OK], 2),
        ([BAD, OK, STOPPED_OK, BAD], 1),
        ([STOPPED_OK], 0),
    ],
)
@pytest.mark.parametrize("step", [0.0, -500 * DAY, DAY])
def test_failed_verifications_are_counted_in_a_row(
    journal_of: JournalOf, story: list[Outcome | Kind | Entry], in_a_row: int, step: float
) -> None:
    """However long it took; and in the order of writing, though the clock was set back."""
    entries = [
        what
        if isinstance(what, Entry)
        else entry(what)
        if isinstance(what, Kind)
        else outcome(f"r{number}", what)
        for number, what in enumerate(story)
    ]
    journal = journal_of((step * number, e) for number, e in enumerate(entries))
    assert facts(journal).failed_verifications == in_a_row


STOPPED = entry(Kind.STOPPED, text="Three verifications failed.")
DISABLED = entry(Kind.DISABLED, text="This panel has no forced deletion.")


@pytest.mark.parametrize(
    ("story", "stopped"),
    [
        ([STOPPED], STOPPED.text),
        ([DISABLED], DISABLED.text),
        ([STOPPED, DISABLED], DISABLED.text),
        ([STOPPED, entry(RESUMED, text="Anna resumed it.")], ""),
        ([DISABLED, entry(RESUMED)], ""),
        ([STOPPED, entry(RESUMED), STOPPED], STOPPED.text),
        ([entry(RESUMED), STOPPED], STOPPED.text),
        ([STOPPED, outcome(), entry(Kind.APPROVED), entry(BLOCKED)], STOPPED.text),
        # To resume the whole is not to resume the rule.
        ([STOPPED, entry(Kind.PAUSED), entry(Kind.RESUMED)], STOPPED.text),
        ([STOPPED, entry(RESUMED, host="mx2"), entry(RESUMED, rule="retry")], STOPPED.text),
        # It is never let go on for want of a word.
        ([entry(Kind.STOPPED)], "stopped."),
        ([entry(Kind.DISABLED)], "disabled."),
    ],
)
@pytest.mark.parametrize("ages", [[0.0] * 4, [800 * DAY] * 4, [0, DAY, 2 * DAY, 3 * DAY]])
def test_a_rule_stays_stopped_until_a_person_resumes_it(
    journal_of: JournalOf, story: list[Entry], stopped: str, ages: list[float]
) -> None:
    assert facts(journal_of(zip(ages, story, strict=False))).stopped == stopped


def pause(text: str = "Anna paused it.") -> Entry:
    return Entry(Kind.PAUSED, text=text)


@pytest.mark.parametrize(
    ("story", "paused"),
    [
        ([pause()], "Anna paused it."),
        ([pause(), Entry(Kind.RESUMED)], ""),
        ([Entry(Kind.RESUMED), pause()], "Anna paused it."),
        ([pause(), Entry(Kind.RESUMED), pause("Boris did.")], "Boris did."),
        ([pause(), pause("Boris did.")], "Boris did."),
        ([pause(), entry(RESUMED), intent()], "Anna paused it."),
        ([pause("")], "paused."),
    ],
)
@pytest.mark.parametrize("ages", [[0.0] * 3, [800 * DAY] * 3, [0, DAY, 2 * DAY]])
def test_all_is_paused_until_a_person_resumes_it(
    journal_of: JournalOf, story: list[Entry], paused: str, ages: list[float]
) -> None:
    assert journal_of(zip(ages, story, strict=False)).fleet_facts().paused == paused


@pytest.mark.parametrize(
    ("story", "begun"),
    [
        ([(0, intent()), (10, intent(host="mx2")), (20, intent(rule="retry"))], 3),
        ([(HOUR - 0.5, intent())], 1),
        ([(HOUR, intent())], 0),
        ([(DAY, intent()), (60, intent())], 1),
        # The clock was set back.
        ([(-60, intent()), (-DAY, intent())], 2),
        # What a person does without a rule is theirs to limit.
        ([(60, intent(rule="")), (30, intent(actor="person:anna"))], 1),
        ([(60, outcome()), (60, entry(BLOCKED)), (60, entry(Kind.REPLY))], 0),
    ],
)
def test_actions_of_rules_are_counted_over_an_hour_and_the_fleet(
    journal_of: JournalOf, story: Story, begun: int
) -> None:
    assert journal_of(story).fleet_facts().begun_this_hour == begun


# --- approvals ----------------------------------------------------------------------------------

REQUESTED, APPROVED, REJECTED = Kind.APPROVAL_REQUESTED, Kind.APPROVED, Kind.REJECTED


def used(run: str) -> Entry:
    return intent(f"by {run}", detail={"approval": run})


APPROVALS: list[tuple[list[tuple[float, Entry]], str, str, float]] = [
    ([(60, entry(REQUESTED, "a"))], "requested", "a", 60),
    ([(60, entry(REQUESTED, "a")), (30, entry(APPROVED, "a"))], "approved", "a", 30),
    ([(60, entry(REQUESTED, "a")), (30, entry(REJECTED, "a"))], "rejected", "a", 30),
    (
        [(60, entry(REQUESTED, "a")), (30, entry(APPROVED, "a")), (20, entry(REJECTED, "a"))],
        "rejected",
        "a",
        20,
    ),
    ([(60, entry(REQUESTED, "a")), (30, entry(APPROVED, "a")), (20, used("a"))], "", "", NOW),
    (
        [(60, entry(APPROVED, "a")), (50, used("a")), (40, entry(REQUESTED, "b"))],
        "requested",
        "b",
        40,
    ),
    ([(60, entry(APPROVED, "a")), (50, used("a")), (40, outcome("by a", BAD))], "", "", NOW),
    # An action that did not go by the approval does not use it up.
    ([(60, entry(APPROVED, "a")), (50, intent("by hand"))], "approved", "a", 60),
    ([(60, entry(APPROVED, "a")), (50, used("a")), (40, intent("by hand"))], "", "", NOW),
    ([(60, entry(REJECTED, "a")), (50, intent("by hand"))], "rejected", "a", 60),
    # A person that let the rule act by hand has answered what it asked; a dry run is no answer.
    ([(60, entry(REQUESTED, "a")), (50, intent("by hand"))], "", "", NOW),
    ([(60, entry(REQUESTED, "a")), (50, intent("x", mode="dry_run"))], "requested", "a", 60),
    ([(60, entry(REQUESTED, "a")), (50, intent("x", host="mx2"))], "requested", "a", 60),
    ([(60, intent("by hand")), (50, entry(REQUESTED, "a"))], "requested", "a", 50),
    ([(60, entry(APPROVED, "a")), (50, replace(used("a"), host="mx2"))], "approved", "a", 60),
    ([(60, entry(APPROVED, "a")), (50, entry(BLOCKED)), (40, outcome())], "approved", "a", 60),
    # What is not wanted any more, though it lies within the day; a new request is another matter.
    ([(60, entry(REQUESTED, "a")), (50, entry(Kind.LAPSED, "a"))], "", "", NOW),
    ([(60, entry(APPROVED, "a")), (50, entry(Kind.LAPSED, "a"))], "", "", NOW),
    ([(60, entry(Kind.LAPSED, "a")), (50, entry(REQUESTED, "b"))], "requested", "b", 50),
    # The last word counts, on whichever request.
    (
        [(60, entry(REQUESTED, "a")), (50, entry(REQUESTED, "b")), (40, entry(APPROVED, "a"))],
        "approved",
        "a",
        40,
    ),
    # For a day, each from when it was written.
    ([(DAY - 0.5, entry(REQUESTED, "a"))], "requested", "a", DAY - 0.5),
    ([(DAY, entry(REQUESTED, "a"))], "", "", NOW),
    ([(DAY, entry(REJECTED, "a"))], "", "", NOW),
    ([(DAY + 60, entry(REQUESTED, "a")), (DAY, entry(APPROVED, "a"))], "", "", NOW),
    ([(DAY + 60, entry(REQUESTED, "a")), (60, entry(APPROVED, "a"))], "approved", "a", 60),
    # The clock was set back: by a little, and by so much that the age cannot be known.
    ([(-60, entry(APPROVED, "a"))], "approved", "a", -60),
    ([(-DAY, entry(APPROVED, "a"))], "", "", NOW),
    ([(5, entry(APPROVED, "a")), (60, used("a"))], "", "", NOW),
    ([(5, entry(APPROVED, "a")), (60, entry(REJECTED, "a"))], "rejected", "a", 60),
    ([(5, entry(REQUESTED, "a")), (3 * DAY, entry(REJECTED, "a"))], "", "", NOW),
]


@pytest.mark.parametrize(("story", "approval", "run", "ago"), APPROVALS)
def test_the_last_word_on_an_approval_counts_until_it_is_used_or_too_old(
    journal_of: JournalOf, story: Story, approval: str, run: str, ago: float
) -> None:
    known = facts(journal_of(story))
    assert (known.approval, known.approval_run, known.approval_at) == (approval, run, NOW - ago)


def test_what_is_approved_are_the_messages_of_the_request(journal: Journal) -> None:
    journal.add(entry(REQUESTED, "a"), plan(3))
    journal.add(entry(REQUESTED, "b"), plan(9))
    assert facts(journal).approved == ()
    journal.add(entry(APPROVED, "a"))
    assert facts(journal).approved == tuple(plan(3))
    journal.add(entry(REJECTED, "a"))
    assert facts(journal).approved == ()
    journal.add(entry(APPROVED, "b"))
    assert facts(journal).approved == tuple(plan(9))
    journal.add(used("b"), plan(9))
    assert facts(journal).approved == ()


@pytest.mark.parametrize("other", [{"host": "mx2"}, {"rule": "retry"}, {"run": "b"}])
def test_an_approval_without_its_request_approves_no_message(
    journal: Journal, other: dict[str, Any]
) -> None:
    journal.add(replace(entry(REQUESTED, "a"), **other), plan())
    journal.add(entry(APPROVED, "a"))
    assert (facts(journal).approval, facts(journal).approved) == ("approved", ())


# --- intents without an outcome -----------------------------------------------------------------


def test_an_intent_is_unsettled_until_its_outcome(journal: Journal) -> None:
    first = journal.add(intent("r1"), plan(3))
    second = journal.add(intent("r2", host="mx2", rule=""))
    journal.add(entry(Kind.REPLY, "r1"))

    def left(host: str | None = None) -> list[tuple[Entry, int]]:
        return [(u.intent, len(u.messages)) for u in journal.unsettled(host)]

    assert left() == [(first, 3), (second, 0)]
    assert left("mx1") == [(first, 3)]
    assert left("mx3") == []
    journal.add(outcome("r1", Outcome.UNKNOWN))
    assert left() == [(second, 0)]
    journal.add(outcome("r1"))
    journal.add(outcome("nobody's"))
    assert left() == [(second, 0)]
    journal.add(outcome("r2", host="mx2", rule=""))
    assert left() == []


def test_facts_are_the_same_after_a_restart(journal: Journal, open_journal: Opens) -> None:
    journal.add(intent("r1"))
    journal.add(outcome("r1", BAD))
    journal.add(intent("r2"), plan())
    journal.add(entry(REQUESTED, "a"), plan())
    journal.add(entry(APPROVED, "a"))
    journal.add(STOPPED)
    journal.add(pause())
    before = (facts(journal), journal.fleet_facts(), journal.unsettled())
    journal.close()
    again = open_journal()
    assert (facts(again), again.fleet_facts(), again.unsettled()) == before
    assert before[0] == RuleFacts(
        last_begun=NOW,
        begun_today=2,
        stopped=STOPPED.text,
        failed_verifications=1,
        approval="approved",
        approval_run="a",
        approval_at=NOW,
        approved=tuple(plan()),
    )


# --- one panel, and what it is called -----------------------------------------------------------

HERE = PanelId("https://a.example.com:8000/api/api.php", "aa")
RENEWED = replace(HERE, pin="bb")
"""The same address, and another certificate: perhaps another machine."""
ELSEWHERE = PanelId("https://b.example.com:8000/api/api.php", "aa")

RESTRAINING: dict[str, tuple[list[Entry], RuleFacts]] = {
    "an action": ([intent()], RuleFacts(last_begun=NOW - 60, begun_today=1)),
    "a failed verification": ([outcome(how=BAD)], RuleFacts(failed_verifications=1)),
    "a stop": ([STOPPED], RuleFacts(stopped=STOPPED.text)),
    "what it cannot do": ([DISABLED], RuleFacts(stopped=DISABLED.text)),
    "a rejection": (
        [entry(Kind.REJECTED, "a")],
        RuleFacts(approval="rejected", approval_run="a", approval_at=NOW - 60),
    ),
}


@pytest.mark.parametrize("what", RESTRAINING)
@pytest.mark.parametrize(
    ("name", "panel", "counts"),
    [
        ("mx1", HERE, True),
        ("mx1", RENEWED, True),
        # Two names for one panel, or one that was renamed.
        ("was-called-so", HERE, True),
        ("was-called-so", RENEWED, True),
        # Of a version that wrote no panel down.
        ("mx1", PanelId(), True),
        ("was-called-so", PanelId(), False),
        # The name was another panel's.
        ("mx1", ELSEWHERE, False),
    ],
)
def test_what_restrains_is_of_the_panel_under_whatever_name(
    journal_of: JournalOf, what: str, name: str, panel: PanelId, counts: bool
) -> None:
    story, known = RESTRAINING[what]
    journal = journal_of((60, replace(each, host=name, panel=panel)) for each in story)
    found = journal.rule_facts("mx1", "purge", HERE)
    assert found == (known if counts else RuleFacts())
    assert projected(journal.entries(), "mx1", "purge", HERE) == in_memory(found)


@pytest.mark.parametrize(
    ("name", "panel", "counts"),
    [
        ("mx1", HERE, True),
        ("was-called-so", HERE, True),
        ("mx1", RENEWED, False),
        ("mx1", ELSEWHERE, False),
        ("mx1", PanelId(), False),
        ("mx1", replace(HERE, pin=""), False),
    ],
)
def test_what_authorises_is_of_the_very_same_url_and_pin(
    journal: Journal, name: str, panel: PanelId, counts: bool
) -> None:
    journal.add(replace(entry(REQUESTED, "a"), host=name, panel=panel), plan())
    asked = journal.rule_facts("mx1", "purge", HERE)
    journal.add(replace(entry(APPROVED, "a"), host=name, panel=panel))
    approved = journal.rule_facts("mx1", "purge", HERE)
    assert (asked.approval, approved.approval) == (
        ("requested", "approved") if counts else ("", "")
    )
    assert approved.approved == (tuple(plan()) if counts else ())
    assert projected(journal.entries(), "mx1", "purge", HERE) == in_memory(approved)


@pytest.mark.parametrize("asked_of", [RENEWED, ELSEWHERE, PanelId()])
def test_an_approval_of_another_panels_request_approves_no_message(
    journal: Journal, asked_of: PanelId
) -> None:
    journal.add(replace(entry(REQUESTED, "a"), panel=asked_of), plan())
    journal.add(replace(entry(APPROVED, "a"), panel=HERE))
    assert journal.rule_facts("mx1", "purge", HERE).approved == ()


def test_an_action_under_another_name_uses_the_panels_approval_up(journal: Journal) -> None:
    journal.add(replace(entry(REQUESTED, "a"), panel=HERE), plan())
    journal.add(replace(entry(APPROVED, "a"), panel=HERE))
    journal.add(replace(used("a"), host="mx2", panel=RENEWED))
    assert journal.rule_facts("mx1", "purge", HERE).approval == ""


def test_an_unfinished_intent_is_the_panels_and_knows_which_that_was(journal: Journal) -> None:
    intents = {
        "here": replace(intent("r1"), panel=HERE),
        "under another name": replace(intent("r2"), host="mx2", panel=RENEWED),
        "of the name elsewhere": replace(intent("r3"), panel=ELSEWHERE),
        "of a version before": intent("r4"),
    }
    for one in intents.values():
        journal.add(one, plan())

    def left(host: str, panel: PanelId | None) -> list[tuple[str, PanelId]]:
        return [(u.intent.run, u.intent.panel) for u in journal.unsettled(host, panel)]

    assert left("mx1", HERE) == [("r1", HERE), ("r2", RENEWED), ("r4", PanelId())]
    assert left("mx1", ELSEWHERE) == [("r3", ELSEWHERE), ("r4", PanelId())]
    assert left("mx2", HERE) == [("r1", HERE), ("r2", RENEWED)]
    assert left("mx2", None) == [("r2", RENEWED)]


def test_what_was_asked_for_last_is_found_by_its_key(journal: Journal) -> None:
    first, last = (journal.add(entry(Kind.ASKED, detail={"key": "k"})) for _ in range(2))
    assert journal.asked("mx1", "purge", "k") == last != first
    assert journal.asked("mx1", "purge", "another") is None
    assert journal.asked("mx1", "retry", "k") is None
    assert journal.asked("mx2", "purge", "k") is None


# --- any story ----------------------------------------------------------------------------------

PANELS = [PanelId(), HERE, HERE, RENEWED, ELSEWHERE]

MX1 = HostConfig(name="mx1", url="http://mx1", username="u", password="p")

STEPS = st.tuples(
    # Mostly forward; now and then the clock is set, by a lot or a little.
    st.one_of(
        st.floats(0, 2 * HOUR),
        st.floats(0, DAY),
        st.floats(-3 * DAY, 100 * DAY),
        st.floats(-100 * DAY, 0),
    ),
    st.one_of(st.sampled_from([Kind.INTENT, Kind.OUTCOME]), st.sampled_from(list(Kind))),
    st.one_of(st.sampled_from([OK, BAD]), st.sampled_from(list(Outcome))),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["mx1", "mx1", "mx2"]),
    st.sampled_from(["purge", "purge", "retry"]),
    st.sampled_from(PANELS),
)
Step = tuple[float, Kind, Outcome, str, str, str, PanelId]


def entry_of(step: Step) -> Entry:
    _, kind, how, run, host, rule, panel = step
    by: dict[str, object] = {"approval": run} if kind is Kind.INTENT and how is OK else {}
    if kind is Kind.OUTCOME and run == "b":
        by = {"stopped_by": {"guard": "pause", "reason": "The pause file exists."}}
    mode = "dry_run" if how is BAD else "enforce"
    return Entry(
        kind, run, host, rule, mode=mode, outcome=how, text=f"{kind}", detail=by, panel=panel
    )


def by_reading_all(
    entries: list[Entry],
    now: float,
    seen: dict[int, float],
    host: str,
    rule: str,
    panel: PanelId | None,
    timeline: Timeline | None = None,
) -> RuleFacts:
    """The facts as one would work them out by hand, but for the messages approved."""
    written = {e.id: e.at for e in entries}
    if timeline is not None:
        entries = [replace(e, at=e.at + timeline.shift(e.id)) for e in entries]
    own = [
        e
        for e in entries
        if e.rule == rule
        and (e.host == host if panel is None or not e.panel.url else e.panel.url == panel.url)
    ]
    begun = [e.at for e in own if e.kind is Kind.INTENT and e.at <= now]
    resumed = max((e.id for e in own if e.kind is RESUMED), default=0)
    ahead = [e.id for e in own if e.kind is Kind.INTENT and e.at > now and e.id > resumed]
    if ahead:  # as if all were begun when the last of them was first seen to be ahead
        begun += [seen.setdefault(max(ahead), now)] * len(ahead)
    stops = [e for e in own if e.kind in {Kind.STOPPED, Kind.DISABLED, RESUMED}]
    row = 0
    for e in own:
        good = e.kind is Kind.OUTCOME and e.outcome == OK and "stopped_by" not in e.detail
        if e.kind is RESUMED or good:
            row = 0
        row += e.kind is Kind.OUTCOME and e.outcome == BAD
    approval: Entry | None = None
    for e in own:
        if e.kind is REJECTED or (
            e.kind in {REQUESTED, APPROVED} and (panel is None or e.panel == panel)
        ):
            approval = e
        elif e.kind is Kind.LAPSED or (e.kind is Kind.INTENT and e.detail):
            approval = None
        elif e.kind is Kind.INTENT and e.mode == "enforce" and approval:
            approval = None if approval.kind is REQUESTED else approval
    if approval is not None and abs(now - approval.at) >= DAY:
        approval = None
    words = {REQUESTED: "requested", APPROVED: "approved", REJECTED: "rejected"}
    return RuleFacts(
        last_begun=max(begun, default=None),
        begun_today=sum(at > now - DAY for at in begun),
        dated_ahead=bool(ahead),
        stopped=stops[-1].text if stops and stops[-1].kind is not RESUMED else "",
        failed_verifications=row,
        approval=words[approval.kind] if approval else "",
        approval_run=approval.run if approval else "",
        approval_at=written[approval.id] if approval else 0.0,
    )


InMemory = tuple[float | None, str, str, str]
"""The last action, why the rule is stopped, the approval and its run."""


def in_memory(known: RuleFacts) -> InMemory:
    return known.last_begun, known.stopped, known.approval, known.approval_run


def projected(
    entries: list[Entry] | JournalProjection,
    host: str,
    rule: str,
    panel: PanelId | None,
    now: float = NOW,
) -> InMemory:
    """The same by a projection that has read all."""
    projection, key = (
        entries if isinstance(entries, JournalProjection) else counted(entries),
        (host, rule),
    )
    projection.panels = {} if panel is None else {host: panel}
    facts = projection.facts(key, now)
    waits = facts.approval == "requested"
    assert waits is (projection.waits(key, now) is not None)
    assert waits is (key in projection.waiting(now))
    assert projection.may_lapse(key, now) is (facts.approval in {"requested", "approved"})
    assert facts.stopped == (projection.stopped(key) or "")
    assert projection.stopped_on(host) >= bool(facts.stopped)
    assert (key in projection.all_stopped()) is bool(facts.stopped)
    return in_memory(facts)


def counted(entries: list[Entry]) -> JournalProjection:
    projection = JournalProjection()
    projection.add(entry for entry in entries if entry.kind in COUNTED)
    return projection


WHOSE = [
    (host, rule, panel)
    for host in ("mx1", "mx2")
    for rule, panels in (("purge", (None, HERE, RENEWED, ELSEWHERE)), ("retry", (HERE,)))
    for panel in panels
]


@settings(max_examples=examples(40), deadline=None)
@given(
    story=st.lists(STEPS, max_size=25),
    later=st.floats(0, 30 * DAY),
    keep=st.sampled_from([0.0, 0.0, DAY, 90 * DAY]),
    afterwards=st.lists(st.floats(0, 100 * DAY), max_size=3),
)
def test_facts_are_those_of_all_entries_and_pruning_changes_none(
    tmp_path_factory: pytest.TempPathFactory,
    story: list[Step],
    later: float,
    keep: float,
    afterwards: list[float],
) -> None:
    """Neither what is known now, nor what will be, of every panel under every name."""
    clock = Clock()
    journal = quick_journal(tmp_path_factory.mktemp("any") / "journal", clock)

    def known() -> list[RuleFacts]:
        facts = (journal.rule_facts(host, rule, panel) for host, rule, panel in WHOSE)
        return [replace(fact, approved=()) for fact in facts]

    def others() -> tuple[object, ...]:
        unsettled = [journal.unsettled(host, panel) for host, _, panel in WHOSE]
        return journal.fleet_facts().paused, journal.unsettled(), unsettled

    seen: dict[int, float] = {}
    try:
        for step in story:
            clock.now += step[0]
            journal.add(entry_of(step))
        clock.now += later
        everything = journal.entries()

        def first() -> int:
            """Return the first fact to compare: the last action is not one dated ahead."""
            return int(any(e.at > clock.now for e in everything))

        def expected() -> list[RuleFacts]:
            return [by_reading_all(everything, clock.now, seen, *whose) for whose in WHOSE]

        assert known() == expected()
        projection = counted(everything)
        assert [projected(projection, *whose, clock.now)[first() :] for whose in WHOSE] == [
            in_memory(fact)[first() :] for fact in known()
        ]
        before, hour = others(), journal.fleet_facts()
        deleted = journal.prune(clock.now - keep)
        assert len(journal.entries()) == len(everything) - deleted
        assert (known(), others(), journal.fleet_facts()) == (expected(), before, hour)
        assert journal.prune(clock.now - keep) == 0
        for step_on in afterwards:
            clock.now += step_on
            assert known() == expected()
            journal.prune(clock.now - keep)
            assert (known(), others()) == (expected(), before)
            projection = counted(journal.entries())
            assert [projected(projection, *whose, clock.now)[first() :] for whose in WHOSE] == [
                in_memory(fact)[first() :] for fact in expected()
            ]
    finally:
        journal.close()
