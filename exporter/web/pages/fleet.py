"""The fleet page: a headline, totals, and every host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.web.pages.board import Board
from exporter.web.pages.choice import SORTS, STATES, Choice
from exporter.web.pages.render import Renderer
from exporter.web.pages.rows import Row, Totals, totals_of
from exporter.web.pages.words import Words

NAMED = 5
"""Hosts named under the headline."""

MOST_LABELS = 200
"""Labels to choose from."""


@dataclass(frozen=True, slots=True)
class Headline:
    """What matters, in one line."""

    text: str
    well: bool


def headline_of(totals: Totals, w: Words, *, paused: bool) -> Headline:
    """All is well, or what is wrong, the worst first."""
    if not totals.hosts:
        return Headline(w.t("headline_none"), well=False)
    state = totals.by_state
    counts = (
        ("headline_down", state.get("down", 0)),
        ("headline_partial", state.get("partial", 0)),
        ("headline_stopped", totals.stopped_services),
        ("headline_alerts", totals.alerts),
        ("headline_waiting", totals.waiting),
        ("headline_unknown", state.get("unknown", 0)),
    )
    parts = [w.t(key, n=count) for key, count in counts if count]
    if paused:
        parts.append(w.t("headline_paused"))
    if not parts:
        return Headline(w.t("headline_well", n=totals.hosts), well=True)
    text = ", ".join(parts)
    return Headline(text[0].upper() + text[1:], well=False)


@dataclass(frozen=True, slots=True)
class FleetView:
    """The fleet at one moment."""

    rows: Sequence[Row]
    """In the config's order."""
    totals: Totals
    now: float
    """Unix time."""
    paused: bool

    @classmethod
    def of(cls, board: Board) -> FleetView:
        """The fleet as it is now."""
        rows = board.rows()
        sources = board.sources
        return cls(rows, totals_of(rows), sources.clock(), sources.tally.paused)

    @property
    def worst(self) -> str:
        """The names of the worst hosts."""
        bad = sorted((row for row in self.rows if row.state != "up"), key=lambda row: row.rank)
        more = " …" if len(bad) > NAMED else ""
        return ", ".join(row.name for row in bad[:NAMED]) + more

    @property
    def labels(self) -> list[str]:
        """Every label, as name=value."""
        found = {f"{name}={value}" for row in self.rows for name, value in row.labels.items()}
        return sorted(found)[:MOST_LABELS]


def fleet_html(renderer: Renderer, view: FleetView, choice: Choice, w: Words) -> str:
    """The whole page."""
    return renderer.html(
        "fleet.html",
        w,
        "./",
        here="nav_fleet",
        watched="fleet",
        headline=headline_of(view.totals, w, paused=view.paused),
        worst=view.worst,
        totals=view.totals,
        rows=choice.of_rows(view.rows),
        choice=choice,
        labels=view.labels,
        states=STATES,
        sorts=SORTS,
        order=[row.name for row in sorted(view.rows, key=lambda row: row.rank)],
        now=view.now,
    )


def summary_html(renderer: Renderer, view: FleetView, w: Words) -> str:
    """The headline and the totals."""
    headline = headline_of(view.totals, w, paused=view.paused)
    return renderer.macro("parts.html", "summary", headline, view.worst, view.totals, w, view.now)


def row_html(renderer: Renderer, row: Row, w: Words, now: float) -> str:
    """One host's row of the table."""
    return renderer.macro("parts.html", "host_row", row, w, now, "./")
