"""The fleet page: a headline, totals, and every host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup

from exporter.web.pages.change_feed import ChangeFeed, cooperatively
from exporter.web.pages.fleet_filter import SORTS, FleetFilter
from exporter.web.pages.render import Renderer
from exporter.web.pages.rows import STATES, Row, Totals
from exporter.web.pages.translator import Translator

NAMED = 5
"""Hosts named under the headline."""

MAX_LABELS = 200
"""Labels to choose from."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The state of the fleet in one line."""

    text: str
    well: bool


class FleetView:
    """The fleet at one moment."""

    def __init__(self, feed: ChangeFeed) -> None:
        data = feed.data
        self.rows: Sequence[Row] = feed.rows()
        """In the config's order."""
        self.position = feed.position()
        """Which changes it shows, as ChangeFeed.position names it."""
        self.number = feed.number
        """The number of the last of these."""
        self.totals = Totals(self.rows)
        self.now = data.clock()
        """Unix time."""
        self.paused = data.projection.paused
        self.usable = not data.projection.problem()
        """Whether the journal can be relied on."""
        self.misses = data.misses()
        """Whether polls were missed lately, since no more files may be open."""

    def headline(self, tr: Translator) -> Headline:
        """Return that all is well, or what is wrong, the worst first."""
        totals = self.totals
        if not totals.hosts and self.usable:
            return Headline(tr.text("headline_none"), well=False)
        counts = (
            ("headline_unusable", not self.usable),
            ("headline_misses", self.misses),
            ("headline_down", totals.by_state["down"]),
            ("headline_partial", totals.by_state["partial"]),
            ("headline_stopped", totals.stopped_services),
            ("headline_alerts", totals.alerts),
            ("headline_waiting", totals.waiting),
            ("headline_rules_stopped", totals.stopped_rules),
            ("headline_unknown", totals.by_state["unknown"]),
            ("headline_paused", self.paused),
        )
        text = ", ".join(tr.text(key, n=int(count)) for key, count in counts if count)
        if not text:
            return Headline(tr.text("headline_well", n=totals.hosts), well=True)
        return Headline(text[0].upper() + text[1:], well=False)

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
        return sorted(found)[:MAX_LABELS]


class Fleet:
    """The fleet page, made once for all readers."""

    def __init__(self, feed: ChangeFeed, renderer: Renderer) -> None:
        self._feed = feed
        self._renderer = renderer
        self._view: FleetView | None = None
        self._rows: dict[str, dict[str, tuple[Row, str]]] = {}
        """By language and host: a row and its HTML."""
        self._summaries: dict[str, tuple[FleetView, str]] = {}
        """By language: a view and the HTML of its headline and totals."""

    async def view(self) -> FleetView:
        """Return the fleet as it is now."""
        await self._feed.make_rows()
        view, now = self._view, self._feed.data.clock()
        if view is None or view.position != self._feed.position() or not 0 <= now - view.now < 1:
            view = self._view = FleetView(self._feed)
            names = {row.name for row in view.rows}
            for rendered in self._rows.values():
                for gone in rendered.keys() - names:
                    del rendered[gone]
        return view

    async def page(self, fleet_filter: FleetFilter, tr: Translator) -> str:
        """Return the whole page."""
        view = await self.view()
        rows = await self.rows_html(fleet_filter.apply(view.rows), tr, view.now)
        return self._renderer.html(
            "fleet.html",
            tr,
            "./",
            here="nav_fleet",
            watched="fleet",
            seen=view.position,
            headline=view.headline(tr),
            summary=self.summary(view, tr),
            rows=[html for _, html in rows],
            filter=fleet_filter,
            labels=view.labels,
            states=STATES,
            sorts=SORTS,
            order=[row.name for row in view.by_rank],
        )

    async def rows_html(
        self, rows: Sequence[Row], tr: Translator, now: float
    ) -> list[tuple[str, Markup]]:
        """Return hosts and their rows of the table."""
        return [(row.name, self._row(row, tr, now)) async for row in cooperatively(rows)]

    def _row(self, row: Row, tr: Translator, now: float) -> Markup:
        rendered = self._rows.setdefault(tr.language, {})
        known = rendered.get(row.name)
        if known is None or known[0] is not row:
            html = self._renderer.macro("parts.html", "host_row", row, tr, now, "./")
            known = rendered[row.name] = row, html
        # How long ago something was is all that changes of a row that does not change.
        return Markup(tr.filled_in(known[1], now))  # noqa: S704 - escaped by the template

    def summary(self, view: FleetView, tr: Translator) -> Markup:
        """Return the headline and the totals of a view."""
        known = self._summaries.get(tr.language)
        if known is None or known[0] is not view:
            html = self._renderer.macro(
                "parts.html", "summary", view.headline(tr), view.worst, view.totals, tr, view.now
            )
            known = self._summaries[tr.language] = view, html
        return Markup(known[1])  # noqa: S704 - escaped by the template
