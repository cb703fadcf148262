"""Conditions on polls, and for how long they have held."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.conditions import HoldTimer, Interval, Measurements, failures_behind, holds, readings
from exporter.config.conditions import FIGURES, FOR_ALERTS_ALONE, parse_condition
from exporter.snapshot import UNTOLD, Certainty, Failure, HostSnapshot, Reason, ServiceState
from tests.builders import NOW, bad, good, queue, snapshot, stats

UP = 'service_up{service="clamav"} == 1'
COLLECTED = 'collector_up{collector="queue"} == 1'
OLDEST = "queue_oldest_message_age_seconds"
EXPIRES = "panel_certificate_expires_in_seconds < 1d"
OF_THE_LIST = (
    "queue_listed_messages",
    "queue_unparsed_messages",
    "queue_frozen_messages",
    "queue_bounce_messages",
    "queue_size_bytes",
    OLDEST,
)


def of_queue(messages: int = 5, **figures: Any) -> HostSnapshot:
    return snapshot(good("queue", queue(messages, stats=stats(**figures))))


def test_why_a_poll_does_not_tell() -> None:
    queue_lost, clamav_lost = (
        bad(name, Failure(reason, "It failed."))
        for name, reason in (("queue", Reason.TIMEOUT), ("clamav", Reason.FORBIDDEN))
    )
    poll = snapshot(queue_lost, clamav_lost, good("spamassassin", True))

    def failures(*conditions: str) -> list[str]:
        return [f.reason for f in failures_behind(poll, map(parse_condition, conditions))]

    assert failures("queue_messages > 5", "queue_frozen_messages > 5") == ["timeout"]
    assert failures(UP) == ["forbidden"]
    assert failures('service_up{service="spamassassin"} == 0') == []
    assert failures("up == 0", EXPIRES) == []


def told(poll: HostSnapshot, name: str) -> float | None:
    return Measurements(poll).told(parse_condition(name if " " in name else f"{name} > 0"))


def verdict(poll: HostSnapshot, *conditions: str) -> bool | None:
    return holds(poll, [parse_condition(text) for text in conditions])


# --- figures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("queue_messages", 7),
        ("queue_listed_messages", 5),
        ("queue_unparsed_messages", 0),
        ("queue_frozen_messages", 1),
        ("queue_bounce_messages", 2),
        ("queue_size_bytes", 5000),
        (OLDEST, 7200),
    ],
)
def test_a_figure_of_the_queue_is_what_the_poll_says(name: str, value: float) -> None:
    assert told(of_queue(7), name) == value


@pytest.mark.parametrize("name", OF_THE_LIST)
def test_a_queue_that_was_only_counted_tells_its_size_alone(name: str) -> None:
    counted = snapshot(good("queue", queue(200_000, stats=None)))
    assert told(counted, name) is None
    assert told(counted, "queue_messages") == 200_000


def test_a_list_without_rows_of_a_queue_that_is_not_empty_tells_nothing_of_its_messages() -> None:
    poll = snapshot(good("queue", queue(5, stats=UNTOLD)))
    names = set(OF_THE_LIST) - {"queue_listed_messages", "queue_unparsed_messages"}
    assert {told(poll, name) for name in names} == {None}


@pytest.mark.parametrize("name", ["queue_messages", *OF_THE_LIST])
@pytest.mark.parametrize(
    "poll",
    [
        snapshot(bad("queue"), good("clamav"), good("spamassassin")),
        snapshot(good("clamav")),
    ],
    ids=["failed", "not enabled"],
)
def test_a_queue_that_was_not_read_tells_nothing(poll: HostSnapshot, name: str) -> None:
    assert told(poll, name) is None


@pytest.mark.parametrize(
    ("text", "poll", "value"),
    [
        ("up == 1", snapshot(), 1),
        ("up == 1", snapshot(good("queue"), bad("clamav")), 0),
        (COLLECTED, snapshot(), 1),
        (COLLECTED, snapshot(bad("queue")), 0),
        (COLLECTED, snapshot(good("clamav")), None),
        (UP, snapshot(), 1),
        (UP, snapshot(good("clamav", value=False)), 0),
        (UP, snapshot(bad("clamav"), good("spamassassin")), None),
        (UP, snapshot(good("spamassassin")), None),
    ],
)
def test_figures_that_are_0_or_1(text: str, poll: HostSnapshot, value: float | None) -> None:
    assert Measurements(poll).told(parse_condition(text)) == value


def test_every_figure_is_read() -> None:
    labels = {"service_up": '{service="clamav"}', "collector_up": '{collector="clamav"}'}
    poll = snapshot(certificate_expiry=NOW + 60)
    for name in FIGURES:
        condition = parse_condition(f"{name}{labels.get(name, '')} == 1")
        beyond = dict.fromkeys(FOR_ALERTS_ALONE, Interval(7, 8))
        assert Measurements(poll, beyond).reading(condition) is not None


def test_a_panel_is_up_when_any_collector_was_good() -> None:
    assert told(snapshot(bad("queue"), good("clamav")), "panel_up == 1") == 1
    assert told(snapshot(bad("queue"), bad("clamav")), "panel_up == 1") == 0


def test_a_certificate_expires_from_now_on() -> None:
    assert told(snapshot(certificate_expiry=NOW + 60), EXPIRES) == 60
    assert told(snapshot(certificate_expiry=NOW - 60), EXPIRES) == -60
    assert told(snapshot(certificate_expiry=None), EXPIRES) is None


@pytest.mark.parametrize(
    ("known", "condition", "expected"),
    [
        (Interval(600, 600), "queue_growth_messages > 500", True),
        (Interval(600, math.inf), "queue_growth_messages > 500", True),
        (Interval(400, 400), "queue_growth_messages > 500", False),
        (Interval(400, math.inf), "queue_growth_messages > 500", None),
        (Interval(50, math.inf), "queue_growth_messages < 100", None),
        (None, "queue_growth_messages > 500", None),
    ],
)
def test_what_no_poll_tells_comes_from_beyond(
    known: Interval | None, condition: str, expected: bool | None
) -> None:
    beyond = {"queue_growth_messages": known}
    assert Measurements(snapshot(), beyond).hold([parse_condition(condition)]) is expected
    assert holds(snapshot(), [parse_condition(condition)]) is None


# --- verdicts -----------------------------------------------------------------------------------

YES, NO, UNTOLD_ = "queue_messages == 5", "queue_messages == 6", 'service_up{service="clamav"} == 1'


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], True),
        ([YES], True),
        ([NO], False),
        ([UNTOLD_], None),
        ([YES, YES], True),
        ([YES, NO], False),
        ([YES, UNTOLD_], None),
        ([UNTOLD_, YES], None),
        ([NO, UNTOLD_], False),
        ([UNTOLD_, NO], False),
    ],
)
def test_all_conditions_must_hold_and_one_that_fails_decides(
    conditions: list[str], expected: bool | None
) -> None:
    assert verdict(snapshot(good("queue")), *conditions) is expected


@pytest.mark.parametrize(
    ("condition", "figures", "expected"),
    [
        # Ten frozen messages, and of three more it is not known: there are 10 to 13.
        ("queue_frozen_messages > 9", {"frozen": 10, "lacking": (("frozen", 3),)}, True),
        ("queue_frozen_messages > 10", {"frozen": 10, "lacking": (("frozen", 3),)}, None),
        ("queue_frozen_messages > 13", {"frozen": 10, "lacking": (("frozen", 3),)}, False),
        ("queue_frozen_messages < 14", {"frozen": 10, "lacking": (("frozen", 3),)}, True),
        ("queue_frozen_messages < 13", {"frozen": 10, "lacking": (("frozen", 3),)}, None),
        ("queue_frozen_messages <= 10", {"frozen": 10, "lacking": (("frozen", 3),)}, None),
        ("queue_frozen_messages < 10", {"frozen": 10, "lacking": (("frozen", 3),)}, False),
        ("queue_frozen_messages == 10", {"frozen": 10, "lacking": (("frozen", 3),)}, None),
        ("queue_frozen_messages != 12", {"frozen": 10, "lacking": (("frozen", 3),)}, None),
        ("queue_frozen_messages != 13", {"frozen": 10, "lacking": (("frozen", 3),)}, None),
        ("queue_frozen_messages != 14", {"frozen": 10, "lacking": (("frozen", 3),)}, True),
        ("queue_frozen_messages != 9", {"frozen": 10, "lacking": (("frozen", 3),)}, True),
        ("queue_frozen_messages < 13", {"frozen": 10, "unparsed": 3}, None),
        ("queue_frozen_messages < 14", {"frozen": 10, "unparsed": 3}, True),
        ("queue_frozen_messages < 11", {"frozen": 10, "lacking": (("size", 3),)}, True),
        ("queue_bounce_messages == 0", {"bounces": 0, "lacking": (("sender", 1),)}, None),
        ("queue_size_bytes < 1GiB", {"size_bytes": 5, "lacking": (("size", 1),)}, None),
        ("queue_size_bytes > 4", {"size_bytes": 5, "lacking": (("size", 1),)}, True),
        (f"{OLDEST} < 300d", {"oldest_age": 5.0, "unparsed": 1}, None),
        (f"{OLDEST} > 1d", {"oldest_age": 5.0, "unparsed": 1}, None),
        (f"{OLDEST} > 1d", {"oldest_age": 5.0}, False),
        (f"{OLDEST} < 300d", {"oldest_age": 5.0}, True),
        ("queue_unparsed_messages < 3", {"unparsed": 2}, True),
        ("queue_listed_messages < 6", {"unparsed": 2}, True),
        ("queue_messages < 6", {"unparsed": 2}, True),
    ],
)
def test_rows_that_did_not_tell_are_doubt_and_not_zero(
    condition: str, figures: dict[str, Any], expected: bool | None
) -> None:
    assert verdict(of_queue(**figures), condition) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("queue_frozen_messages > 10", None),
        ("queue_frozen_messages < 11", None),
        ("queue_frozen_messages >= 10", True),
        ("queue_frozen_messages > 510", False),
        (f"{OLDEST} < 3h", None),
        ("queue_size_bytes > 4", True),
        ("queue_listed_messages == 500", True),
        ("queue_unparsed_messages == 0", True),
        ("queue_messages == 1000", True),
    ],
)
def test_what_a_cut_list_does_not_hold_is_doubt_and_not_zero(
    condition: str, expected: bool | None
) -> None:
    assert verdict(of_queue(1000, listed=500, frozen=10), condition) is expected


def test_a_few_messages_that_left_before_they_were_listed_are_no_doubt() -> None:
    assert verdict(of_queue(1000, listed=900, frozen=10), "queue_frozen_messages < 11") is True


@given(
    frozen=st.integers(0, 20),
    lacking=st.integers(0, 5),
    unparsed=st.integers(0, 5),
    of_these=st.data(),
    sign=st.sampled_from([">", ">=", "<", "<=", "==", "!="]),
    value=st.integers(0, 35),
)
def test_what_holds_for_a_queue_read_in_part_holds_for_all_of_it(
    frozen: int, lacking: int, unparsed: int, of_these: st.DataObject, sign: str, value: int
) -> None:
    text = f"queue_frozen_messages {sign} {value}"
    untold = (("frozen", lacking),) if lacking else ()
    partial = verdict(of_queue(frozen=frozen, unparsed=unparsed, lacking=untold), text)
    really = frozen + of_these.draw(st.integers(0, lacking + unparsed))
    if partial is not None:
        assert verdict(of_queue(frozen=really), text) is partial


def test_readings_say_why() -> None:
    conditions = [parse_condition(t) for t in (f"{OLDEST}>1h", UNTOLD_, "queue_messages > 3")]
    assert readings(snapshot(good("queue")), conditions) == {
        f"{OLDEST} > 1h": 7200,
        UNTOLD_: None,
        "queue_messages > 3": 5,
    }


# --- clocks -------------------------------------------------------------------------------------

Verdicts = Sequence[tuple[float, bool | None]]


def follow(clock: HoldTimer, *polls: tuple[float, bool | None]) -> list[bool]:
    return [clock.follow(NOW + at, verdict=verdict) for at, verdict in polls]


@pytest.mark.parametrize(
    ("polls", "trips", "held"),
    [
        # A minute between two polls; five minutes are needed; after more than two minutes that
        # nobody vouches for, all begins anew.
        ([(0, True)], [False], 0),
        ([(60 * n, True) for n in range(6)], [False] * 5 + [True], 300),
        ([(60 * n, True) for n in range(8)], [False] * 5 + [True] * 3, 420),
        ([(0, True), (120, True), (240, True), (300, True)], [False, False, False, True], 300),
        ([(0, True), (60, True), (120, False)], [False] * 3, 0),
        ([(0, True), (60, False), (120, True), (180, True)], [False] * 4, 60),
        ([(0, True), (60, True), (120, None)], [False] * 3, 60),
        ([(0, True), (60, True), (120, None), (180, True)], [False] * 4, 60),
        ([(0, True), (60, True), (120, None), (180, True), (240, True)], [False] * 5, 120),
        ([(0, True), (60, True), (120, None), (180, False)], [False] * 4, 0),
        ([(0, None), (600, None), (1200, True)], [False] * 3, 0),
        ([(0, True), (121, True)], [False] * 2, 0),
        ([(0, True), (60, True), (100_000, True), (100_060, True)], [False] * 4, 60),
        ([(0, True), (60, True), (120, None), (180, None), (240, True)], [False] * 5, 0),
        ([(0, True), (60, True), (-100_000, True), (-99_940, True)], [False] * 4, 120),
        ([(0, True), (60, True), (-100_000, False)], [False] * 3, 0),
        ([(0, True), (0, True), (0, True)], [False] * 3, 0),
    ],
)
def test_the_clock_counts_only_time_between_polls_at_which_they_held(
    polls: Verdicts, trips: list[bool], held: float
) -> None:
    clock = HoldTimer(needed=300, longest=120)
    assert follow(clock, *polls) == trips
    assert clock.held == held
    assert clock.remaining() == max(0, 300 - held)


def test_without_a_time_the_first_poll_trips() -> None:
    clock = HoldTimer(needed=0, longest=120)
    assert follow(clock, (0, None), (60, True), (120, False), (180, True)) == [
        False,
        True,
        False,
        True,
    ]


def test_a_poll_that_cannot_tell_is_no_trip_but_does_not_undo_one() -> None:
    clock = HoldTimer(needed=60, longest=120)
    assert follow(clock, (0, True), (60, True), (120, None)) == [False, True, False]
    assert clock.tripped
    assert follow(clock, (180, True)) == [True]
    assert follow(clock, (240, False), (300, True)) == [False, False]
    assert not clock.tripped


steps = st.lists(
    st.tuples(
        # Polls on time, missed ones, and a clock that jumps to and fro.
        st.floats(0, 130) | st.floats(-1e6, 1e6),
        st.sampled_from([True, True, True, None, False]),
    ),
    max_size=30,
)


def at_times(moves: Verdicts) -> list[tuple[float, bool | None]]:
    now, polls = NOW, []
    for move, verdict_ in moves:
        now += move
        polls.append((now, verdict_))
    return polls


@given(moves=steps, needed=st.floats(0, 600), longest=st.floats(0, 300))
def test_what_was_held_is_no_more_than_what_was_seen(
    moves: Verdicts, needed: float, longest: float
) -> None:
    """Nor ever more than the gaps, none of them too long, between two polls at which they held."""
    clock, polls = HoldTimer(needed, longest), at_times(moves)
    seen, sure = 0.0, None
    for (before, was), (now, is_) in pairwise([(NOW, None), *polls]):
        if is_ is False or (is_ and sure is not None and now - sure > longest):
            seen = 0.0
        elif was and is_:
            seen += max(0.0, now - before)
        sure = now if is_ else sure if is_ is None else None
        tripped = clock.follow(now, verdict=is_)
        assert clock.held == seen
        assert tripped is (is_ is True and seen >= needed)


@given(moves=steps, needed=st.floats(0, 600))
def test_a_poll_that_cannot_tell_neither_trips_nor_clears(moves: Verdicts, needed: float) -> None:
    """It leaves what was held as it was, so it is never worse than one that found otherwise."""
    doubtful, worse = HoldTimer(needed, longest=120), HoldTimer(needed, longest=120)
    for now, told_ in at_times(moves):
        held, tripped = doubtful.held, doubtful.tripped
        trips = doubtful.follow(now, verdict=told_)
        worse_trips = worse.follow(now, verdict=told_ or False)
        assert worse_trips <= trips
        assert worse.held <= doubtful.held
        if told_ is None:
            assert not trips
            assert (doubtful.held, doubtful.tripped) == (held, tripped)


@given(moves=steps, needed=st.floats(0, 600), longest=st.floats(0, 300))
def test_a_trip_is_fresh(moves: Verdicts, needed: float, longest: float) -> None:
    """The poll that trips says itself that they hold, and one that fails starts from nothing."""
    clock = HoldTimer(needed, longest)
    for now, verdict_ in at_times(moves):
        tripped = clock.follow(now, verdict=verdict_)
        assert not tripped or verdict_ is True
        if verdict_ is False:
            assert clock == HoldTimer(needed, longest)


# --- guesses ------------------------------------------------------------------------------------

MADE_OF = {
    "queue_unparsed_messages": {"id"},
    "queue_frozen_messages": {"id", "frozen"},
    "queue_bounce_messages": {"id", "sender"},
    "queue_size_bytes": {"id", "size"},
    OLDEST: {"id", "age"},
}


@pytest.mark.parametrize("figure", OF_THE_LIST)
@pytest.mark.parametrize("field", ["id", "age", "size", "sender", "recipients", "frozen"])
def test_a_figure_made_of_a_guess_is_unknown_to_what_acts(figure: str, field: str) -> None:
    fields = ("id", "age", "size", "sender", "recipients", "frozen")
    certainty = tuple(
        (name, Certainty.GUESSED if name == field else Certainty.NAMED) for name in fields
    )
    poll = of_queue(certainty=certainty)
    for text in (f"{figure} >= 0", f"{figure} < 0"):
        condition = parse_condition(text)
        known = holds(poll, [condition])
        assert known is (">=" in text), "alerts inform by guesses, too"
        guessed = field in MADE_OF.get(figure, set())
        assert holds(poll, [condition], certain=True) is (None if guessed else known)
        assert Measurements(poll).guessed([condition]) == ((field,) if guessed else ())


def test_what_surely_fails_fails_beside_a_guess() -> None:
    poll = of_queue(messages=5, certainty=(("frozen", Certainty.GUESSED),))
    frozen, empty = (
        parse_condition("queue_frozen_messages > 0"),
        parse_condition("queue_messages < 1"),
    )
    assert holds(poll, [frozen, empty], certain=True) is False
    assert holds(poll, [empty, frozen], certain=True) is False


ABSENT = ServiceState(running=False, installed=False)


@pytest.mark.parametrize("operator", ["== 0", "== 1", "!= 0", "!= 1", "< 1", ">= 0"])
def test_no_condition_holds_on_a_service_that_is_not_installed(operator: str) -> None:
    taken = snapshot(good("queue"), good("clamav", ABSENT), good("spamassassin", value=False))
    conditions = [
        parse_condition(f'service_up{{service="{name}"}} {operator}')
        for name in ("clamav", "spamassassin")
    ]
    assert holds(taken, conditions[:1]) is False
    assert holds(taken, conditions) is False
    assert holds(taken, [parse_condition("queue_messages >= 0")]) is True


def test_no_rule_switches_a_service_that_is_not_installed() -> None:
    taken = snapshot(good("queue"), good("clamav", ABSENT), good("spamassassin"))
    always = [parse_condition("queue_messages >= 0")]
    assert holds(taken, always, "clamav") is False
    assert holds(taken, (), "clamav") is False
    assert holds(taken, always, "spamassassin") is True
    assert holds(taken, always, None) is True
