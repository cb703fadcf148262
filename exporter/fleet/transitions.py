"""Log lines for changes between polls, not for polls. Pure: snapshots in, events out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from exporter.humanize import duration
from exporter.snapshot import QUEUE, Failure, HostSnapshot, QueueState, QueueStats


@dataclass(frozen=True, slots=True)
class Event:
    """One log line."""

    level: Literal["info", "warning"]
    text: str
    values: dict[str, object]


@dataclass(slots=True)
class HostTransitions:
    """The changes of one host from poll to poll."""

    _failing: dict[str, tuple[Failure, float]] = field(default_factory=dict)
    """By collector: the failure as logged last, and since when it fails (Unix time)."""
    _logged_forms: set[str] = field(default_factory=set)
    _not_understood: bool = False
    _detail_skipped: bool = False
    _seen: bool = False
    _down: bool = False

    def advance(self, snapshot: HostSnapshot) -> list[Event]:
        """Return the events that a new snapshot makes."""
        events = [*self._failures(snapshot), *self._recoveries(snapshot)]
        for result in snapshot.results:
            if isinstance(result.value, QueueState):
                events += self._queue(result.value)
        if not self._seen and snapshot.ok:
            events.insert(0, Event("info", "first poll was good", {}))
        self._seen = True
        return events

    def _failures(self, snapshot: HostSnapshot) -> Iterator[Event]:
        failures = [r.failure for r in snapshot.results if r.failure is not None]
        logged = [self._failing.get(r.collector, (None, 0.0))[0] for r in snapshot.results]
        news = [
            r
            for r, old in zip(snapshot.results, logged, strict=True)
            if r.failure is not None and (old is None or old.reason != r.failure.reason)
        ]
        for result in snapshot.results:
            if result.failure is not None:
                since = self._failing.get(result.collector, (None, result.at))[1]
                self._failing[result.collector] = (result.failure, since)
        if not news:
            return
        if len(failures) == len(snapshot.results) and len({f.reason for f in failures}) == 1:
            self._down = True
            yield _failed("host is down", failures[0])
            return
        for result in news:
            if result.failure is not None:
                yield _failed("collector failed", result.failure, collector=result.collector)

    def _recoveries(self, snapshot: HostSnapshot) -> Iterator[Event]:
        back = [
            (result, self._failing.pop(result.collector)[1])
            for result in snapshot.results
            if result.ok and result.collector in self._failing
        ]
        if not back:
            return
        if self._down and len(back) == len(snapshot.results):
            # Some collector may have failed alone for longer than the host was down.
            down = max(since for _, since in back)
            self._down = False
            yield Event("info", "host is up again", {"after": duration(snapshot.at - down)})
            return
        for result, since in back:
            after = duration(snapshot.at - since)
            values: dict[str, object] = {"collector": result.collector, "after": after}
            yield Event("info", "collector is good again", values)

    def _queue(self, queue: QueueState) -> Iterator[Event]:
        if queue.stats is not None:
            yield from self._rows(queue.stats, queue.samples)
        if (queue.stats is None) != self._detail_skipped:
            self._detail_skipped = queue.stats is None
            if self._detail_skipped:
                text = "queue is above poll.queue_detail_limit: list_msg is not asked"
                yield Event("warning", text, {"messages": queue.messages})
            else:
                yield Event("info", "list_msg is asked again", {"messages": queue.messages})

    def _rows(self, stats: QueueStats, samples: tuple[str, ...]) -> Iterator[Event]:
        """Yield an event for each new form of rows that are not understood, not at each poll."""
        forms = {_WORD.sub("x", sample) for sample in samples} - self._logged_forms
        if forms and len(self._logged_forms) < _MAX_FORMS:
            self._logged_forms |= forms
            values: dict[str, object] = {
                "collector": QUEUE,
                "rows": stats.unparsed,
                "of": stats.listed,
                "samples": list(samples),
                "hint": "`diagnose` shows how rows are read and proposes `fields`",
            }
            yield Event("warning", "rows of list_msg were not understood", values)
        if self._not_understood and not stats.unparsed and stats.listed:
            yield Event("info", "every row of list_msg is understood again", {})
            self._logged_forms.clear()
        self._not_understood = stats.unparsed > 0 or (self._not_understood and not stats.listed)


_WORD = re.compile(r"\w+")

_MAX_FORMS = 20
"""Forms logged for one panel: a panel may send ever new garbage."""


def _failed(text: str, failure: Failure, **values: object) -> Event:
    said = {"reason": failure.reason.value, "problem": failure.message, "hint": failure.hint}
    return Event("warning", text, {**values, **said})
