"""What keeps a rule from acting: each guard by a table, and the order in which they are asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.config.remediation import RemediationConfig, RemediationRule
from exporter.config.windows import DAYS, Window, is_open
from exporter.journal import Actor, FleetFacts, RuleFacts
from exporter.journal.entries import Guard
from exporter.remediation import guards
from exporter.remediation.guard_inputs import GuardInputs
from exporter.remediation.guards import Block, effective_mode, first_block
from tests.builders import NOW

HOUR, DAY = 3600.0, 86400.0


def rule(**keys: Any) -> RemediationRule:
    """A rule with the defaults: once an hour, four times a day, without approval."""
    return RemediationRule.model_validate({"name": "purge", "action": "purge_frozen"} | keys)


def config(**keys: Any) -> RemediationConfig:
    return RemediationConfig.model_validate({"mode": "enforce", "rules": [rule()]} | keys)


def inputs(**keys: Any) -> GuardInputs:
    """One host of ten wants an action, and nothing speaks against it."""
    values: dict[str, Any] = {
        "now": NOW,
        "pause_file": False,
        "hosts": 10,
        "wanting": 1,
        "unheard": 0,
        "running": 0,
        "rule": RuleFacts(),
        "fleet": FleetFacts(),
    } | keys
    return GuardInputs(**values)


def blocked(
    inputs: GuardInputs,
    config: RemediationConfig | None = None,
    rule_: RemediationRule | None = None,
    *,
    approval: bool = True,
) -> Block | None:
    return first_block(rule_ or rule(), config or CONFIG, inputs, approval=approval)


def guard(*arguments: Any, **keys: Any) -> Guard | None:
    """The guard that blocks."""
    block = blocked(*arguments, **keys)
    return None if block is None else block.guard


CONFIG = config()


def test_nothing_blocks_where_nothing_speaks_against_it() -> None:
    assert blocked(inputs()) is None


# --- the order ----------------------------------------------------------------------------------

NEVER = {"from": "00:00", "to": "00:01", "days": ["mon"], "time_zone": "UTC"}
"""A window that is closed at NOW."""

AGAINST: Mapping[Guard, Mapping[str, Any]] = {
    Guard.MODE: {"config": {"mode": "off"}},
    Guard.PAUSE: {"situation": {"pause_file": True}},
    Guard.WINDOW: {"config": {"windows": [NEVER]}},
    Guard.STORM_BRAKE: {"situation": {"wanting": 9}},
    Guard.STOPPED: {"facts": {"stopped": "It failed."}},
    Guard.APPROVAL: {"rule": {"approval": "required"}},
    Guard.COOLDOWN: {"facts": {"last_begun": NOW}},
    Guard.MAX_PER_DAY: {"facts": {"begun_today": 4}},
    Guard.ACTIONS_PER_HOUR: {"fleet": {"begun_this_hour": 12}},
    Guard.ACTIONS_AT_ONCE: {"situation": {"running": 1}},
}
"""What makes each guard block, in the order in which they are asked."""


def against(*guards: Guard, **keys: Any) -> tuple[GuardInputs, RemediationConfig, RemediationRule]:
    """Everything that makes these guards block at once."""
    parts: dict[str, dict[str, Any]] = {
        "config": {},
        "situation": dict(keys),
        "facts": {},
        "fleet": {},
        "rule": {},
    }
    for each in guards:
        for part, values in AGAINST[each].items():
            parts[part] |= values
    facts = {"rule": RuleFacts(**parts["facts"]), "fleet": FleetFacts(**parts["fleet"])}
    return (
        inputs(**facts | parts["situation"]),
        config(**parts["config"]),
        rule(**parts["rule"]),
    )


@pytest.mark.parametrize("only", AGAINST)
def test_each_guard_blocks_by_itself(only: Guard) -> None:
    assert guard(*against(only)) is only


def test_of_several_guards_the_first_in_order_blocks() -> None:
    left = list(AGAINST)
    while left:
        assert guard(*against(*left)) is left.pop(0)


@pytest.mark.parametrize("missing", [{"rule": None}, {"fleet": None}])
def test_what_the_journal_does_not_tell_blocks_before_what_is_read_from_it(
    missing: Mapping[str, Any],
) -> None:
    for position, first in enumerate(AGAINST):
        told = guard(*against(*list(AGAINST)[position:], **missing))
        needs_it = first not in {Guard.MODE, Guard.PAUSE, Guard.WINDOW, Guard.STORM_BRAKE}
        assert told is (Guard.JOURNAL if needs_it else first)
    assert guard(inputs(**missing)) is Guard.JOURNAL


@pytest.mark.parametrize("later", [g for g in AGAINST if g is not Guard.APPROVAL])
def test_without_the_question_of_approval_every_other_guard_is_asked(later: Guard) -> None:
    assert guard(*against(Guard.APPROVAL, later), approval=False) is later


def test_without_the_question_of_approval_a_missing_one_does_not_block() -> None:
    assert blocked(*against(Guard.APPROVAL), approval=False) is None


BY_PERSON = frozenset({Guard.STORM_BRAKE, Guard.APPROVAL})
"""Guards that do not hold up a person: asking for one host answers them."""


@pytest.mark.parametrize("actor", Actor)
@pytest.mark.parametrize("each", AGAINST)
def test_every_request_passes_the_same_guards_but_two_do_not_hold_up_a_person(
    actor: Actor, each: Guard
) -> None:
    told = guard(*against(each, actor=actor))
    assert told is (None if actor is Actor.PERSON and each in BY_PERSON else each)


# --- what cannot be known -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unknown", "expected", "words"),
    [
        ({"pause_file": None}, Guard.PAUSE, "cannot be known"),
        ({"unheard": 9, "wanting": 1}, Guard.STORM_BRAKE, "not been polled yet"),
        ({"rule": None}, Guard.JOURNAL, "The journal cannot be read."),
        ({"fleet": None}, Guard.JOURNAL, "The journal cannot be read."),
        (
            {"rule": None, "fleet": None, "error": "It is damaged. Move it."},
            Guard.JOURNAL,
            "It is damaged. Move it.",
        ),
    ],
)
@pytest.mark.parametrize("approval", [True, False])
def test_a_guard_whose_answer_cannot_be_known_blocks(
    unknown: Mapping[str, Any], expected: Guard, words: str, approval: bool
) -> None:
    block = first_block(rule(), CONFIG, inputs(**unknown), approval=approval)
    assert block is not None
    assert block.guard is expected
    assert words in block.reason


@given(
    wanting=st.integers(0, 30),
    unheard=st.integers(0, 30),
    pause_file=st.sampled_from([None, False]),
    journal=st.booleans(),
    actor=st.sampled_from(Actor),
)
def test_nobody_acts_by_what_is_not_known(
    wanting: int, unheard: int, pause_file: bool | None, journal: bool, actor: Actor
) -> None:
    told = inputs(
        hosts=30,
        wanting=wanting,
        unheard=unheard,
        pause_file=pause_file,
        fleet=FleetFacts() if journal else None,
        actor=actor,
    )
    passes = blocked(told) is None
    stormless = wanting + unheard <= 9 or actor is Actor.PERSON or (not unheard and wanting <= 9)
    assert passes == (pause_file is False and journal and stormless)


# --- mode and pause -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "effective", "expected"),
    [
        (None, "off", Guard.MODE),
        ("off", "off", Guard.MODE),
        ("dry_run", "dry_run", None),
        ("enforce", "enforce", None),
    ],
)
def test_nothing_acts_without_a_word(
    mode: str | None, effective: str, expected: Guard | None
) -> None:
    section = config(mode=mode, rules=[]) if mode is None else config(mode=mode)
    assert effective_mode(section) == effective
    assert guard(inputs(), section) is expected


@pytest.mark.parametrize(
    ("pause_file", "paused", "reason"),
    [
        (True, "", "The pause file /run/pause exists."),
        (True, "Ann paused it.", "The pause file /run/pause exists."),
        (None, "", "Whether the pause file /run/pause exists cannot be known."),
        (False, "Ann paused it.", "Ann paused it."),
        (False, "", None),
    ],
)
def test_a_pause_by_file_or_by_command(
    pause_file: bool | None, paused: str, reason: str | None
) -> None:
    section = config().model_copy(update={"pause_file": Path("/run/pause")})
    told = inputs(pause_file=pause_file, fleet=FleetFacts(paused=paused))
    assert blocked(told, section) == (None if reason is None else Block(Guard.PAUSE, reason))


# --- windows ------------------------------------------------------------------------------------


def window(start: str, end: str, zone: str = "Europe/Berlin", *days: str) -> Window:
    keys = {"from": start, "to": end, "time_zone": zone} | ({"days": days} if days else {})
    return Window.model_validate(keys)


def at(text: str) -> float:
    """Unix time of a moment with its offset."""
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo is not None
    return moment.timestamp()


NIGHT = window("22:00", "06:00", "Europe/Berlin", "mon-fri")
NOON = window("11:30", "13:00", "Europe/Berlin", "tue", "sun")
MONDAY = window("08:00", "08:00", "Europe/Berlin", "mon")


@pytest.mark.parametrize(
    ("which", "moment", "open_"),
    [
        # Within a day; 2026-06-09 is a Tuesday.
        (NOON, "2026-06-09T11:29:59+02:00", False),
        (NOON, "2026-06-09T11:30:00+02:00", True),
        (NOON, "2026-06-09T12:59:59+02:00", True),
        (NOON, "2026-06-09T13:00:00+02:00", False),
        (NOON, "2026-06-10T12:00:00+02:00", False),
        (NOON, "2026-06-14T12:00:00+02:00", True),
        # Over midnight it belongs to the day on which it begins.
        (NIGHT, "2026-06-08T21:59:59+02:00", False),
        (NIGHT, "2026-06-08T22:00:00+02:00", True),
        (NIGHT, "2026-06-09T00:00:00+02:00", True),
        (NIGHT, "2026-06-09T05:59:59+02:00", True),
        (NIGHT, "2026-06-09T06:00:00+02:00", False),
        (NIGHT, "2026-06-12T23:30:00+02:00", True),
        (NIGHT, "2026-06-13T05:00:00+02:00", True),
        (NIGHT, "2026-06-13T23:30:00+02:00", False),
        (NIGHT, "2026-06-14T03:00:00+02:00", False),
        (NIGHT, "2026-06-15T03:00:00+02:00", False),
        (NIGHT, "2026-06-15T22:00:00+02:00", True),
        # One that ends when it begins lasts a day.
        (MONDAY, "2026-06-08T07:59:59+02:00", False),
        (MONDAY, "2026-06-08T08:00:00+02:00", True),
        (MONDAY, "2026-06-09T07:59:59+02:00", True),
        (MONDAY, "2026-06-09T08:00:00+02:00", False),
        # The same moment is another time elsewhere.
        (window("22:00", "06:00", "Europe/Moscow"), "2026-06-08T21:00:00+02:00", True),
        (window("22:00", "06:00", "UTC"), "2026-06-08T21:00:00+02:00", False),
        (window("00:00", "01:00", "Asia/Kolkata"), "2026-06-08T18:30:00+00:00", True),
        (window("00:00", "01:00", "Asia/Kolkata"), "2026-06-08T19:30:00+00:00", False),
    ],
)
def test_a_window_is_open_by_the_clock_of_its_zone(which: Window, moment: str, open_: bool) -> None:
    assert is_open(which, at(moment)) is open_


SKIPPED = window("02:00", "03:00")
"""On the night of 29 March 2026 there is no such hour in Berlin, on that of 25 October two."""


@pytest.mark.parametrize(
    ("which", "moment", "open_"),
    [
        # Spring: from 02:00 the clocks show 03:00.
        (SKIPPED, "2026-03-28T02:30:00+01:00", True),
        (SKIPPED, "2026-03-29T01:59:59+01:00", False),
        (SKIPPED, "2026-03-29T03:00:00+02:00", False),
        (window("02:30", "04:00"), "2026-03-29T01:59:59+01:00", False),
        (window("02:30", "04:00"), "2026-03-29T03:00:00+02:00", True),
        (window("02:30", "04:00"), "2026-03-29T04:00:00+02:00", False),
        (NIGHT, "2026-03-28T05:59:59+01:00", True),
        (window("22:00", "06:00"), "2026-03-29T05:59:59+02:00", True),
        (window("22:00", "06:00"), "2026-03-29T06:00:00+02:00", False),
        # Autumn: from 03:00 the clocks show 02:00 again.
        (SKIPPED, "2026-10-25T01:59:59+02:00", False),
        (SKIPPED, "2026-10-25T02:30:00+02:00", True),
        (SKIPPED, "2026-10-25T02:30:00+01:00", True),
        (SKIPPED, "2026-10-25T03:00:00+01:00", False),
        (window("01:00", "02:30"), "2026-10-25T02:29:59+02:00", True),
        (window("01:00", "02:30"), "2026-10-25T02:30:00+02:00", False),
        (window("01:00", "02:30"), "2026-10-25T02:00:00+01:00", True),
        (window("22:00", "06:00"), "2026-10-25T05:59:59+01:00", True),
        (window("22:00", "06:00"), "2026-10-25T06:00:00+01:00", False),
    ],
)
def test_a_window_on_the_nights_when_the_clocks_are_changed(
    which: Window, moment: str, open_: bool
) -> None:
    assert is_open(which, at(moment)) is open_


MINUTES = st.integers(0, 1439).map(lambda minutes: f"{minutes // 60:02d}:{minutes % 60:02d}")
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"])


@given(
    start=MINUTES,
    end=MINUTES,
    zone=ZONES,
    days=st.sets(st.sampled_from(DAYS), min_size=1),
    now=st.floats(NOW - 400 * DAY, NOW + 400 * DAY),
)
def test_a_window_is_open_between_a_beginning_on_its_day_and_the_next_end(
    start: str, end: str, zone: str, days: set[str], now: float
) -> None:
    which = window(start, end, zone, *days)
    clock = datetime.fromtimestamp(now, ZoneInfo(zone)).replace(tzinfo=None)
    expected = False
    for days_ago in (0, 1):
        day = clock.date() - timedelta(days=days_ago)
        begins = datetime.combine(day, time.fromisoformat(start))
        ends = datetime.combine(day, time.fromisoformat(end))
        ends += timedelta(days=ends <= begins)
        expected |= DAYS[day.weekday()] in days and begins <= clock < ends
    assert is_open(which, now) is expected


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([], None),
        ([NIGHT], Guard.WINDOW),
        ([NIGHT, NOON], None),
        ([NOON, NIGHT], None),
        ([NIGHT, MONDAY], Guard.WINDOW),
    ],
)
def test_rules_act_while_any_window_is_open_and_always_when_there_is_none(
    windows: list[Window], expected: Guard | None
) -> None:
    section = CONFIG.model_copy(update={"windows": tuple(windows)})
    assert guard(inputs(now=at("2026-06-09T12:00:00+02:00")), section) is expected


# --- the storm brake ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "hosts", "wanting", "unheard", "expected"),
    [
        ("30%", 10, 3, 0, None),
        ("30%", 10, 4, 0, Guard.STORM_BRAKE),
        ("30%", 11, 3, 0, None),
        ("30%", 11, 4, 0, Guard.STORM_BRAKE),
        # Two may always want something.
        ("30%", 1, 1, 0, None),
        ("30%", 2, 2, 0, None),
        ("1%", 5, 2, 0, None),
        ("1%", 5, 3, 0, Guard.STORM_BRAKE),
        ("100%", 5, 5, 0, None),
        # Exactly the share is not more than the share, whatever floats make of it.
        ("29%", 100, 29, 0, None),
        ("29%", 100, 30, 0, Guard.STORM_BRAKE),
        ("58%", 100, 58, 0, None),
        ("7%", 300, 21, 0, None),
        # A host that was not polled yet may want something too.
        ("30%", 10, 1, 2, None),
        ("30%", 10, 1, 3, Guard.STORM_BRAKE),
        ("30%", 10, 0, 4, Guard.STORM_BRAKE),
        ("30%", 3, 1, 1, None),
        ("30%", 3, 1, 2, Guard.STORM_BRAKE),
        ("100%", 5, 1, 4, None),
    ],
)
def test_the_storm_brake(
    share: str, hosts: int, wanting: int, unheard: int, expected: Guard | None
) -> None:
    section = config(limits={"storm_brake": share})
    told = inputs(hosts=hosts, wanting=wanting, unheard=unheard)
    assert guard(told, section) is expected


@example(percent=29, hosts=100, wanting=29)
@given(percent=st.integers(1, 100), hosts=st.integers(1, 999), wanting=st.integers(0, 999))
def test_the_storm_brake_counts_exactly(percent: int, hosts: int, wanting: int) -> None:
    section = config(limits={"storm_brake": f"{percent}%"})
    storm = wanting > 2 and 100 * wanting > percent * hosts
    told = guard(inputs(hosts=hosts, wanting=wanting), section)
    assert told is (Guard.STORM_BRAKE if storm else None)


def test_the_storm_brake_names_its_figures() -> None:
    block = blocked(inputs(wanting=4))
    assert block is not None
    assert block.reason.startswith("4 of 10 hosts want an action at once, more than 30% of them")


# --- stopped, approval --------------------------------------------------------------------------


def test_a_stopped_rule_waits_for_a_person() -> None:
    told = blocked(inputs(rule=RuleFacts(stopped="Disabled here: no frozen mail.")))
    reason = "Disabled here: no frozen mail. A person must resume purge."
    assert told == Block(Guard.STOPPED, reason)


@pytest.mark.parametrize(
    ("needed", "said", "actor", "expected"),
    [
        ("none", "", Actor.RULE, None),
        ("none", "rejected", Actor.RULE, None),
        ("required", "", Actor.RULE, "It waits for a person to approve it."),
        ("required", "requested", Actor.RULE, "It waits for a person to approve it."),
        ("required", "rejected", Actor.RULE, "A person rejected it."),
        ("required", "approved", Actor.RULE, None),
        ("required", "", Actor.ALERTMANAGER, "It waits for a person to approve it."),
        ("required", "approved", Actor.ALERTMANAGER, None),
        ("required", "", Actor.PERSON, None),
        ("required", "rejected", Actor.PERSON, None),
    ],
)
def test_a_person_approves_what_others_ask_for(
    needed: str, said: str, actor: Actor, expected: str | None
) -> None:
    told = inputs(rule=RuleFacts(approval=said, approved_action="purge_frozen"), actor=actor)
    block = None if expected is None else Block(Guard.APPROVAL, expected)
    assert blocked(told, rule_=rule(approval=needed)) == block


@pytest.mark.parametrize(
    ("spec", "keys", "counts"),
    [
        ("delete", {"action": "delete", "select": {"frozen": True}}, True),
        ("retry", {"action": "delete", "select": {"frozen": True}}, False),
        ("", {"action": "delete", "select": {"frozen": True}}, False),
        ("service_on clamav", {"action": "service_on", "service": "clamav"}, True),
        ("service_on spamassassin", {"action": "service_on", "service": "clamav"}, False),
        ("service_on clamav", {"action": "service_off", "service": "clamav"}, False),
        ("purge_all", {"action": "purge_all"}, True),
        ("purge_all", {"action": "purge_all", "force": True}, False),
    ],
)
def test_an_approval_is_of_what_the_rule_did_then(
    spec: str, keys: Mapping[str, Any], *, counts: bool
) -> None:
    told = inputs(rule=RuleFacts(approval="approved", approved_action=spec))
    expected = None if counts else Guard.APPROVAL
    assert guard(told, rule_=rule(approval="required", **keys)) is expected


def test_a_request_that_counts_no_more_begins_nothing() -> None:
    told = inputs(withdrawn="The alert was resolved.")
    assert blocked(told) == Block(Guard.CONDITION, "The alert was resolved.")


# --- limits in time -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "until"),
    [
        (None, None),
        (NOW - DAY, None),
        (NOW - HOUR, None),
        (NOW - HOUR + 1, NOW + 1),
        (NOW - 1, NOW + HOUR - 1),
        (NOW, NOW + HOUR),
        # The clock was set back: what lies ahead has only just been.
        (NOW + 1, NOW + HOUR),
        (NOW + 10 * DAY, NOW + HOUR),
    ],
)
def test_the_cooldown(last: float | None, until: float | None) -> None:
    block = blocked(inputs(rule=RuleFacts(last_begun=last)))
    if until is None:
        assert block is None
        return
    assert block is not None
    assert block.guard is Guard.COOLDOWN
    assert block.until == until
    # The journal knows when it was first seen to lie ahead.
    ended = inputs(now=until, rule=RuleFacts(last_begun=min(last or 0.0, NOW)))
    assert blocked(ended) is None, "it tells when it lets the rule act again"


def test_the_cooldown_says_how_long_ago_the_last_action_was() -> None:
    block = blocked(inputs(rule=RuleFacts(last_begun=NOW - 754)))
    assert block is not None
    words = "Its last action here was 12m 34s ago, within the cooldown of 1h."
    assert block.reason == words
    ahead = blocked(inputs(rule=RuleFacts(last_begun=NOW + 754)))
    assert ahead is not None
    assert "was 0s ago" in ahead.reason


@pytest.mark.parametrize(("cooldown", "expected"), [("30m", None), ("31m", Guard.COOLDOWN)])
def test_each_rule_has_its_own_cooldown(cooldown: str, expected: Guard | None) -> None:
    told = inputs(rule=RuleFacts(last_begun=NOW - 1800))
    assert guard(told, rule_=rule(cooldown=cooldown)) is expected


@pytest.mark.parametrize(
    ("begun", "limit", "expected"),
    [
        (0, 1, None),
        (1, 1, Guard.MAX_PER_DAY),
        (3, 4, None),
        (4, 4, Guard.MAX_PER_DAY),
        (5, 4, Guard.MAX_PER_DAY),
    ],
)
def test_so_many_actions_of_a_rule_a_day(begun: int, limit: int, expected: Guard | None) -> None:
    told = inputs(rule=RuleFacts(begun_today=begun))
    assert guard(told, rule_=rule(max_per_day=limit)) is expected


@pytest.mark.parametrize(
    ("begun", "limit", "expected"),
    [(11, 12, None), (12, 12, Guard.ACTIONS_PER_HOUR), (13, 12, Guard.ACTIONS_PER_HOUR)],
)
def test_so_many_actions_of_the_fleet_an_hour(
    begun: int, limit: int, expected: Guard | None
) -> None:
    section = config(limits={"actions_per_hour": limit})
    assert guard(inputs(fleet=FleetFacts(begun_this_hour=begun)), section) is expected


@pytest.mark.parametrize(
    ("running", "limit", "expected"),
    [(0, 1, None), (1, 1, Guard.ACTIONS_AT_ONCE), (1, 2, None), (2, 2, Guard.ACTIONS_AT_ONCE)],
)
def test_so_many_actions_at_once(running: int, limit: int, expected: Guard | None) -> None:
    section = config(limits={"actions_at_once": limit})
    assert guard(inputs(running=running), section) is expected


def test_every_block_is_made_among_the_guards() -> None:
    package = Path(guards.__file__).parents[1]
    made = [file for file in package.rglob("*.py") if re.search(r"\bBlock\(", file.read_text())]
    assert made == [Path(guards.__file__)]
