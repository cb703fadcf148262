"""The fleet page: a headline, totals, and every host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup

from exporter.web.pages.change_feed import ChangeFeed, politely
from exporter.web.pages.fleet_filter import SORTS, STATES, FleetFilter
from exporter.web.pages.render import Renderer
from exporter.web.pages.rows import Row, Totals, totals_of
from exporter.web.pages.translator import Translator

NAMED = 5
"""Hosts named under the headline."""

MOST_LABELS = 200
"""Labels to choose from."""


@dataclass(frozen=True, slots=True)
class Headline:
    """What matters, in one line."""

    text: str
    well: bool


def headline_of(
    totals: Totals, w: Translator, *, paused: bool, usable: bool = True, misses: bool = False
) -> Headline:
    """All is well, or what is wrong, the worst first."""
    if not totals.hosts and usable:
        return Headline(w.t("headline_none"), well=False)
    state = totals.by_state
    counts = (
        ("headline_down", state.get("down", 0)),
        ("headline_partial", state.get("partial", 0)),
        ("headline_stopped", totals.stopped_services),
        ("headline_alerts", totals.alerts),
        ("headline_waiting", totals.waiting),
        ("headline_rules_stopped", totals.stopped_rules),
        ("headline_unknown", state.get("unknown", 0)),
    )
    parts = [] if usable else [w.t("headline_unusable")]
    if misses:
        parts.append(w.t("headline_misses"))
    parts += [w.t(key, n=count) for key, count in counts if count]
    if paused:
        parts.append(w.t("headline_paused"))
    if not parts:
        return Headline(w.t("headline_well", n=totals.hosts), well=True)
    text = ", ".join(parts)
    return Headline(text[0].upper() + text[1:], well=False)


@dataclass(frozen=True)
class FleetView:
    """The fleet at one moment."""

    position: str
    """Which changes it shows, as Board.position says it."""
    number: int
    """The number of the last of these."""
    rows: Sequence[Row]
    """In the config's order."""
    totals: Totals
    now: float
    """Unix time."""
    paused: bool
    usable: bool
    """Whether the journal can be relied on."""
    misses: bool = False
    """Whether polls were missed lately, since no more files may be open."""

    @classmethod
    def of(cls, board: ChangeFeed) -> FleetView:
        """The fleet as it is now."""
        rows = board.rows()
        sources = board.sources
        return cls(
            board.position(),
            board.number,
            rows,
            totals_of(rows),
            sources.clock(),
            sources.projection.paused,
            not sources.projection.problem(),
            sources.misses(),
        )

    @cached_property
    def by_rank(self) -> Sequence[Row]:
        """The rows, the worst first."""
        return sorted(self.rows, key=lambda row: row.rank)

    @property
    def worst(self) -> str:
        """The names of the worst hosts."""
        bad = [row for row in self.by_rank if row.state != "up"]
        more = " …" if len(bad) > NAMED else ""
        return ", ".join(row.name for row in bad[:NAMED]) + more

    @property
    def labels(self) -> list[str]:
        """Every label, as name=value."""
        found = {f"{name}={value}" for row in self.rows for name, value in row.labels.items()}
        return sorted(found)[:MOST_LABELS]


class Fleet:
    """What the fleet page shows, made once for all who look."""

    def __init__(self, board: ChangeFeed, renderer: Renderer) -> None:
        self._board = board
        self._renderer = renderer
        self._view: FleetView | None = None
        self._rows: dict[str, dict[str, tuple[Row, str]]] = {}
        """By language and host: a row and what was made of it."""
        self._summaries: dict[str, tuple[FleetView, str]] = {}

    async def view(self) -> FleetView:
        """The fleet as it is now."""
        await self._board.freshen()
        view, now = self._view, self._board.sources.clock()
        if view is None or view.position != self._board.position() or not 0 <= now - view.now < 1:
            view = self._view = FleetView.of(self._board)
            names = {row.name for row in view.rows}
            for made in self._rows.values():
                for gone in made.keys() - names:
                    del made[gone]
        return view

    async def page(self, choice: FleetFilter, w: Translator) -> str:
        """The whole page."""
        view = await self.view()
        rows = await self.markup(choice.of_rows(view.rows), w, view.now)
        return self._renderer.html(
            "fleet.html",
            w,
            "./",
            here="nav_fleet",
            watched="fleet",
            seen=view.position,
            headline=headline_of(
                view.totals, w, paused=view.paused, usable=view.usable, misses=view.misses
            ),
            summary=self.summary(view, w),
            rows=[html for _, html in rows],
            choice=choice,
            labels=view.labels,
            states=STATES,
            sorts=SORTS,
            order=[row.name for row in view.by_rank],
        )

    async def markup(
        self, rows: Sequence[Row], w: Translator, now: float
    ) -> list[tuple[str, Markup]]:
        """Hosts and their rows of the table."""
        return [(row.name, self._row(row, w, now)) async for row in politely(rows)]

    def _row(self, row: Row, w: Translator, now: float) -> Markup:
        made = self._rows.setdefault(w.language, {})
        known = made.get(row.name)
        if known is None or known[0] is not row:
            html = self._renderer.macro("parts.html", "host_row", row, w, now, "./")
            known = made[row.name] = row, html
        # How long ago something was is all that changes of a row that does not change.
        return Markup(w.filled_in(known[1], now))  # noqa: S704 - escaped by the template

    def summary(self, view: FleetView, w: Translator) -> Markup:
        """The headline and the totals of a view."""
        known = self._summaries.get(w.language)
        if known is None or known[0] is not view:
            headline = headline_of(
                view.totals, w, paused=view.paused, usable=view.usable, misses=view.misses
            )
            html = self._renderer.macro(
                "parts.html", "summary", headline, view.worst, view.totals, w, view.now
            )
            known = self._summaries[w.language] = view, html
        return Markup(known[1])  # noqa: S704 - escaped by the template
