from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.alertmanager.sanitize import one_line
from exporter.alertmanager.silences import (
    Matcher,
    Silence,
    SilenceStatus,
    UnclearSilenceError,
    matching,
)
from tests.alerting.values import alert
from tests.fixtures.alertmanager import NewAlertmanager


def silence(*matchers: Matcher, name: str = "s", state: str = "active") -> Silence:
    return Silence(name, SilenceStatus(state), matchers, "ann", "moving")  # type: ignore[arg-type]


def regex(value: str, *, equal: bool = True) -> Matcher:
    return Matcher("host", value, is_regex=True, is_equal=equal)


def judged(pattern: str, value: str) -> bool | None:
    """Whether a silence with this expression matches; None when that is unclear."""
    try:
        return matching([silence(regex(pattern))], {"host": value}) is not None
    except UnclearSilenceError:
        return None


PATTERNS = [
    "mx1", "mx[0-9]+", "mx1|mx2", "(mx1|mx2)", "mx.*", ".*", ".+", "", "mx1.", "^mx1$", "mx1$",
    r"mx\d", r"mx\d+\.example\.com", r"\w+", r"[^x]+", r"\bmx1\b", r".*\s.*", "(?i)MX1", "(?i:MX)1",
    "(?s).*", "(?m)^mx1$", "a{1,2}", "a{2}", "a{2,}", "a{,2}", "a{,2", "{", "[[:alpha:]]+\\d",
    r"\pL+\d", r"\x6dx1", r"\155x1", r"\Qmx1\E", r"mx1\z", r"\Amx1", "mx(?P<n>1)", "[a-z]+1",
    "[]a]+",
    r"mx1\-", r"[\d]+", r"\D+", r"\S+", r"\W+", "mx1??", "m.*?1", "(?:mx)1", "(mx)+1", "(a|a)*",
    "é+", "(?i)É+", "(?i)k+", r"[\w.]+", "mx1|", "|mx1", "(|a)a", ".{3}", ".{4,9}", r"\d*",
]  # fmt: skip
VALUES = [
    "mx1", "mx2", "mx12", "MX1", "mx1.example.com", "a", "aa", "aaa", "{", "a{,2}", "a{,2", "mx1-",
    "]", "mx1\n", "a b", "é", "É", "\u212a", "mx\u0661", "почта", "a\u00a0b", "alpha1",
]  # fmt: skip


async def test_an_expression_is_judged_as_alertmanager_does(alertmanager: NewAlertmanager) -> None:
    """Or not at all."""
    from exporter.alertmanager.client import AlertmanagerClient
    from tests.alerting.values import alertmanager_config

    am = await alertmanager()
    client = AlertmanagerClient(alertmanager_config(am.url))
    await client.send([alert(value) for value in VALUES], ends_at=time.time() + 300)
    await client.close()
    assert {one["labels"]["host"] for one in await am.alerts()} == set(VALUES)
    judgements = {True: 0, False: 0, None: 0}
    for pattern in PATTERNS:
        theirs = await am.matched("host", pattern)
        if theirs is None:
            continue  # Alertmanager has no silence with such an expression
        for value in VALUES:
            judgement = judged(pattern, value)
            judgements[judgement] += 1
            assert judgement in {None, value in theirs}, (pattern, value)
    assert judgements[True] > 100
    assert judgements[False] > 300
    assert 50 < judgements[None] < 400


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("mx[0-9]+", "mx12"),
        ("(mx1|mx2|mx3|mx4).*", "mx3.example.com"),
        ("|".join(f"mx{i}.example.com" for i in range(300)), "mx299.example.com"),
        (r".*\.(dc1|dc2)\.example\.(com|net)", "mx1.dc2.example.net"),
        (".*mx.*", "a-mx-b" * 20),
    ],
)
def test_what_people_write_is_judged(pattern: str, value: str) -> None:
    assert judged(pattern, value) is True


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+b", "(a*)*b", "(a|a)*b", "(a|aa)+b", "(.*a){20}b", ".*" * 20 + "b",
        "a?" * 40 + "a{40}",
        "(a|a)" * 40 + "b", "(a+|b)*c", "((a)|(a)|(a))" * 30, "(a|b|ab)*c", "[a-z]+" * 12,
        "(" * 5000 + ")" * 5000, "x" * 20_000,
    ],
)  # fmt: skip
def test_no_expression_holds_the_daemon_up(pattern: str) -> None:
    began = time.process_time()
    assert judged(pattern, "a" * 60) is None
    assert time.process_time() - began < 1


def test_a_sure_match_counts_beside_many_that_are_too_intricate() -> None:
    many = [silence(regex(f".*.*.*.*.*.*x{number}")) for number in range(2000)]
    labels = {"host": "mx1.example.com-long"}
    with pytest.raises(UnclearSilenceError, match="too intricate"):
        matching(many, labels)
    sure = silence(Matcher("host", labels["host"], is_regex=False), name="sure")
    found = matching([*many, sure], labels)
    assert found is not None
    assert found.id == "sure"


def test_thousands_of_expressions_that_people_write_are_judged() -> None:
    others = [silence(regex(f"(mx|mail)-{number}.*|web{number}")) for number in range(3000)]
    assert matching(others, {"host": "mx1.example.com"}) is None
    # Of those that are of something else by a plain value there may be any number.
    apart = Matcher("alertname", "Other", is_regex=False)
    others = [silence(regex(f".*.*.*x{number}"), apart) for number in range(5000)]
    assert matching(others, {"host": "mx1.example.com"}) is None


PIECES = st.sampled_from(
    [".*", ".+", "a", "a?", "[ab]+", "(a|b)", "(a|a|a)", "|", "a{1,9}", "(a*)?"]
)


@given(st.lists(PIECES, max_size=14), st.sampled_from(["a" * 20, "ab" * 30, "a" * 120]))
def test_whatever_is_tried_ends_soon(pieces: list[str], value: str) -> None:
    began = time.process_time()
    judged("".join(pieces) + "c", value)
    assert time.process_time() - began < 3


def test_only_active_ones_count() -> None:
    labels = {"host": "mx1"}
    plain = Matcher("host", "mx1", is_regex=False)
    for state in ("pending", "expired"):
        assert (
            matching([silence(plain, state=state), silence(regex("["), state=state)], labels)
            is None
        )
    assert matching([silence(plain)], labels) is not None


def test_one_that_surely_matches_counts_before_one_that_is_unclear() -> None:
    labels = {"host": "mx1", "dc": "msk1"}
    unclear = silence(regex("["), name="unclear")
    sure = silence(Matcher("dc", "msk1", is_regex=False), name="sure")
    found = matching([unclear, sure], labels)
    assert found is not None
    assert found.id == "sure"
    with pytest.raises(UnclearSilenceError, match="silence unclear by ann: moving has a regular"):
        matching([unclear], labels)
    # A negated one that is unclear is no less so.
    with pytest.raises(UnclearSilenceError):
        matching([silence(regex("[", equal=False))], labels)
    # What another matcher rules out needs no regular expression.
    apart = silence(regex("["), Matcher("dc", "spb1", is_regex=False))
    assert matching([apart], labels) is None


def test_a_silence_is_one_line_of_text() -> None:
    odd = Silence("i\n" * 99, SilenceStatus("active"), (), "a\x1b[2J" * 99, "\u202e" + "c " * 999)
    text = str(odd)
    assert text.isprintable()
    assert len(text) < 230


@given(st.text(), st.integers(1, 50))
def test_one_line_is_one(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert line.replace("\u3000", " ").isprintable()
    assert line == line.strip()
