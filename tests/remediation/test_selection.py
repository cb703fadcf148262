"""Which messages a selector means, and that doubt never selects one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from exporter.config.selectors import Selector
from exporter.panel.decode.values import read_size
from exporter.remediation.selection import describe, fields_of, select, sift
from exporter.snapshot import Message
from exporter.standin.console import exim_size
from tests.builders import message

HOUR, DAY = 3600.0, 86400.0

QUEUE = (
    message("new", age=60.0),
    message("old", age=3 * DAY),
    message("frozen", age=2 * DAY, frozen=True),
    message("bounce", age=2 * DAY, frozen=True, sender="", size=900),
    message("large", age=HOUR, size=5 * 2**20),
    message("many", age=2 * HOUR, recipients=("bob@example.net", "cid@example.org")),
    message("partly", age=3 * HOUR, recipients=("bob@example.net",), delivered=("cid@a.example",)),
    message("other", age=4 * HOUR, sender="News@Lists.Example.ORG"),
    Message("blank"),
)
ALL = [m.id for m in QUEUE]


def chosen(**criteria: Any) -> set[str]:
    return {m.id for m in select(QUEUE, Selector.model_validate(criteria))}


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"frozen": True}, "frozen bounce"),
        ({"frozen": False}, "new old large many partly other"),
        ({"bounce": True}, "bounce"),
        ({"bounce": False}, "new old frozen large many partly other"),
        ({"older_than": "2d"}, "old"),
        ({"older_than": "47h"}, "old frozen bounce"),
        ({"younger_than": "1h"}, "new"),
        ({"younger_than": "61m", "older_than": "1m"}, "large"),
        ({"larger_than": "5MiB"}, ""),
        ({"larger_than": "4MiB"}, "large"),
        ({"larger_than": "899B", "frozen": True}, "frozen bounce"),
        ({"sender": "news@lists.example.org"}, "other"),
        ({"sender": "NEWS@*"}, "other"),
        ({"sender": "*@example.com"}, "new old frozen large many partly"),
        ({"sender": "example.com"}, ""),
        ({"sender": "ann@example.co?"}, "new old frozen large many partly"),
        ({"sender": "*", "frozen": True}, "frozen"),
        ({"recipient": "*@example.net"}, "new old frozen bounce large partly other"),
        ({"recipient": "*@EXAMPLE.*"}, "new old frozen bounce large many partly other"),
        ({"recipient": "cid@*"}, ""),
        ({"frozen": True, "bounce": True, "older_than": "1d"}, "bounce"),
        ({"frozen": True, "bounce": True, "older_than": "3d"}, ""),
        ({"everything": True}, " ".join(ALL)),
    ],
)
def test_a_message_is_meant_when_every_criterion_holds(
    criteria: dict[str, Any], expected: str
) -> None:
    assert chosen(**criteria) == set(expected.split())


@pytest.mark.parametrize(
    ("criterion", "untold"),
    [
        ({"frozen": True}, {"frozen": None}),
        ({"frozen": False}, {"frozen": None}),
        ({"bounce": True}, {"sender": None}),
        ({"bounce": False}, {"sender": None}),
        ({"older_than": "1s"}, {"age": None}),
        ({"younger_than": "364d"}, {"age": None}),
        ({"larger_than": "1B"}, {"size": None}),
        ({"sender": "?*@*m"}, {"sender": None}),
        ({"sender": "?*@*m"}, {"sender": ""}),
        ({"recipient": "*t"}, {"recipients": None}),
        ({"recipient": "*t"}, {"recipients": ()}),
    ],
)
def test_what_the_panel_did_not_tell_never_speaks_for_acting(
    criterion: dict[str, Any], untold: dict[str, Any]
) -> None:
    selector = Selector.model_validate(criterion)
    sender = "" if criterion.get("bounce") else "ann@example.com"
    told = message(sender=sender, frozen=criterion.get("frozen", False))
    assert select([told], selector) == [told], "or the test would prove nothing"
    assert select([replace(told, **untold)], selector) == []


@pytest.mark.parametrize(
    ("told", "criteria", "meant"),
    [
        # As `exim -bp` rounds: 91 minutes are shown as 2h, 83 hours and a half as 4d.
        (2 * HOUR, {"older_than": "90m"}, False),
        (2 * HOUR, {"older_than": "89m"}, True),
        (2 * HOUR, {"younger_than": "149m"}, False),
        (2 * HOUR, {"younger_than": "150m"}, True),
        # 72h or 3d, which are shown alike: from 71 hours and a half on.
        (3 * DAY, {"older_than": "71h30m"}, False),
        (3 * DAY, {"older_than": "71h29m"}, True),
        (3 * DAY, {"younger_than": "83h"}, False),
        (4 * DAY, {"older_than": "83h30m"}, False),
        (4 * DAY, {"older_than": "3d"}, True),
        (4 * DAY, {"younger_than": "107h"}, False),
        (4 * DAY, {"younger_than": "107h30m"}, True),
        # Minutes are cut off.
        (HOUR, {"older_than": "59m"}, True),
        (HOUR, {"younger_than": "3601s"}, False),
        (HOUR, {"younger_than": "61m"}, True),
        # An age to the second is what it is.
        (2 * HOUR + 1, {"older_than": "2h"}, True),
        (2 * HOUR + 1, {"younger_than": "7202s"}, True),
    ],
)
def test_what_the_console_rounded_never_speaks_for_acting(
    told: float, criteria: dict[str, str], *, meant: bool
) -> None:
    selector = Selector.model_validate(criteria)
    assert bool(select([message("m", age=told)], selector)) is meant


def test_a_recipient_that_does_not_match_keeps_the_whole_message_out() -> None:
    mixed = message(recipients=("a@example.net", "b@example.com"))
    assert select([mixed], Selector(recipient="*@example.net")) == []
    already = message(recipients=("a@example.net",), delivered=("b@example.com",))
    assert select([already], Selector(recipient="*@example.net")) == [already]


def test_an_address_is_no_pattern_beyond_its_line_or_its_dots() -> None:
    odd = message(sender="annXexample.com")
    assert select([odd], Selector(sender="ann.example.com")) == []
    assert select([message(sender="a@b.c\nx")], Selector(sender="a@b.c")) == []
    assert select([message(sender="a.*@b.c")], Selector(sender="a.*@b.c")) != []


def test_the_oldest_come_first_and_those_of_unknown_age_last() -> None:
    order = [m.id for m in select(QUEUE, Selector(everything=True))]
    assert order == [
        "old",
        "bounce",
        "frozen",
        "other",
        "partly",
        "many",
        "large",
        "new",
        "blank",
    ]


def test_a_limit_takes_the_oldest() -> None:
    selector = Selector(everything=True, limit=2)
    assert [m.id for m in select(QUEUE, selector)] == ["old", "bounce"]
    assert [m.id for m in select(reversed(QUEUE), selector)] == ["old", "bounce"]
    assert len(select(QUEUE, Selector(everything=True, limit=1000))) == len(QUEUE)
    assert select([], selector) == []


@pytest.mark.parametrize(
    ("criteria", "words"),
    [
        ({"frozen": True, "bounce": True, "older_than": "1d"}, "frozen, bounce, older than 1d"),
        ({"frozen": False, "bounce": False}, "not frozen, not bounce"),
        (
            {"younger_than": "90m", "larger_than": "1MiB"},
            "younger than 1h 30m, larger than 1.0 MiB",
        ),
        ({"sender": "a@*", "recipient": "*@b.c"}, "sender a@*, recipient *@b.c"),
        ({"everything": True}, "everything"),
        ({"frozen": True, "limit": 50}, "frozen, the 50 oldest"),
    ],
)
def test_a_selector_in_words(criteria: dict[str, Any], words: str) -> None:
    assert describe(Selector.model_validate(criteria)) == words


@pytest.mark.parametrize(
    "criteria",
    [
        {},
        {"limit": 5},
        {"everything": False},
        {"sender": "*"},
        {"sender": "**", "recipient": "*@*"},
        {"recipient": "?*@*.*"},
        {"everything": True, "frozen": True},
        {"everything": True, "sender": "*"},
        {"older_than": "1h", "younger_than": "1h"},
        {"sender": " "},
        {"sender": "<>"},
    ],
)
def test_a_selector_that_means_everything_by_accident_or_nothing_is_refused(
    criteria: dict[str, Any],
) -> None:
    with pytest.raises(ValidationError):
        Selector.model_validate(criteria)


# --- properties ---------------------------------------------------------------------------------

ADDRESSES = st.sampled_from(["ann@example.com", "BOB@Example.net", "cid@a.example.org"])
PATTERNS = st.sampled_from(["*@example.com", "ann@*", "*@*.org", "bob@example.ne?", "nobody@*"])
SECONDS = st.integers(1, 10 * 86400)

messages = st.builds(
    Message,
    id=st.uuids().map(str),
    age=st.none() | st.floats(0, 12 * DAY),
    size=st.none() | st.integers(0, 10**8),
    sender=st.none() | st.just("") | ADDRESSES,
    recipients=st.none() | st.lists(ADDRESSES, max_size=3).map(tuple),
    delivered=st.lists(ADDRESSES, max_size=2).map(tuple),
    frozen=st.none() | st.booleans(),
)


def selector(criteria: dict[str, Any]) -> Selector | None:
    try:
        return Selector.model_validate(criteria or {"everything": True})
    except ValidationError:
        return None


selectors = (
    st.fixed_dictionaries(
        {},
        optional={
            "frozen": st.booleans(),
            "bounce": st.booleans(),
            "older_than": SECONDS.map("{}s".format),
            "younger_than": SECONDS.map("{}s".format),
            "sender": PATTERNS,
            "recipient": PATTERNS,
            "larger_than": st.integers(1, 10**8).map("{}B".format),
        },
    )
    .map(selector)
    .filter(bool)
)
queues = st.lists(messages, max_size=12)

READ = {
    "frozen": "frozen",
    "bounce": "sender",
    "older_than": "age",
    "younger_than": "age",
    "sender": "sender",
    "recipient": "recipients",
    "larger_than": "size",
}
"""The value of a message that each criterion goes by."""


@given(queue=queues, selector=selectors)
def test_no_message_is_selected_for_which_a_criterion_is_unknown(
    queue: list[Message], selector: Selector
) -> None:
    for found in select(queue, selector):
        for name in selector.model_fields_set & READ.keys():
            assert getattr(found, READ[name]) is not None, name


@given(queue=queues, selector=selectors, left_out=st.sampled_from(sorted(READ)))
def test_every_criterion_only_narrows_what_is_selected(
    queue: list[Message], selector: Selector, left_out: str
) -> None:
    wider = selector.model_copy(update={left_out: None})
    assert {m.id for m in select(queue, selector)} <= {m.id for m in select(queue, wider)}


@given(queue=queues, selector=selectors, limit=st.integers(1, 8))
def test_a_limit_leaves_out_only_younger_ones(
    queue: list[Message], selector: Selector, limit: int
) -> None:
    kept = select(queue, selector.model_copy(update={"limit": limit}))
    meant = select(queue, selector)
    assert len(kept) == min(limit, len(meant))
    assert {m.id for m in kept} <= {m.id for m in meant}
    for left_out in meant:
        if left_out not in kept and left_out.age is not None:
            assert all(m.age is not None and m.age >= left_out.age for m in kept)


@given(queue=queues, selector=selectors, data=st.data())
def test_the_order_of_the_list_does_not_matter(
    queue: list[Message], selector: Selector, data: st.DataObject
) -> None:
    assert select(data.draw(st.permutations(queue)), selector) == select(queue, selector)


# --- guesses ------------------------------------------------------------------------------------

ALL_FIELDS = frozenset({"id", "age", "size", "sender", "recipients", "frozen"})


@pytest.mark.parametrize(
    ("criteria", "needed"),
    [
        ({"frozen": True}, {"frozen"}),
        ({"frozen": False}, {"frozen"}),
        ({"bounce": True}, {"sender"}),
        ({"bounce": False}, {"sender"}),
        ({"sender": "*@example.com"}, {"sender"}),
        ({"recipient": "*@example.net"}, {"recipients"}),
        ({"older_than": "1h"}, {"age"}),
        ({"younger_than": "3d"}, {"age"}),
        ({"larger_than": "1B"}, {"size"}),
        ({"everything": True}, set()),
        # Which are the oldest is a guess where ages are.
        ({"everything": True, "limit": 5}, {"age"}),
        ({"frozen": True, "bounce": True, "limit": 5}, {"frozen", "sender", "age"}),
    ],
)
def test_no_selector_on_a_guessed_field_chooses_a_message(
    criteria: dict[str, Any], needed: set[str]
) -> None:
    selector = Selector.model_validate(criteria)
    assert fields_of(selector) == needed | {"id"}
    frozen, sender = criteria.get("frozen", True), "" if criteria.get("bounce") else "a@example.com"
    meant = message("1sAbCd-000001-2X", age=DAY, sender=sender, frozen=frozen)
    assert select([meant], selector) == [meant], "or the test would prove nothing"
    for field in ALL_FIELDS:
        guess = replace(meant, guessed=frozenset({field}))
        certain = field not in needed | {"id"}
        found = sift([guess], selector)
        assert found.chosen == ([guess] if certain else [])
        assert found.withheld == ({} if certain else {guess.id: {field}})
        assert select([guess], selector, guesses=True) == [guess], "it may be shown"


def test_what_is_surely_not_meant_is_not_withheld() -> None:
    guess = message(age=DAY, frozen=False, guessed=frozenset({"sender"}))
    assert sift([guess], Selector(frozen=True, bounce=True)).withheld == {}
    assert sift([guess], Selector(frozen=False, bounce=True)).withheld == {guess.id: {"sender"}}


def test_certain_messages_beside_guessed_ones_are_chosen() -> None:
    sure, guess = message("sure", frozen=True), message("guess", frozen=True)
    guess = replace(guess, guessed=frozenset({"frozen"}))
    found = sift([guess, sure], Selector(frozen=True))
    assert found.chosen == [sure]
    assert found.withheld == {"guess": {"frozen"}}


@given(size=st.integers(1, 1023 * 2**20), larger_than=st.integers(1, 10**8))
def test_a_size_that_exim_rounded_is_larger_only_if_every_size_it_stands_for_is(
    size: int, larger_than: int
) -> None:
    told = read_size(exim_size(size))
    chosen = select(
        [message(size=told)], Selector.model_validate({"larger_than": f"{larger_than}B"})
    )
    assert size > larger_than or not chosen


@pytest.mark.parametrize(
    ("told", "larger_than", "chosen"),
    [
        ("2.9K", "2919B", False),
        ("2.9K", "2917B", True),
        ("11K", "10752B", False),
        ("11K", "10751B", True),
        ("5.0M", "5MiB", False),
        ("20M", "19MiB", True),
        ("900", "899B", True),
    ],
)
def test_the_least_size_that_exim_may_have_printed_counts(
    told: str, larger_than: str, chosen: bool
) -> None:
    selector = Selector.model_validate({"larger_than": larger_than})
    assert bool(select([message(size=read_size(told))], selector)) is chosen


def test_what_the_panel_does_not_tell_is_counted_where_it_may_be_meant() -> None:
    mail = [
        message("unknown", age=DAY, frozen=None),
        message("young", age=60, frozen=None),
        message("meant", age=DAY, frozen=True),
        message("thawed", age=DAY, frozen=False),
    ]
    found = sift(mail, Selector.model_validate({"frozen": True, "older_than": "1h"}))
    assert [one.id for one in found.chosen] == ["meant"]
    assert found.untold == {"frozen": 1}
    assert sift(mail, Selector(everything=True)).untold == {}
