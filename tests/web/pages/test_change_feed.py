from __future__ import annotations

import asyncio

import pytest

from exporter.alerting.delivery import DeliveryStats
from exporter.alerting.evaluator import AlertEvaluator
from exporter.fleet.history import History
from exporter.fleet.store import Store
from exporter.journal import Entry, Kind
from exporter.journal.projection import JournalProjection
from exporter.web.pages.change_feed import ChangeFeed, PageData
from tests.builders import NOW, host, snapshot


class PolledFleet:
    """A change feed over hosts that a test polls, by a clock that it moves."""

    def __init__(self, *names: str) -> None:
        self.now = NOW
        self.store, self.projection = Store(), JournalProjection()
        self.rules: tuple[str, ...] = ("purge",)
        self.configure(*names)
        data = PageData(
            self.store,
            {name: History() for name in names},
            AlertEvaluator(),
            DeliveryStats(),
            self.projection,
            lambda _: self.rules,
            lambda: self.now,
        )
        self.feed = ChangeFeed(data)

    def configure(self, *names: str) -> None:
        self.store.apply_config(((host(name), 60.0) for name in names), 3)

    def poll(self, name: str) -> None:
        record = self.store.get(name)
        assert record is not None
        record.add(snapshot(at=self.now, name=name))
        self.feed.changed(name)


NAMES = ("mx1", "mx2", "mx3")


def test_each_change_has_a_number_and_since_names_the_hosts() -> None:
    fleet = PolledFleet(*NAMES)
    feed = fleet.feed
    begin = feed.number
    fleet.poll("mx1")
    fleet.poll("mx3")
    middle = feed.number
    fleet.poll("mx1")
    assert begin < middle < feed.number
    assert feed.since(begin) == {"mx1", "mx3"}
    assert feed.since(middle) == {"mx1"}
    assert feed.since(feed.number) == set()
    assert "mx3" in feed.since(begin)
    assert "mx3" not in feed.since(middle)


@pytest.mark.parametrize("odd", ["", "1", "x.y.z", "..", "9" * 40, "²", f"{'a' * 100_000}.0.1"])
def test_a_position_that_is_none_is_too_old(odd: str) -> None:
    fleet = PolledFleet(*NAMES)
    assert fleet.feed.number_of(odd) is None
    ahead = fleet.feed.position().rpartition(".")[0] + ".999999"
    assert fleet.feed.number_of(ahead) is None


def test_rows_are_made_anew_only_for_hosts_that_changed() -> None:
    fleet = PolledFleet(*NAMES)
    for name in NAMES:
        fleet.poll(name)
    before = fleet.feed.rows()
    assert [row.name for row in before] == list(NAMES)
    fleet.poll("mx2")
    after = fleet.feed.rows()
    assert [new is old for new, old in zip(after, before, strict=True)] == [True, False, True]


def test_a_row_whose_values_went_stale_is_made_anew() -> None:
    fleet = PolledFleet("mx1", "mx2")
    fleet.poll("mx1")
    fleet.now += 100
    fleet.poll("mx2")
    assert [row.messages for row in fleet.feed.rows()] == [5, 5]
    seen = fleet.feed.number
    fleet.now += 100
    fleet.feed.refresh()
    assert fleet.feed.since(seen) == {"mx1"}
    assert [row.messages for row in fleet.feed.rows()] == [None, 5]
    fleet.now += 100
    assert [row.messages for row in fleet.feed.rows()] == [None, None]


def test_what_the_journal_says_changes_the_rows_that_it_is_of_and_no_others() -> None:
    fleet = PolledFleet("mx1", "mx2")
    first = fleet.feed.rows()
    seen = fleet.feed.number
    stopped = Entry(Kind.STOPPED, id=1, host="mx2", rule="purge", text="why", at=fleet.now)
    fleet.projection.add([stopped])
    rows = fleet.feed.rows()
    assert fleet.feed.since(seen) == {"mx2"}
    assert rows[0] is first[0]
    assert rows[1].remediation.stopped == ("purge",)
    seen = fleet.feed.number
    fleet.projection.paused = True
    fleet.feed.refresh()
    assert fleet.feed.number > seen
    assert fleet.feed.since(seen) == set()
    fleet.rules = ()  # the rule has left the config
    fleet.feed.reconfigured()
    assert fleet.feed.rows()[1].remediation.stopped == ()


def test_a_position_is_of_one_feed_and_of_hosts_that_are_there() -> None:
    fleet = PolledFleet("mx1")
    fleet.poll("mx1")
    feed, here = fleet.feed, fleet.feed.position()
    assert feed.number_of(here) == feed.number
    head = here.rpartition(".")[0]
    assert feed.number_of(f"{head}.0") == 0
    strangers = (
        PolledFleet("mx1").feed.position(),
        "",
        ".",
        f"{here}0",
        f"{head}.-1",
        f"{head}.\u0663",
    )
    for other in strangers:
        assert feed.number_of(other) is None, other
    feed.reconfigured()
    assert feed.number_of(here) is None


async def test_rows_are_made_politely_and_by_what_is_configured_in_the_end() -> None:
    fleet = PolledFleet("mx1", "mx2")
    fleet.poll("mx1")
    await fleet.feed.make_rows()
    fleet.configure("mx2")
    fleet.feed.reconfigured()
    await fleet.feed.make_rows()
    assert [row.name for row in fleet.feed.rows()] == ["mx2"]


async def test_who_waits_hears_of_the_next_change_and_of_none_before_it() -> None:
    fleet = PolledFleet("mx1")
    waiting = asyncio.create_task(fleet.feed.wait(fleet.feed.number))
    await asyncio.sleep(0)
    assert not waiting.done()
    fleet.poll("mx1")
    await asyncio.wait_for(waiting, 1)
