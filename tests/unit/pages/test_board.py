from __future__ import annotations

import pytest

from exporter.alerting.alarms import Alarms
from exporter.alerting.outcomes import Outcomes
from exporter.history import History
from exporter.remediation.tally import Tally
from exporter.store import Store
from exporter.web.pages.board import Board
from exporter.web.pages.sources import Sources
from tests.builders import NOW, host, snapshot

NAMES = ("mx1", "mx2", "mx3")


class Site:
    """A board over hosts that a test polls."""

    def __init__(self) -> None:
        self.now = NOW
        self.store = Store()
        self.histories = {name: History() for name in NAMES}
        self.tally = Tally()
        self.configure(*NAMES)
        sources = Sources(
            self.store,
            self.histories,
            Alarms(),
            Outcomes(),
            self.tally,
            lambda _: ("purge",),
            lambda: self.now,
        )
        self.board = Board(sources)
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
