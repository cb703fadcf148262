from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import pytest

from exporter.alertmanager.alert import Alert
from exporter.fleet.history import History
from exporter.fleet.store import HostRecord, Store
from exporter.snapshot import (
    HostSnapshot,
    ServiceState,
)
from exporter.web.pages.change_feed import ChangeFeed
from exporter.web.pages.fleet import FleetView
from exporter.web.pages.rows import HostRemediation, Row, Totals, row_of
from exporter.web.pages.translator import translator
from tests.builders import NOW, bad, good, host, queue, snapshot, stats

MINUTE = 60.0


def record(*polls: HostSnapshot) -> tuple[HostRecord, History]:
    store = Store()
    store.apply_config([(host(), MINUTE)], stale_after=3)
    (found,) = store
    history = History()
    for poll in polls:
        found.add(poll)
        history.add(poll)
    return found, history


def alert(severity: str, name: str = "A") -> Alert:
    return Alert({"alertname": name, "host": "mx1", "severity": severity}, {}, NOW, NOW)


def row(*polls: HostSnapshot, now: float = NOW, alerts: tuple[Alert, ...] = (), **keys: Any) -> Row:
    return row_of(*record(*polls), alerts, HostRemediation(**keys), now)


def growing(*messages: int, step: float = 10 * MINUTE) -> Row:
    begin = NOW - step * (len(messages) - 1)
    return row(
        *(
            snapshot(good("queue", queue(count), at=begin + step * n), at=begin + step * n)
            for n, count in enumerate(messages)
        )
    )


def test_before_the_first_poll_nothing_is_known() -> None:
    found = row()
    assert found.state == "unknown"
    values = (found.messages, found.frozen, found.oldest, found.growth, found.polled_at)
    assert values == (None,) * 5
    assert {up for _, up in found.services} == {None}


def test_a_good_poll() -> None:
    found = row(snapshot())
    assert (found.state, found.messages, found.frozen, found.oldest) == ("up", 5, 1, 7200.0)
    runs = ServiceState(running=True)
    assert found.services == (("clamav", runs), ("spamassassin", runs))
    assert found.polled_at == NOW


def test_a_figure_that_the_panel_did_not_tell_is_unknown() -> None:
    lacking = queue(stats=stats(frozen=None, oldest_age=None))
    found = row(snapshot(good("queue", lacking)))
    assert (found.messages, found.frozen, found.oldest) == (5, None, None)
    counted = row(snapshot(good("queue", queue(stats=None))))
    assert (counted.messages, counted.frozen, counted.oldest) == (5, None, None)


def test_values_go_stale() -> None:
    found = row(snapshot())
    assert found.fresh_until == NOW + 3 * MINUTE
    later = row(snapshot(), now=found.fresh_until)
    assert (later.messages, later.frozen, later.services[0][1]) == (None, None, None)
    assert later.growth is None


def test_a_failed_poll_tells_at_once_and_keeps_the_values() -> None:
    down = snapshot(bad("queue"), bad("clamav"), bad("spamassassin"), at=NOW + 1)
    found = row(snapshot(), down, now=NOW + 1)
    assert (found.state, found.messages) == ("down", 5)
    part = snapshot(good("queue"), bad("clamav"), good("spamassassin"))
    assert row(part).state == "partial"


def test_what_answers_may_still_be_in_trouble() -> None:
    stopped = snapshot(good("queue"), good("clamav", value=False), good("spamassassin"))
    assert row(stopped).state == "trouble"
    assert row(snapshot(), alerts=(alert("warning"),)).state == "trouble"


def test_growth_is_since_an_hour_ago() -> None:
    found = growing(*range(100, 200, 10))  # 90 minutes, each ten
    assert (found.growth, found.growth_seconds) == (60, None)


def test_growth_of_less_than_an_hour_says_so_and_one_poll_tells_none() -> None:
    found = growing(10, 25)
    assert (found.growth, found.growth_seconds) == (15, 600)
    assert growing(10).growth is None


def test_the_worst_alert_comes_first_and_the_worst_host() -> None:
    several = row(snapshot(), alerts=(alert("info"), alert("critical", "B"), alert("warning")))
    assert [a.severity for a in several.alerts] == ["critical", "warning", "info"]
    states = [Row(name, {}, state) for name, state in (("a", "up"), ("b", "unknown"))]
    states += [Row("c", {}, "down"), Row("d", {}, "partial"), several]
    ranked = [each.name for each in sorted(states, key=lambda each: each.rank)]
    assert ranked == ["c", "d", "mx1", "b", "a"]


def test_totals_cover_the_hosts_that_tell() -> None:
    known = Row("a", {}, "up", messages=5, frozen=2, oldest=60.0)
    stopped = (("clamav", ServiceState(running=False)),)
    worse = Row("b", {}, "trouble", messages=7, oldest=90.0, services=stopped)
    totals = Totals([known, worse, Row("c", {}, "down", services=(("clamav", None),))])
    assert (totals.hosts, totals.messages, totals.messages_known) == (3, 12, 2)
    assert (totals.frozen, totals.frozen_known) == (2, 1)
    assert (totals.oldest, totals.oldest_host) == (90.0, "b")
    assert (totals.stopped_services, totals.by_state["down"]) == (1, 1)
    none = Totals([])
    assert (none.messages, none.oldest, none.oldest_host) == (0, None, "")


EN = translator("en")


def headline(
    *rows: Row, paused: bool = False, usable: bool = True, misses: bool = False
) -> tuple[str, bool]:
    projection = SimpleNamespace(paused=paused, problem=lambda: "" if usable else "gone")
    data = SimpleNamespace(clock=lambda: NOW, projection=projection, misses=lambda: misses)
    feed = SimpleNamespace(data=data, number=0, rows=lambda: rows, position=str)
    found = FleetView(cast("ChangeFeed", feed)).headline(EN)
    return found.text, found.well


def test_the_headline_says_that_all_is_well_only_when_it_is() -> None:
    up = Row("a", {}, "up", messages=5)
    assert headline(up, up) == ("All is well: 2 hosts answer", True)
    assert headline() == ("No hosts are configured", False)
    assert headline(up, Row("b", {}, "unknown")) == ("1 host not polled yet", False)
    assert headline(up, paused=True) == ("Remediation is paused", False)
    missed = "Polls are not made since no more files may be open (LimitNOFILE)"
    assert headline(up, misses=True) == (missed, False)
    unusable = "The journal cannot be used and nothing acts"
    assert headline(usable=False) == (unusable, False)


WAITS, STOPPED = HostRemediation(waiting=("r",)), HostRemediation(stopped=("r",))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (Row("b", {}, "down"), "1 host down"),
        (Row("b", {}, "partial"), "1 host answers in part"),
        (
            Row("b", {}, "trouble", services=(("clamav", ServiceState(running=False)),)),
            "1 service stopped",
        ),
        (Row("b", {}, "trouble", alerts=(alert("info"),)), "1 alert fires"),
        (
            Row("b", {}, "up", remediation=HostRemediation(waiting=("r",))),
            "1 action waits for approval",
        ),
        (
            Row("b", {}, "up", remediation=HostRemediation(stopped=("r",))),
            "1 rule has stopped itself",
        ),
    ],
)
def test_the_headline_names_each_kind_of_trouble(bad: Row, said: str) -> None:
    assert headline(Row("a", {}, "up"), bad) == (said, False)


def test_the_chart_of_a_row_holds_gaps() -> None:
    found = row(snapshot(at=NOW - 60), snapshot(bad("queue", at=NOW), at=NOW))
    assert [math.isnan(messages) for _, messages in found.points] == [False, True]
