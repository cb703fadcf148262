"""Evaluation of conditions on polls, and how long they have held."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.conditions import Interval, Measurements, failures_behind, readings
from exporter.config.conditions import ALERT_ONLY_METRICS, METRIC_UNITS, parse_condition
from exporter.hold_timer import HoldTimer
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


def of_queue(messages: int = 5, **fields: Any) -> HostSnapshot:
    return snapshot(good("queue", queue(messages, stats=stats(**fields))))


def test_why_a_poll_lacks_values() -> None:
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


def reported(poll: HostSnapshot, name: str) -> float | None:
    return Measurements(poll).reported(parse_condition(name if " " in name else f"{name} > 0"))


def evaluate(poll: HostSnapshot, *conditions: str) -> bool | None:
    return Measurements(poll).hold([parse_condition(text) for text in conditions])


# --- metrics ------------------------------------------------------------------------------------


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
def test_a_metric_of_the_queue_is_what_the_poll_reports(name: str, value: float) -> None:
    assert reported(of_queue(7), name) == value


@pytest.mark.parametrize("name", OF_THE_LIST)
def test_a_queue_that_was_only_counted_has_a_size_alone(name: str) -> None:
    counted = snapshot(good("queue", queue(200_000, stats=None)))
    assert reported(counted, name) is None
    assert reported(counted, "queue_messages") == 200_000


def test_a_list_without_rows_of_a_queue_that_is_not_empty_reports_no_messages() -> None:
    poll = snapshot(good("queue", queue(5, stats=UNTOLD)))
    names = set(OF_THE_LIST) - {"queue_listed_messages", "queue_unparsed_messages"}
    assert {reported(poll, name) for name in names} == {None}


@pytest.mark.parametrize("name", ["queue_messages", *OF_THE_LIST])
@pytest.mark.parametrize(
    "poll",
    [
        snapshot(bad("queue"), good("clamav"), good("spamassassin")),
        snapshot(good("clamav")),
    ],
    ids=["failed", "not enabled"],
)
def test_a_queue_that_was_not_read_reports_nothing(poll: HostSnapshot, name: str) -> None:
    assert reported(poll, name) is None


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
def test_metrics_that_are_0_or_1(text: str, poll: HostSnapshot, value: float | None) -> None:
    assert Measurements(poll).reported(parse_condition(text)) == value


def test_every_metric_is_measured() -> None:
    labels = {"service_up": '{service="clamav"}', "collector_up": '{collector="clamav"}'}
    poll = snapshot(certificate_expiry=NOW + 60)
    for name in METRIC_UNITS:
        condition = parse_condition(f"{name}{labels.get(name, '')} == 1")
        alert_only = dict.fromkeys(ALERT_ONLY_METRICS, Interval(7, 8))
        assert Measurements(poll, alert_only).interval(condition) is not None


def test_a_panel_is_up_when_any_collector_was_good() -> None:
    assert reported(snapshot(bad("queue"), good("clamav")), "panel_up == 1") == 1
    assert reported(snapshot(bad("queue"), bad("clamav")), "panel_up == 1") == 0


def test_a_certificate_expires_from_now_on() -> None:
    assert reported(snapshot(certificate_expiry=NOW + 60), EXPIRES) == 60
    assert reported(snapshot(certificate_expiry=NOW - 60), EXPIRES) == -60
    assert reported(snapshot(certificate_expiry=None), EXPIRES) is None


@pytest.mark.parametrize(
    ("interval", "condition", "expected"),
    [
        (Interval(600, 600), "queue_growth_messages > 500", True),
        (Interval(600, math.inf), "queue_growth_messages > 500", True),
        (Interval(400, 400), "queue_growth_messages > 500", False),
        (Interval(400, math.inf), "queue_growth_messages > 500", None),
        (Interval(50, math.inf), "queue_growth_messages < 100", None),
        (None, "queue_growth_messages > 500", None),
    ],
)
def test_metrics_for_alerts_alone_are_given_beside_the_poll(
    interval: Interval | None, condition: str, expected: bool | None
) -> None:
    alert_only = {"queue_growth_messages": interval}
    assert Measurements(snapshot(), alert_only).hold([parse_condition(condition)]) is expected
    assert Measurements(snapshot()).hold([parse_condition(condition)]) is None


# --- evaluation -----------------------------------------------------------------------------------

YES, NO, UNKNOWN = (
    "queue_messages == 5",
    "queue_messages == 6",
    'service_up{service="clamav"} == 1',
)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], True),
        ([YES], True),
        ([NO], False),
        ([UNKNOWN], None),
        ([YES, YES], True),
        ([YES, NO], False),
        ([YES, UNKNOWN], None),
        ([UNKNOWN, YES], None),
        ([NO, UNKNOWN], False),
        ([UNKNOWN, NO], False),
    ],
)
def test_all_conditions_must_hold_and_one_that_fails_decides(
    conditions: list[str], expected: bool | None
) -> None:
    assert evaluate(snapshot(good("queue")), *conditions) is expected


@pytest.mark.parametrize(
    ("condition", "fields", "expected"),
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
def test_rows_without_a_field_are_unknown_and_not_zero(
    condition: str, fields: dict[str, Any], expected: bool | None
) -> None:
    assert evaluate(of_queue(**fields), condition) is expected


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
def test_what_a_cut_list_lacks_is_unknown_and_not_zero(
    condition: str, expected: bool | None
) -> None:
    assert evaluate(of_queue(1000, listed=500, frozen=10), condition) is expected


def test_a_few_messages_that_left_before_they_were_listed_are_no_doubt() -> None:
    assert evaluate(of_queue(1000, listed=900, frozen=10), "queue_frozen_messages < 11") is True


@given(
    frozen=st.integers(0, 20),
    lacking=st.integers(0, 5),
    unparsed=st.integers(0, 5),
    of_these=st.data(),
    sign=st.sampled_from([">", ">=", "<", "<=", "==", "!="]),
    value=st.integers(0, 35),
)
def test_what_held_nowfor_a_queue_read_in_part_held_nowfor_all_of_it(
    frozen: int, lacking: int, unparsed: int, of_these: st.DataObject, sign: str, value: int
) -> None:
    text = f"queue_frozen_messages {sign} {value}"
    lacked = (("frozen", lacking),) if lacking else ()
    partial = evaluate(of_queue(frozen=frozen, unparsed=unparsed, lacking=lacked), text)
    really = frozen + of_these.draw(st.integers(0, lacking + unparsed))
    if partial is not None:
        assert evaluate(of_queue(frozen=really), text) is partial


def test_readings_say_why() -> None:
    conditions = [parse_condition(t) for t in (f"{OLDEST}>1h", UNKNOWN, "queue_messages > 3")]
    assert readings(snapshot(good("queue")), conditions) == {
        f"{OLDEST} > 1h": 7200,
        UNKNOWN: None,
        "queue_messages > 3": 5,
    }


# --- hold timer ----------------------------------------------------------------------------------

Polls = Sequence[tuple[float, bool | None]]


def advance(timer: HoldTimer, *polls: tuple[float, bool | None]) -> list[bool]:
    return [timer.advance(NOW + at, holds=held) for at, held in polls]


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
def test_the_timer_counts_only_time_between_polls_at_which_they_held(
    polls: Polls, trips: list[bool], held: float
) -> None:
    timer = HoldTimer(hold_duration=300, max_gap=120)
    assert advance(timer, *polls) == trips
    assert timer.held == held
    assert timer.remaining() == max(0, 300 - held)


def test_without_a_time_the_first_poll_trips() -> None:
    timer = HoldTimer(hold_duration=0, max_gap=120)
    assert advance(timer, (0, None), (60, True), (120, False), (180, True)) == [
        False,
        True,
        False,
        True,
    ]


def test_an_undecided_poll_is_no_trip_but_does_not_undo_one() -> None:
    timer = HoldTimer(hold_duration=60, max_gap=120)
    assert advance(timer, (0, True), (60, True), (120, None)) == [False, True, False]
    assert timer.tripped
    assert advance(timer, (180, True)) == [True]
    assert advance(timer, (240, False), (300, True)) == [False, False]
    assert not timer.tripped


steps = st.lists(
    st.tuples(
        # Polls on time, missed ones, and a clock that jumps to and fro.
        st.floats(0, 130) | st.floats(-1e6, 1e6),
        st.sampled_from([True, True, True, None, False]),
    ),
    max_size=30,
)


def at_times(moves: Polls) -> list[tuple[float, bool | None]]:
    now, polls = NOW, []
    for move, held_now in moves:
        now += move
        polls.append((now, held_now))
    return polls


@given(moves=steps, hold_duration=st.floats(0, 600), max_gap=st.floats(0, 300))
def test_what_was_held_is_no_more_than_what_was_seen(
    moves: Polls, hold_duration: float, max_gap: float
) -> None:
    """Nor ever more than the gaps, none of them too long, between two polls at which they held."""
    timer, polls = HoldTimer(hold_duration, max_gap), at_times(moves)
    seen, sure = 0.0, None
    for (before, was), (now, is_) in pairwise([(NOW, None), *polls]):
        if is_ is False or (is_ and sure is not None and now - sure > max_gap):
            seen = 0.0
        elif was and is_:
            seen += max(0.0, now - before)
        sure = now if is_ else sure if is_ is None else None
        tripped = timer.advance(now, holds=is_)
        assert timer.held == seen
        assert tripped is (is_ is True and seen >= hold_duration)


@given(moves=steps, hold_duration=st.floats(0, 600))
def test_an_undecided_poll_neither_trips_nor_clears(moves: Polls, hold_duration: float) -> None:
    """It leaves what was held as it was, so it is never worse than one that found otherwise."""
    doubtful, worse = HoldTimer(hold_duration, max_gap=120), HoldTimer(hold_duration, max_gap=120)
    for now, held_now in at_times(moves):
        held, tripped = doubtful.held, doubtful.tripped
        trips = doubtful.advance(now, holds=held_now)
        worse_trips = worse.advance(now, holds=held_now or False)
        assert worse_trips <= trips
        assert worse.held <= doubtful.held
        if held_now is None:
            assert not trips
            assert (doubtful.held, doubtful.tripped) == (held, tripped)


@given(moves=steps, hold_duration=st.floats(0, 600), max_gap=st.floats(0, 300))
def test_a_trip_is_fresh(moves: Polls, hold_duration: float, max_gap: float) -> None:
    """The poll that trips says itself that they hold, and one that fails starts from nothing."""
    timer = HoldTimer(hold_duration, max_gap)
    for now, held_now in at_times(moves):
        tripped = timer.advance(now, holds=held_now)
        assert not tripped or held_now is True
        if held_now is False:
            assert timer == HoldTimer(hold_duration, max_gap)


# --- guesses ------------------------------------------------------------------------------------

MADE_FROM = {
    "queue_unparsed_messages": {"id"},
    "queue_frozen_messages": {"id", "frozen"},
    "queue_bounce_messages": {"id", "sender"},
    "queue_size_bytes": {"id", "size"},
    OLDEST: {"id", "age"},
}


@pytest.mark.parametrize("metric", OF_THE_LIST)
@pytest.mark.parametrize("field", ["id", "age", "size", "sender", "recipients", "frozen"])
def test_a_metric_made_from_a_guess_is_unknown_to_what_acts(metric: str, field: str) -> None:
    fields = ("id", "age", "size", "sender", "recipients", "frozen")
    certainty = tuple(
        (name, Certainty.GUESSED if name == field else Certainty.NAMED) for name in fields
    )
    poll = of_queue(certainty=certainty)
    for text in (f"{metric} >= 0", f"{metric} < 0"):
        condition = parse_condition(text)
        known = Measurements(poll).hold([condition])
        assert known is (">=" in text), "alerts inform by guesses, too"
        guessed = field in MADE_FROM.get(metric, set())
        assert Measurements(poll).hold([condition], certain=True) is (None if guessed else known)
        assert Measurements(poll).guessed([condition]) == ((field,) if guessed else ())


def test_what_surely_fails_fails_beside_a_guess() -> None:
    poll = of_queue(messages=5, certainty=(("frozen", Certainty.GUESSED),))
    frozen, empty = (
        parse_condition("queue_frozen_messages > 0"),
        parse_condition("queue_messages < 1"),
    )
    assert Measurements(poll).hold([frozen, empty], certain=True) is False
    assert Measurements(poll).hold([empty, frozen], certain=True) is False


ABSENT = ServiceState(running=False, installed=False)


@pytest.mark.parametrize("operator", ["== 0", "== 1", "!= 0", "!= 1", "< 1", ">= 0"])
def test_no_condition_held_nowon_a_service_that_is_not_installed(operator: str) -> None:
    taken = snapshot(good("queue"), good("clamav", ABSENT), good("spamassassin", value=False))
    conditions = [
        parse_condition(f'service_up{{service="{name}"}} {operator}')
        for name in ("clamav", "spamassassin")
    ]
    assert Measurements(taken).hold(conditions[:1]) is False
    assert Measurements(taken).hold(conditions) is False
    assert Measurements(taken).hold([parse_condition("queue_messages >= 0")]) is True


def test_no_rule_switches_a_service_that_is_not_installed() -> None:
    taken = snapshot(good("queue"), good("clamav", ABSENT), good("spamassassin"))
    always = [parse_condition("queue_messages >= 0")]
    assert Measurements(taken).hold(always, "clamav") is False
    assert Measurements(taken).hold((), "clamav") is False
    assert Measurements(taken).hold(always, "spamassassin") is True
    assert Measurements(taken).hold(always, None) is True
