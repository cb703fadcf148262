"""Facts are the same however they come about: read at once or bit by bit, pruned, after a restart.

What they must be an oracle works out by hand, which keeps every entry that was ever written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from exporter.journal import Entry, Kind, Outcome, RuleFacts
from exporter.journal.projection import JournalProjection
from exporter.snapshot import PanelId
from tests.examples import examples
from tests.journal.conftest import Clock, quick_journal
from tests.journal.test_facts import DAY, HOUR, STEPS, WHOSE, Step, by_reading_all, entry_of


class Process:
    """A process that writes a journal, whose clock is set and which is started anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._clock = Clock()
        self._passed = 0.0
        self._pruned_at = 0.0
        self.everything: list[Entry] = []
        """Every entry that was ever written."""
        self._start()

    def _start(self) -> None:
        self.journal = quick_journal(self._path, self._clock, lambda: self._passed)
        self.running = JournalProjection()

    def write(self, step: Step) -> None:
        self._wait(max(0.0, step[0]))
        self.everything.append(self.journal.add(entry_of(step)))

    def _wait(self, seconds: float) -> None:
        self._clock.now += seconds
        self._passed += seconds

    def _set_clock(self, seconds: float) -> None:
        self._clock.now = max(DAY, self._clock.now + seconds)

    def _restart(self, seconds: float) -> None:
        self.journal.close()
        self._wait(seconds)
        # What was deleted as old does not become young: pruning waits for a clock that is right.
        self._clock.now = max(self._clock.now, self._pruned_at)
        self._start()

    def _prune(self, keep: float) -> None:
        if self.journal.prune(self._clock.now - keep):
            event("entries were pruned")
            self._pruned_at = max(self._pruned_at, self._clock.now)

    def do(self, what: str, seconds: float) -> None:
        moves: dict[str, Callable[[float], None]] = {
            "wait": self._wait,
            "set the clock": self._set_clock,
            "restart": self._restart,
            "prune": self._prune,
        }
        moves[what](seconds)

    def demand_agreement(self) -> None:
        self.journal.rule_facts("mx1", "no rule")  # now it is seen that the clock was set
        now, timeline = self._clock.now, self.journal.timeline()
        entries = self.journal.entries()
        self.running.add(entries)
        fresh = JournalProjection()
        fresh.add(entries)
        seen = {
            number: at + timeline.shift(last) for number, (at, last) in timeline.first_seen.items()
        }
        seen = {number: at for number, at in seen.items() if at <= now}

        def known(of: Callable[[str, str, PanelId | None], RuleFacts]) -> list[RuleFacts]:
            return [replace(of(*whose), approved=()) for whose in WHOSE]

        expected = known(
            lambda host, rule, panel: by_reading_all(
                self.everything, now, dict(seen), host, rule, panel, timeline
            )
        )
        for projection in (self.running, fresh):
            projection.timeline = timeline
            assert known(partial(projection.rule_facts, now=now)) == expected
        fleet = fresh.fleet_facts(now)
        assert self.running.fleet_facts(now) == fleet
        assert known(self.journal.rule_facts) == expected
        assert self.journal.fleet_facts() == fleet


MOVES = st.one_of(
    st.tuples(st.just("wait"), st.one_of(st.floats(0, 2 * HOUR), st.floats(0, 5 * DAY))),
    st.tuples(
        st.just("set the clock"),
        st.one_of(st.floats(-3 * DAY, 3 * DAY), st.floats(-100 * DAY, 100 * DAY)),
    ),
    st.tuples(st.just("restart"), st.one_of(st.just(0.0), st.floats(0, 5 * DAY))),
    st.tuples(st.just("prune"), st.sampled_from([0.0, 0.0, DAY, 90 * DAY])),
)


@settings(max_examples=examples(60), deadline=None)
@given(moves=st.lists(st.one_of(STEPS, STEPS, MOVES), max_size=30))
def test_facts_agree_whatever_was_written_set_pruned_and_restarted(
    tmp_path_factory: pytest.TempPathFactory, moves: list[Step | tuple[str, float]]
) -> None:
    process = Process(tmp_path_factory.mktemp("any") / "journal")
    try:
        for move in moves:
            if isinstance(move[0], str):
                process.do(move[0], move[1])
                process.demand_agreement()
            else:
                process.write(move)
        process.demand_agreement()
    finally:
        process.journal.close()


def test_an_action_seen_ahead_after_the_clock_was_set_back_counts_from_then(
    tmp_path: Path,
) -> None:
    """No entry stands between the jump and the moment at which it was first seen to be ahead."""
    process = Process(tmp_path / "journal")
    try:
        process.write((0.0, Kind.INTENT, Outcome.OK, "a", "mx1", "purge", PanelId()))
        process.do("set the clock", -2 * HOUR)
        process.do("restart", 0.0)
        process.do("set the clock", -HOUR)
        first = process.journal.rule_facts("mx1", "purge", None)
        process.do("wait", 60.0)
        assert process.journal.rule_facts("mx1", "purge", None).last_begun == first.last_begun
        process.demand_agreement()
        process.do("set the clock", -HOUR)
        process.demand_agreement()
    finally:
        process.journal.close()
