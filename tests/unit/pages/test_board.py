from __future__ import annotations

import pytest

from exporter.alerting.delivery import DeliveryStats
from exporter.alerting.evaluator import AlertEvaluator
from exporter.fleet.history import History
from exporter.fleet.store import Store
from exporter.journal.projection import JournalProjection
from exporter.web.pages.change_feed import ChangeFeed
from exporter.web.pages.page_data import PageData
from tests.builders import NOW, host, snapshot

NAMES = ("mx1", "mx2", "mx3")


class Site:
    """A board over hosts that a test polls."""

    def __init__(self) -> None:
        self.now = NOW
        self.store = Store()
        self.histories = {name: History() for name in NAMES}
        self.projection = JournalProjection()
        self.configure(*NAMES)
        sources = PageData(
            self.store,
            self.histories,
            AlertEvaluator(),
            DeliveryStats(),
            self.projection,
            lambda _: ("purge",),
            lambda: self.now,
        )
        self.board = ChangeFeed(sources)
        self.board.reconfigured()

    def configure(self, *names: str) -> None:
        self.store.configure([(host(name), 60.0) for name in names], 3)

    def poll(self, name: str) -> None:
        record = self.store.get(name)
        assert record is not None
        record.add(snapshot(at=self.now, name=name))
        self.board.changed(name)


@pytest.fixture
def site() -> Site:
    return Site()


def test_each_change_has_a_number_and_since_names_the_hosts(site: Site) -> None:
    board = site.board
    begin = board.number
    site.poll("mx1")
    site.poll("mx3")
    middle = board.number
    site.poll("mx1")
    assert begin < middle < board.number
    assert board.since(begin) == {"mx1", "mx3"}
    assert board.since(middle) == {"mx1"}
    assert board.since(board.number) == set()
    assert board.changed_since("mx3", begin)
    assert not board.changed_since("mx3", middle)


@pytest.mark.parametrize("odd", ["", "1", "x.y.z", "..", "9" * 40, "²", f"{'a' * 100_000}.0.1"])
def test_a_position_that_is_none_is_too_old(site: Site, odd: str) -> None:
    assert site.board.number_of(odd) is None
    ahead = site.board.position().rpartition(".")[0] + ".999999"
    assert site.board.number_of(ahead) is None


def test_rows_are_made_anew_only_for_hosts_that_changed(site: Site) -> None:
    for name in NAMES:
        site.poll(name)
    before = site.board.rows()
    assert [row.name for row in before] == list(NAMES)
    site.poll("mx2")
    after = site.board.rows()
    assert [new is old for new, old in zip(after, before, strict=True)] == [True, False, True]
