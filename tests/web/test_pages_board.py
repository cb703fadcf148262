from __future__ import annotations

import asyncio
from types import SimpleNamespace

from exporter.config.models import HostConfig
from exporter.fleet.history import History
from exporter.fleet.store import Store
from exporter.journal import Entry, Kind
from exporter.journal.projection import JournalProjection
from exporter.snapshot import CollectorResult, HostSnapshot, QueueState, QueueStats
from exporter.web.pages.change_feed import ChangeFeed
from exporter.web.pages.page_data import PageData


class Fleet:
    """A board over hosts that a test polls, by a clock that it moves."""

    def __init__(self, *names: str) -> None:
        self.now = 1_800_000_000.0
        self.store, self.projection = Store(), JournalProjection()
        self.rules: tuple[str, ...] = ("purge",)
        self.configure(*names)
        self.histories: dict[str, History] = {name: History() for name in names}
        evaluator = SimpleNamespace(firing=lambda: iter(()))
        self.board = ChangeFeed(
            PageData(
                self.store,
                self.histories,
                evaluator,  # type: ignore[arg-type]
                SimpleNamespace(),  # type: ignore[arg-type]
                self.projection,
                lambda _: self.rules,
                lambda: self.now,
            )
        )

    def configure(self, *names: str) -> None:
        hosts = [
            HostConfig.model_validate(
                {"name": name, "url": "https://a.example", "username": "u", "password": "p"}
            )
            for name in names
        ]
        self.store.apply_config(((each, 60.0) for each in hosts), 3)

    def poll(self, name: str, messages: int = 5) -> None:
        result = CollectorResult("queue", self.now, 0.5, QueueState(messages, QueueStats()))
        record = self.store.get(name)
        assert record is not None
        record.add(HostSnapshot(name, self.now, (result,)))
        self.board.changed(name)


def test_a_row_whose_values_went_stale_is_made_anew() -> None:
    fleet = Fleet("mx1", "mx2")
    fleet.poll("mx1")
    fleet.now += 100
    fleet.poll("mx2")
    assert [row.messages for row in fleet.board.rows()] == [5, 5]
    seen = fleet.board.number
    fleet.now += 100
    fleet.board.look()
    assert fleet.board.since(seen) == {"mx1"}
    assert [row.messages for row in fleet.board.rows()] == [None, 5]
    fleet.now += 100
    assert [row.messages for row in fleet.board.rows()] == [None, None]


def test_what_the_journal_says_changes_the_rows_that_it_is_of_and_no_others() -> None:
    fleet = Fleet("mx1", "mx2")
    first = fleet.board.rows()
    seen = fleet.board.number
    stopped = Entry(Kind.STOPPED, id=1, host="mx2", rule="purge", text="why", at=fleet.now)
    fleet.projection.add([stopped])
    rows = fleet.board.rows()
    assert fleet.board.since(seen) == {"mx2"}
    assert rows[0] is first[0]
    assert rows[1].stopped == ("purge",)
    seen = fleet.board.number
    fleet.projection.paused = True
    fleet.board.look()
    assert fleet.board.number > seen
    assert fleet.board.since(seen) == set()
    fleet.rules = ()  # the rule has left the config
    fleet.board.reconfigured()
    assert fleet.board.rows()[1].stopped == ()


def test_a_position_is_of_one_board_and_of_hosts_that_are_there() -> None:
    fleet = Fleet("mx1")
    fleet.poll("mx1")
    board, here = fleet.board, fleet.board.position()
    assert board.number_of(here) == board.number
    head = here.rpartition(".")[0]
    assert board.number_of(f"{head}.0") == 0
    strangers = (Fleet("mx1").board.position(), "", ".", f"{here}0", f"{head}.-1", f"{head}.\u0663")
    for other in strangers:
        assert board.number_of(other) is None, other
    board.reconfigured()
    assert board.number_of(here) is None


async def test_rows_are_made_politely_and_by_what_is_configured_in_the_end() -> None:
    fleet = Fleet("mx1", "mx2")
    fleet.poll("mx1")
    await fleet.board.freshen()
    fleet.configure("mx2")
    fleet.board.reconfigured()
    await fleet.board.freshen()
    assert [row.name for row in fleet.board.rows()] == ["mx2"]


async def test_who_waits_hears_of_the_next_change_and_of_none_before_it() -> None:
    fleet = Fleet("mx1")
    waiting = asyncio.create_task(fleet.board.wait(fleet.board.number))
    await asyncio.sleep(0)
    assert not waiting.done()
    fleet.poll("mx1")
    await asyncio.wait_for(waiting, 1)
