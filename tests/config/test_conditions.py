"""Conditions of rules: what may be written, what it means, and what a mistake is called.

The messages of mistakes in a config are in tests/config/bad.
"""

from __future__ import annotations

import operator
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from exporter.config.conditions import (
    ALERT_ONLY_METRICS,
    METRIC_UNITS,
    AlertConditions,
    Condition,
    Conditions,
    may_both_hold,
    parse_condition,
)
from exporter.metrics.families import HOST_FAMILIES

CLAMAV = 'service_up{service="clamav"}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("queue_messages > 500", ("queue_messages", ">", 500, "")),
        ("queue_messages >= 0.5", ("queue_messages", ">=", 0.5, "")),
        ("up == 1", ("up", "==", 1, "")),
        ("up != 1.0", ("up", "!=", 1, "")),
        (
            "queue_oldest_message_age_seconds > 90",
            ("queue_oldest_message_age_seconds", ">", 90, ""),
        ),
        (
            "queue_oldest_message_age_seconds <= 1d12h",
            ("queue_oldest_message_age_seconds", "<=", 129600, ""),
        ),
        ("queue_size_bytes < 10", ("queue_size_bytes", "<", 10, "")),
        ("queue_size_bytes < 2 MiB", ("queue_size_bytes", "<", 2 * 2**20, "")),
        (f"{CLAMAV} == 0", ("service_up", "==", 0, "clamav")),
        ('collector_up{collector="queue"} == 0', ("collector_up", "==", 0, "queue")),
    ],
)
def test_a_condition_is_a_metric_a_comparison_and_a_value(
    text: str, expected: tuple[str, str, float, str]
) -> None:
    condition = parse_condition(text)
    assert (condition.metric, condition.operator, condition.value, condition.label) == expected
    assert str(condition) == text


@pytest.mark.parametrize(
    ("written", "even"),
    [
        ("  queue_messages>5  ", "queue_messages > 5"),
        ("queue_messages\t<=\t5", "queue_messages <= 5"),
        ("brainycp_queue_messages > 5", "queue_messages > 5"),
        ('service_up { service = "clamav" }==0', f"{CLAMAV} == 0"),
        ("service_up{service='clamav'} == 0", f"{CLAMAV} == 0"),
        (f"brainycp_{CLAMAV} == 0", f"{CLAMAV} == 0"),
    ],
)
def test_one_condition_reads_the_same_however_it_was_written(written: str, even: str) -> None:
    assert str(parse_condition(written)) == even
    assert parse_condition(written) == parse_condition(even)


@pytest.mark.parametrize(
    ("sign", "below", "equal", "above"),
    [
        (">", False, False, True),
        (">=", False, True, True),
        ("<", True, False, False),
        ("<=", True, True, False),
        ("==", False, True, False),
        ("!=", True, False, True),
    ],
)
def test_each_comparison(sign: str, below: bool, equal: bool, above: bool) -> None:
    condition = parse_condition(f"queue_messages {sign} 5")
    assert [condition.holds(value) for value in (4, 5, 6)] == [below, equal, above]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be a comparison"),
        ("queue_messages", "must be a comparison"),
        ("queue_messages >", "must be a comparison"),
        ("> 5", "must be a comparison"),
        ("queue_messages >=", "must be a comparison"),
        ("queue_messages = 5", "knows no comparison =: write =="),
        ("queue_messages => 5", "knows no comparison =>: write >="),
        ("queue_messages=<5", "knows no comparison =<: write <="),
        ("queue_messages ≥ 5", "knows no comparison ≥: write >="),
        ("queue_messages <> 5", "knows no comparison <>: write !="),
        ("queue_messages >== 5", "knows no comparison >==: write one of >= <= == != > <"),
        ("Queue_Messages > 5", "must be a comparison"),
        ("service_up{service=clamav} == 0", f"must be a comparison, as '{CLAMAV} == 0'"),
        ("service_up{service=\"clamav'} == 0", f"must be a comparison, as '{CLAMAV} == 0'"),
        ("queue_messages{} > 5", "must be a comparison"),
        ("queue_messages > 5 > 6", "one comparison"),
        ("queue_messages >> 5", "knows no comparison >>: write >"),
        ("queue_messages > 5, up == 1", "one comparison"),
        ("queue_messages > 5 AND up", "one comparison"),
        ("queue_mesages > 5", "did you mean queue_messages?"),
        ("brainycp_queue_mesages > 5", "did you mean queue_messages?"),
        ("frozen > 5", "did you mean queue_frozen_messages?"),
        ("brainycp_brainycp_up == 1", "known are up, panel_up, collector_up"),
        ('queue_messages{mta="exim"} > 5', "queue_messages takes no label"),
        ("service_up == 0", f"must say which: {CLAMAV} or"),
        ('service_up{service="queue"} == 0', f"must say which: {CLAMAV} or"),
        ('service_up{service=""} == 0', f"must say which: {CLAMAV} or"),
        ("queue_messages > many", "a plain number"),
        ("queue_messages > 1e3", "a plain number"),
        ("queue_messages > 0x10", "a plain number"),
        ("queue_messages > 1_000", "a plain number"),
        ("queue_messages > 1,000", "a plain number"),
        ("queue_messages > -5", "a plain number"),
        ("queue_messages > ٥", "a plain number"),
        ("queue_messages > 1MiB", "a plain number"),
        ("queue_messages > nan", "a plain number"),
        ("queue_messages > 1" + "0" * 400, "a plain number"),
        ("queue_size_bytes > 1h", "not a size"),
        ("queue_oldest_message_age_seconds > 1MiB", "not a duration"),
        ("up == 2", "0 or 1"),
        ("up == 1s", "0 or 1"),
        (f"{CLAMAV} == 0.5", "0 or 1"),
    ],
)
def test_what_is_no_condition_is_a_mistake(text: str, words: str) -> None:
    with pytest.raises(
        ValueError, match=r"^(must|knows|compares|not|queue_messages takes)"
    ) as caught:
        parse_condition(text)
    assert words in str(caught.value)


