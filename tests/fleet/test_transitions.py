"""Which polls are worth a log line."""

from __future__ import annotations

from exporter.fleet.transitions import HostTransitions
from exporter.snapshot import Reason
from tests.builders import NOW, bad, failure, good, queue, snapshot, stats

ALL = ("queue", "clamav", "spamassassin")


def texts(follow: HostTransitions, *snapshots: object) -> list[list[str]]:
    return [[event.text for event in follow.advance(s)] for s in snapshots]  # type: ignore[arg-type]


def down(at: float = NOW, reason: Reason = Reason.CONNECT) -> object:
    return snapshot(*(bad(name, failure(reason), at) for name in ALL), at=at)


def test_only_changes_are_told() -> None:
    follow = HostTransitions()
    told = texts(follow, snapshot(), snapshot(), down(), down(), snapshot(at=NOW + 312), snapshot())
    assert told == [["first poll was good"], [], ["host is down"], [], ["host is up again"], []]


def test_how_long_it_was_down_is_told() -> None:
    follow = HostTransitions()
    texts(follow, down(NOW), down(NOW + 60))
    (event,) = follow.advance(snapshot(at=NOW + 312))
    assert event.values == {"after": "5m 12s"}


def test_why_it_is_down_is_told_and_when_that_changes() -> None:
    follow = HostTransitions()
    (event,) = follow.advance(down())  # type: ignore[arg-type]
    assert event.level == "warning"
    assert event.values == {
        "reason": "connect",
        "problem": "It took too long.",
        "hint": "Try again.",
    }
    assert texts(follow, down(reason=Reason.AUTH)) == [["host is down"]]


def test_one_collector_alone_is_told_by_name() -> None:
    follow = HostTransitions()
    partial = snapshot(good("queue"), bad("clamav"), good("spamassassin"))
    assert texts(follow, partial, partial) == [["collector failed"], []]
    (event,) = follow.advance(snapshot(at=NOW + 60))
    assert event.text == "collector is good again"
    assert event.values == {"collector": "clamav", "after": "1m"}


def test_a_host_that_fails_for_different_reasons_tells_each() -> None:
    follow = HostTransitions()
    mixed = snapshot(bad("queue", failure(Reason.FORBIDDEN)), bad("clamav"), bad("spamassassin"))
    assert texts(follow, mixed) == [["collector failed"] * 3]


def unparsed(*samples: str, count: int = 1) -> object:
    state = queue(stats=stats(unparsed=count), samples=samples)
    return snapshot(good("queue", state))


def test_rows_not_understood_are_told_once_for_each_new_form() -> None:
    follow = HostTransitions()
    told = texts(
        follow,
        unparsed("a b c"),
        unparsed("d e f", count=7),  # the same form with other words
        unparsed("a | b"),
        snapshot(),
        snapshot(),
        unparsed("a b c"),
    )
    warning = "rows of list_msg were not understood"
    good_again = "every row of list_msg is understood again"
    assert [t for t in told[0] if t == warning] == [warning]
    assert told[1:] == [[], [warning], [good_again], [], [warning]]


def test_a_panel_that_sends_ever_new_garbage_is_not_told_of_for_ever() -> None:
    follow = HostTransitions()
    told = texts(follow, *(unparsed("-" * n) for n in range(1, 100)))
    assert 5 < sum(len(t) for t in told) < 30


def test_an_empty_queue_says_nothing_about_rows() -> None:
    follow = HostTransitions()
    empty = snapshot(good("queue", queue(0, stats=stats(listed=0))))
    told = texts(follow, unparsed("a"), empty, unparsed("a"))
    assert told[1:] == [[], []]


def test_skipping_the_list_is_told_when_it_begins_and_ends() -> None:
    follow = HostTransitions()
    skipped = snapshot(good("queue", queue(200_000, stats=None)))
    told = texts(follow, snapshot(), skipped, skipped, snapshot())
    assert told[1:] == [
        ["queue is above poll.queue_detail_limit: list_msg is not asked"],
        [],
        ["list_msg is asked again"],
    ]