def test_every_metric_is_on_the_metrics_page_or_derived() -> None:
    derived = ALERT_ONLY_METRICS | {"panel_up", "panel_certificate_expires_in_seconds"}
    measured = {f"brainycp_{name}" for name in METRIC_UNITS if name not in derived}
    assert measured <= {family.name for family in HOST_FAMILIES}


def test_actions_rest_on_one_poll_and_on_one_service() -> None:
    adapter = TypeAdapter[Any](Conditions)
    for text, words in (
        ("queue_growth_messages > 5", "is for alerting rules alone"),
        ("remediation_failed == 1", "is for alerting rules alone"),
        ('service_up{service="*"} == 0', f"must say which: {CLAMAV} or"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            adapter.validate_python([text])
        assert TypeAdapter[Any](AlertConditions).validate_python([text])[0] == parse_condition(text)


OPERATORS = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


@given(
    metric=st.sampled_from(["queue_messages", "queue_size_bytes"]),
    sign=st.sampled_from(sorted(OPERATORS)),
    value=st.integers(0, 10**14),
    measured=st.integers(0, 10**14),
    blanks=st.lists(st.sampled_from(["", " ", "\t  "]), min_size=4, max_size=4),
)
def test_a_condition_compares_as_python_does_and_is_read_back_from_its_text(
    metric: str, sign: str, value: int, measured: int, blanks: list[str]
) -> None:
    parts = [blanks[0], metric, blanks[1], sign, blanks[2], str(value), blanks[3]]
    condition = parse_condition("".join(parts))
    assert condition == Condition(metric, sign, value, "", f"{metric} {sign} {value}")
    assert parse_condition(str(condition)) == condition
    assert condition.holds(measured) is OPERATORS[sign](measured, value)


@given(st.text() | st.from_regex(r"[a-z_]{0,9}(\{[a-z]*=\"[a-z]*\"\})? ?[<>=!]{1,2} ?\S{0,9}"))
def test_any_text_is_a_condition_or_a_mistake_in_words(text: str) -> None:
    try:
        condition = parse_condition(text)
    except ValueError as error:
        assert str(error)[0].islower()  # noqa: PT017 - either way something is asserted
    else:
        assert condition.metric in METRIC_UNITS


# --- whether conditions can all hold at once -------------------------------------------------

F, B, AGE = "queue_frozen_messages", "queue_bounce_messages", "queue_oldest_message_age_seconds"


@pytest.mark.parametrize(
    ("when", "clear", "overlap"),
    [
        ([f"{F} > 200"], [f"{F} < 100"], False),
        ([f"{F} > 200"], [f"{F} <= 200"], False),
        ([f"{F} > 200"], [f"{F} < 201"], False),  # no number of messages is in between
        ([f"{F} > 200"], [f"{F} < 202"], True),
        ([f"{F} >= 200"], [f"{F} <= 200"], True),
        ([f"{F} < 5.5"], [f"{F} >= 5.5"], False),
        ([f"{F} > 5.2"], [f"{F} < 5.9"], False),
        ([f"{F} > 4.9"], [f"{F} < 5.1"], True),
        ([f"{F} != 0"], [f"{F} == 0"], False),
        ([f"{F} == 0"], [f"{F} >= 0"], True),
        ([f"{F} > 0"], [f"{F} < 1"], False),
        ([f"{AGE} > 1d"], [f"{AGE} < 1d"], False),
        ([f"{AGE} > 1d"], [f"{AGE} < 90001"], True),
        ([f"{AGE} > 1d", f"{AGE} < 2d"], [f"{AGE} > 2d"], False),
        ([f"{F} > 200", f"{B} > 5"], [f"{F} < 300"], True),
        ([f"{F} > 200", f"{B} > 5"], [f"{F} < 300", f"{B} < 5"], False),
        ([f"{F} > 200"], [f"{B} < 300"], False),  # nobody knows
        ([f"{F} > 200"], [f"{F} < 300", f"{B} < 5"], False),
        (['service_up{service="*"} == 0'], ['service_up{service="*"} == 1'], False),
        (['service_up{service="*"} == 0'], ['service_up{service="*"} != 1'], True),
        ([f"{F} > 200"], [], False),
        ([], [f"{F} > 200"], False),
    ],
)
def test_overlaps(when: list[str], clear: list[str], overlap: bool) -> None:
    assert may_both_hold([*map(parse_condition, when)], [*map(parse_condition, clear)]) is overlap
